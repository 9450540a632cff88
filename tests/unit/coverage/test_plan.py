"""The plan: X accepts it, it gets on, and nothing is left out without being named."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.coverage.plan import (
    FIRST_OVERLAP_US,
    MINUTE_US,
    NEXT_OVERLAP_US,
    REPLAY_MARGIN_US,
    REPLAY_REACH_US,
    SLICE_US,
    Allowed,
    Cause,
    Live,
    Lost,
    Replay,
    is_grantable,
    is_within_reach,
    make_plan,
    refused,
    replay,
    unreached,
)
from connector.events.times import US_PER_S

_NOW = 1_800_000_000_123_456
_AWAY = st.one_of(
    st.integers(-10 * MINUTE_US, 10 * MINUTE_US),
    st.integers(0, 30 * 60 * MINUTE_US),
    st.integers(0, 365 * 24 * 60 * MINUTE_US),
    st.integers(0, 30 * 60).map(lambda minutes: minutes * MINUTE_US),
)
_ALLOWED = st.builds(Allowed, backfill=st.booleans(), replay=st.booleans())


@given(away_us=_AWAY, allowed=_ALLOWED, is_catching_up=st.booleans())
@example(away_us=4 * MINUTE_US + 1, allowed=Allowed(), is_catching_up=True)
def test_plan_is_one_that_x_accepts(away_us: int, allowed: Allowed, *, is_catching_up: bool) -> None:
    """1 to 5 minutes of backfill, or whole seconds within 24 hours that ended a minute ago; only what is allowed."""
    plan = make_plan(_NOW - away_us, _NOW, allowed, is_catching_up=is_catching_up)
    if isinstance(plan, Live):
        assert 1 <= plan.backfill_minutes <= 5 if allowed.backfill else plan.backfill_minutes == 0
    else:
        assert allowed.replay
        assert _NOW - REPLAY_REACH_US < plan.start_us < plan.end_us <= _NOW - MINUTE_US
        assert plan.start_us % US_PER_S == plan.end_us % US_PER_S == 0


@given(away_us=_AWAY, late_us=st.integers(0, 10 * MINUTE_US), allowed=_ALLOWED, is_catching_up=st.booleans())
def test_plan_and_what_it_does_not_reach_leave_nothing_out(
    away_us: int, late_us: int, allowed: Allowed, *, is_catching_up: bool
) -> None:
    """From covered-until on, all is asked for or named as lost, without a hole between."""
    covered_us, answered_us = _NOW - away_us, _NOW + late_us
    plan = make_plan(covered_us, _NOW, allowed, is_catching_up=is_catching_up)
    lost = unreached(plan, covered_us, answered_us)
    reach_us = plan.start_us if isinstance(plan, Replay) else answered_us - plan.backfill_minutes * MINUTE_US
    if lost is None:
        assert reach_us <= covered_us
    else:
        assert (lost.start_us, lost.end_us) == (covered_us, reach_us)
        assert lost.start_us < lost.end_us


@given(away_us=st.integers(0, REPLAY_REACH_US - 5 * MINUTE_US), is_catching_up=st.booleans())
def test_plan_loses_nothing_while_all_is_allowed_and_x_is_quick(away_us: int, *, is_catching_up: bool) -> None:
    """Up to a day, with an answer within half a minute."""
    plan = make_plan(_NOW - away_us, _NOW, Allowed(), is_catching_up=is_catching_up)
    assert unreached(plan, _NOW - away_us, _NOW + 30 * US_PER_S) is None


@given(away_us=st.integers(0, 400 * 24 * 60 * MINUTE_US))
def test_catching_up_goes_live_in_the_end(away_us: int) -> None:
    """Each slice moves coverage on, so that a day of them is over before long."""
    covered_us, now_us, is_catching_up = _NOW - away_us, _NOW, False
    for _ in range(24 * 60 // 15 + 10):
        plan = make_plan(covered_us, now_us, Allowed(), is_catching_up=is_catching_up)
        if isinstance(plan, Live):
            return
        assert plan.end_us > covered_us
        assert plan.start_us <= covered_us or unreached(plan, covered_us, now_us) is not None
        covered_us, now_us, is_catching_up = plan.end_us, now_us + 30 * US_PER_S, True
    pytest.fail("never went live")


@pytest.mark.parametrize(
    ("away_s", "minutes"), [(0, 1), (1, 2), (60, 2), (61, 3), (120, 3), (180, 4), (181, 5), (240, 5)]
)
def test_short_absence_asks_for_its_length_and_a_minute(away_s: int, minutes: int) -> None:
    """Rounded up."""
    assert make_plan(_NOW - away_s * US_PER_S, _NOW, Allowed(), is_catching_up=False) == Live(minutes)


def test_slices_overlap_by_five_minutes_at_first_and_by_one_after_that() -> None:
    """A quarter of an hour each."""
    covered_us = 1_799_990_000 * US_PER_S
    for is_catching_up, overlap_us in ((False, FIRST_OVERLAP_US), (True, NEXT_OVERLAP_US)):
        plan = make_plan(covered_us, _NOW, Allowed(), is_catching_up=is_catching_up)
        assert plan == Replay(covered_us - overlap_us, covered_us + SLICE_US)


@pytest.mark.parametrize(
    ("allowed", "away_min", "cause"),
    [
        (Allowed(), 25 * 60, Cause.OUTAGE_TOO_LONG),
        (Allowed(replay=False), 60, Cause.REPLAY_REFUSED),
        (Allowed(backfill=False, replay=False), 60, Cause.REPLAY_REFUSED),
        (Allowed(backfill=False), 2, Cause.BACKFILL_REFUSED),
    ],
)
def test_what_is_not_reached_is_lost_with_its_cause(allowed: Allowed, away_min: int, cause: Cause) -> None:
    """The cause tells the operator what to see to."""
    covered_us = _NOW - away_min * MINUTE_US
    lost = unreached(make_plan(covered_us, _NOW, allowed, is_catching_up=False), covered_us, _NOW)
    assert lost is not None
    assert lost.cause is cause


def test_backfill_granted_too_late_loses_what_it_no_longer_reaches() -> None:
    """X's answer, not the question, says from when the backfill counts."""
    covered_us, answered_us = _NOW - 3 * MINUTE_US, _NOW + 2 * MINUTE_US
    assert unreached(Live(4), covered_us, answered_us) == Lost(
        covered_us, answered_us - 4 * MINUTE_US, Cause.CONNECT_TOO_SLOW
    )


def test_refusals_ask_for_less_and_then_for_everything_again() -> None:
    """Replay first, then backfill; a refused plain connection was not refused for its parameters."""
    allowed = refused(Allowed(), Replay(0, 1))
    assert allowed == Allowed(replay=False)
    allowed = refused(allowed, Live(5))
    assert allowed == Allowed(backfill=False, replay=False)
    assert refused(allowed, Live(0)) == Allowed()


@given(start_us=st.integers(0, 2 * _NOW), length_us=st.integers(0, REPLAY_REACH_US))
def test_replay_is_cut_to_whole_seconds(start_us: int, length_us: int) -> None:
    """Downwards at both ends: X takes no fractions, and what is asked for begins no later than wanted."""
    slice_ = replay(start_us, start_us + length_us)
    assert slice_.start_us % US_PER_S == slice_.end_us % US_PER_S == 0
    assert 0 <= start_us - slice_.start_us < US_PER_S
    assert 0 <= start_us + length_us - slice_.end_us < US_PER_S


def test_slice_is_within_reach_for_a_day_less_a_margin() -> None:
    """All of it, so its begin decides."""
    start_us = _NOW - REPLAY_REACH_US + REPLAY_MARGIN_US
    assert is_within_reach(Replay(start_us, _NOW), _NOW)
    assert not is_within_reach(Replay(start_us - 1, _NOW), _NOW)


@given(away_us=st.integers(5 * MINUTE_US, 400 * 24 * 60 * MINUTE_US), is_catching_up=st.booleans())
def test_slice_that_is_planned_is_within_reach(away_us: int, *, is_catching_up: bool) -> None:
    """To the second to which it is cut."""
    plan = make_plan(_NOW - away_us, _NOW, Allowed(), is_catching_up=is_catching_up)
    assert isinstance(plan, Replay)
    assert is_within_reach(plan, _NOW - US_PER_S)


def test_plan_is_grantable_within_x_s_reach_and_not_in_its_future() -> None:
    """Whatever else the contract says; a live connection can always be asked for."""
    oldest_us = _NOW - REPLAY_REACH_US
    assert is_grantable(Replay(oldest_us, _NOW), _NOW)
    assert not is_grantable(Replay(oldest_us - 1, _NOW), _NOW)
    assert not is_grantable(Replay(oldest_us, _NOW + 1), _NOW)
    assert is_grantable(Live(5), _NOW)
