"""The newest runs of each type, from their records as they are decoded."""

from typing import Any

import pytest

from connector.batch.records import RunStatus
from connector.telemetry.batch_runs import DONE, FAILED, BatchRun, DoneRun, LastRuns, Outcome, last_runs, read_run

_RECORD: dict[str, Any] = {
    "run_id": "r",
    "type": "tweets",
    "source": "topic",
    "state": "done",
    "started_at": 1000,
    "finished_at": 2000,
    "ids": 100,
    "clean": 60,
    "rejected": 5,
    "unclear": 10,
    "counts": [
        {"action": "delete", "reason": "deleted", "count": 20},
        {"action": "delete", "reason": None, "count": 3},
        {"action": "rehydrate", "reason": "tweet_edited", "count": 7},
        {"action": "scrub_geo", "reason": "geo_scrubbed", "count": 1},
        {"action": "archive", "reason": None, "count": 2},
        {"action": "clean", "reason": None, "count": 1},
        {"action": "other", "reason": None, "count": 1},
    ],
    "shards": 1,
    "checked_from": None,
    "covers_all": True,
    "first_sequence": 1,
    "last_sequence": 35,
    "dead_letters": 10,
}
_NONE = dict.fromkeys(Outcome, 0)


def _run(started_ms: int, done_ms: int | None = None, of: str = "tweets", *, has_failed: bool = False) -> BatchRun:
    return BatchRun(of, started_ms, has_failed, done_ms, _NONE)


def test_states_are_those_that_runs_have() -> None:
    """The words are public, and declared where runs are published."""
    assert (DONE, FAILED) == (RunStatus.DONE, RunStatus.FAILED)


def test_ids_of_a_run_are_counted_once_each_by_outcome() -> None:
    """Unclear ones are not clean, unknown actions are other, whatever X calls them; the sum is all ids."""
    run = read_run(_RECORD)
    assert run is not None
    assert run.ids == {
        Outcome.CLEAN: 50,
        Outcome.UNCLEAR: 10,
        Outcome.REJECTED: 5,
        Outcome.DELETE: 23,
        Outcome.REHYDRATE: 7,
        Outcome.SCRUB_GEO: 1,
        Outcome.OTHER: 4,
    }
    assert sum(run.ids.values()) == _RECORD["ids"]


@pytest.mark.parametrize(
    ("state", "finished_at", "has_failed", "done_ms"),
    [
        ("done", 2000, False, 2000),
        ("done", None, False, None),
        ("failed", 2000, True, None),
        ("abandoned", 2000, False, None),
        ("running", None, False, None),
        ("paused", None, False, None),
    ],
)
def test_run_is_done_or_failed_as_its_state_says(
    state: str, finished_at: int | None, done_ms: int | None, *, has_failed: bool
) -> None:
    """Any other state, one of a later release too, is neither."""
    run = read_run(_RECORD | {"state": state, "finished_at": finished_at})
    assert run is not None
    assert (run.job_type, run.started_ms, run.has_failed, run.done_ms) == ("tweets", 1000, has_failed, done_ms)


def test_run_of_a_type_of_a_later_release_is_left_out() -> None:
    """It is no fault, and labels stay a closed set."""
    assert read_run(_RECORD | {"type": "likes"}) is None


@pytest.mark.parametrize(
    "wrong",
    [{"type": None}, {"started_at": "1970"}, {"counts": [{"action": "delete"}]}, {"counts": None}, {"clean": 1.5}],
    ids=str,
)
def test_record_that_is_not_of_a_run_is_refused(wrong: dict[str, Any]) -> None:
    """Anyone with the right may register another schema and write by it."""
    with pytest.raises(ValueError, match=r"Expected .* at|missing required field"):
        read_run(_RECORD | wrong)


def test_without_runs_nothing_is_known_of_any_type() -> None:
    """No type, rather than one with zeros."""
    assert last_runs([]) == {}


def test_newest_run_is_the_one_that_started_last() -> None:
    """In whatever order the records come: a failure is over when a newer run began, and not before."""
    failed, running = _run(1, has_failed=True), _run(2)
    assert last_runs([running, failed]) == {"tweets": LastRuns(has_failed=False, done=None)}
    failed_again = _run(3, has_failed=True)
    assert last_runs([failed_again, running, failed])["tweets"].has_failed


def test_newest_done_run_is_the_one_that_ended_last() -> None:
    """Runs that are not done, however new, leave it as it is."""
    runs = [_run(1, 50), _run(2, 40), _run(60, has_failed=True)]
    assert last_runs(runs) == {"tweets": LastRuns(has_failed=True, done=DoneRun(50, _NONE))}


def test_types_are_kept_apart() -> None:
    """Each has newest runs of its own."""
    found = last_runs([_run(1, 5), _run(9, of="users", has_failed=True)])
    assert found == {
        "tweets": LastRuns(has_failed=False, done=DoneRun(5, _NONE)),
        "users": LastRuns(has_failed=True, done=None),
    }
