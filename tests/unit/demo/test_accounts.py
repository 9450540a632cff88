"""What gaps and batch runs say of a missing event is believed only as far as the results bear it out."""

from typing import Any

import pytest

from connector.demo.accounts import Accounts, Fate, RecordedGap, Result, Run
from connector.events.catalog import EVENT_TYPES, StreamPartition

_NS = 1_000_000
_USER_2 = StreamPartition("user", 2)
_TWEETS = Run("t", "tweets", (Result("t", "1", "delete", "deleted"), Result("t", "2", "scrub_geo", "geo_scrubbed")))
_USERS = Run("u", "users", (Result("u", "3", "delete", "suspended"),))
_RESULTS = [*_TWEETS.truth, *_USERS.truth]
_REMAINING = frozenset({"user.withheld", "user.profile-modification"})
_GAP = RecordedGap(_USER_2, 1000, 2000, frozenset({"t", "u"}), _REMAINING)


def _fate(
    type_name: str,
    *gaps: RecordedGap,
    results: list[Result] = _RESULTS,
    at_ns: int = 1500 * _NS,
    partition: StreamPartition = _USER_2,
) -> Fate:
    [fate] = Accounts(gaps, [_TWEETS, _USERS], results).fates([(partition, type_name, at_ns)])
    return fate


def _value(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - of a record
    value = {"stream": "user", "stream_partition": 2, "gap_start": 1000, "gap_end": 2000}
    return {**value, "reconciled_by": None, "remaining": None, **more}


def test_event_of_each_type_is_made_up_for_or_remains() -> None:
    """Two runs answer for the user stream together."""
    for event_type in EVENT_TYPES:
        if event_type.stream == "user":
            expected = Fate.REMAINS if event_type.name in _REMAINING else Fate.MADE_UP_FOR
            assert _fate(event_type.name, _GAP) is expected


@pytest.mark.parametrize(
    ("at_ns", "expected"),
    [
        (1000 * _NS - 1, Fate.LOST),
        (1000 * _NS, Fate.MADE_UP_FOR),
        (2000 * _NS - 1, Fate.MADE_UP_FOR),
        (2000 * _NS, Fate.LOST),
    ],
)
def test_gap_holds_its_start_and_not_its_end(at_ns: int, expected: Fate) -> None:
    """To the nanosecond of an event's date."""
    assert _fate("user.delete", _GAP, at_ns=at_ns) is expected


@pytest.mark.parametrize("partition", [StreamPartition("user", 1), StreamPartition("tweet", 2)])
def test_gap_of_another_stream_partition_accounts_for_nothing(partition: StreamPartition) -> None:
    """Neither of another partition nor of another stream."""
    assert _fate("user.delete", _GAP, partition=partition) is Fate.LOST


def test_event_without_a_gap_is_lost() -> None:
    """Of whatever type."""
    assert _fate("user.delete") is Fate.LOST
    assert _fate("user.withheld") is Fate.LOST


def test_type_that_neither_remains_nor_is_answered_for_is_lost() -> None:
    """A gap that claims too much, or that names a run which does not answer for the type."""
    claims_all = RecordedGap(_USER_2, 1000, 2000, frozenset({"t", "u"}))
    assert _fate("user.withheld", claims_all) is Fate.LOST
    by_tweets_alone = RecordedGap(_USER_2, 1000, 2000, frozenset({"t"}))
    assert _fate("user.delete", by_tweets_alone) is Fate.LOST
    assert _fate("user.scrub-geo", by_tweets_alone) is Fate.MADE_UP_FOR


def test_run_that_was_never_made_makes_up_for_nothing() -> None:
    """The gap names it all the same."""
    assert _fate("user.delete", RecordedGap(_USER_2, 1000, 2000, frozenset({"unknown"}))) is Fate.LOST


def test_every_gap_that_holds_an_event_must_account_for_it() -> None:
    """One of two is still open."""
    still_open = RecordedGap(_USER_2, 1000, 2000)
    assert _fate("user.delete", _GAP, still_open) is Fate.LOST
    assert _fate("user.delete", _GAP, _GAP) is Fate.MADE_UP_FOR
    names_it = RecordedGap(_USER_2, 1000, 2000, remaining=frozenset({"user.delete"}))
    assert _fate("user.delete", _GAP, names_it) is Fate.REMAINS


@pytest.mark.parametrize(
    "results",
    [
        _RESULTS[:2],
        [*_RESULTS, _RESULTS[2]],
        [*_RESULTS, Result("u", "4", "delete", "suspended")],
        [*_RESULTS[:2], _RESULTS[2]._replace(id="4")],
        [*_RESULTS[:2], _RESULTS[2]._replace(action="rehydrate")],
        [*_RESULTS[:2], _RESULTS[2]._replace(reason=None)],
    ],
    ids=["missing", "doubled", "one-too-many", "other-id", "other-action", "no-reason"],
)
def test_run_with_a_wrong_result_makes_up_for_nothing(results: list[Result]) -> None:
    """What the other run makes up for, and what remains, stays as it is."""
    assert _fate("user.delete", _GAP, results=results) is Fate.LOST
    assert _fate("user.scrub-geo", _GAP, results=results) is Fate.MADE_UP_FOR
    assert _fate("user.withheld", _GAP, results=results) is Fate.REMAINS


def test_true_results_in_any_order_are_not_wrong() -> None:
    """Those of both runs, and none where no run was made."""
    assert Accounts(runs=[_TWEETS, _USERS], results=_RESULTS[::-1]).wrong_results() == ()
    assert Accounts().wrong_results() == ()


def test_wrong_results_are_distinguished() -> None:
    """What is missing, what is too many, and how often."""
    first, second, third = _RESULTS
    results = [first, first, first, third._replace(run_id="x", reason=None)]
    assert Accounts(runs=[_TWEETS, _USERS], results=results).wrong_results() == (
        f"{second} is missing in run t",
        f"{third} is missing in run u",
        f"{first} is too many in run t, 2 times",
        "delete (no reason) of 3 is too many in run x",
    )
    assert str(second) == "scrub_geo (geo_scrubbed) of 2"


def test_gap_is_made_from_its_record() -> None:
    """Before a run has reconciled it and after."""
    assert RecordedGap.of(_value()) == RecordedGap(_USER_2, 1000, 2000)
    value = _value(reconciled_by=["t", "u"], remaining=["user.withheld", "user.profile-modification"])
    assert RecordedGap.of(value) == _GAP
