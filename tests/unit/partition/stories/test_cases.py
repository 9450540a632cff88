"""Stories that once went wrong, each told with everything that is checked of any story."""

import pytest

from connector.coverage.gap import GapCause
from tests.unit.partition.stories.connector import Answer, Crash
from tests.unit.partition.stories.story import SOUND, Away, Connect, Restart, Sight, Step, Story, Told, Wall
from tests.unit.partition.stories.x import Lie, Manner, Traits

_BUSY = Traits(every_s=5)
_DAY_MIN = 24 * 60


def _tell(*steps: Step, traits: Traits = _BUSY, sight: Sight = Sight.BESIDE_OTHERS) -> Told:
    told = Told(Story(traits, steps, 0, sight))
    told.tell()
    return told


def _causes(told: Told) -> set[GapCause]:
    return {gap.cause for gap in told.connector.gaps}


def _lying(lie: Lie, times: int, *, lie_size: int = 0, live_s: int = 60) -> Connect:
    return Connect(times, SOUND, Manner(lie, lie_size, live_s))


@pytest.mark.slow
def test_replays_cut_after_150_lines_each_make_progress_without_a_gap() -> None:
    """199 attempts made none."""
    told = _tell(Away(120), _lying(Lie.CUT, 40, lie_size=150))
    assert told.connector.gaps == []


@pytest.mark.slow
def test_slice_in_doubt_that_is_out_of_reach_by_then_is_in_a_gap() -> None:
    """The doubt was raised at the 24 h edge: 30 events were missing, in no gap."""
    told = _tell(
        Away(30),
        _lying(Lie.EARLY_END, 1),
        Connect(1, SOUND, Manner()),
        Away(_DAY_MIN + 60),
        traits=Traits(every_s=40),
        sight=Sight.LATER,
    )
    assert _causes(told) == {GapCause.REPLAY_INCOMPLETE, GapCause.OUTAGE_TOO_LONG}


def test_slice_in_doubt_whose_second_replay_is_refused_is_in_a_gap() -> None:
    """96 events were missing, in none."""
    refusing = Connect(4, Answer(is_refused=True))
    told = _tell(Away(40), _lying(Lie.EARLY_END, 1), Connect(1), refusing, sight=Sight.LATER)
    assert told.connector.gaps


@pytest.mark.parametrize("over_min", [0, 4, 14, 16, 40])
def test_replays_that_overshoot_publish_nothing_twice(over_min: int) -> None:
    """40 minutes too much published 852 events twice."""
    _tell(Away(90), _lying(Lie.OVERSHOOT, 8, lie_size=over_min * 60))


def test_replays_that_ignore_their_range_leave_a_gap_and_coverage_moves() -> None:
    """It was frozen, and 179 events were missing below it at the end."""
    told = _tell(Away(30), _lying(Lie.IGNORED, 3, live_s=900))
    assert _causes(told) == {GapCause.REPLAY_REFUSED}


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, 20])
def test_replays_that_are_all_empty_leave_gaps(hours: int) -> None:
    """20 h were claimed as covered, with no gap."""
    told = _tell(Away(hours * 60), _lying(Lie.EMPTY, 90), traits=Traits(every_s=8))
    assert _causes(told) == {GapCause.REPLAY_UNCONFIRMED}


def test_replays_that_are_never_closed_end_in_gaps_and_go_on() -> None:
    """They made no progress for a day."""
    told = _tell(Away(60), _lying(Lie.OPEN, 12))
    assert _causes(told) == {GapCause.REPLAY_NOT_CLOSED}


@pytest.mark.slow
@pytest.mark.parametrize("late_s", [0, 30, 90, 200])
@pytest.mark.parametrize("away_min", [0.2, 1, 3, 30])
def test_events_that_are_late_are_not_lost_where_x_selects_by_date(late_s: int, away_min: float) -> None:
    """6 to 8 were missing after a short drop, in no gap."""
    told = _tell(Connect(1), Away(away_min), Connect(1), traits=Traits(5, (0, late_s), is_by_date=True))
    assert told.connector.gaps == []


@pytest.mark.parametrize("crash_after", [0, 5])
def test_process_that_was_away_after_a_replay_misses_no_late_events(crash_after: int) -> None:
    """What was emitted since the replay was dated before the backfill, and no other replay was asked for."""
    crashing = Connect(1, SOUND, Manner(live_s=60), 1, Crash(crash_after))
    long = Connect(1, SOUND, Manner(live_s=700))
    told = _tell(
        long, Away(6), Connect(1), crashing, Away(1.8), long, traits=Traits(every_s=5, late_s=(0, 200), is_by_date=True)
    )
    assert told.connector.gaps == []


def test_late_events_that_a_slow_connect_leaves_out_are_in_a_gap() -> None:
    """Almost 5 minutes late, and 20 s until X had answered: a backfill cannot reach back to them."""
    slow = Connect(2, Answer(takes_ms=20_000), Manner(live_s=900))
    told = _tell(Connect(1, SOUND, Manner(live_s=5)), Away(0.5), slow, traits=Traits(5, (290, 0), is_by_date=True))
    assert _causes(told) == {GapCause.CONNECT_TOO_SLOW}


def test_late_events_are_in_a_gap_where_x_selects_by_date_and_refuses_replays() -> None:
    """The backfill reached back to the end of coverage, and not to the dates of what was late."""
    refusing = Connect(7, Answer(is_refused=True, takes_ms=50), Manner(live_s=1, is_proper=False))
    told = _tell(Away(0.5), refusing, traits=Traits(5, (200, 0), is_by_date=True))
    assert _causes(told) == {GapCause.REPLAY_REFUSED}


@pytest.mark.parametrize("ahead_s", [-1200, 1200])
def test_wall_clock_that_is_off_at_a_restart_puts_coverage_ahead_of_nothing(ahead_s: int) -> None:
    """The first slice ended in X's future; granted, coverage was 14 minutes ahead of the truth."""
    granting = Answer(grants_future=True)
    told = _tell(Connect(1), Away(12), Wall(ahead_s), Restart(), Connect(3, granting, Manner(live_s=70)))
    assert told.connector.gaps == []


def test_short_connections_alone_move_coverage() -> None:
    """Of those that live for 5 s each none moved it; then the process dies, and they go on."""
    flapping = Connect(100, SOUND, Manner(live_s=5, is_proper=False))
    told = _tell(flapping, Connect(1, SOUND, Manner(live_s=5), 1000, Crash(2)), flapping)
    assert told.connector.gaps == []
