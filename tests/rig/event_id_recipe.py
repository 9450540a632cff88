"""The `event_id` recipe of `docs/contract.md`, written a second time.

Knows `json`, `hashlib` and the recipe; must not know the connector.
"""

import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?"
    r"(?:[Zz]|([+-](?:[01]\d|2[0-3])):([0-5]\d))",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - all times here are UTC once their offset is taken off


def nanoseconds(event_at: str) -> int:
    """Return the nanoseconds from 1970 UTC to `event_at`.

    Raises `ValueError` or `OverflowError` when it is not a readable time.
    """
    match = _TIME.fullmatch(event_at)
    if match is None:
        raise ValueError("not a time")
    *calendar, fraction, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(f"{(hours or '+')[0]}{minutes or 0}"))
    utc = datetime(*map(int, calendar)) - offset  # type: ignore[arg-type]  # noqa: DTZ001 - see _EPOCH
    return (utc - _EPOCH) // timedelta(seconds=1) * 10**9 + int((fraction or "0").ljust(9, "0"))


def canonical_number(value: float) -> str:
    """Return `value` in plain notation from 1e-5 up to below 1e16, in scientific notation outside."""
    text = repr(value)
    mantissa, _, exponent = text.partition("e")
    if exponent == "-05":
        return f"{'-' if value < 0 else ''}0.0000{mantissa.replace('.', '').lstrip('-')}"
    return f"{mantissa}e{int(exponent)}" if exponent else text


def _canonical(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        members = sorted((name, member) for name, member in value.items() if member is not None)
        return "{" + ",".join(f"{_canonical(name)}:{_canonical(member)}" for name, member in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return canonical_number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def canonical_body(text: str) -> str:
    """Return the canonical JSON of the body `text`. Raises like `nanoseconds`."""
    body: dict[str, Any] = json.loads(text)
    event_at = body.get("event_at")
    return _canonical(body if event_at is None else {**body, "event_at": nanoseconds(event_at)})


def _blake2b(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def event_id(stream: str, x_type: str, body: str) -> str:
    """Return the `event_id` of a body given as JSON text."""
    return _blake2b(stream, x_type, canonical_body(body))


def dead_letter_id(stream: str, line: str) -> str:
    """Return the `event_id` of a line that is not one readable event."""
    return _blake2b(stream, "", line)
