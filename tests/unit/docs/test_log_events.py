"""The list of log events is whole, and an event is one thing."""

from collections import Counter
from pathlib import Path

import pytest

from tests.rig.log_events import NamelessEventError, log_events

_SOURCE = '''
class Things:
    def broke(self):
        """A thing broke.

        The reason is not known.
        """
        self._log.error("thing_broke", thing=1, exc_info=True)

    def said(self):
        """A thing spoke."""
        structlog.get_logger().info({event}, words=2)
        self.other.info("no event")
'''


@pytest.mark.slow
def test_every_event_has_one_level_one_meaning_and_named_fields() -> None:
    """So that one can search and count by it."""
    events = log_events()
    assert max(Counter(event.name for event in events).values()) == 1
    assert all(event.meaning.endswith(".") for event in events)
    assert all(all(event.fields) for event in events)


def test_events_are_read_off_the_source(tmp_path: Path) -> None:
    """What is logged, by whom, with what; the worst first."""
    (tmp_path / "a.py").write_text(_SOURCE.replace("{event}", '"thing_spoke"'), encoding="utf-8")
    found = [(event.name, event.level, event.fields, event.meaning) for event in log_events(tmp_path)]
    assert found == [
        ("thing_broke", "error", ("thing", "exception"), "A thing broke."),
        ("thing_spoke", "info", ("words",), "A thing spoke."),
    ]


def test_event_whose_name_is_no_constant_is_found_out(tmp_path: Path) -> None:
    """It could not be searched for."""
    (tmp_path / "a.py").write_text(_SOURCE.replace("{event}", "name"), encoding="utf-8")
    with pytest.raises(NamelessEventError):
        log_events(tmp_path)


def test_nothing_is_logged_past_the_list() -> None:
    """No module of ours has another way to log."""
    root = Path(__file__).parents[3] / "connector"
    modules = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    users = {name for name, text in modules.items() if "get_logger" in text}
    assert users == {"telemetry/partition.py", "telemetry/logs.py", "telemetry/service.py"}
    assert {name for name, text in modules.items() if "getLogger" in text} == {"kafka/clients.py", "telemetry/logs.py"}
