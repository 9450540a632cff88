"""A backfill: how long it holds coverage, what it must repeat, and what it does not reach."""

from dataclasses import replace

import pytest

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.live_session import BACKFILL_QUIET_US, HOLD_LIMIT_US
from connector.coverage.messages import EndReason
from connector.coverage.plan import FIRST_OVERLAP_US, Live
from connector.coverage.recovery import MINUTE_US, NOTHING_LEARNED, Recovery, Refetch
from connector.events.times import US_PER_S
from tests.fakes.partition import keep_alive, reading
from tests.fakes.x import NOW_US
from tests.unit.coverage.sessions import COVERED_US, at, coverage, live, plain


def test_backfill_holds_coverage_until_a_quiet_minute() -> None:
    """Neither new events nor keep-alives end it before, and one old event among new ones begins the minute again."""
    session = live(Live(2), coverage(COVERED_US), NOW_US)
    session.note_lines([at(-1), at(29)], reading(at(30)))
    session.note_lines([at(89)], reading(at(89)))
    session.note_keep_alive(keep_alive(at(89.9)))
    assert session.position_us == COVERED_US
    session.note_lines([at(90)], reading(at(90)))
    assert session.position_us == at(90)
    session.note_lines([at(-1), at(91)], reading(at(91)))
    assert session.position_us == at(91)


def test_backfill_paced_slowly_is_not_claimed_early() -> None:
    """It holds as long as its events keep coming."""
    session = live(Live(5), coverage(COVERED_US), NOW_US)
    for second in range(0, 500, 50):
        session.note_lines([at(-300 + second // 2), at(second)], reading(at(second)))
    assert session.position_us == COVERED_US


@pytest.mark.parametrize("is_known", [True, False])
def test_straggler_a_minute_does_not_hold_coverage(*, is_known: bool) -> None:
    """One event a minute dated before the connect held it for ever: 3 h live, 10,700 s behind."""
    session = live(Live(2), coverage(COVERED_US), NOW_US)
    for second in range(1, 300, 10):
        if second % 50 < 10:
            if is_known:
                session.note_repeated(at(-3600))
            session.note_lines([at(-3600)], reading(at(second)))
        session.note_lines([at(second)], reading(at(second)))
    assert session.position_us == at(291)


def test_coverage_that_is_held_for_too_long_is_fetched_again() -> None:
    """Events late by minutes look like a backfill that never ends."""
    session = live(Live(5), coverage(COVERED_US), NOW_US)
    reasons = [session.note_lines([at(-60), at(second)], reading(at(second))) for second in range(0, 601, 30)]
    assert reasons[-2:] == [None, EndReason.COVERAGE_HELD_BACK]
    assert session.position_us == COVERED_US


def test_coverage_that_is_held_where_x_grants_no_replay_is_a_gap_and_moves_on() -> None:
    """And the connection goes on."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(COVERED_US), NOW_US)
    late_us = NOW_US + HOLD_LIMIT_US
    assert session.note_lines([at(-60), late_us], reading(late_us)) is None
    assert session.gaps == [Gap(COVERED_US, late_us, GapCause.COVERAGE_HELD_BACK)]
    assert session.position_us == late_us


def test_held_coverage_that_x_s_time_is_not_beyond_leaves_no_gap() -> None:
    """X's `Date` stood still while the monotonic clock went on: no time lies between them."""
    session = live(Live(5, GapCause.REPLAY_REFUSED), coverage(NOW_US), NOW_US)
    still = replace(reading(NOW_US), monotonic_us=NOW_US + HOLD_LIMIT_US + 1)
    assert session.note_lines([at(-60)], still) is None
    assert (session.gaps, session.position_us) == ([], NOW_US)


def test_x_that_is_ever_later_does_not_hold_coverage_for_long() -> None:
    """All its dates were 20 minutes old, without a backfill: coverage stays with them, and is fetched again."""
    session = plain()
    reasons = [session.note_lines([at(second - 1200)], reading(at(second))) for second in range(0, 700, 30)]
    assert EndReason.COVERAGE_HELD_BACK in reasons


_KNOWN = [COVERED_US - 20 * US_PER_S]


def test_backfill_that_repeats_nothing_it_must_is_asked_for_as_a_replay() -> None:
    """X may not have given it."""
    session = live(Live(2), coverage(COVERED_US, known_us=_KNOWN), NOW_US)
    assert session.note_keep_alive(keep_alive(at(59))) is None
    assert session.note_keep_alive(keep_alive(at(60))) is EndReason.SUSPICION
    assert session.recovery.refetch == Refetch(COVERED_US - FIRST_OVERLAP_US, NOW_US, Suspicion.BACKFILL_UNCONFIRMED)
    assert session.recovery.distrusts_backfill
    assert session.position_us == COVERED_US


def test_backfill_never_given_to_coverage_beyond_the_connect_leaves_no_gap() -> None:
    """A connection before this one has covered all that the backfill was asked for."""
    recovery = Recovery(distrusts_backfill=True, settled_us=at(10))
    session = live(Live(2), coverage(at(10), recovery, [at(-60)]), NOW_US)
    assert session.note_keep_alive(keep_alive(at(60), None)) is None
    assert session.note_keep_alive(keep_alive(at(80))) is None
    assert session.gaps == []


def test_backfill_never_given_is_a_gap_until_the_latest_that_the_connect_can_have_been() -> None:
    """It ended with the whole second that X told: an event of the rest of that second was lost, in no gap."""
    recovery = Recovery(distrusts_backfill=True, settled_us=COVERED_US)
    session = live(Live(2), coverage(COVERED_US, recovery, _KNOWN), NOW_US, answer_us=2 * US_PER_S)
    assert session.note_keep_alive(keep_alive(at(60), None)) is None
    assert session.note_keep_alive(keep_alive(at(80))) is None
    assert session.gaps == [Gap(COVERED_US, at(3), GapCause.BACKFILL_UNCONFIRMED)]
    assert session.position_us == at(60)


@pytest.mark.parametrize("known_us", [[], [COVERED_US + 1], [NOW_US - 2 * MINUTE_US]])
def test_backfill_over_a_range_with_nothing_known_in_it_need_not_repeat_anything(known_us: list[int]) -> None:
    """Beyond coverage, at the edge of its reach, or in a quiet partition."""
    session = live(Live(2), coverage(COVERED_US, known_us=known_us), NOW_US)
    assert session.note_keep_alive(keep_alive(at(70))) is None
    assert session.position_us == at(50)


def test_backfill_that_repeats_something_is_trusted_again() -> None:
    """X does what is asked."""
    session = live(Live(2), coverage(COVERED_US, Recovery(distrusts_backfill=True), _KNOWN), NOW_US)
    session.note_repeated(_KNOWN[0])
    session.note_lines(_KNOWN, reading(at(0)))
    session.note_keep_alive(keep_alive(at(80)))
    assert session.position_us == at(60)
    assert not session.recovery.distrusts_backfill


def test_what_a_backfill_does_not_reach_is_a_gap_to_the_latest_and_moves_coverage_to_the_earliest() -> None:
    """X tells whole seconds."""
    session = live(Live(0, GapCause.BACKFILL_REFUSED), coverage(COVERED_US), NOW_US)
    assert session.gaps == [Gap(COVERED_US, at(1), GapCause.BACKFILL_REFUSED)]
    assert session.position_us == NOW_US


@pytest.mark.parametrize(("away_min", "since_min"), [(3, 6), (5, 8), (20, 20)])
def test_late_events_that_a_refused_replay_does_not_bring_are_in_a_gap(away_min: int, since_min: int) -> None:
    """X selects by date: what was emitted three minutes late and is dated before the backfill was in no gap."""
    recovery = Recovery(lateness_us=3 * MINUTE_US)
    before = coverage(NOW_US - away_min * MINUTE_US, recovery)
    session = live(Live(5, GapCause.REPLAY_REFUSED), before, NOW_US)
    end_us = NOW_US + US_PER_S - 5 * MINUTE_US
    assert session.gaps == [Gap(NOW_US - since_min * MINUTE_US, end_us, GapCause.REPLAY_REFUSED)]
    assert session.position_us == max(before.until_us, NOW_US - 5 * MINUTE_US)


def test_event_that_comes_again_proves_nothing_where_the_backfill_does_not_reach_back() -> None:
    """What lies between coverage and its reach did not come."""
    session = live(Live(1), coverage(COVERED_US - 60 * US_PER_S, seen_until_us=at(-5)), NOW_US)
    session.position_us = COVERED_US - 60 * US_PER_S
    session.note_repeated(at(-5))
    assert session.position_us == COVERED_US - 60 * US_PER_S


def test_live_event_repeated_at_once_is_no_proof_of_a_backfill() -> None:
    """A late one is dated before the connect: coverage passed over a backfill that was still to come."""
    session = live(Live(2), coverage(COVERED_US, seen_until_us=at(-20)), NOW_US)
    session.note_repeated(at(-5))
    assert session.position_us == COVERED_US
    session.note_repeated(at(-20))
    assert session.position_us == at(-20)


def test_quiet_minute_is_as_long_as_it_says() -> None:
    """To the microsecond."""
    session = live(Live(1), coverage(COVERED_US), NOW_US)
    session.note_keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US - 1))
    assert session.position_us == COVERED_US
    session.note_keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US))
    assert session.position_us == at(40)


def test_event_that_came_twice_over_one_connection_confirms_no_backfill() -> None:
    """It happened behind what is known; a backfill that X ignored passed for one that repeats."""
    session = live(Live(5), coverage(COVERED_US, known_us=(COVERED_US - MINUTE_US,)), NOW_US)
    session.note_repeated(at(1))
    assert session.note_lines([at(1)], reading(at(1))) is None
    assert session.note_keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US + 30 * US_PER_S)) is EndReason.SUSPICION
    assert session.recovery.refetch is not None


def test_hold_that_ends_forgets_what_interruptions_have_taught() -> None:
    """Tries of the day before made one cut a loss."""
    tried = Recovery(slice_us=MINUTE_US, tries=2, trying_since_us=1, lost_in_row=1)
    session = live(Live(1), coverage(COVERED_US, tried), NOW_US)
    session.note_keep_alive(keep_alive(NOW_US + BACKFILL_QUIET_US + 30 * US_PER_S))
    assert session.recovery == NOTHING_LEARNED


def test_line_of_the_backfill_that_was_emitted_late_holds_coverage_too() -> None:
    """Its date lies before the reach; a backfill that came a line each 45 s was over while half of it was to come."""
    session = live(Live(1), coverage(COVERED_US), NOW_US)
    session.note_lines([at(-60 - 200)], reading(at(45)))
    session.note_lines([at(80)], reading(at(80)))
    assert session.position_us == COVERED_US
    session.note_lines([at(45) + BACKFILL_QUIET_US], reading(at(45) + BACKFILL_QUIET_US))
    assert session.position_us == at(45) + BACKFILL_QUIET_US
