"""Replicas that are killed at the worst moments: promises `every_event_once` and `order_per_entity`."""

import pytest

from tests.faults.points import Fault, Point
from tests.faults.stage import Stage

_AT_WORK = (
    Point.AFTER_RECEIVE,
    Point.AFTER_ENCODE,
    Point.MID_PRODUCE,
    Point.BEFORE_COMMIT,
    Point.AFTER_COMMIT,
    Point.INITIATED,
    Point.RESTORE,
    Point.BACKFILL,
)
"""Points that every replica passes which takes a history up, in whatever order they come."""
_LATEST_PASSAGE = 8
_AWAY_S = 600.0
_SOON = 3
"""Deliveries after which each of two lives ends: what the first one caught up with is not replayed in the second."""


@pytest.mark.fires("kill at first-commit", *(f"kill at {point}" for point in _AT_WORK))
def test_every_event_once_whenever_a_replica_is_killed(stage: Stage) -> None:
    """One replica after another dies, at each of the points, the first one before the first commit ever."""
    stage.start("a", Fault(Point.FIRST_COMMIT, stage.random.randint(1, 10)), is_static=True).await_strike()
    stage.start("a", is_static=True)
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    stage.up[0].kill()
    for point in stage.random.sample(_AT_WORK, len(_AT_WORK)):
        fault = Fault(point, stage.random.randint(1, _LATEST_PASSAGE))
        stage.start("a", fault, is_static=True).await_strike()
    stage.start("a", is_static=True)
    stage.conclude()


@pytest.mark.long
@pytest.mark.fires("kill at replay")
def test_order_per_entity_when_killed_while_catching_up(stage: Stage) -> None:
    """A replica that was away for ten minutes dies twice while it catches up; what was missed still comes first."""
    stage.start("a", is_static=True)
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    stage.up[0].kill()
    stage.let_time_pass(_AWAY_S)
    for _ in range(2):
        stage.start("a", Fault(Point.REPLAY, stage.random.randint(1, _SOON)), is_static=True).await_strike()
    stage.start("a", is_static=True)
    stage.conclude()
