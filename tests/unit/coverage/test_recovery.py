"""Recovery: a replay that is cut, contradicts what is known or never ends costs attempts, and stops nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.recovery import (
    LATENESS_KEPT_US,
    MINUTE_US,
    NOTHING_LEARNED,
    PATIENCE_US,
    PATIENCE_WITH_NOTHING_US,
    SHORTEST_SLICE_US,
    SLICE_US,
    TRIES_AT_SHORTEST,
    Asked,
    Range,
    Recovery,
    Refetch,
    Settled,
    doubted,
    interrupted,
    whole,
)
from connector.events.times import US_PER_S
from tests.fakes.x import NOW_US

_ASKED = Asked(NOW_US - 5 * MINUTE_US, NOW_US + SLICE_US, NOW_US, is_refetch=False, answered_us=NOW_US)
_AGAIN = Asked(NOW_US - 5 * MINUTE_US, NOW_US + SLICE_US, NOW_US, is_refetch=True, answered_us=NOW_US)
_DOUBTED = NOTHING_LEARNED.suspected(_AGAIN.start_us, _AGAIN.end_us, Suspicion.REPLAY_UNCONFIRMED)


def _cut(recovery: Recovery, covered_us: int, now_us: int = NOW_US, *, has_brought: bool = True) -> Settled:
    """Cut the slice that `recovery` would ask for next."""
    asked = Asked(
        covered_us - MINUTE_US, covered_us + recovery.slice_us, covered_us, is_refetch=False, answered_us=NOW_US
    )
    return interrupted(recovery, asked, now_us, has_brought=has_brought)


def test_slice_that_is_cut_again_and_again_is_halved_and_in_the_end_a_minute_of_it_is_a_gap() -> None:
    """Replays cut after 150 lines each: 199 attempts, no progress."""
    recovery, lengths, now_us = NOTHING_LEARNED, list[int](), NOW_US
    settled = _cut(recovery, NOW_US)
    while not settled.gaps:
        lengths.append(recovery.slice_us)
        recovery, now_us = settled.recovery, now_us + 20 * US_PER_S
        settled = _cut(recovery, NOW_US, now_us)
    assert lengths[:4] == [SLICE_US, SLICE_US // 2, SLICE_US // 4, SLICE_US // 8]
    assert set(lengths[4:]) == {SHORTEST_SLICE_US}
    assert len(lengths) >= 3 + TRIES_AT_SHORTEST
    assert now_us - NOW_US >= PATIENCE_US
    assert settled.gaps == [Gap(NOW_US, NOW_US + MINUTE_US, GapCause.REPLAY_INTERRUPTED)]
    assert settled.covered_until_us == NOW_US + MINUTE_US


def test_replays_that_bring_nothing_at_all_say_nothing_of_the_range() -> None:
    """X delivers nothing: a shorter slice would not help, and half an hour is waited before a gap."""
    settled, now_us = _cut(NOTHING_LEARNED, NOW_US, has_brought=False), NOW_US
    while not settled.gaps:
        now_us += 60 * US_PER_S
        settled = _cut(settled.recovery, NOW_US, now_us, has_brought=False)
    assert now_us - NOW_US >= PATIENCE_WITH_NOTHING_US


def test_clock_that_was_a_year_ahead_at_the_first_try_does_not_hold_the_range_for_a_year() -> None:
    """A `Date` that X sent twice was believed, and then taken back."""
    recovery = Recovery(slice_us=SHORTEST_SLICE_US, tries=5, trying_since_us=NOW_US + 365 * 24 * 60 * MINUTE_US)
    recovery = _cut(recovery, NOW_US, NOW_US).recovery
    assert _cut(recovery, NOW_US, NOW_US + PATIENCE_US).gaps


def test_x_that_cuts_every_replay_holds_coverage_for_hours_and_not_for_ever() -> None:
    """Ranges given up in a row grow: a day is behind us in less than half of one."""
    recovery, covered_us, now_us = NOTHING_LEARNED, NOW_US, NOW_US
    while covered_us < NOW_US + 24 * 60 * MINUTE_US:
        settled = _cut(recovery, covered_us, now_us)
        recovery, covered_us = settled.recovery, settled.covered_until_us
        now_us += 16 * US_PER_S
    assert now_us < NOW_US + 12 * 60 * MINUTE_US


def test_whole_slice_ends_the_row_of_lost_ones() -> None:
    """And the next one may be twice as long."""
    recovery = Recovery(slice_us=SHORTEST_SLICE_US, tries=2, lost_in_row=5)
    settled = whole(recovery, _ASKED, has_brought=True)
    assert (settled.recovery.slice_us, settled.recovery.tries, settled.recovery.lost_in_row) == (2 * MINUTE_US, 0, 0)
    assert (settled.covered_until_us, settled.gaps) == (_ASKED.end_us, [])
    assert settled.recovery.last_slice == Range(_ASKED.start_us, _ASKED.end_us)


def test_doubt_is_asked_for_once_more_and_then_a_gap() -> None:
    """Every replay answered with a proper empty body: 20 h were claimed as covered."""
    first = doubted(NOTHING_LEARNED, _ASKED, Suspicion.REPLAY_UNCONFIRMED)
    assert first.recovery.refetch == Refetch(_ASKED.start_us, _ASKED.end_us, Suspicion.REPLAY_UNCONFIRMED)
    assert (first.covered_until_us, first.gaps) == (NOW_US, [])
    second = doubted(first.recovery, _AGAIN, Suspicion.REPLAY_UNCONFIRMED)
    assert second.gaps == [Gap(_AGAIN.start_us, _AGAIN.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert second.recovery.refetch is None
    assert second.covered_until_us == _AGAIN.end_us


def test_doubt_while_replays_are_distrusted_is_a_gap_at_once() -> None:
    """X would only repeat itself; a replay that brings something is trusted again."""
    distrust = Recovery(distrusts_replay=True)
    settled = doubted(distrust, _ASKED, Suspicion.REPLAY_UNCONFIRMED)
    assert settled.gaps == [Gap(NOW_US, _ASKED.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert whole(distrust, _ASKED, has_brought=False).recovery.distrusts_replay
    assert not whole(distrust, _ASKED, has_brought=True).recovery.distrusts_replay


def test_refetch_that_is_cut_at_the_shortest_is_a_gap_of_the_first_suspicion() -> None:
    """What is left of the range is asked for next."""
    recovery = Recovery(
        refetch=_DOUBTED.refetch,
        slice_us=SHORTEST_SLICE_US,
        tries=TRIES_AT_SHORTEST - 1,
        trying_since_us=NOW_US - PATIENCE_US,
    )
    piece = Asked(_AGAIN.start_us, _AGAIN.start_us + MINUTE_US, NOW_US, is_refetch=True, answered_us=NOW_US)
    settled = interrupted(recovery, piece, NOW_US, has_brought=True)
    assert settled.gaps == [Gap(piece.start_us, piece.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert settled.recovery.refetch == Refetch(piece.end_us, _AGAIN.end_us, Suspicion.REPLAY_UNCONFIRMED)


def test_refetch_that_is_whole_is_remembered_as_such() -> None:
    """A slice that ended early twice was believed the second time: now a later event shows it, and it is a gap."""
    recovery = whole(_DOUBTED, _AGAIN, has_brought=True).recovery
    assert recovery.refetch is None
    assert (recovery.last_slice, recovery.is_last_refetched) == (Range(_AGAIN.start_us, _AGAIN.end_us), True)
    assert not whole(recovery, _ASKED, has_brought=True).recovery.is_last_refetched


def test_range_in_doubt_that_can_no_longer_be_asked_for_is_a_gap() -> None:
    """A doubt at the 24 h edge, or whose second replay was refused: 30 and 96 events were missing, in no gap."""
    recovery, gaps = _DOUBTED.without_refetch()
    assert gaps == [Gap(_AGAIN.start_us, _AGAIN.end_us, GapCause.REPLAY_UNCONFIRMED)]
    assert recovery.without_refetch() == (recovery, [])


def test_lateness_is_the_largest_of_the_last_hour() -> None:
    """A smaller one counts when a whole hour has passed without the larger one."""
    recovery = NOTHING_LEARNED.late(200, NOW_US)
    assert recovery.late(100, NOW_US + LATENESS_KEPT_US - 1).lateness_us == 200
    next_hour = recovery.late(100, NOW_US + LATENESS_KEPT_US)
    assert next_hour.lateness_us == 200
    assert next_hour.late(10, NOW_US + 2 * LATENESS_KEPT_US).lateness_us == 100


def test_lateness_is_not_forgotten_within_the_hour() -> None:
    """However many events are less late."""
    recovery = NOTHING_LEARNED.late(200, NOW_US).late(100, NOW_US + 1).late(50, NOW_US + 2)
    assert (recovery.lateness_us, recovery.lateness_lately_us, recovery.lateness_since_us) == (200, 200, NOW_US)


def test_lateness_seen_again_and_again_is_not_forgotten_for_a_smaller_one() -> None:
    """Once 290 s and 280 s every ten minutes: 12 s after an hour made events of the next drop vanish."""
    recovery = NOTHING_LEARNED.late(290, NOW_US)
    for minute in range(10, 60, 10):
        recovery = recovery.late(280, NOW_US + minute * MINUTE_US)
    for minute in range(60, 180, 10):
        recovery = recovery.late(12, NOW_US + minute * MINUTE_US).late(280, NOW_US + minute * MINUTE_US)
        assert recovery.lateness_us >= 280


_RECOVERIES = st.builds(
    Recovery,
    refetch=st.none() | st.builds(Refetch, st.integers(0, 9), st.integers(10, 19), st.sampled_from(Suspicion)),
    slice_us=st.integers(SHORTEST_SLICE_US, SLICE_US),
    tries=st.integers(0, 3),
    last_slice=st.none() | st.builds(Range, st.integers(0, 9), st.integers(10, 19)),
    is_last_refetched=st.booleans(),
    distrusts_replay=st.booleans(),
    lateness_us=st.integers(0, 300),
)


@pytest.mark.slow
@given(recovery=_RECOVERIES)
def test_recovery_reads_back_as_itself(recovery: Recovery) -> None:
    """The next process knows what this one has learned."""
    assert Recovery.from_text(recovery.as_text()) == recovery


def test_entry_without_recovery_begins_with_nothing_learned() -> None:
    """Written by a version that had none."""
    assert Recovery.from_text(None) == NOTHING_LEARNED


@pytest.mark.parametrize("text", ["", "{", '{"slice_us": "a"}', "[]"])
def test_recovery_that_cannot_be_read_is_an_error(text: str) -> None:
    """A ledger that cannot be trusted ends the partition."""
    with pytest.raises(ValueError, match="recovery"):
        Recovery.from_text(text)


def test_empty_slice_vouches_for_nothing_and_is_in_doubt_with_the_one_before() -> None:
    """Of two falsely empty slices in a row only the second was found out: 756 events were missing, in no gap."""
    second = Asked(
        _ASKED.end_us - MINUTE_US, _ASKED.end_us + SLICE_US, _ASKED.end_us, is_refetch=False, answered_us=NOW_US
    )
    first = whole(NOTHING_LEARNED, _ASKED, has_brought=False).recovery
    assert whole(first, second, has_brought=False).recovery.last_slice == Range(_ASKED.start_us, second.end_us)
    assert whole(first, second, has_brought=True).recovery.last_slice == Range(second.start_us, second.end_us)


def test_empty_slices_that_had_come_once_more_stay_so() -> None:
    """They are a gap when they are in doubt again, not asked for without end."""
    again = whole(NOTHING_LEARNED, _AGAIN, has_brought=False).recovery
    behind = Asked(
        _AGAIN.end_us - MINUTE_US, _AGAIN.end_us + SLICE_US, _AGAIN.end_us, is_refetch=False, answered_us=NOW_US
    )
    assert whole(again, behind, has_brought=False).recovery.is_last_refetched
    assert not whole(again, behind, has_brought=True).recovery.is_last_refetched
