"""What casts doubt on a connection, and what is still expected of one after a restart."""

import pytest

from connector.coverage.gap import Suspicion
from connector.coverage.live_session import BACKFILL_QUIET_US
from connector.coverage.messages import Ended, EndReason
from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import MINUTE_US, NOTHING_LEARNED, Refetch
from connector.events.times import US_PER_S
from tests.fakes.partition import (
    CLOSED,
    CUT,
    IN_SLICE_US,
    SLICE,
    SYSTEM,
    Ledger,
    committed,
    keep_alive,
    line,
    lines_read,
    opened,
    restored,
    state_of,
)
from tests.fakes.x import NOW_US

_AFTER = Replay(SLICE.end_us - MINUTE_US, SLICE.end_us + 15 * MINUTE_US)
_IN_OVERLAP_US = _AFTER.start_us + MINUTE_US // 2
_DOUBT = Refetch(SLICE.start_us, SLICE.end_us, Suspicion.REPLAY_INCOMPLETE)


def _after_slice(*lines: bytes) -> Ledger:
    """Return the ledger after a whole slice with `lines`, in a partition covered until 5 minutes after its begin."""
    ledger = committed(opened(SLICE), lines_read(*lines), CLOSED, state=state_of(SLICE.start_us + 5 * MINUTE_US))
    assert ledger.state.covered_until_us == SLICE.end_us
    return ledger


def test_line_that_casts_doubt_ends_the_connection_and_nothing_behind_it_counts() -> None:
    """Lines before it do; the rest comes again, after what is in doubt."""
    ledger = _after_slice(line(1, IN_SLICE_US))
    state = ledger.state
    state.apply(opened(_AFTER))
    lines = lines_read(line(2, _AFTER.end_us), line(3, _IN_OVERLAP_US), line(4), SYSTEM, b"junk")
    assert [state.apply(each) for each in (lines, lines_read(line(5)), keep_alive(NOW_US))] == [EndReason.SUSPICION] * 3
    state.apply(CUT)
    transaction = ledger.commit()
    assert (transaction.entry.counts.received, transaction.entry.counts.published) == (1, 1)
    assert list(transaction.refetches) == [_DOUBT]
    assert state.progress.recovery.refetch == _DOUBT
    assert state.covered_until_us == SLICE.end_us


def test_keep_alive_behind_a_refused_line_moves_no_coverage() -> None:
    """It was read before the connection was closed, and would pass over lines that are still to come again."""
    ledger = _after_slice(line(1, IN_SLICE_US))
    ledger.state.apply(opened(Live(5), SLICE.end_us + 2 * MINUTE_US))
    ledger.state.apply(lines_read(line(2, SLICE.end_us - MINUTE_US // 2), at_us=SLICE.end_us + 2 * MINUTE_US))
    ledger.state.apply(keep_alive(NOW_US))
    assert ledger.commit().entry.covered_until_us == SLICE.end_us


@pytest.mark.parametrize("is_restarted", [True, False])
def test_slice_that_comes_once_more_brings_what_it_left_out_and_repeats_nothing(*, is_restarted: bool) -> None:
    """Also in a new process: the ids of what may come again stay known."""
    before_us = SLICE.start_us + MINUTE_US
    ledger = Ledger(state_of(before_us))
    for plan, lines in [
        (SLICE, [line(1, before_us), line(2, IN_SLICE_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US)]),
        (Replay(SLICE.start_us, SLICE.end_us, is_refetch=True), [line(1, before_us), line(2, IN_SLICE_US)]),
        (_AFTER, [line(3, _IN_OVERLAP_US), line(4, _AFTER.end_us)]),
    ]:
        if is_restarted:
            ledger = restored(ledger)
        ledger.state.apply(opened(plan))
        ledger.state.apply(lines_read(*lines))
        ledger.state.apply(CLOSED)
        ledger.commit()
    sequences = [each.entry.sequence for each in ledger.entries]
    assert sequences == [0, 2, 2, 2, 4]
    assert ledger.state.covered_until_us == _AFTER.end_us
    assert ledger.state.progress.recovery.refetch is None


@pytest.mark.parametrize("is_restarted", [True, False])
def test_restored_state_knows_what_a_backfill_must_repeat(*, is_restarted: bool) -> None:
    """As far as the ledger says."""
    ledger = committed(opened(), lines_read(line(1), line(2, NOW_US + 20 * US_PER_S), at_us=NOW_US + 20 * US_PER_S))
    ledger.state.apply(lines_read(line(3, NOW_US + 40 * US_PER_S), at_us=NOW_US + 40 * US_PER_S))
    ledger.state.apply(CUT)
    ledger.commit()
    ledger = restored(ledger) if is_restarted else ledger
    connect_us = NOW_US + 45 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    reason = ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US))
    assert reason is EndReason.SUSPICION


def test_events_dated_far_ahead_do_not_hide_what_a_backfill_must_repeat() -> None:
    """A thousand of them took the place of all dates that were known, and of all that became known."""
    odd = [line(number, NOW_US + 10**12 + number * 10 * US_PER_S) for number in range(2, 1200)]
    ledger = committed(opened(), lines_read(line(1, NOW_US + 20 * US_PER_S), *odd, at_us=NOW_US + 20 * US_PER_S))
    ledger.state.apply(keep_alive(NOW_US + 60 * US_PER_S))
    ledger.state.apply(CUT)
    ledger.commit()
    connect_us = NOW_US + 70 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is EndReason.SUSPICION


@pytest.mark.parametrize("read", [b'{"data":{"of_tomorrow":{}}}', line(1, NOW_US - 60 * MINUTE_US)])
def test_restored_state_asks_no_backfill_for_what_is_not_in_it(read: bytes) -> None:
    """A dead letter, or an event dated long before it was read: after a restart a sound backfill was doubted."""
    ledger = committed(opened(), lines_read(read, at_us=NOW_US + 40 * US_PER_S))
    ledger.state.apply(keep_alive(NOW_US + 70 * US_PER_S))
    ledger.state.apply(CUT)
    ledger.commit()
    ledger = restored(ledger)
    connect_us = NOW_US + 75 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is None
    assert ledger.commit().entry.covered_until_us > NOW_US + 70 * US_PER_S


def test_restored_state_asks_no_backfill_for_what_the_one_before_it_had_brought() -> None:
    """What a backfill brings is dated minutes before it is read."""
    ledger = committed(opened(Live(5)), lines_read(line(1, NOW_US - 4 * MINUTE_US)))
    ledger.state.apply(keep_alive(NOW_US + 70 * US_PER_S))
    ledger.state.apply(CUT)
    ledger.commit()
    ledger = restored(ledger)
    connect_us = NOW_US + 75 * US_PER_S
    ledger.state.apply(opened(Live(2), connect_us))
    assert ledger.state.apply(keep_alive(connect_us + BACKFILL_QUIET_US)) is None


@pytest.mark.parametrize("idle_commits", [0, 2])
def test_restored_state_notices_that_the_slice_before_was_not_whole(idle_commits: int) -> None:
    """A process may be replaced between a replay that X ended early and the next, which overlaps with it."""
    ledger = _after_slice(line(1, IN_SLICE_US))
    for _ in range(idle_commits):
        ledger.commit()
    ledger = restored(ledger)
    ledger.state.apply(opened(_AFTER))
    assert ledger.state.apply(lines_read(line(2, _IN_OVERLAP_US))) is EndReason.SUSPICION


def test_doubt_survives_a_restart() -> None:
    """It was dropped, and what the slice had left out with it."""
    ledger = _after_slice(line(1, IN_SLICE_US))
    ledger.state.apply(opened(_AFTER))
    ledger.state.apply(lines_read(line(2, _IN_OVERLAP_US)))
    ledger.state.apply(CUT)
    ledger.commit()
    assert restored(ledger).state.progress.recovery.refetch == _DOUBT


def test_stop_concludes_nothing_of_a_connection_that_was_to_be_hung_up() -> None:
    """A stop has no time of X's: it had set back how long a range was being tried."""
    state = state_of(SLICE.start_us)
    state.apply(opened(SLICE))
    assert state.apply(lines_read(SYSTEM)) is EndReason.SYSTEM_MESSAGE
    state.apply(Ended(EndReason.STOPPED, is_proper=False, at_us=0))
    assert state.progress.recovery == NOTHING_LEARNED
