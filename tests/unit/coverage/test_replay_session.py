"""A replay: when its slice is whole, and what speaks against it."""

from dataclasses import replace

import pytest

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.messages import Ended, EndReason, LastConnection, Verdict
from connector.coverage.plan import NEXT_OVERLAP_US, REPLAY_REACH_US, Contract, Replay, next_plan
from connector.coverage.recovery import (
    LATENESS_LIMIT_US,
    MINUTE_US,
    NOTHING_LEARNED,
    SLICE_US,
    Range,
    Recovery,
    Refetch,
)
from connector.coverage.replay_session import OVERSHOOT_AT_FIRST_US, OVERSHOOT_US, REPLAY_IDLE_US, ReplaySession
from connector.coverage.session import LATENESS_US
from connector.events.decode import SystemMessage
from connector.events.times import US_PER_S
from tests.fakes.partition import keep_alive, reading
from tests.fakes.x import NOW_US
from tests.unit.coverage.sessions import CLOSED, CUT, coverage, replaying

_C = NOW_US - 60 * MINUTE_US
_PLAN = Replay(_C - NEXT_OVERLAP_US, _C + SLICE_US)
_AGAIN = replace(_PLAN, is_refetch=True)
_IN_OVERLAP_US = _C - 30 * US_PER_S
_INSIDE_US = _C + MINUTE_US
_DOUBTED = NOTHING_LEARNED.suspected(_PLAN.start_us, _PLAN.end_us, Suspicion.REPLAY_UNCONFIRMED)
_IDLE = Ended(EndReason.REPLAY_IDLE, is_proper=False, at_us=NOW_US)


def _session(
    recovery: Recovery = NOTHING_LEARNED, known_us: tuple[int, ...] = (), plan: Replay = _PLAN
) -> ReplaySession:
    return replaying(plan, coverage(_C, recovery, known_us), NOW_US)


def _verdict(session: ReplaySession, ended: Ended = CLOSED) -> Verdict | None:
    return session.end(ended).verdict


def test_slice_that_ends_properly_is_whole_and_moves_coverage_to_its_end() -> None:
    """Also one in which nothing happened; its events move nothing before."""
    session = _session()
    assert session.refuses(_INSIDE_US) is None
    session.note_lines([_INSIDE_US], reading())
    assert session.position_us == _C
    assert session.end(CLOSED) == LastConnection(has_proved=True, verdict=Verdict.WHOLE, system_message=None)
    assert session.position_us == _PLAN.end_us
    assert session.recovery.last_slice == Range(_PLAN.start_us, _PLAN.end_us)
    assert _verdict(_session()) is Verdict.WHOLE


def test_slice_that_is_cut_is_not_whole() -> None:
    """Less is asked for next, where it brought something."""
    session = _session()
    session.refuses(_INSIDE_US)
    assert _verdict(session, CUT) is Verdict.INTERRUPTED
    assert (session.position_us, session.recovery.slice_us) == (_C, SLICE_US // 2)


def test_slice_with_a_system_message_is_not_whole() -> None:
    """Also where X then ends it properly."""
    session = _session()
    session.note_message(SystemMessage("ForceDisconnect", ""))
    assert _verdict(session) is Verdict.INTERRUPTED


@pytest.mark.parametrize(
    ("is_known", "has_event", "verdict"),
    [
        (False, True, Verdict.INTERRUPTED),
        (False, False, Verdict.INTERRUPTED),
        (True, False, Verdict.INTERRUPTED),
        (True, True, Verdict.WHOLE),
    ],
)
def test_slice_with_a_line_outside_data_is_not_whole(*, is_known: bool, has_event: bool, verdict: Verdict) -> None:
    """A maintenance page took 37 of 40 events with it. A line that came before belongs to the stream, beside events."""
    session = _session()
    session.note_foreign_line(is_known=is_known)
    if has_event:
        session.refuses(_INSIDE_US)
    assert _verdict(session) is verdict


def test_replay_that_ignores_its_range_is_hung_up_and_moves_nothing() -> None:
    """Coverage froze for hours, and 179 events were missing below it at the end."""
    session = _session()
    assert session.refuses(_PLAN.end_us + OVERSHOOT_AT_FIRST_US + 1) is EndReason.PARAMETERS_IGNORED
    assert _verdict(session, Ended(EndReason.PARAMETERS_IGNORED, is_proper=False, at_us=NOW_US)) is Verdict.IGNORED
    assert (session.position_us, session.gaps) == (_C, [])


def test_replay_of_nothing_but_events_behind_its_end_ignores_its_range() -> None:
    """They are known, so that none of them was refused."""
    session = _session()
    session.note_repeated(_PLAN.end_us + OVERSHOOT_AT_FIRST_US + 1)
    assert _verdict(session) is Verdict.IGNORED


def test_event_just_behind_the_end_of_a_replay_says_nothing_against_it() -> None:
    """Four tenths of a second made ten hours `lost`: X selects by its own clocks, to a whole second."""
    session = _session()
    assert session.refuses(_PLAN.end_us + OVERSHOOT_AT_FIRST_US) is None
    assert _verdict(session) is Verdict.WHOLE


def test_replay_may_overshoot_by_minutes_once_it_has_brought_what_was_asked_for() -> None:
    """One that went on for 40 minutes brought 852 events twice."""
    session = _session()
    assert session.refuses(_INSIDE_US) is None
    assert session.refuses(_PLAN.end_us + OVERSHOOT_US) is None
    assert session.refuses(_PLAN.end_us + OVERSHOOT_US + 1) is EndReason.PARAMETERS_IGNORED


@pytest.mark.parametrize(
    ("known_us", "is_confirmed"), [(_IN_OVERLAP_US, False), (_C - NEXT_OVERLAP_US, True), (_C, True)]
)
def test_slice_that_repeats_nothing_it_must_is_asked_for_once_more(known_us: int, *, is_confirmed: bool) -> None:
    """What is known at the edges of the overlap need not come again."""
    session = _session(known_us=(known_us,))
    session.refuses(_C + 10 * MINUTE_US)
    assert _verdict(session) is (Verdict.WHOLE if is_confirmed else Verdict.SUSPECTED)
    refetch = Refetch(_PLAN.start_us, _PLAN.end_us, Suspicion.REPLAY_UNCONFIRMED)
    assert session.recovery.refetch == (None if is_confirmed else refetch)


def test_slice_that_repeats_something_is_whole() -> None:
    """It shows that X delivers the overlap."""
    session = _session(known_us=(_IN_OVERLAP_US,))
    session.note_repeated(_IN_OVERLAP_US)
    assert _verdict(session) is Verdict.WHOLE


def test_slice_that_ends_before_known_events_of_its_range_come_again_is_asked_for_once_more() -> None:
    """Live connections under a held coverage had brought them; a replay that ended before was believed."""
    known_us = (_IN_OVERLAP_US, _C + 10 * MINUTE_US)
    session = _session(known_us=known_us)
    session.note_repeated(_IN_OVERLAP_US)
    assert _verdict(session) is Verdict.SUSPECTED
    session = _session(known_us=known_us)
    session.note_repeated(_IN_OVERLAP_US)
    session.note_repeated(_C + 10 * MINUTE_US)
    assert _verdict(session) is Verdict.WHOLE


def test_known_event_as_late_as_others_at_the_end_of_a_slice_need_not_come_again() -> None:
    """X may have emitted it behind the end."""
    known_us = (_IN_OVERLAP_US, _PLAN.end_us - 100 * US_PER_S)
    session = _session(Recovery(lateness_us=120 * US_PER_S), known_us)
    session.note_repeated(_IN_OVERLAP_US)
    assert _verdict(session) is Verdict.WHOLE


def test_refetch_that_repeats_nothing_either_is_a_gap() -> None:
    """20 h of empty replays were claimed as covered."""
    session = _session(_DOUBTED, (_IN_OVERLAP_US,), _AGAIN)
    assert _verdict(session) is Verdict.SUSPECTED
    assert session.gaps == [Gap(_PLAN.start_us, _PLAN.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert (session.position_us, session.recovery.distrusts_replay) == (_PLAN.end_us, True)


def test_empty_replay_after_that_is_a_gap_at_once_until_one_brings_something() -> None:
    """Nothing is known there that could come again."""
    distrust = Recovery(distrusts_replay=True)
    session = _session(distrust)
    assert _verdict(session) is Verdict.SUSPECTED
    assert session.gaps == [Gap(_C, _PLAN.end_us, GapCause.REPLAY_UNCONFIRMED)]
    session = _session(distrust)
    session.refuses(_INSIDE_US)
    assert _verdict(session) is Verdict.WHOLE
    assert not session.recovery.distrusts_replay


def test_replay_that_brings_only_keep_alives_is_hung_up_after_two_minutes() -> None:
    """One that X never closed made no progress for a day, and two of them stopped all catch-ups."""
    session = _session()
    session.note_lines([_INSIDE_US], reading(NOW_US + MINUTE_US))
    idle_us = NOW_US + MINUTE_US + REPLAY_IDLE_US
    assert session.note_keep_alive(keep_alive(idle_us)) is None
    assert session.note_keep_alive(keep_alive(idle_us + 1)) is EndReason.REPLAY_IDLE
    assert _verdict(session, _IDLE) is Verdict.SUSPECTED
    assert session.recovery.refetch == Refetch(_PLAN.start_us, _PLAN.end_us, Suspicion.REPLAY_NOT_CLOSED)


def test_replay_that_is_not_closed_twice_is_a_gap() -> None:
    """Its events are published all the same."""
    recovery = NOTHING_LEARNED.suspected(_PLAN.start_us, _PLAN.end_us, Suspicion.REPLAY_NOT_CLOSED)
    session = _session(recovery, plan=_AGAIN)
    assert _verdict(session, _IDLE) is Verdict.SUSPECTED
    assert session.gaps == [Gap(_PLAN.start_us, _PLAN.end_us, GapCause.REPLAY_NOT_CLOSED)]


def test_replay_that_takes_as_long_as_the_time_it_covers_is_hung_up_and_shortened() -> None:
    """It holds up those of others, and does not catch up."""
    session = _session()
    slow_us = NOW_US + SLICE_US
    assert session.note_lines([_INSIDE_US], reading(slow_us)) is None
    session.refuses(_INSIDE_US)
    assert session.note_lines([_INSIDE_US], reading(slow_us + 1)) is EndReason.REPLAY_SLOW
    assert _verdict(session, replace(CUT, reason=EndReason.REPLAY_SLOW)) is Verdict.INTERRUPTED
    assert session.recovery.slice_us == SLICE_US // 2


def test_x_that_trickles_every_replay_is_caught_up_with_in_the_end() -> None:
    """An event a minute and never an end: coverage stood still for two hours, and was a day behind after a day."""
    now_us, covered_us, recovery = NOW_US, _C, NOTHING_LEARNED
    moved_us = now_us
    while isinstance(plan := next_plan(covered_us, recovery, now_us, Contract()), Replay):
        session, reason = replaying(plan, coverage(covered_us, recovery), now_us), None
        while reason is None:
            now_us += MINUTE_US
            session.refuses(plan.start_us)
            reason = session.note_lines([plan.start_us], reading(now_us))
        session.end(Ended(reason, is_proper=False, at_us=now_us))
        moved_us = now_us if session.position_us > covered_us else moved_us
        covered_us, recovery = session.position_us, session.recovery
        assert now_us - moved_us < 40 * MINUTE_US
    assert now_us < NOW_US + 6 * 60 * MINUTE_US


@pytest.mark.parametrize("reason", [EndReason.STOPPED, EndReason.SUSPICION])
def test_replay_that_we_end_says_nothing_of_the_slice(reason: EndReason) -> None:
    """It is asked for again as it was."""
    session = _session(known_us=(_IN_OVERLAP_US,))
    assert _verdict(session, Ended(reason, is_proper=False, at_us=NOW_US)) is Verdict.INTERRUPTED
    assert (session.position_us, session.recovery) == (_C, NOTHING_LEARNED)


_LAST = Recovery(last_slice=Range(_C - 15 * MINUTE_US, _C), settled_us=_C)


@pytest.mark.parametrize(
    ("date_us", "is_doubted"),
    [(_PLAN.start_us - 1, False), (_PLAN.start_us, True), (_C - LATENESS_US - 1, True), (_C - LATENESS_US, False)],
)
def test_event_that_the_slice_before_should_have_brought_casts_doubt_on_it(date_us: int, *, is_doubted: bool) -> None:
    """X ended it early. One dated before the overlap is a straggler."""
    session = _session(_LAST)
    assert session.refuses(date_us) is (EndReason.SUSPICION if is_doubted else None)


def test_refetch_casts_no_doubt_on_the_slice_that_it_is() -> None:
    """It brings what was left out."""
    assert _session(_LAST, plan=_AGAIN).refuses(_IN_OVERLAP_US) is None


def test_range_of_a_doubt_that_is_out_of_reach_is_a_gap() -> None:
    """A doubt at the 24 h edge: 30 events were missing, in no gap."""
    begin_us = _PLAN.start_us - 10 * MINUTE_US
    recovery = NOTHING_LEARNED.suspected(begin_us, _PLAN.end_us, Suspicion.REPLAY_INCOMPLETE)
    session = _session(recovery, plan=_AGAIN)
    assert session.gaps == [Gap(begin_us, _PLAN.start_us, GapCause.REPLAY_INCOMPLETE)]
    assert session.recovery.refetch == Refetch(_PLAN.start_us, _PLAN.end_us, Suspicion.REPLAY_INCOMPLETE)


def test_range_of_a_doubt_that_is_passed_over_is_a_gap() -> None:
    """The next slice is asked for though something is in doubt: it can no longer be had."""
    session = _session(_DOUBTED)
    assert session.gaps == [Gap(_PLAN.start_us, _PLAN.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert session.recovery.refetch is None


def test_replay_that_begins_behind_coverage_leaves_a_gap() -> None:
    """X reaches back 24 hours."""
    covered_us = NOW_US - REPLAY_REACH_US - MINUTE_US
    plan = Replay(covered_us + 3 * MINUTE_US, covered_us + 15 * MINUTE_US)
    session = replaying(plan, coverage(covered_us), NOW_US)
    assert session.gaps == [Gap(covered_us, plan.start_us, GapCause.OUTAGE_TOO_LONG)]
    assert session.position_us == plan.start_us


def test_straggler_behind_a_slice_that_came_twice_is_no_measure_of_lateness() -> None:
    """Overlaps grew by a minute a slice with it, past what ids are kept for: events were published again."""
    last = Range(_C - 15 * MINUTE_US, _C)
    recovery = Recovery(last_slice=last, is_last_refetched=True, lateness_us=LATENESS_LIMIT_US)
    plan = Replay(_C - 7 * MINUTE_US, _C + 15 * MINUTE_US)
    session = replaying(plan, coverage(_C, recovery, [_C - MINUTE_US]), NOW_US)
    assert session.refuses(_C - 6 * MINUTE_US) is None
    assert session.recovery.lateness_us == LATENESS_LIMIT_US


def test_replay_of_unreadable_lines_is_not_empty() -> None:
    """A type that X renamed: each slice was in doubt together with all before it, and no id was forgotten for a day."""
    session = _session(Recovery(last_slice=Range(_C - 600 * MINUTE_US, _C), settled_us=_C))
    session.note_data()
    assert _verdict(session) is Verdict.WHOLE
    assert session.recovery.last_slice == Range(_PLAN.start_us, _PLAN.end_us)
    distrusting = _session(Recovery(distrusts_replay=True))
    distrusting.note_data()
    assert _verdict(distrusting) is Verdict.WHOLE


def test_replay_that_ends_before_coverage_leaves_no_gap() -> None:
    """One that ended 54 s before it left a gap that ended before it began, and the committer died of counting it."""
    plan = Replay(_C - 5 * MINUTE_US, _C - MINUTE_US)
    session = _session(Recovery(distrusts_replay=True), plan=plan)
    assert _verdict(session) is Verdict.SUSPECTED
    assert (session.position_us, session.gaps) == (_C, [])


def test_event_that_came_twice_over_one_replay_confirms_nothing() -> None:
    """It lies behind coverage's end: what is known from before, and lies in the overlap, has not come again."""
    session = _session(known_us=(_IN_OVERLAP_US,))
    assert session.refuses(_INSIDE_US) is None
    session.note_repeated(_INSIDE_US)
    assert _verdict(session) is Verdict.SUSPECTED
    confirmed = _session(known_us=(_IN_OVERLAP_US,))
    confirmed.note_repeated(_IN_OVERLAP_US)
    assert _verdict(confirmed) is Verdict.WHOLE


def test_lateness_of_all_events_is_learned_from_one_slice() -> None:
    """All of them 30 s late: each slice of a day was doubted, asked for twice, and recorded as a gap."""
    recovery = Recovery(last_slice=Range(_C - 15 * MINUTE_US, _C), is_last_refetched=True)
    session = _session(recovery)
    assert session.refuses(_C - 30 * US_PER_S) is None
    assert session.gaps == [Gap(_C - 15 * MINUTE_US, _C, GapCause.REPLAY_INCOMPLETE)]
    assert session.recovery.lateness_us == 30 * US_PER_S
