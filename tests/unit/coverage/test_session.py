"""Overlaps: each sign of a stretch that was not whole is seen, asked for once more, and then let be."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.plan import (
    FIRST_OVERLAP_US,
    MINUTE_US,
    NEXT_OVERLAP_US,
    SLICE_US,
    Live,
    Plan,
    Replay,
    is_grantable,
)
from connector.coverage.session import LATENESS_US, Doubt, Overlap
from connector.events.times import US_PER_S
from tests.unit.x.fakes import NOW_US

_C = NOW_US - 60 * MINUTE_US
_FIRST = Replay(_C - FIRST_OVERLAP_US, _C + SLICE_US)
_SECOND = Replay(_FIRST.end_us - NEXT_OVERLAP_US, _FIRST.end_us + SLICE_US)
_NOTHING_KNOWN = 0


def _after_first(overlap: Overlap | None = None) -> Overlap:
    """Return the overlap after a whole first slice, within the second one."""
    overlap = overlap or Overlap()
    overlap.opened(_FIRST, _C, NOW_US, _NOTHING_KNOWN)
    assert overlap.doubt_slice() is None
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _NOTHING_KNOWN)
    return overlap


def _live(
    overlap: Overlap, *, minutes: int = 2, away_us: int = MINUTE_US // 2, known_us: int = NOW_US - MINUTE_US
) -> None:
    """Open a live connection after an absence; the newest known event is dated `known_us`."""
    overlap.opened(Live(minutes), NOW_US - away_us, NOW_US, known_us)


@pytest.mark.parametrize(
    ("event_at_us", "is_doubted"),
    [
        (_SECOND.start_us - 1, False),
        (_SECOND.start_us, True),
        (_FIRST.end_us - LATENESS_US - 1, True),
        (_FIRST.end_us - LATENESS_US, False),
        (_FIRST.end_us + MINUTE_US, False),
    ],
)
def test_event_that_is_new_where_all_is_known_casts_doubt_on_the_slice_before(
    event_at_us: int,
    is_doubted: bool,  # noqa: FBT001 - parametrized
) -> None:
    """From where the slice begins to where coverage ended, but for what X may have emitted late."""
    overlap = _after_first()
    assert overlap.doubt_new_event(event_at_us) == (Doubt.NEW_WHERE_ALL_IS_KNOWN if is_doubted else None)
    assert overlap.again == (_FIRST if is_doubted else None)


def test_first_slice_has_none_before_it_to_be_doubted() -> None:
    """What a live connection did not bring is simply brought now."""
    overlap = Overlap()
    overlap.opened(_FIRST, _C, NOW_US, _NOTHING_KNOWN)
    assert overlap.doubt_new_event(_C - MINUTE_US) is None


def test_slice_is_not_doubted_again_after_it_came_once_more() -> None:
    """Neither while it comes nor in the overlap after that, whatever is new there."""
    overlap = _after_first()
    assert overlap.doubt_new_event(_SECOND.start_us)
    overlap.opened(_FIRST, _FIRST.end_us, NOW_US, _FIRST.end_us)
    assert overlap.doubt_new_event(_SECOND.start_us) is None
    assert overlap.doubt_slice() is None
    assert overlap.again is None
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _NOTHING_KNOWN)
    assert overlap.doubt_new_event(_SECOND.start_us) is None


def test_slice_that_breaks_off_when_it_comes_once_more_is_still_wanted() -> None:
    """Until it comes whole."""
    overlap = _after_first()
    assert overlap.doubt_new_event(_SECOND.start_us)
    for _ in range(3):
        overlap.opened(_FIRST, _FIRST.end_us, NOW_US, _FIRST.end_us)
        assert overlap.again == _FIRST
    assert overlap.doubt_slice() is None
    assert overlap.again is None


def test_slice_that_repeats_nothing_of_what_it_must_is_asked_for_once_more() -> None:
    """It is the slice itself that is not whole; the second time it is believed."""
    overlap = _after_first()
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _SECOND.start_us + LATENESS_US + 1)
    assert overlap.doubt_slice() is Doubt.NOTHING_REPEATED
    assert overlap.again == _SECOND
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _SECOND.end_us)
    assert overlap.doubt_slice() is None
    assert overlap.again is None


@pytest.mark.parametrize("known_us", [_NOTHING_KNOWN, _SECOND.start_us, _SECOND.start_us + LATENESS_US])
def test_slice_of_a_quiet_partition_need_not_repeat_anything(known_us: int) -> None:
    """Nothing known is dated within it, or only just."""
    overlap = _after_first()
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, known_us)
    assert overlap.doubt_slice() is None


def test_slice_that_repeats_something_is_whole() -> None:
    """One known event is enough."""
    overlap = _after_first()
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _FIRST.end_us)
    overlap.repeated()
    assert overlap.doubt_slice() is None
    assert overlap.again is None


def test_repetition_on_one_connection_says_nothing_of_the_next() -> None:
    """Each must bring its own."""
    overlap = _after_first()
    overlap.repeated()
    overlap.opened(_SECOND, _FIRST.end_us, NOW_US, _FIRST.end_us)
    assert overlap.doubt_slice() is Doubt.NOTHING_REPEATED


def test_backfill_that_repeats_nothing_of_what_it_must_is_made_up_for_by_a_replay() -> None:
    """From well before coverage ended to the connect, in whole seconds."""
    overlap = Overlap()
    overlap.opened(Live(2), NOW_US - MINUTE_US, NOW_US + 1, NOW_US - MINUTE_US)
    assert overlap.doubt_backfill() is Doubt.NOTHING_REPEATED
    assert overlap.again == Replay(NOW_US - MINUTE_US - FIRST_OVERLAP_US, NOW_US)


@given(behind_us=st.integers(0, 24 * 60 * MINUTE_US), away_us=st.integers(0, 4 * MINUTE_US))
def test_stretch_to_make_up_for_a_backfill_can_be_granted_whatever_the_wall_clock_says(
    behind_us: int, away_us: int
) -> None:
    """A wall clock that is behind dates the answer before what is covered; X would refuse such a stretch for ever."""
    overlap = Overlap()
    covered_us = NOW_US - away_us
    overlap.opened(Live(5), covered_us, NOW_US - behind_us, covered_us)
    assert overlap.doubt_backfill() is Doubt.NOTHING_REPEATED
    assert overlap.again is not None
    assert is_grantable(overlap.again, NOW_US)
    assert overlap.again.start_us <= covered_us - FIRST_OVERLAP_US
    assert overlap.again.end_us > covered_us - US_PER_S


@pytest.mark.parametrize(
    ("minutes", "known_us"),
    [
        (2, _NOTHING_KNOWN),
        (2, NOW_US - 2 * MINUTE_US + LATENESS_US),
        (2, NOW_US - 2 * MINUTE_US - 90 * US_PER_S),
        (0, NOW_US - MINUTE_US),
    ],
    ids=["nothing known", "at its edge", "dated long before", "no backfill"],
)
def test_backfill_that_need_not_repeat_anything_is_not_doubted(minutes: int, known_us: int) -> None:
    """A quiet partition is no sign of anything."""
    overlap = Overlap()
    _live(overlap, minutes=minutes, known_us=known_us)
    assert overlap.doubt_backfill() is None


def test_backfill_that_repeats_something_is_not_doubted() -> None:
    """One known event is enough."""
    overlap = Overlap()
    _live(overlap)
    overlap.repeated()
    assert overlap.doubt_backfill() is None


def test_x_that_never_gives_a_backfill_is_doubted_once() -> None:
    """No endless alternation between a live connection and a replay; doubt returns when one has been seen to work."""
    overlap = Overlap()
    doubts = []
    for repeats in (False, False, False, True, False, False):
        _live(overlap)
        if repeats:
            overlap.repeated()
        doubts.append(overlap.doubt_backfill())
        if overlap.again is not None:
            overlap.opened(overlap.again, NOW_US - MINUTE_US, NOW_US, NOW_US)
            overlap.repeated()
            assert overlap.doubt_slice() is None
    nothing = Doubt.NOTHING_REPEATED
    assert doubts == [nothing, None, None, None, nothing, None]


def test_known_events_of_a_replay_do_not_show_that_a_backfill_works() -> None:
    """They are another request's answer."""
    overlap = Overlap()
    _live(overlap)
    assert overlap.doubt_backfill()
    overlap.opened(_FIRST, _C, NOW_US, NOW_US)
    overlap.repeated()
    _live(overlap)
    assert overlap.doubt_backfill() is None


@pytest.mark.parametrize("plan", [Live(5), _SECOND])
def test_stretch_that_is_not_asked_for_is_given_up(plan: Plan) -> None:
    """X refuses replays or no longer reaches back; whatever comes instead is not doubted for the same reason."""
    overlap = _after_first()
    assert overlap.doubt_new_event(_SECOND.start_us)
    overlap.opened(plan, _FIRST.end_us, _FIRST.end_us + MINUTE_US, _FIRST.end_us)
    assert overlap.again is None
    assert overlap.doubt_slice() is None
    assert overlap.doubt_backfill() is None


def test_backfill_after_the_last_slice_can_cast_doubt_on_it() -> None:
    """While the backfill runs; what is emitted later may be late, and means nothing any more."""
    overlap = _after_first()
    assert overlap.doubt_slice() is None
    at_us = _SECOND.end_us + 3 * MINUTE_US
    overlap.opened(Live(4), _SECOND.end_us, at_us, _NOTHING_KNOWN)
    assert overlap.doubt_new_event(_SECOND.end_us - MINUTE_US // 2) is Doubt.NEW_WHERE_ALL_IS_KNOWN
    assert overlap.again == _SECOND


def test_slice_is_out_of_doubt_when_the_backfill_after_it_is_over() -> None:
    """An event dated 90 s back, hours later, does not bring it back; nor does the next connection."""
    overlap = _after_first()
    assert overlap.doubt_slice() is None
    at_us = _SECOND.end_us + 3 * MINUTE_US
    overlap.opened(Live(4), _SECOND.end_us, at_us, _NOTHING_KNOWN)
    assert overlap.doubt_backfill() is None
    assert overlap.doubt_new_event(_SECOND.end_us - MINUTE_US // 2) is None
    later_us = at_us + 60 * MINUTE_US
    overlap.opened(Live(2), later_us - MINUTE_US // 2, later_us, _NOTHING_KNOWN)
    assert overlap.doubt_new_event(later_us - 90 * US_PER_S) is None


@pytest.mark.parametrize("plan", [Live(0), Live(2), Replay(_SECOND.end_us, NOW_US)])
def test_slice_is_out_of_doubt_when_nothing_overlaps_with_it(plan: Plan) -> None:
    """What follows after a hole cannot tell; so no id is kept for its sake once coverage has moved on."""
    overlap = _after_first()
    assert overlap.doubt_slice() is None
    overlap.opened(plan, _SECOND.end_us, NOW_US, _NOTHING_KNOWN)
    assert overlap.forgettable_until_us(_SECOND.end_us + 1) == _SECOND.end_us + 1


def test_events_of_a_stretch_that_may_come_again_are_not_forgotten() -> None:
    """Coverage counts as its begin and the overlap that a live connection would have, while it may be in doubt.

    That it may be until coverage moves on: a process that begins then does not know that it came twice.
    """
    overlap = Overlap()
    assert overlap.forgettable_until_us(_C) == _C
    overlap = _after_first(overlap)
    assert overlap.forgettable_until_us(_FIRST.end_us) == _FIRST.start_us + FIRST_OVERLAP_US
    assert overlap.doubt_new_event(_SECOND.start_us)
    assert overlap.forgettable_until_us(_FIRST.end_us) == _FIRST.start_us + FIRST_OVERLAP_US
    overlap.opened(_FIRST, _FIRST.end_us, NOW_US, _FIRST.end_us)
    assert overlap.doubt_slice() is None
    for at in (overlap, Overlap(_FIRST)):
        assert at.forgettable_until_us(_FIRST.end_us) == _FIRST.start_us + FIRST_OVERLAP_US
    assert overlap.forgettable_until_us(_FIRST.end_us + 1) == _FIRST.end_us + 1


def test_events_are_never_kept_longer_than_coverage_asks_for() -> None:
    """A stretch that lies ahead holds nothing back."""
    overlap = _after_first()
    assert overlap.forgettable_until_us(_C - MINUTE_US) == _C - MINUTE_US


_STEPS = st.tuples(
    st.sampled_from(["live", "first", "next"]),
    st.lists(st.one_of(st.just("known"), st.integers(-20, 20)), max_size=3),
    st.sampled_from(["whole", "cut", "out of reach"]),
)


@given(steps=st.lists(_STEPS, max_size=40), is_busy=st.booleans())
def test_doubts_are_bounded_by_whole_slices_and_live_connections(
    steps: Sequence[tuple[str, list[str | int], str]], *, is_busy: bool
) -> None:
    """Whatever X does, everything gets on: a connection that comes once more is never itself a reason for another."""
    overlap, covered_us, known_us = Overlap(), NOW_US, NOW_US if is_busy else 0
    reasons, doubts = 0, list[Doubt]()
    for kind, events, end in steps:
        again = overlap.again if end != "out of reach" else None
        start_us = covered_us - (FIRST_OVERLAP_US if kind == "first" else NEXT_OVERLAP_US)
        own: Plan = Live(4) if kind == "live" else Replay(start_us, covered_us + SLICE_US)
        plan = again or own
        overlap.opened(plan, covered_us, covered_us + 2 * MINUTE_US, known_us)
        doubt: Doubt | None = None
        for event in events:
            if event == "known":
                overlap.repeated()
            elif doubt is None:
                assert isinstance(event, int)
                doubt = overlap.doubt_new_event(covered_us + event * MINUTE_US // 4)
        is_doubted = doubt is not None
        if not is_doubted and isinstance(plan, Live):
            doubt = overlap.doubt_backfill()
            covered_us += 3 * MINUTE_US if doubt is None else 0
        elif not is_doubted and isinstance(plan, Replay) and end != "cut":
            doubt = overlap.doubt_slice()
            covered_us = max(covered_us, plan.end_us) if doubt is None else covered_us
        known_us = covered_us if is_busy else 0
        reasons += again is None and (isinstance(plan, Live) or not is_doubted)
        if doubt is not None:
            assert again is None
            doubts.append(doubt)
    assert len(doubts) <= reasons


@pytest.mark.parametrize("is_early", [True, False])
def test_x_that_closes_every_slice_early_costs_two_requests_more_a_slice(is_early: bool) -> None:  # noqa: FBT001 - parametrized
    """One that is given up and one that comes once more, as short as before: then catching up goes on."""
    overlap, covered_us, requests, slices = Overlap(), _C, 0, 0
    while covered_us < NOW_US:
        plan = overlap.again or Replay(covered_us - NEXT_OVERLAP_US, covered_us + SLICE_US)
        requests += 1
        overlap.opened(plan, covered_us, NOW_US, _NOTHING_KNOWN)
        if is_early and overlap.doubt_new_event(covered_us - MINUTE_US // 2):
            continue
        assert overlap.doubt_slice() is None
        slices += plan.end_us > covered_us
        covered_us = max(covered_us, plan.end_us)
    assert slices == 4
    assert requests == (3 * slices - 2 if is_early else slices)
