"""The pace of what is watched, from its first moment to its last."""

import os

import pytest

from benchmarks.watch import ITSELF, Look, pace, watch


def _look(at_s: float, events: int, cpu_s: float = 0.0, idle_s: float = 0.0) -> Look:
    return Look(at_s, events, {ITSELF: cpu_s}, idle_s)


def test_pace_is_what_was_done_and_used_between_two_looks() -> None:
    """Events a second, and microseconds of CPU an event."""
    measured = pace(_look(5, 250, 10, 1), _look(7, 900, 10.65, 1.13))
    assert measured.events_per_s == pytest.approx(325)
    assert measured.cpu_us_itself == pytest.approx(1000)
    assert measured.idle_us == pytest.approx(200)


def test_watch_looks_until_all_is_through() -> None:
    """At the process and those that work along."""
    progress = iter([0, 30, 60, 90, 100])
    measured = watch(lambda: next(progress), 100, os.getpid(), {"other": os.getpid()}, look_s=0.0)
    assert measured.cpu_us.keys() == {ITSELF, "other"}
    assert next(progress, None) is None


def test_watch_of_what_is_through_at_the_first_look_has_a_pace() -> None:
    """Nothing was, when it began."""
    assert watch(lambda: 100, 100, os.getpid(), {}, look_s=0.0).events_per_s > 0


def test_watch_of_what_makes_no_progress_ends() -> None:
    """With an error that says what is missing."""
    with pytest.raises(TimeoutError, match="100 events are not through"):
        watch(lambda: 0, 100, os.getpid(), {}, patience_s=-1.0)
