"""A live connection: what its events and keep-alives prove, and how long a backfill holds coverage."""

from dataclasses import replace

import pytest

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.live_session import BACKFILL_QUIET_US, HOLD_LIMIT_US, LiveSession
from connector.coverage.messages import EndReason, KeepAlive, Reading
from connector.coverage.plan import FIRST_OVERLAP_US, Live
from connector.coverage.recovery import LATENESS_LIMIT_US, MINUTE_US, NOTHING_LEARNED, Range, Recovery, Refetch
from connector.coverage.session import FUTURE_TOLERANCE_US, LATENESS_US
from connector.events.decode import SystemMessage
from connector.events.times import US_PER_S
from tests.fakes.partition import keep_alive, reading
from tests.fakes.x import NOW_US
from tests.unit.coverage.sessions import CUT, coverage, live

_S = US_PER_S
_C = NOW_US - 30 * _S
"""How far coverage reaches when a connection is made."""


def _at(seconds: float) -> int:
    return NOW_US + int(seconds * _S)


def _plain(until_us: int = _C) -> LiveSession:
    """Return a connection without a backfill, its gap taken over."""
    session = live(Live(0), coverage(until_us), NOW_US)
    session.gaps = []
    return session


def test_events_move_coverage_to_their_latest_date() -> None:
    """What X dated later may still be on its way."""
    session = _plain()
    session.lines([_at(1), _at(5)], reading(_at(10)))
    assert session.position_us == _at(5)
    session.lines([_at(-100)], reading(_at(11)))
    assert session.position_us == _at(5)


def test_events_dated_a_little_ahead_move_coverage_to_now() -> None:
    """A date ahead of us is no knowledge of the future."""
    session = _plain()
    session.lines([_at(10) + FUTURE_TOLERANCE_US], reading(_at(10)))
    assert session.position_us == _at(10)


@pytest.mark.parametrize("ahead_s", [7, 10**9])
def test_events_dated_ahead_of_x_s_time_leave_coverage(ahead_s: int) -> None:
    """A date that X's time does not allow says nothing; its neighbours do."""
    session = _plain()
    session.lines([_at(10 + ahead_s)], reading(_at(10)))
    assert session.position_us == NOW_US
    session.lines([_at(10 + ahead_s), _at(9)], reading(_at(10)))
    assert session.position_us == _at(9)


def test_clock_behind_x_s_dates_does_not_freeze_coverage_of_a_busy_partition() -> None:
    """A machine that paused for 8 s froze it for ever: dates are judged by the latest that X's time can be."""
    session = _plain()
    for second in range(2, 200, 2):
        session.lines([_at(second + 8)], reading(_at(second), wall_us=_at(second + 8)))
    assert session.position_us == _at(198)


def test_event_ahead_by_what_the_answer_was_on_its_way_moves_coverage() -> None:
    """X's `Date` was that old when it came."""
    session = live(Live(0), coverage(_C), NOW_US, answer_us=20 * _S)
    session.lines([_at(27.5)], reading(_at(1)))
    assert session.position_us == NOW_US
    session.lines([_at(25)], reading(_at(1)))
    assert session.position_us == _at(1)


def test_keep_alive_moves_coverage_to_the_beginning_of_the_wait() -> None:
    """Not to the keep-alive: X may have queued something meanwhile. One that came at once proves nothing of time."""
    session = _plain()
    session.keep_alive(keep_alive(_at(20), None))
    assert session.position_us == NOW_US
    session.keep_alive(keep_alive(_at(27), 20))
    assert session.position_us == _at(7)


def test_backfill_holds_coverage_until_a_quiet_minute() -> None:
    """Neither new events nor keep-alives end it before, and one old event among new ones begins the minute again."""
    session = live(Live(2), coverage(_C), NOW_US)
    session.lines([_at(-1), _at(29)], reading(_at(30)))
    session.lines([_at(89)], reading(_at(89)))
    session.keep_alive(keep_alive(_at(89.9)))
    assert session.position_us == _C
    session.lines([_at(90)], reading(_at(90)))
    assert session.position_us == _at(90)
    session.lines([_at(-1), _at(91)], reading(_at(91)))
    assert session.position_us == _at(91)


def test_backfill_paced_slowly_is_not_claimed_early() -> None:
    """It holds as long as its events keep coming."""
    session = live(Live(5), coverage(_C), NOW_US)
    for second in range(0, 500, 50):
        session.lines([_at(-300 + second // 2), _at(second)], reading(_at(second)))
    assert session.position_us == _C


@pytest.mark.parametrize("is_known", [True, False])
def test_straggler_a_minute_does_not_hold_coverage(*, is_known: bool) -> None:
    """One event a minute dated before the connect held it for ever: 3 h live, 10,700 s behind."""
    session = live(Live(2), coverage(_C), NOW_US)
    for second in range(1, 300, 10):
        if second % 50 < 10:
            if is_known:
                session.repeated(_at(-3600))
            session.lines([_at(-3600)], reading(_at(second)))
        session.lines([_at(second)], reading(_at(second)))
    assert session.position_us == _at(291)


def test_coverage_that_is_held_for_too_long_is_fetched_again() -> None:
    """Events late by minutes look like a backfill that never ends."""
    session = live(Live(5), coverage(_C), NOW_US)
    reasons = [session.lines([_at(-60), _at(second)], reading(_at(second))) for second in range(0, 601, 30)]
    assert reasons[-2:] == [None, EndReason.COVERAGE_HELD]
    assert session.position_us == _C


def test_coverage_that_is_held_where_x_grants_no_replay_is_a_gap_and_moves_on() -> None:
    """And the connection goes on."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(_C), NOW_US)
    late_us = NOW_US + HOLD_LIMIT_US
    assert session.lines([_at(-60), late_us], reading(late_us)) is None
    assert session.gaps == [Gap(_C, late_us, GapCause.COVERAGE_HELD)]
    assert session.position_us == late_us


def test_held_coverage_that_x_s_time_is_not_beyond_leaves_no_gap() -> None:
    """X's `Date` stood still while the monotonic clock went on: no time lies between them."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(NOW_US), NOW_US)
    still = replace(reading(NOW_US), monotonic_us=NOW_US + HOLD_LIMIT_US + 1)
    assert session.lines([_at(-60)], still) is None
    assert (session.gaps, session.position_us) == ([], NOW_US)


def test_x_that_is_ever_later_does_not_hold_coverage_for_long() -> None:
    """All its dates were 20 minutes old, without a backfill: coverage stays with them, and is fetched again."""
    session = _plain()
    reasons = [session.lines([_at(second - 1200)], reading(_at(second))) for second in range(0, 700, 30)]
    assert EndReason.COVERAGE_HELD in reasons


_KNOWN = [_C - 20 * _S]


def test_backfill_that_repeats_nothing_it_must_is_asked_for_as_a_replay() -> None:
    """X may not have given it."""
    session = live(Live(2), coverage(_C, known_us=_KNOWN), NOW_US)
    assert session.keep_alive(keep_alive(_at(59))) is None
    assert session.keep_alive(keep_alive(_at(60))) is EndReason.SUSPICION
    assert session.recovery.refetch == Refetch(_C - FIRST_OVERLAP_US, NOW_US, Suspicion.BACKFILL_UNCONFIRMED)
    assert session.recovery.distrusts_backfill
    assert session.position_us == _C


def test_backfill_never_given_to_coverage_beyond_the_connect_leaves_no_gap() -> None:
    """A connection before this one has covered all that the backfill was asked for."""
    recovery = Recovery(distrusts_backfill=True, settled_us=_at(10))
    session = live(Live(2), coverage(_at(10), recovery, [_at(-60)]), NOW_US)
    assert session.keep_alive(keep_alive(_at(60), None)) is None
    assert session.keep_alive(keep_alive(_at(80))) is None
    assert session.gaps == []


def test_backfill_never_given_is_a_gap_until_the_latest_that_the_connect_can_have_been() -> None:
    """It ended with the whole second that X told: an event of the rest of that second was lost, in no gap."""
    recovery = Recovery(distrusts_backfill=True, settled_us=_C)
    session = live(Live(2), coverage(_C, recovery, _KNOWN), NOW_US, answer_us=2 * _S)
    assert session.keep_alive(keep_alive(_at(60), None)) is None
    assert session.keep_alive(keep_alive(_at(80))) is None
    assert session.gaps == [Gap(_C, _at(3), GapCause.BACKFILL_UNCONFIRMED)]
    assert session.position_us == _at(60)


@pytest.mark.parametrize("known_us", [[], [_C + 1], [NOW_US - 2 * MINUTE_US]])
def test_backfill_over_a_range_with_nothing_known_in_it_need_not_repeat_anything(known_us: list[int]) -> None:
    """Beyond coverage, at the edge of its reach, or in a quiet partition."""
    session = live(Live(2), coverage(_C, known_us=known_us), NOW_US)
    assert session.keep_alive(keep_alive(_at(70))) is None
    assert session.position_us == _at(50)


def test_backfill_that_repeats_something_is_trusted_again() -> None:
    """X does what is asked."""
    session = live(Live(2), coverage(_C, Recovery(distrusts_backfill=True), _KNOWN), NOW_US)
    session.repeated(_KNOWN[0])
    session.lines(_KNOWN, reading(_at(0)))
    session.keep_alive(keep_alive(_at(80)))
    assert session.position_us == _at(60)
    assert not session.recovery.distrusts_backfill


def test_range_in_doubt_is_a_gap_when_a_live_connection_begins() -> None:
    """It can no longer be asked for: X refused it, or it is out of reach."""
    recovery = NOTHING_LEARNED.suspected(_C - 60 * _S, _C, Suspicion.REPLAY_UNCONFIRMED)
    session = live(Live(1), coverage(_C, recovery), NOW_US)
    assert session.gaps == [Gap(_C - 60 * _S, _C, GapCause.REPLAY_UNCONFIRMED)]
    assert session.recovery.refetch is None


def test_what_a_backfill_does_not_reach_is_a_gap_to_the_latest_and_moves_coverage_to_the_earliest() -> None:
    """X tells whole seconds."""
    session = live(Live(0, GapCause.BACKFILL_REFUSED), coverage(_C), NOW_US)
    assert session.gaps == [Gap(_C, _at(1), GapCause.BACKFILL_REFUSED)]
    assert session.position_us == NOW_US


@pytest.mark.parametrize(("away_min", "since_min"), [(3, 6), (5, 8), (20, 20)])
def test_late_events_that_a_refused_replay_does_not_bring_are_in_a_gap(away_min: int, since_min: int) -> None:
    """X selects by date: what was emitted three minutes late and is dated before the backfill was in no gap."""
    recovery = Recovery(lateness_us=3 * MINUTE_US)
    before = coverage(NOW_US - away_min * MINUTE_US, recovery)
    session = live(Live(5, GapCause.REPLAY_REFUSED), before, NOW_US)
    end_us = NOW_US + _S - 5 * MINUTE_US
    assert session.gaps == [Gap(NOW_US - since_min * MINUTE_US, end_us, GapCause.REPLAY_REFUSED)]
    assert session.position_us == max(before.until_us, NOW_US - 5 * MINUTE_US)


def test_short_connections_move_coverage() -> None:
    """Of connections that live for 5 s each none moved it: what comes again on the next one is there."""
    until_us, recovery, seen_us = _C, NOTHING_LEARNED, 0
    for second in range(0, 60, 5):
        session = live(Live(2), coverage(until_us, recovery, seen_until_us=seen_us), _at(second))
        if seen_us:
            session.repeated(seen_us)
            session.lines([seen_us], reading(_at(second)))
        session.lines([_at(second + 4)], reading(_at(second + 4)))
        session.end(CUT)
        until_us, recovery, seen_us = session.position_us, session.recovery, session.seen_until_us
    assert until_us == _at(54)


def test_event_that_comes_again_proves_nothing_where_the_backfill_does_not_reach_back() -> None:
    """What lies between coverage and its reach did not come."""
    session = live(Live(1), coverage(_C - 60 * _S, seen_until_us=_at(-5)), NOW_US)
    session.position_us = _C - 60 * _S
    session.repeated(_at(-5))
    assert session.position_us == _C - 60 * _S


def test_live_event_repeated_at_once_is_no_proof_of_a_backfill() -> None:
    """A late one is dated before the connect: coverage passed over a backfill that was still to come."""
    session = live(Live(2), coverage(_C, seen_until_us=_at(-20)), NOW_US)
    session.repeated(_at(-5))
    assert session.position_us == _C
    session.repeated(_at(-20))
    assert session.position_us == _at(-20)


_LAST = Recovery(last_slice=Range(_C - 15 * MINUTE_US, _C), settled_us=_C)


@pytest.mark.parametrize(
    ("date_us", "is_doubted"),
    [
        (_C - 15 * MINUTE_US - 1, False),
        (NOW_US - 2 * MINUTE_US - 1, False),
        (NOW_US - 2 * MINUTE_US, True),
        (_C - LATENESS_US - 1, True),
        (_C - LATENESS_US, False),
        (_C + 1, False),
    ],
)
def test_event_that_the_last_slice_should_have_brought_casts_doubt_on_it(date_us: int, *, is_doubted: bool) -> None:
    """X ended it early."""
    session = live(Live(2), coverage(_C, _LAST), NOW_US)
    assert session.refuses(date_us) is (EndReason.SUSPICION if is_doubted else None)
    expected = Refetch(_C - 15 * MINUTE_US, _C, Suspicion.REPLAY_INCOMPLETE) if is_doubted else None
    assert session.recovery.refetch == expected


def test_event_as_late_as_others_casts_no_doubt() -> None:
    """Half a minute is usual here."""
    recovery = Recovery(last_slice=_LAST.last_slice, lateness_us=30 * _S)
    session = live(Live(2), coverage(_C, recovery), NOW_US)
    assert session.refuses(_C - 30 * _S) is None
    assert session.refuses(_C - 31 * _S) is EndReason.SUSPICION


def test_last_slice_is_out_of_doubt_when_the_backfill_behind_it_is_over() -> None:
    """Stragglers come later."""
    session = live(Live(2), coverage(_C, _LAST), NOW_US)
    session.keep_alive(keep_alive(_at(70)))
    assert session.recovery.last_slice is None
    assert session.refuses(_C - MINUTE_US) is None


@pytest.mark.parametrize(("minutes", "away_us"), [(0, 0), (2, 2 * MINUTE_US)])
def test_last_slice_is_out_of_doubt_where_the_connection_brings_nothing_of_it(minutes: int, away_us: int) -> None:
    """Without a backfill it was doubted for ever: ids since then were kept, and a late event was blamed on it."""
    session = live(Live(minutes), coverage(_C, _LAST), _C + away_us)
    assert session.recovery.last_slice is None
    session.lines([_at(100)], reading(_at(100)))
    assert session.refuses(_at(60)) is None


def test_event_behind_the_last_slice_casts_no_doubt_on_it() -> None:
    """Short connections had moved coverage on: what came new there was blamed on a slice that had ended before."""
    session = live(Live(2), coverage(_C, _LAST, seen_until_us=NOW_US - _S), NOW_US)
    session.repeated(NOW_US - _S)
    assert session.position_us == NOW_US - _S
    assert session.refuses(_C + 5 * _S) is None


def test_last_slice_is_out_of_doubt_when_the_held_range_became_a_gap() -> None:
    """Where X grants no replay the connection goes on, and nothing ended its doubt."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(_C, _LAST), NOW_US)
    session.lines([_at(-60)], reading(NOW_US + HOLD_LIMIT_US))
    assert session.position_us == NOW_US + HOLD_LIMIT_US
    assert session.recovery.last_slice is None


def test_last_slice_that_had_come_once_more_and_is_in_doubt_again_is_a_gap() -> None:
    """X ended it early twice: what it left out was in no gap. The connection goes on."""
    recovery = Recovery(last_slice=_LAST.last_slice, is_last_refetched=True)
    session = live(Live(2), coverage(_C, recovery), NOW_US)
    assert session.refuses(_C - MINUTE_US) is None
    assert session.gaps == [Gap(_C - 15 * MINUTE_US, _C, GapCause.REPLAY_INCOMPLETE)]
    assert session.recovery.last_slice is None


def test_last_slice_that_had_come_once_more_and_goes_on_behind_the_event_is_no_gap() -> None:
    """Each boundary of slices was a gap where X is honest and events are late: the event is as late as it looks."""
    recovery = Recovery(last_slice=_LAST.last_slice, is_last_refetched=True)
    session = live(Live(2), coverage(_C, recovery, known_us=[_C - 20 * _S]), NOW_US)
    assert session.refuses(_C - 40 * _S) is None
    assert session.gaps == []
    assert session.recovery.lateness_us == 40 * _S


def test_lateness_is_learned_from_events_that_cannot_be_of_the_backfill() -> None:
    """A backfill that was paced between live events was taken for 5 minutes of lateness."""
    session = live(Live(5), coverage(_C), NOW_US)
    session.learn_lateness([_at(-300)], reading(_at(20)))
    assert session.recovery.lateness_us == 0
    session.learn_lateness([_at(1)], reading(_at(41)))
    assert session.recovery.lateness_us == 40 * _S


@pytest.mark.parametrize(("late_us", "is_learned"), [(LATENESS_LIMIT_US, True), (LATENESS_LIMIT_US + 1, False)])
def test_stragglers_say_nothing_of_lateness(late_us: int, *, is_learned: bool) -> None:
    """One an hour made every drop cost a replay, and hid slices that ended early: no overlap can wait for them."""
    session = _plain()
    session.learn_lateness([_at(400) - late_us], reading(_at(400)))
    assert session.recovery.lateness_us == (late_us if is_learned else 0)


def test_connection_is_proved_by_a_keep_alive_or_a_line_with_data() -> None:
    """A 200 whose only line is an error of another kind reset the back-off: 49 connects in 12 s."""
    session = _plain()
    session.foreign_line(is_known=False)
    assert not session.end(CUT).has_proved
    session.data()
    assert session.end(CUT).has_proved
    session = _plain()
    session.keep_alive(KeepAlive(Reading(0, 0, 0, 0, 0), None))
    assert session.end(CUT).has_proved


def test_system_message_hangs_up_and_the_first_one_is_remembered() -> None:
    """X speaks of closing and does not always do it."""
    session = _plain()
    assert session.message(SystemMessage("SlowReader", "d")) is EndReason.SYSTEM_MESSAGE
    session.message(SystemMessage("ForceDisconnect", ""))
    assert session.end(CUT).system_message == SystemMessage("SlowReader", "d")


def test_quiet_minute_is_as_long_as_it_says() -> None:
    """To the microsecond."""
    session = live(Live(1), coverage(_C), NOW_US)
    session.keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US - 1))
    assert session.position_us == _C
    session.keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US))
    assert session.position_us == _at(40)


def test_event_that_came_twice_over_one_connection_confirms_no_backfill() -> None:
    """It happened behind what is known; a backfill that X ignored passed for one that repeats."""
    session = live(Live(5), coverage(_C, known_us=(_C - MINUTE_US,)), NOW_US)
    session.repeated(_at(1))
    assert session.lines([_at(1)], reading(_at(1))) is None
    assert session.keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US + 30 * _S)) is EndReason.SUSPICION
    assert session.recovery.refetch is not None


def test_straggler_hides_no_lateness() -> None:
    """An hour late beside 280 s late: the latter was not learned, and the next drop lost such an event."""
    session = _plain()
    session.learn_lateness([_at(-3600), _at(-280), _at(0)], reading(_at(0)))
    assert session.recovery.lateness_us == 280 * _S


def test_hold_that_ends_forgets_what_interruptions_have_taught() -> None:
    """Tries of the day before made one cut a loss."""
    tried = Recovery(slice_us=MINUTE_US, tries=2, trying_since_us=1, lost_in_row=1)
    session = live(Live(1), coverage(_C, tried), NOW_US)
    session.keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US + 30 * _S))
    assert session.recovery == NOTHING_LEARNED


def test_line_of_the_backfill_that_was_emitted_late_holds_coverage_too() -> None:
    """Its date lies before the reach; a backfill that came a line each 45 s was over while half of it was to come."""
    session = live(Live(1), coverage(_C), NOW_US)
    session.lines([_at(-60 - 200)], reading(_at(45)))
    session.lines([_at(80)], reading(_at(80)))
    assert session.position_us == _C
    session.lines([_at(45) + BACKFILL_QUIET_US], reading(_at(45) + BACKFILL_QUIET_US))
    assert session.position_us == _at(45) + BACKFILL_QUIET_US
