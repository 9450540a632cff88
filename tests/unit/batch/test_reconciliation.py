"""What a run can make up for of a gap, which gaps it may close, and when a run is due."""

from typing import Any

import pytest

from connector.batch.due import Wanted, decide
from connector.batch.gaps import Gaps, RecordedGap, described, outcome
from connector.batch.ids import IdSource
from connector.batch.state import RunState
from connector.coverage.reconciliation import can_reconcile, reconciled, withdrawn
from connector.events.batch import BATCH_TYPES, BY_JOB_TYPE, BatchType
from connector.events.times import US_PER_S
from connector.x.batch_api import JobType
from tests.rig.oracle import EVENTS

_TWEETS, _USERS = BY_JOB_TYPE["tweets"], BY_JOB_TYPE["users"]
_HOUR_US = 3600 * US_PER_S
_END_MS = 1_800_000_000_000
_LEFT_OF_USERS = ["user.withheld", "user.profile-modification"]


def _gap(stream: str = "tweet", **changes: object) -> dict[str, Any]:
    return {
        "gap_id": "g",
        "stream": stream,
        "stream_partition": 2,
        "gap_start": _END_MS - 60_000,
        "gap_end": _END_MS,
        "state": "lost",
        "cause": "outage-too-long",
        "detail": "d",
        "recorded_at": _END_MS + 5,
        "reconciled_by": None,
        "remaining": None,
        **changes,
    }


@pytest.mark.parametrize(
    ("remaining", "start", "end"),
    [
        (None, "partly reconciled: gap of ", "Z; remaining: tweet.withheld, tweet.drop, tweet.undrop"),
        (["tweet.delete"], "reconciled: gap of ", "Z"),
    ],
)
def test_run_says_what_remains_of_a_gap(remaining: list[str] | None, start: str, end: str) -> None:
    """Whoever ran it learns at once whether more is to be done."""
    said = outcome(RecordedGap(0, 0, _gap(remaining=remaining)), _state({}))
    assert said.startswith(f"{start}tweet/2 from ")
    assert said.endswith(end)


def test_run_about_tweets_makes_up_for_deletes_and_edits() -> None:
    """Everything else of the stream remains, and so does what the gap is and why."""
    gap = _gap()
    assert can_reconcile(gap, _TWEETS)
    assert reconciled(gap, _TWEETS, "run-1") == gap | {
        "state": "partly-reconciled",
        "reconciled_by": ["run-1"],
        "remaining": [event for event in EVENTS if event.startswith("tweet.") and event not in _TWEETS.answers],
    }


@pytest.mark.parametrize("order", [[_USERS, _TWEETS], [_TWEETS, _USERS]], ids=["users first", "tweets first"])
def test_gap_of_the_user_stream_takes_a_run_of_each_type_in_any_order(order: list[BatchType]) -> None:
    """Tweets have the location that users had scrubbed; the runs are named in the order in which they ended."""
    gap = _gap("user", state="suspected")
    for kind in order:
        assert can_reconcile(gap, kind)
        gap = reconciled(gap, kind, f"of-{kind.entity}")
        assert not can_reconcile(gap, kind)
    assert gap["reconciled_by"] == [f"of-{kind.entity}" for kind in order]
    assert (gap["state"], gap["remaining"]) == ("partly-reconciled", _LEFT_OF_USERS)


@pytest.mark.parametrize("kind", BATCH_TYPES, ids=lambda kind: kind.job_type)
@pytest.mark.parametrize(
    "gap",
    [
        _gap("like"),
        _gap("label"),
        _gap("of-a-later-release"),
        _gap(state="withdrawn"),
        _gap(state="of-a-later-release"),
        _gap(state="reconciled", remaining=[]),
        _gap(state="partly-reconciled", remaining=["tweet.withheld"]),
    ],
    ids=["like", "label", "unknown stream", "withdrawn", "unknown state", "reconciled", "all done that can be"],
)
def test_run_makes_up_for_nothing_of(gap: dict[str, Any], kind: BatchType) -> None:
    """What no result shows, and what is settled."""
    assert not can_reconcile(gap, kind)


def test_run_about_users_makes_up_for_nothing_of_the_tweet_stream() -> None:
    """A Tweet may be deleted while its user stays."""
    assert not can_reconcile(_gap(), _USERS)


def test_gap_is_reconciled_where_nothing_remains() -> None:
    """No stream is such that a job shows all of it, but part of what is missing may have been made up for."""
    gap = reconciled(_gap(remaining=["tweet.delete"], reconciled_by=["a"]), _TWEETS, "b")
    assert (gap["state"], gap["remaining"], gap["reconciled_by"]) == ("reconciled", [], ["a", "b"])


def test_withdrawn_gap_keeps_what_it_was_and_is_made_up_for_by_no_run() -> None:
    """Only its state changes, and says when and why."""
    before = _gap(state="partly-reconciled", reconciled_by=["a"], remaining=["tweet.delete"])
    gap = withdrawn(before, "X confirms silence", _END_MS + 7)
    assert gap == before | {
        "state": "withdrawn",
        "withdrawn_at": _END_MS + 7,
        "withdrawn_because": "X confirms silence",
    }
    assert not can_reconcile(gap, _TWEETS)


def _state(gaps_end: dict[int, int]) -> RunState:
    return RunState("run-1", JobType.TWEETS, "", 0, 0, 0, [], gaps_end=gaps_end, covers_all=True)


@pytest.mark.parametrize(
    ("first_offset", "checked_after_end_us", "is_closed"),
    [(4, 0, True), (5, 0, False), (4, -1, False), (4, -US_PER_S, False)],
    ids=["in time", "recorded after the ids were read", "created just before its end", "created a second before"],
)
def test_gap_is_closed_by_a_run_that_began_after_it(
    first_offset: int, checked_after_end_us: int, *, is_closed: bool
) -> None:
    """What was held at the end of the gap was asked about, and X answers as of later than that."""
    gap = RecordedGap(1, first_offset, _gap())
    found = Gaps([gap], {1: 9}).closed_by(_state({1: 5}), _END_MS * 1000 + checked_after_end_us)
    assert found == ([gap] if is_closed else [])


def test_gap_on_a_partition_that_was_added_is_not_closed() -> None:
    """It was not there when the ids were read."""
    assert Gaps([RecordedGap(1, 0, _gap())], {1: 9}).closed_by(_state({0: 5}), _END_MS * 1000) == []


def test_gap_is_described_by_place_and_time() -> None:
    """For a person who knows no ids."""
    text = "tweet/2 from 2027-01-15T07:59:00.000000Z to 2027-01-15T08:00:00.000000Z"
    assert described(RecordedGap(0, 0, _gap())) == text


_NOW_US = _END_MS * 1000 + 100 * _HOUR_US
_DAY_US = 24 * _HOUR_US
_WANTED = Wanted(JobType.TWEETS, IdSource.TOPIC, covers_all=False, may_reconcile=True, every_us=_DAY_US)
_OF_FILE = Wanted(JobType.TWEETS, IdSource.FILE, covers_all=True, may_reconcile=True, every_us=_DAY_US)
_OF_A_PART = Wanted(JobType.TWEETS, IdSource.FILE, covers_all=False, may_reconcile=False, every_us=_DAY_US)
_OPEN = [RecordedGap(0, 0, _gap())]


def _run(hours_ago: float = 1.0, **changes: object) -> dict[str, Any]:
    finished = (_NOW_US - int(hours_ago * _HOUR_US)) // 1000
    done = {"run_id": "r", "type": "tweets", "source": "topic", "state": "done", "covers_all": True}
    times = {"started_at": finished - 2000, "checked_from": finished - 1000, "finished_at": finished}
    return done | times | changes


def test_run_is_due_once_the_last_one_is_old_enough() -> None:
    """The newest of them counts, and the text says when the next one is due."""
    due = decide(_WANTED, [_run(23.9), _run(30.0)], [], _NOW_US)
    assert not due.is_due
    assert due.why.startswith("run r is done, with answers as of ")
    assert "; the next one is due at " in due.why
    assert decide(_WANTED, [_run(24.0)], [], _NOW_US).is_due


@pytest.mark.parametrize(
    "other",
    [
        {"type": "users"},
        {"source": "file"},
        {"state": "running", "finished_at": None},
        {"state": "abandoned"},
        {"state": "failed"},
    ],
    ids=lambda changes: " ".join(map(str, changes)),
)
def test_other_runs_stand_in_for_none(other: dict[str, Any]) -> None:
    """Only one that was done, of the same type and source, and about as much."""
    due = decide(_WANTED, [_run(**other)], [], _NOW_US)
    assert (due.is_due, due.why) == (True, "no such run has finished yet")


def test_age_of_a_run_is_that_of_its_answers() -> None:
    """It may have been resumed days later; one without a job has none, and begins with its start."""
    old = {"checked_from": (_NOW_US - _DAY_US) // 1000}
    assert decide(_WANTED, [_run(0.1, **old)], [], _NOW_US).is_due
    assert not decide(_WANTED, [_run(0.1, checked_from=None)], [], _NOW_US).is_due


def test_run_from_the_future_is_not_believed() -> None:
    """A clock was wrong, or the record is not the connector's: else nothing would be due for as long."""
    assert decide(_WANTED, [_run(-1.0)], [], _NOW_US).why == "no such run has finished yet"


def test_run_about_a_part_does_not_stand_in_for_one_about_all_of_another_file() -> None:
    """A topic holds all, also where some of it was skipped."""
    assert decide(_OF_FILE, [_run(source="file", covers_all=False)], [], _NOW_US).is_due
    assert not decide(_WANTED, [_run(covers_all=False)], [], _NOW_US).is_due


def test_run_about_all_counts_as_one_about_less() -> None:
    """But not the other way round."""
    assert not decide(_OF_A_PART, [_run(source="file")], [], _NOW_US).is_due


def test_run_is_due_at_once_if_it_can_reconcile_a_gap() -> None:
    """Which only one about all that is held can."""
    due = decide(_WANTED, [_run(started_at=_OPEN[0].gap["recorded_at"] - 1)], _OPEN, _NOW_US)
    assert (due.is_due, due.why) == (True, f"the gap of {described(_OPEN[0])} can be reconciled")
    assert not decide(_OF_A_PART, [_run(source="file")], _OPEN, _NOW_US).is_due


def test_gap_that_a_run_left_open_makes_no_other_one_due() -> None:
    """Not every hour, and for money: what kept it open, an id that X rejects for example, most likely still does."""
    assert not decide(_WANTED, [_run()], _OPEN, _NOW_US).is_due
    assert decide(_WANTED, [_run(24.0)], _OPEN, _NOW_US).is_due
    found = {"started_at": _OPEN[0].gap["recorded_at"] + 6 * 60_000}
    assert not decide(_WANTED, [_run(**found)], _OPEN, _NOW_US).is_due
