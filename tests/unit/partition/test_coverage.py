"""How far a stream partition is covered: what moves it, its records, and a ledger that X contradicts."""

from dataclasses import replace

import pytest

from connector.coverage.gap import Gap, GapCause
from connector.coverage.messages import Ended, EndReason, LastConnection, Verdict
from connector.coverage.plan import Live
from connector.coverage.recovery import MINUTE_US
from connector.errors import OwnCorruptionError
from connector.events.times import US_PER_S
from connector.kafka.ledger import CLOCKS_APART_US, first_entry
from connector.kafka.restore import OffsetEntry
from connector.partition.state import COVERAGE_INTERVAL_US, PartitionState
from tests.fakes.partition import (
    CLOSED,
    IN_SLICE_US,
    NAMES,
    PARTITION,
    SLICE,
    Ledger,
    committed,
    keep_alive,
    line,
    lines_read,
    opened,
    state_of,
    value_of,
)
from tests.fakes.x import NOW_US


def test_events_move_coverage_at_commit() -> None:
    """Not before; and to their latest date."""
    state = state_of(NOW_US - MINUTE_US)
    state.apply(opened())
    state.apply(lines_read(line(1, NOW_US - 5), line(2, NOW_US - 9)))
    assert state.covered_until_us == NOW_US - MINUTE_US
    ledger = committed(state=state)
    assert state.covered_until_us == NOW_US
    assert ledger.transactions[0].entry.covered_until_before_us == NOW_US - MINUTE_US


def test_first_answer_of_x_sets_back_a_coverage_that_began_ahead_of_it() -> None:
    """Entry 0 is by the wall clock, which may be fast; after it coverage never moves back."""
    state = state_of(NOW_US + 10 * MINUTE_US)
    assert not state.has_begun
    ledger = committed(opened(), state=state)
    assert (state.has_begun, state.covered_until_us) == (True, NOW_US)
    state.apply(opened(at_us=NOW_US - MINUTE_US))
    assert ledger.commit().entry.covered_until_us == NOW_US


def test_whole_slice_moves_coverage_to_its_end_and_its_events_do_not() -> None:
    """Since older ones may follow; nor does a keep-alive, which says nothing of the slice."""
    ledger = committed(opened(SLICE), lines_read(line(1, SLICE.end_us)), state=state_of(SLICE.start_us))
    ledger.state.apply(keep_alive(NOW_US))
    assert ledger.commit().entry.covered_until_us == SLICE.start_us
    ledger.state.apply(CLOSED)
    transaction = ledger.commit()
    assert transaction.entry.covered_until_us == SLICE.end_us
    assert transaction.entry.slice_us == (SLICE.start_us, SLICE.end_us)
    assert ledger.state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)
    assert value_of(ledger.records("p.")[0])["delivered_by"] == "replay"


def test_event_dated_in_the_future_says_nothing_against_a_replay() -> None:
    """One made 20 hours `lost`, which X replayed soundly."""
    state = state_of(SLICE.start_us)
    lines = lines_read(line(1, IN_SLICE_US), line(2, NOW_US + 9**8 * US_PER_S), line(3, IN_SLICE_US))
    ledger = committed(opened(SLICE), lines, lines, CLOSED, state=state)
    [transaction] = ledger.transactions
    assert (transaction.entry.counts.published, transaction.entry.counts.duplicate) == (3, 3)
    assert transaction.gaps == []
    assert state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)
    alone = committed(
        opened(SLICE), lines_read(line(2, NOW_US + 9**8 * US_PER_S)), CLOSED, state=state_of(SLICE.start_us)
    )
    assert alone.state.progress.last == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)


def test_event_that_comes_twice_over_one_connection_is_no_repetition() -> None:
    """It is known, but not from before: a backfill that X ignored passed for one that repeats."""
    state = state_of()
    known_us, at_us = NOW_US - MINUTE_US, NOW_US + 90 * US_PER_S
    ledger = committed(opened(), lines_read(line(1, known_us), line(3, NOW_US)), state=state)
    ledger.state.apply(Ended(EndReason.CLOSED, is_proper=True, at_us=at_us))
    ledger.commit()
    late = line(2, known_us)
    for message in (opened(Live(5), at_us), lines_read(late, late, at_us=at_us)):
        ledger.state.apply(message)
    for seconds in (40, 80):
        reason = ledger.state.apply(keep_alive(at_us + seconds * US_PER_S))
    assert reason is EndReason.SUSPICION


def test_gap_is_recorded_where_coverage_moves_past_it() -> None:
    """In the same transaction, once."""
    ledger = committed(opened(Live(5, GapCause.REPLAY_REFUSED)), state=state_of(NOW_US - 60 * MINUTE_US))
    ledger.commit()
    gap = Gap(NOW_US - 60 * MINUTE_US, NOW_US - 5 * MINUTE_US + US_PER_S, GapCause.REPLAY_REFUSED)
    assert [list(transaction.gaps) for transaction in ledger.transactions] == [[gap], []]
    assert ledger.transactions[0].entry.covered_until_us == NOW_US - 5 * MINUTE_US
    assert len(ledger.records(NAMES.gap)) == 1


def test_coverage_record_is_due_every_interval_and_at_each_change_of_mode() -> None:
    """And when the clock was set back."""
    ledger = Ledger(state_of())
    dues = []
    for message, written_at_us in [
        (None, NOW_US),
        (None, NOW_US + COVERAGE_INTERVAL_US - 1),
        (None, NOW_US + COVERAGE_INTERVAL_US),
        (opened(), NOW_US + COVERAGE_INTERVAL_US + 1),
        (lines_read(line(1)), NOW_US + COVERAGE_INTERVAL_US + 2),
        (CLOSED, NOW_US + COVERAGE_INTERVAL_US + 3),
        (opened(SLICE), NOW_US + COVERAGE_INTERVAL_US + 4),
        (None, NOW_US),
    ]:
        if message is not None:
            ledger.state.apply(message)
        transaction = ledger.commit(written_at_us)
        dues.append([value_of(each)["mode"] for each in transaction.records if each.topic == NAMES.coverage])
        assert transaction.has_coverage is bool(dues[-1])
    assert dues == [["disconnected"], [], ["disconnected"], ["live"], [], ["disconnected"], ["replay"], ["replay"]]


def test_end_of_a_connection_is_recorded_even_when_its_beginning_was_not() -> None:
    """A partition that stops has said all that the ledger says."""
    ledger = Ledger(state_of())
    ledger.commit(NOW_US)
    for message in (opened(), lines_read(line(1)), CLOSED):
        ledger.state.apply(message)
    [coverage] = [each for each in ledger.commit(NOW_US + 1).records if each.topic == NAMES.coverage]
    assert (value_of(coverage)["mode"], value_of(coverage)["sequence"]) == ("disconnected", 1)


def _restored_at(covered_until_us: int, entry: int = 5, dated_us: int = 0) -> PartitionState:
    """Return the state of a ledger that ends with this coverage."""
    newest = replace(first_entry(PARTITION, "w", covered_until_us), entry=entry)
    return state_of(restored=[OffsetEntry(3, newest, dated_us)])


def test_coverage_that_x_s_first_answer_shows_to_be_forged_is_corruption() -> None:
    """A wall clock a year ahead vouched for it when it was restored."""
    state = _restored_at(NOW_US + 365 * 24 * 60 * MINUTE_US, dated_us=NOW_US)
    with pytest.raises(OwnCorruptionError, match=r"tweet/2 entry 5: covered_until is 2028-01-.* clock .*2027-01-"):
        state.apply(opened())


def test_coverage_that_an_earlier_wrong_date_of_x_moved_ahead_is_no_corruption() -> None:
    """X's `Date` may be two days off, and may have been before; coverage stays where it is."""
    state = _restored_at(NOW_US + 48 * 60 * MINUTE_US, dated_us=NOW_US)
    assert state.apply(opened()) is None
    assert state.progress.covered_until_us == NOW_US + 48 * 60 * MINUTE_US


def test_first_date_of_x_that_is_far_behind_does_not_make_a_ledger_corrupt() -> None:
    """Kafka dated the entry when it was written: whatever X sends, the partition goes on."""
    state = _restored_at(NOW_US, dated_us=NOW_US)
    assert state.apply(opened(at_us=NOW_US - 10_000 * 60 * MINUTE_US)) is None


def test_clock_of_kafka_that_is_far_behind_does_not_make_a_ledger_corrupt() -> None:
    """X's time vouches for what went by X's time."""
    assert _restored_at(NOW_US, dated_us=NOW_US - 10_000 * 60 * MINUTE_US).apply(opened()) is None


def test_later_answers_of_x_are_not_held_against_the_ledger() -> None:
    """By then coverage rests on what X itself said in this life."""
    state = _restored_at(NOW_US)
    state.apply(opened())
    state.apply(CLOSED)
    assert state.apply(opened(at_us=NOW_US - 2 * CLOCKS_APART_US)) is None


@pytest.mark.parametrize("days", [1, 365])
def test_first_entry_by_a_wall_clock_that_is_ahead_is_set_back_by_x(days: int) -> None:
    """It is a guess until X has answered, so nothing rests on it."""
    ledger = Ledger(_restored_at(NOW_US + days * 24 * 60 * MINUTE_US, entry=0))
    ledger.state.apply(opened())
    assert ledger.commit().entry.covered_until_us == NOW_US
