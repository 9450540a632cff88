"""What the entries of a stream partition come to: which belong to a range, and which verdict is true of it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.kafka.ledger import Counts, LedgerEntry, Mode
from connector.operations.coverage_report import Ownership, PartitionCoverage, ReportedGap, Verdict
from connector.operations.coverage_sum import Beginning, Newest, PartitionSum, beginning
from tests.unit.operations.coverage_values import (
    BEGAN_US,
    ENDED_US,
    GAP,
    HOUR_US,
    LETTER,
    PARTITION,
    SECOND_US,
    entry,
    full_entry,
)

_BEGAN_EARLIER = Beginning(BEGAN_US - HOUR_US)
_NOW_US = ENDED_US + 10 * SECOND_US
_NEWEST = Newest(ENDED_US + SECOND_US, _NOW_US - SECOND_US)


def _sum() -> PartitionSum:
    return PartitionSum(PARTITION, BEGAN_US, ENDED_US)


def _close(
    total: PartitionSum | None = None,
    began: Beginning | None = _BEGAN_EARLIER,
    newest: Newest = _NEWEST,
    gaps: Sequence[ReportedGap] = (),
    faults: Sequence[str] = (),
) -> PartitionCoverage:
    return (total or _sum()).close(began, newest, gaps, faults, _NOW_US)


@given(*[st.integers(0, 12)] * 4, st.integers(1, 5))
def test_entry_belongs_to_a_range_if_any_of_it_may_be_of_the_range(
    before: int, until: int, covers_to: int, start: int, length: int
) -> None:
    """It covers what is after the coverage before it; where coverage is held, its lines are from later."""
    (before, until), end = sorted((before, until)), start + length
    covered = range(before + 1, until + 1) or [until]
    lines = range(until, covers_to + 1)
    total = PartitionSum(PARTITION, start, end)
    assert total.belongs(entry(5, before, until, covers_to_us=covers_to)) == any(
        start <= instant < end for instant in (*covered, *lines)
    )


def test_dead_letter_of_held_coverage_is_in_the_range_that_it_may_be_of() -> None:
    """Else it would be in that of the instant at which coverage waits, where an officer does not look for it."""
    held = entry(5, BEGAN_US - SECOND_US, BEGAN_US - SECOND_US, covers_to_us=BEGAN_US + HOUR_US // 60)
    assert _sum().belongs(held)
    assert not PartitionSum(PARTITION, ENDED_US, ENDED_US + 1).belongs(held)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=8), st.integers(0, 12), st.integers(1, 5))
def test_after_an_entry_beyond_the_range_none_belongs_to_it(steps: list[int], start: int, length: int) -> None:
    """So reading may end there; entry 1, which may set coverage back, is never beyond."""
    steps.sort()
    end = start + length
    total = PartitionSum(PARTITION, start, end)
    entries = [entry(number, *steps[number : number + 2]) for number in range(len(steps) - 1)]
    beyond = [each for each in entries if total.is_beyond(each)]
    assert not any(total.belongs(each) for each in beyond)
    assert beyond == entries[len(entries) - len(beyond) :]
    assert not total.is_beyond(entry(1, end, max(0, start - 1)))


def test_counts_add_up_by_event_type() -> None:
    """Only the events of a transaction count; events of unnamed types count as unknown, and are noted."""
    total = _sum()
    total.add(full_entry(5, BEGAN_US, BEGAN_US + 1), BEGAN_US, [LETTER])
    total.add(full_entry(6, BEGAN_US + 1, BEGAN_US + 2), BEGAN_US + 9, [LETTER])
    old = entry(7, BEGAN_US + 2, BEGAN_US + 3, counts=Counts(received=4, published=4))
    total.add(old, BEGAN_US + 10, [])
    total.add(entry(8, BEGAN_US + 3, BEGAN_US + 4, owner="connector-0"), BEGAN_US + 11, [])
    found = _close(total)
    assert found.events == {"tweet.delete": 4, "tweet.edit": 2, "unknown": 4}
    assert (found.received, found.duplicates, found.control) == (18, 4, 2)
    assert found.dead_letters == (LETTER, LETTER)
    assert found.owners == (
        Ownership("connector-0", BEGAN_US, BEGAN_US + 9),
        Ownership("unknown", BEGAN_US + 10, BEGAN_US + 10),
        Ownership("connector-0", BEGAN_US + 11, BEGAN_US + 11),
    )
    assert found.notes == ("the ledger does not say of which type 4 events are",)
    assert found.verdict is Verdict.COMPLETE


@pytest.mark.parametrize(
    ("began", "newest", "gaps", "verdict"),
    [
        (_BEGAN_EARLIER, _NEWEST, (), Verdict.COMPLETE),
        (Beginning(BEGAN_US), Newest(ENDED_US, _NOW_US), (), Verdict.COMPLETE),
        (_BEGAN_EARLIER, _NEWEST, (GAP,), Verdict.GAPS),
        (_BEGAN_EARLIER, _NEWEST, (replace(GAP, state="suspected"),), Verdict.GAPS),
        (_BEGAN_EARLIER, _NEWEST, (replace(GAP, state="partly-reconciled"),), Verdict.GAPS),
        (_BEGAN_EARLIER, _NEWEST, (replace(GAP, state="a-state-to-come"),), Verdict.GAPS),
        (_BEGAN_EARLIER, _NEWEST, (replace(GAP, state="reconciled"),), Verdict.COMPLETE),
        (_BEGAN_EARLIER, _NEWEST, (replace(GAP, state="withdrawn"),), Verdict.COMPLETE),
        (Beginning(BEGAN_US + 1), _NEWEST, (GAP,), Verdict.BEGINS_LATER),
        (Beginning(BEGAN_US + 1), Newest(ENDED_US - 1, _NOW_US), (GAP,), Verdict.NOT_YET),
        (None, Newest(), (), Verdict.NOT_YET),
    ],
)
def test_first_verdict_that_applies(
    began: Beginning | None, newest: Newest, gaps: Sequence[ReportedGap], verdict: Verdict
) -> None:
    """Not yet, begins later, gaps, complete: in this order, each to the microsecond."""
    assert _close(began=began, newest=newest, gaps=gaps).verdict is verdict


@pytest.mark.parametrize(
    ("start_us", "end_us", "is_shown"),
    [
        (BEGAN_US - 2, BEGAN_US, False),
        (BEGAN_US - 2, BEGAN_US + 1, True),
        (ENDED_US - 1, ENDED_US + 5, True),
        (ENDED_US, ENDED_US + 5, False),
    ],
)
def test_gap_is_shown_where_it_touches_the_range(start_us: int, end_us: int, *, is_shown: bool) -> None:
    """Its end is excluded, and so is that of the range."""
    gap = replace(GAP, start_us=start_us, end_us=end_us)
    assert _close(gaps=[gap]).gaps == ((gap,) if is_shown else ())


def test_dead_letters_that_are_gone_are_not_counted_as_clean() -> None:
    """What is known begins behind the last entry that misses one, even if that moved nothing."""
    total = _sum()
    total.add(full_entry(5, BEGAN_US, BEGAN_US), BEGAN_US, [])
    found = _close(total)
    assert found.verdict is Verdict.BEGINS_LATER
    assert found.covered_from_us == BEGAN_US - HOUR_US
    assert found.known_from_us == BEGAN_US + 1
    assert found.notes == ("1 dead letter of the range is no longer on its topic and cannot be shown",)


def test_events_that_are_gone_are_not_counted_as_clean() -> None:
    """What is known begins behind the last entry with events of a type that may be gone, by the date of the entry."""
    dates = {"tweet.delete": BEGAN_US + 5, "tweet.drop": ENDED_US}
    total = PartitionSum(PARTITION, BEGAN_US, ENDED_US, dates)
    total.add(full_entry(5, BEGAN_US, BEGAN_US + 1), BEGAN_US + 4, [LETTER])
    total.add(full_entry(6, BEGAN_US + 1, BEGAN_US + 2), BEGAN_US + 5, [LETTER])
    found = _close(total)
    assert found.verdict is Verdict.BEGINS_LATER
    assert found.known_from_us == BEGAN_US + 2
    assert found.notes == ("events of the range are no longer kept on 1 topic: tweet.delete",)
    assert found.events == {"tweet.delete": 4, "tweet.edit": 2}
    total = PartitionSum(PARTITION, BEGAN_US, ENDED_US, dates)
    total.add(full_entry(6, BEGAN_US + 1, BEGAN_US + 2), BEGAN_US + 5, [LETTER])
    assert _close(total).verdict is Verdict.COMPLETE


def test_ledger_that_cannot_be_trusted_is_never_complete() -> None:
    """Whatever else was read; where its newest entry is not readable nothing is said of an owner."""
    found = _close(newest=Newest(None, _NOW_US), faults=["offset 7: no entry", "offset 8: no entry"])
    assert found.verdict is Verdict.NOT_YET
    assert found.has_owner is None
    assert "2 records of the ledger cannot be trusted, such as offset 7: no entry" in found.notes
    assert _close(faults=["a fault"]).verdict is Verdict.NOT_YET


def test_notes_say_what_the_counts_cannot() -> None:
    """No owner, a claim beyond the ledger, no ledger at all; a claim of whole milliseconds is not beyond."""
    idle = _close(newest=Newest(ENDED_US + 1999, _NOW_US - 61 * SECOND_US, ENDED_US + 1000))
    assert idle.has_owner is False
    assert [note.partition(":")[0] for note in idle.notes] == ["no owner, or no connection to X"]
    claimed = _close(newest=replace(_NEWEST, claimed_us=ENDED_US + 2 * SECOND_US))
    assert [note.partition(" 2")[0] for note in claimed.notes] == ["the coverage topic claims"]
    never = _close(began=None, newest=Newest(claimed_us=ENDED_US))
    assert never.has_owner is False
    assert [note.partition(":")[0].partition(" 2")[0] for note in never.notes] == [
        "never read",
        "the coverage topic claims",
    ]


def test_each_reset_is_named_unless_there_are_too_many() -> None:
    """By Kafka's date; all are counted."""
    total = _sum()
    total.resets = [BEGAN_US]
    assert _close(total).notes == ("the ledger was reset at 2026-03-14T09:20:00.000000Z",)
    total.resets = [BEGAN_US] * 12
    assert len(_close(total).notes) == 11
    assert _close(total).notes[-1] == "the ledger was reset 12 times"


def test_entries_of_an_older_release_behind_newer_ones_are_noted() -> None:
    """Another program may have written them just as well; what cannot be told is not called a fault."""
    total = _sum()
    total.unlinked = 2
    found = _close(total)
    assert found.verdict is Verdict.COMPLETE
    [note] = found.notes
    assert note.startswith("2 entries do not refer to the previous one: ")


def test_coverage_begins_with_entry_0_or_where_entry_1_sets_it_back() -> None:
    """The wall clock that wrote entry 0 may have been ahead of X."""
    first = entry(0, 100, 100)
    assert beginning([first], 0) == Beginning(100)
    assert beginning([first, entry(1, 100, 70)], 0) == Beginning(70)
    assert beginning([first, entry(1, 100, 170)], 0) == Beginning(100)
    assert beginning([], 0) is None


@pytest.mark.parametrize(
    ("oldest", "begin", "covered_from_us"),
    [
        ([entry(9, 100, 200), entry(10, 200, 300)], 18, 100),
        ([entry(1, 100, 70)], 2, 70),
        ([entry(0, 100, 200, mode=Mode.RESET), entry(0, 200, 200, mode=Mode.RESET)], 30, 200),
    ],
)
def test_ledger_that_was_cut_says_so(oldest: Sequence[LedgerEntry], begin: int, covered_from_us: int) -> None:
    """There was coverage before, which nothing shows any more."""
    began = beginning(oldest, begin)
    assert began is not None
    assert began.covered_from_us == covered_from_us
    assert began.note is not None
    assert began.note.startswith(f"the ledger is kept from entry {oldest[0].entry} on: ")
