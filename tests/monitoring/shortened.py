"""The rules as they are, but for time that goes by faster: every window and every wait is a fraction of what it was."""

import re
from typing import Any

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LEAST_S = 4
"""A rate needs a few samples, of which there is one a second."""


def shortened(rules: dict[str, Any], times: int) -> dict[str, Any]:
    """Return the content of a rule file with all durations `times` shorter; thresholds stay."""
    groups = [
        {**group, "rules": [_shortened_rule(rule, times) for rule in group["rules"]]} for group in rules["groups"]
    ]
    return {"groups": groups}


def _shortened_rule(rule: dict[str, Any], times: int) -> dict[str, Any]:
    expression = re.sub(
        r"(\[|offset )(\d+[smhd])", lambda match: match[1] + _shorter(match[2], times, _LEAST_S), rule["expr"]
    )
    wait = {"for": _shorter(rule["for"], times, 1)} if "for" in rule else {}
    return {**rule, "expr": expression, **wait}


def _shorter(duration: str, times: int, least_s: int) -> str:
    return f"{max(least_s, int(duration[:-1]) * _SECONDS[duration[-1]] // times)}s"
