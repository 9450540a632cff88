"""A live connection: what its events and keep-alives prove, and the doubt that they cast on the slice before it."""

import pytest

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.live_session import HOLD_LIMIT_US
from connector.coverage.messages import ClockReading, EndReason, KeepAlive
from connector.coverage.plan import Live
from connector.coverage.recovery import LATENESS_LIMIT_US, MINUTE_US, NOTHING_LEARNED, Range, Recovery, Refetch
from connector.coverage.session import FUTURE_TOLERANCE_US, LATENESS_US
from connector.events.decode import SystemMessage
from connector.events.times import US_PER_S
from tests.fakes.partition import keep_alive, reading
from tests.fakes.x import NOW_US
from tests.unit.coverage.sessions import COVERED_US, CUT, at, coverage, live, plain


def test_events_move_coverage_to_their_latest_date() -> None:
    """What X dated later may still be on its way."""
    session = plain()
    session.note_lines([at(1), at(5)], reading(at(10)))
    assert session.position_us == at(5)
    session.note_lines([at(-100)], reading(at(11)))
    assert session.position_us == at(5)


def test_events_dated_a_little_ahead_move_coverage_to_now() -> None:
    """A date ahead of us is no knowledge of the future."""
    session = plain()
    session.note_lines([at(10) + FUTURE_TOLERANCE_US], reading(at(10)))
    assert session.position_us == at(10)


@pytest.mark.parametrize("ahead_s", [7, 10**9])
def test_events_dated_ahead_of_x_s_time_leave_coverage(ahead_s: int) -> None:
    """A date that X's time does not allow says nothing; its neighbours do."""
    session = plain()
    session.note_lines([at(10 + ahead_s)], reading(at(10)))
    assert session.position_us == NOW_US
    session.note_lines([at(10 + ahead_s), at(9)], reading(at(10)))
    assert session.position_us == at(9)


def test_clock_behind_x_s_dates_does_not_freeze_coverage_of_a_busy_partition() -> None:
    """A machine that paused for 8 s froze it forever: dates are judged by the latest that X's time can be."""
    session = plain()
    for second in range(2, 200, 2):
        session.note_lines([at(second + 8)], reading(at(second), wall_us=at(second + 8)))
    assert session.position_us == at(198)


def test_event_ahead_by_what_the_answer_was_on_its_way_moves_coverage() -> None:
    """X's `Date` was that old when it came."""
    session = live(Live(0), coverage(COVERED_US), NOW_US, answer_us=20 * US_PER_S)
    session.note_lines([at(27.5)], reading(at(1)))
    assert session.position_us == NOW_US
    session.note_lines([at(25)], reading(at(1)))
    assert session.position_us == at(1)


def test_keep_alive_moves_coverage_to_the_beginning_of_the_wait() -> None:
    """Not to the keep-alive: X may have queued something meanwhile. One that came at once proves nothing of time."""
    session = plain()
    session.note_keep_alive(keep_alive(at(20), None))
    assert session.position_us == NOW_US
    session.note_keep_alive(keep_alive(at(27), 20))
    assert session.position_us == at(7)


def test_range_in_doubt_is_a_gap_when_a_live_connection_begins() -> None:
    """It can no longer be asked for: X refused it, or it is out of reach."""
    recovery = NOTHING_LEARNED.suspected(COVERED_US - 60 * US_PER_S, COVERED_US, Suspicion.REPLAY_UNCONFIRMED)
    session = live(Live(1), coverage(COVERED_US, recovery), NOW_US)
    assert session.gaps == [Gap(COVERED_US - 60 * US_PER_S, COVERED_US, GapCause.REPLAY_UNCONFIRMED)]
    assert session.recovery.refetch is None


def test_short_connections_move_coverage() -> None:
    """Of connections that live for 5 s each none moved it: what comes again on the next one is there."""
    until_us, recovery, seen_us = COVERED_US, NOTHING_LEARNED, 0
    for second in range(0, 60, 5):
        session = live(Live(2), coverage(until_us, recovery, seen_until_us=seen_us), at(second))
        if seen_us:
            session.note_repeated(seen_us)
            session.note_lines([seen_us], reading(at(second)))
        session.note_lines([at(second + 4)], reading(at(second + 4)))
        session.end(CUT)
        until_us, recovery, seen_us = session.position_us, session.recovery, session.seen_until_us
    assert until_us == at(54)


_LAST = Recovery(last_slice=Range(COVERED_US - 15 * MINUTE_US, COVERED_US), settled_us=COVERED_US)


@pytest.mark.parametrize(
    ("date_us", "is_doubted"),
    [
        (COVERED_US - 15 * MINUTE_US - 1, False),
        (NOW_US - 2 * MINUTE_US - 1, False),
        (NOW_US - 2 * MINUTE_US, True),
        (COVERED_US - LATENESS_US - 1, True),
        (COVERED_US - LATENESS_US, False),
        (COVERED_US + 1, False),
    ],
)
def test_event_that_the_last_slice_should_have_brought_casts_doubt_on_it(date_us: int, *, is_doubted: bool) -> None:
    """X ended it early."""
    session = live(Live(2), coverage(COVERED_US, _LAST), NOW_US)
    assert session.refuses(date_us) is (EndReason.SUSPICION if is_doubted else None)
    expected = Refetch(COVERED_US - 15 * MINUTE_US, COVERED_US, Suspicion.REPLAY_INCOMPLETE) if is_doubted else None
    assert session.recovery.refetch == expected


def test_event_as_late_as_others_casts_no_doubt() -> None:
    """Half a minute is usual here."""
    recovery = Recovery(last_slice=_LAST.last_slice, lateness_us=30 * US_PER_S)
    session = live(Live(2), coverage(COVERED_US, recovery), NOW_US)
    assert session.refuses(COVERED_US - 30 * US_PER_S) is None
    assert session.refuses(COVERED_US - 31 * US_PER_S) is EndReason.SUSPICION


def test_last_slice_is_out_of_doubt_when_the_backfill_behind_it_is_over() -> None:
    """Stragglers come later."""
    session = live(Live(2), coverage(COVERED_US, _LAST), NOW_US)
    session.note_keep_alive(keep_alive(at(70)))
    assert session.recovery.last_slice is None
    assert session.refuses(COVERED_US - MINUTE_US) is None


@pytest.mark.parametrize(("minutes", "away_us"), [(0, 0), (2, 2 * MINUTE_US)])
def test_last_slice_is_out_of_doubt_where_the_connection_brings_nothing_of_it(minutes: int, away_us: int) -> None:
    """Without a backfill it was doubted for ever: ids since then were kept, and a late event was blamed on it."""
    session = live(Live(minutes), coverage(COVERED_US, _LAST), COVERED_US + away_us)
    assert session.recovery.last_slice is None
    session.note_lines([at(100)], reading(at(100)))
    assert session.refuses(at(60)) is None


def test_event_behind_the_last_slice_casts_no_doubt_on_it() -> None:
    """Short connections had moved coverage on: what came new there was blamed on a slice that had ended before."""
    session = live(Live(2), coverage(COVERED_US, _LAST, seen_until_us=NOW_US - US_PER_S), NOW_US)
    session.note_repeated(NOW_US - US_PER_S)
    assert session.position_us == NOW_US - US_PER_S
    assert session.refuses(COVERED_US + 5 * US_PER_S) is None


def test_last_slice_is_out_of_doubt_when_the_held_range_became_a_gap() -> None:
    """Where X grants no replay the connection goes on, and nothing ended its doubt."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(COVERED_US, _LAST), NOW_US)
    session.note_lines([at(-60)], reading(NOW_US + HOLD_LIMIT_US))
    assert session.position_us == NOW_US + HOLD_LIMIT_US
    assert session.recovery.last_slice is None


def test_last_slice_that_had_come_once_more_and_is_in_doubt_again_is_a_gap() -> None:
    """X ended it early twice: what it left out was in no gap. The connection goes on."""
    recovery = Recovery(last_slice=_LAST.last_slice, is_last_refetched=True)
    session = live(Live(2), coverage(COVERED_US, recovery), NOW_US)
    assert session.refuses(COVERED_US - MINUTE_US) is None
    assert session.gaps == [Gap(COVERED_US - 15 * MINUTE_US, COVERED_US, GapCause.REPLAY_INCOMPLETE)]
    assert session.recovery.last_slice is None


def test_last_slice_that_had_come_once_more_and_goes_on_behind_the_event_is_no_gap() -> None:
    """Each boundary of slices was a gap where X is honest and events are late: the event is as late as it looks."""
    recovery = Recovery(last_slice=_LAST.last_slice, is_last_refetched=True)
    session = live(Live(2), coverage(COVERED_US, recovery, known_us=[COVERED_US - 20 * US_PER_S]), NOW_US)
    assert session.refuses(COVERED_US - 40 * US_PER_S) is None
    assert session.gaps == []
    assert session.recovery.lateness_us == 40 * US_PER_S


def test_lateness_is_learned_from_events_that_cannot_be_of_the_backfill() -> None:
    """A backfill that was paced between live events was taken for 5 minutes of lateness."""
    session = live(Live(5), coverage(COVERED_US), NOW_US)
    session.learn_lateness([at(-300)], reading(at(20)))
    assert session.recovery.lateness_us == 0
    session.learn_lateness([at(1)], reading(at(41)))
    assert session.recovery.lateness_us == 40 * US_PER_S


@pytest.mark.parametrize(("late_us", "is_learned"), [(LATENESS_LIMIT_US, True), (LATENESS_LIMIT_US + 1, False)])
def test_stragglers_say_nothing_of_lateness(late_us: int, *, is_learned: bool) -> None:
    """One an hour made every drop cost a replay, and hid slices that ended early: no overlap can wait for them."""
    session = plain()
    session.learn_lateness([at(400) - late_us], reading(at(400)))
    assert session.recovery.lateness_us == (late_us if is_learned else 0)


def test_connection_is_proved_by_a_keep_alive_or_a_line_with_data() -> None:
    """A 200 whose only line is an error of another kind reset the back-off: 49 connects in 12 s."""
    session = plain()
    session.note_foreign_line(is_known=False)
    assert not session.end(CUT).has_proved
    session.note_data()
    assert session.end(CUT).has_proved
    session = plain()
    session.note_keep_alive(KeepAlive(ClockReading(0, 0, 0, 0, 0), None))
    assert session.end(CUT).has_proved


def test_system_message_hangs_up_and_the_first_one_is_remembered() -> None:
    """X speaks of closing and does not always do it."""
    session = plain()
    assert session.note_message(SystemMessage("SlowReader", "d")) is EndReason.SYSTEM_MESSAGE
    session.note_message(SystemMessage("ForceDisconnect", ""))
    assert session.end(CUT).system_message == SystemMessage("SlowReader", "d")


def test_straggler_hides_no_lateness() -> None:
    """An hour late beside 280 s late: the latter was not learned, and the next drop lost such an event."""
    session = plain()
    session.learn_lateness([at(-3600), at(-280), at(0)], reading(at(0)))
    assert session.recovery.lateness_us == 280 * US_PER_S
