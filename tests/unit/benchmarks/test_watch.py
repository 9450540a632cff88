"""The pace of what is watched: that of its best part, or of all there is."""

import os

import pytest

from benchmarks import watch as watch_module
from benchmarks.watch import ITSELF, Look, pace, watch


def _look(at_s: float, events: int, cpu_s: float = 0.0, idle_s: float = 0.0) -> Look:
    return Look(at_s, events, {ITSELF: cpu_s}, idle_s)


def test_pace_is_that_of_the_part_between_warming_up_and_running_dry() -> None:
    """What comes before and after does not count."""
    looks = [_look(0, 0, 9), _look(5, 250, 10, 1), _look(6, 600), _look(7, 900, 10.65, 1.13), _look(90, 1000, 11)]
    measured = pace(looks, 1000)
    assert measured.events_per_s == pytest.approx(325)
    assert measured.cpu_us_itself == pytest.approx(1000)
    assert measured.idle_us == pytest.approx(200)


def test_pace_of_what_is_over_at_once_is_that_of_all_looks() -> None:
    """A short run shows that all works, not how fast."""
    assert pace([_look(0, 10), _look(2, 510), _look(4, 1000)], 1000).events_per_s == pytest.approx(247.5)


def test_watch_looks_until_all_is_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the process and those that work along."""
    monkeypatch.setattr(watch_module, "_LOOK_S", 0.0)
    progress = iter([0, 30, 60, 90, 100])
    measured = watch(lambda: next(progress), 100, os.getpid(), {"other": os.getpid()})
    assert measured.cpu_us.keys() == {ITSELF, "other"}
    assert next(progress, None) is None


def test_watch_of_what_is_through_at_the_first_look_has_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was, when it began."""
    monkeypatch.setattr(watch_module, "_LOOK_S", 0.0)
    assert watch(lambda: 100, 100, os.getpid(), {}).events_per_s > 0


def test_watch_of_what_makes_no_progress_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that says what is missing."""
    monkeypatch.setattr(watch_module, "_PATIENCE_S", -1.0)
    with pytest.raises(TimeoutError, match="100 events are not through"):
        watch(lambda: 0, 100, os.getpid(), {})
