"""Replicas that are killed at the worst moments: promises `every_event_once` and `order_per_entity`."""

import time

import pytest
from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.faults.stage import Replica, Stage
from tests.rig.fault_points import Fault, Point
from tests.rig.oracle import EVENTS
from tests.rig.process import wait_until
from tests.rig.readback import read_topics
from tests.rig.service import STREAM_PARTITIONS

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
_ENDED_BY_KAFKA_S = 15.0 + 10.0
"""A transaction may be open for 15 s, and brokers look every 10 s."""
_ENDED_BY_SUCCESSOR_S = 10.0
_SLACK_S = 4.0
_ANSWER_S = 20.0
_HELD = "reader: held by the transaction of a dead replica"
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


@pytest.mark.parametrize("is_static", [pytest.param(False, marks=pytest.mark.long), True])
@pytest.mark.fires("kill at before-full-commit", _HELD)
def test_reader_is_held_by_the_transaction_of_a_dead_replica_no_longer_than_promised(
    stage: Stage,
    is_static: bool,  # noqa: FBT001 - parametrized
) -> None:
    """It holds a part of every stream partition; a successor with the same instance id ends it at once, else Kafka."""
    fault = Fault(Point.BEFORE_FULL_COMMIT, stage.random.randint(1, 5))
    _await_full_strike(stage, stage.start("a", fault, is_static=is_static))
    began, limit_s = time.monotonic(), _ENDED_BY_KAFKA_S + _SLACK_S
    assert _hides_events(stage)
    stage.note(_HELD)
    if is_static:
        assert stage.start("a", is_static=True).probe.is_live
        began, limit_s = time.monotonic(), _ENDED_BY_SUCCESSOR_S
    read_topics(stage.bootstrap_servers, _event_topics(stage))
    held_s = time.monotonic() - began
    assert held_s < limit_s
    if not is_static:
        stage.start("a")
    stage.await_owned()
    stage.conclude()
    assert stage.unsound() == {}


def _await_full_strike(stage: Stage, replica: Replica) -> None:
    """Let X emit on all stream partitions at once, again and again, until the replica dies."""
    stage.await_owned()

    def emit() -> bool:
        if not replica.is_struck:
            stage.emit_on(STREAM_PARTITIONS, 3)
        return replica.is_struck

    wait_until(emit, "a transaction has a part of every stream partition")
    replica.await_strike()


def _event_topics(stage: Stage) -> list[str]:
    return [f"{stage.prefix}.{event}" for event in EVENTS]


def _hides_events(stage: Stage) -> bool:
    """Return whether a reader of committed records cannot read an event topic to its end."""
    admin = AdminClient({"bootstrap.servers": stage.bootstrap_servers})
    topics = admin.list_topics(timeout=_ANSWER_S).topics
    places = {
        TopicPartition(topic, partition): OffsetSpec.latest()
        for topic in _event_topics(stage)
        for partition in topics[topic].partitions
    }
    ends = [
        {(place.topic, place.partition): future.result(_ANSWER_S).offset for place, future in found.items()}
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        if (found := admin.list_offsets(places, isolation_level=level))
    ]
    return ends[0] != ends[1]
