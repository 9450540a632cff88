"""The vectors for readers: their events are what the topics hold, and each rule is explained and exercised."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from connector.events.catalog import BY_NAME

_FOLDER = Path(__file__).parents[3] / "docs" / "vectors"
_CASES: dict[str, dict[str, Any]] = {
    f"{path.stem}/{case['name']}": case
    for path in sorted(_FOLDER.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
}
_COMMON = {"event_id", "event_type", "event_at", "stream_partition", "sequence", "delivered_by"}
_MEMBERS = {"name", "rules", "why", "events", "orders", "tweets", "profiles", "likes"}


def test_every_rule_is_explained_and_exercised() -> None:
    """The table in the README and the cases name the same rules."""
    readme = (_FOLDER / "README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([a-z.-]+)` \|", readme.partition("## Rules")[2], re.MULTILINE)
    assert sorted(table) == sorted({rule for case in _CASES.values() for rule in case["rules"]})


def test_every_event_type_is_exercised() -> None:
    """No topic is left to a reader's own ideas."""
    assert {event["event_type"] for case in _CASES.values() for event in case["events"]} >= BY_NAME.keys()


@pytest.mark.parametrize("name", _CASES)
def test_case_is_well_formed(name: str) -> None:
    """It has all fields of its types and no others, expects something, and its orders name its events."""
    case = _CASES[name]
    assert case.keys() <= _MEMBERS
    assert any(case.get(kind) for kind in ("tweets", "profiles", "likes"))
    for event in case["events"]:
        assert re.fullmatch(r"[0-9a-f]{32}", event["event_id"])
        assert datetime.fromisoformat(event["event_at"]).tzinfo
        if (event_type := BY_NAME.get(event["event_type"])) is not None:
            assert event.keys() - _COMMON == {field.name for field in event_type.fields}
    if case["orders"] != "any":
        assert {position for order in case["orders"] for position in order} == set(range(len(case["events"])))
