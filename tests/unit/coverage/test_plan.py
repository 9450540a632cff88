"""The plan: X accepts it, it gets on, and nothing is left out without being named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.plan import (
    BACKFILL_MAX_US,
    FIRST_OVERLAP_US,
    LEAST_MARGIN_US,
    NEXT_OVERLAP_US,
    REPLAY_MARGIN_US,
    REPLAY_REACH_US,
    Contract,
    Live,
    Plan,
    Replay,
    is_grantable,
    is_outdated,
    next_plan,
    replay,
    unreached,
)
from connector.coverage.recovery import MINUTE_US, NOTHING_LEARNED, SHORTEST_SLICE_US, SLICE_US, Recovery
from connector.events.times import US_PER_S

_NOW = 1_800_000_000_123_456
_AWAY = st.one_of(
    st.integers(-10 * MINUTE_US, 10 * MINUTE_US),
    st.integers(0, 30 * 60 * MINUTE_US),
    st.integers(0, 365 * 24 * 60 * MINUTE_US),
    st.integers(0, 30 * 60).map(lambda minutes: minutes * MINUTE_US),
)
_CONTRACTS = st.builds(Contract, st.integers(0, 2), st.integers(0, 2))
_RECOVERIES = st.builds(
    Recovery,
    slice_us=st.integers(SHORTEST_SLICE_US, SLICE_US),
    lateness_us=st.integers(0, 5 * MINUTE_US),
)


def _plan(away_us: int, recovery: Recovery = NOTHING_LEARNED, *, is_settled: bool = False) -> Plan:
    recovery = Recovery(
        settled_us=_NOW - away_us if is_settled else 0, settled_at_us=_NOW, lateness_us=recovery.lateness_us
    )
    return next_plan(_NOW - away_us, recovery, _NOW, Contract())


@given(away_us=_AWAY, contract=_CONTRACTS, recovery=_RECOVERIES)
def test_plan_is_one_that_x_accepts(away_us: int, contract: Contract, recovery: Recovery) -> None:
    """1 to 5 minutes of backfill, or whole seconds within 24 hours that ended a minute ago; only what is granted."""
    plan = next_plan(_NOW - away_us, recovery, _NOW, contract)
    if isinstance(plan, Live):
        assert 1 <= plan.backfill_minutes <= 5 if contract.has_backfill else plan.backfill_minutes == 0
    else:
        assert contract.has_replay
        assert _NOW - REPLAY_REACH_US < plan.start_us < plan.end_us <= _NOW - MINUTE_US
        assert plan.start_us % US_PER_S == plan.end_us % US_PER_S == 0


@pytest.mark.slow
@given(away_us=_AWAY, late_us=st.integers(0, 10 * MINUTE_US), contract=_CONTRACTS, recovery=_RECOVERIES)
def test_plan_and_its_gap_leave_nothing_out(away_us: int, late_us: int, contract: Contract, recovery: Recovery) -> None:
    """From covered-until on, all is asked for or in a gap, without a hole between."""
    covered_us, answered_us = _NOW - away_us, _NOW + late_us
    plan = next_plan(covered_us, recovery, _NOW, contract)
    gap = unreached(plan, covered_us, answered_us)
    reach_us = plan.start_us if isinstance(plan, Replay) else answered_us - plan.backfill_minutes * MINUTE_US
    if gap is None:
        assert reach_us <= covered_us
    else:
        assert (gap.start_us, gap.end_us) == (covered_us, reach_us)
        assert gap.start_us < gap.end_us


@given(away_us=st.integers(0, REPLAY_REACH_US - 5 * MINUTE_US), recovery=_RECOVERIES)
def test_plan_loses_nothing_while_all_is_granted_and_x_is_quick(away_us: int, recovery: Recovery) -> None:
    """Up to a day, with an answer within half a minute."""
    plan = next_plan(_NOW - away_us, recovery, _NOW, Contract())
    assert unreached(plan, _NOW - away_us, _NOW + 30 * US_PER_S) is None


@given(away_us=st.integers(0, 400 * 24 * 60 * MINUTE_US), lateness_us=st.integers(0, 5 * MINUTE_US))
def test_catching_up_goes_live_in_the_end(away_us: int, lateness_us: int) -> None:
    """Each slice moves coverage on, so that a day of them is over before long, however late events are."""
    covered_us, now_us, recovery = _NOW - away_us, _NOW, Recovery(lateness_us=lateness_us)
    for _ in range(24 * 60 // 15 + 10):
        plan = next_plan(covered_us, recovery, now_us, Contract())
        if isinstance(plan, Live):
            return
        assert plan.end_us > covered_us or lateness_us > MINUTE_US
        recovery = Recovery(lateness_us=lateness_us, settled_us=max(covered_us, plan.end_us), settled_at_us=now_us)
        covered_us, now_us = recovery.settled_us, now_us + 30 * US_PER_S
    pytest.fail("never went live")


@pytest.mark.parametrize(
    ("away_s", "minutes"), [(0, 1), (1, 2), (60, 2), (61, 3), (120, 3), (180, 4), (181, 5), (240, 5)]
)
def test_short_absence_asks_for_its_length_and_a_minute(away_s: int, minutes: int) -> None:
    """Rounded up."""
    assert _plan(away_s * US_PER_S) == Live(minutes)


def test_lateness_is_asked_for_on_top_of_the_margin() -> None:
    """X that selects by `event_at` left out half of the events 200 s late after a short drop: 6 to 8, in no gap."""
    assert _plan(20 * US_PER_S, Recovery(lateness_us=100 * US_PER_S)) == Live(3)
    assert isinstance(_plan(50 * US_PER_S, Recovery(lateness_us=200 * US_PER_S)), Replay)


def test_lateness_after_a_replay_needs_no_other_one() -> None:
    """It has just brought what is late: a second one would bring no more, forever."""
    late = Recovery(lateness_us=300 * US_PER_S)
    assert _plan(62 * US_PER_S, late, is_settled=True) == Live(5)
    assert isinstance(_plan(BACKFILL_MAX_US, late, is_settled=True), Replay)


@pytest.mark.parametrize(("late_s", "since_s"), [(200, 100), (240, 60), (300, 60)])
def test_lateness_long_after_a_replay_needs_another_one(late_s: int, since_s: int) -> None:
    """What was emitted since then is dated before the backfill; going live must not wait for a replay in no time."""
    covered_us, answered_us = _NOW - 180 * US_PER_S, _NOW - since_s * US_PER_S
    recovery = Recovery(settled_us=covered_us, settled_at_us=answered_us, lateness_us=late_s * US_PER_S)
    assert next_plan(covered_us, recovery, _NOW, Contract()) == Live(5)
    assert isinstance(next_plan(covered_us, recovery, _NOW + 1, Contract()), Replay)


def test_slices_overlap_by_five_minutes_at_first_and_by_one_after_that() -> None:
    """A quarter of an hour each."""
    covered_us = 1_799_990_000 * US_PER_S
    for settled_us, overlap_us in ((0, FIRST_OVERLAP_US), (covered_us, NEXT_OVERLAP_US)):
        plan = next_plan(covered_us, Recovery(settled_us=settled_us), _NOW, Contract())
        assert plan == Replay(covered_us - overlap_us, covered_us + SLICE_US)


@pytest.mark.parametrize("is_settled", [True, False])
def test_slices_overlap_by_no_less_than_events_are_late(*, is_settled: bool) -> None:
    """What X selects by date and emits later than the overlap was left out of both slices, also of short ones."""
    covered_us = 1_799_990_000 * US_PER_S
    recovery = Recovery(
        slice_us=SHORTEST_SLICE_US, lateness_us=200 * US_PER_S, settled_us=covered_us if is_settled else 0
    )
    plan = next_plan(covered_us, recovery, _NOW, Contract())
    assert plan == Replay(covered_us - 200 * US_PER_S, covered_us + SHORTEST_SLICE_US)


@pytest.mark.parametrize(
    ("contract", "away_min", "cause"),
    [
        (Contract(), 25 * 60, GapCause.OUTAGE_TOO_LONG),
        (Contract(replay_refusals=2), 60, GapCause.REPLAY_REFUSED),
        (Contract(2, 2), 60, GapCause.REPLAY_REFUSED),
        (Contract(backfill_refusals=2), 2, GapCause.BACKFILL_REFUSED),
    ],
)
def test_what_is_not_reached_is_a_gap_with_its_cause(contract: Contract, away_min: int, cause: GapCause) -> None:
    """The cause tells the operator what to see to."""
    covered_us = _NOW - away_min * MINUTE_US
    gap = unreached(next_plan(covered_us, NOTHING_LEARNED, _NOW, contract), covered_us, _NOW)
    assert gap is not None
    assert gap.cause is cause


def test_backfill_granted_too_late_leaves_a_gap() -> None:
    """X's answer, not the question, says from when the backfill counts."""
    covered_us, answered_us = _NOW - 3 * MINUTE_US, _NOW + 2 * MINUTE_US
    expected = Gap(covered_us, answered_us - 4 * MINUTE_US, GapCause.CONNECT_TOO_SLOW)
    assert unreached(Live(4), covered_us, answered_us) == expected


def test_one_refusal_proves_nothing_and_the_second_asks_for_less() -> None:
    """A 403 from a box on the way gave backfill up for good; a refused plain connection disproves both."""
    slice_, contract = Replay(0, 1), Contract()
    assert contract.refused(slice_).has_replay
    contract = contract.refused(slice_).refused(slice_)
    assert (contract.has_replay, contract.has_backfill) == (False, True)
    contract = contract.refused(Live(5)).refused(Live(5))
    assert (contract.has_replay, contract.has_backfill) == (False, False)
    assert contract.refused(Live(0)) == Contract()


@pytest.mark.parametrize(
    ("plan", "remains"), [(Replay(0, 1), Contract(1, 0)), (Live(1), Contract(0, 1)), (Live(0), Contract(1, 1))]
)
def test_grant_disproves_the_refusals_of_its_kind(plan: Plan, remains: Contract) -> None:
    """Only refusals in a row are believed."""
    assert Contract(1, 1).granted(plan) == remains


@pytest.mark.parametrize(("plan", "counts"), [(Replay(0, 1), (0, 1)), (Live(5), (1, 0))], ids=["replay", "backfill"])
def test_contract_allows_a_plan_until_its_kind_is_refused_twice(plan: Plan, counts: tuple[int, int]) -> None:
    """Whatever was refused of the other kind."""
    backfill, replay_ = counts
    assert Contract(2 - 2 * backfill, 2 - 2 * replay_).allows(plan)
    assert Contract(backfill, replay_).allows(plan)
    assert not Contract(2 * backfill, 2 * replay_).allows(plan)


def test_live_connection_is_outdated_where_its_margin_is_small_and_a_better_plan_can_be_made() -> None:
    """By the time of X's answer; a slice is not, nor what cannot be bettered."""
    reach_us, limit_us = _NOW - 5 * MINUTE_US, LEAST_MARGIN_US
    everything, nothing_more = Contract(), Contract(2, 2)
    assert not is_outdated(Live(5), reach_us + limit_us, NOTHING_LEARNED, _NOW, everything)
    assert is_outdated(Live(5), reach_us + limit_us - 1, NOTHING_LEARNED, _NOW, everything)
    late = Recovery(lateness_us=MINUTE_US)
    assert is_outdated(Live(5), reach_us + limit_us, late, _NOW, everything)
    assert not is_outdated(Live(0, GapCause.REPLAY_REFUSED), reach_us - MINUTE_US, NOTHING_LEARNED, _NOW, nothing_more)
    assert not is_outdated(Replay(_NOW - MINUTE_US, _NOW), reach_us, NOTHING_LEARNED, _NOW, everything)


def test_range_in_doubt_comes_first_as_far_as_it_is_in_reach() -> None:
    """A slice and its overlap at a time; not where X grants no replay."""
    start_us = (_NOW // US_PER_S) * US_PER_S - 60 * MINUTE_US
    recovery = NOTHING_LEARNED.suspected(start_us, start_us + 40 * MINUTE_US, Suspicion.REPLAY_INCOMPLETE)
    plan = next_plan(_NOW, recovery, _NOW, Contract())
    assert plan == Replay(start_us, start_us + 20 * MINUTE_US, is_refetch=True)
    assert next_plan(_NOW, recovery, _NOW, Contract(replay_refusals=2)) == Live(1)
    later_us = _NOW + REPLAY_REACH_US - 50 * MINUTE_US
    partly = next_plan(_NOW, recovery, later_us, Contract())
    assert isinstance(partly, Replay)
    assert (partly.start_us - start_us) // MINUTE_US == 12
    gone_us = later_us + 60 * MINUTE_US
    assert next_plan(gone_us, recovery, gone_us, Contract()) == Live(1)
    last_us = start_us + 40 * MINUTE_US + REPLAY_REACH_US - REPLAY_MARGIN_US  # reach begins where the range ends
    assert next_plan(last_us, recovery, last_us, Contract()) == Live(1)


@given(start_us=st.integers(0, 2 * _NOW), length_us=st.integers(0, REPLAY_REACH_US))
def test_replay_is_cut_to_whole_seconds(start_us: int, length_us: int) -> None:
    """Downwards at both ends: X takes no fractions, and what is asked for begins no later than wanted."""
    slice_ = replay(start_us, start_us + length_us)
    assert slice_.start_us % US_PER_S == slice_.end_us % US_PER_S == 0
    assert 0 <= start_us - slice_.start_us < US_PER_S
    assert 0 <= start_us + length_us - slice_.end_us < US_PER_S


@given(away_us=st.integers(6 * MINUTE_US, 400 * 24 * 60 * MINUTE_US), recovery=_RECOVERIES)
def test_slice_that_is_planned_is_within_reach_with_a_margin(away_us: int, recovery: Recovery) -> None:
    """To the second to which it is cut."""
    plan = next_plan(_NOW - away_us, recovery, _NOW, Contract())
    assert isinstance(plan, Replay)
    assert is_grantable(plan, _NOW + REPLAY_MARGIN_US - US_PER_S)


def test_plan_is_grantable_within_x_s_reach_and_not_in_its_future() -> None:
    """Whatever else the contract says; a live connection can always be asked for."""
    oldest_us = _NOW - REPLAY_REACH_US
    assert is_grantable(Replay(oldest_us, _NOW), _NOW)
    assert not is_grantable(Replay(oldest_us - 1, _NOW), _NOW)
    assert not is_grantable(Replay(oldest_us, _NOW + 1), _NOW)
    assert not is_grantable(Replay(oldest_us + 1, oldest_us + 1), _NOW)
    assert is_grantable(Live(5), _NOW)
