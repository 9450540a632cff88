"""Brokers that go away and come back: promises `bounded` and `every_event_once`."""

import os
import signal
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.stage import Replica, Stage
from tests.rig.fault_points import Deed, Fault, Point
from tests.rig.kafka import KafkaCluster
from tests.rig.process import wait_until
from tests.rig.proxy import KafkaProxy
from tests.rig.readback import read_topics
from tests.rig.service import STREAM_PARTITIONS

_AWAY_S = 120.0 if os.environ.get("ROUNDS") else 10.0
"""How long the brokers stay away once the replica works no stream partition any more."""
_GIVES_UP_S = 60.0
"""Its session ends sooner than this, and so does every transaction."""
_GOES_ON_S = 60.0
_CHANNEL_LIMIT = 1024**2
_MOST_ON_TOP_BYTES = 100 * 1024**2
_HEAVY_RATE = 1000.0
_ANSWER_S = 30.0
_SLOW_S = 5.0
_RESOLVED_S = 20.0
"""A stream partition whose part of a failed transaction is not resolved by then restarts from its ledger."""
_LONG_SESSION = {"session_timeout_ms": 30_000}
"""With the group's coordinator gone for some seconds, a short session would end, and no replica would own anything."""
_ALL_AWAY = "broker: all away"
_LEADER_KILLED = "broker: leader killed meanwhile"
_RESTARTED = "broker: restarted in turn"
_LEADER_KILLED_IN_COMMIT = "broker: a ledger's leader killed in the commit"
_COORDINATOR_KILLED_IN_COMMIT = "broker: the coordinator killed in the commit"
_STOPPED = "broker: a ledger's leader stopped for seconds"


@pytest.mark.fires(_ALL_AWAY)
def test_bounded_while_all_brokers_are_away(stage: Stage, proxy: KafkaProxy) -> None:
    """Under load the process holds no more than its channels; afterwards it goes on by itself and misses nothing."""
    replica = stage.start(
        "a", kafka={"bootstrap_servers": proxy.address}, pipeline={"channel_limit_bytes": _CHANNEL_LIMIT}
    )
    stage.await_owned()
    stage.emit_on(STREAM_PARTITIONS)
    stage.emit_steadily()
    stage.await_caught_up()
    before = _resident_bytes(replica)
    proxy.go_away()
    stage.simulator.set_rate(_HEAVY_RATE)
    most = _most_resident_bytes(replica, lambda: _has_given_up(replica), _GIVES_UP_S)
    written = _ledger_records(stage)
    assert len(written) > len(STREAM_PARTITIONS)
    until = time.monotonic() + _AWAY_S
    most = max(most, _most_resident_bytes(replica, lambda: time.monotonic() >= until, _AWAY_S + _ANSWER_S))
    assert _has_given_up(replica)
    assert _ledger_records(stage) == written
    stage.note(_ALL_AWAY)
    stage.emit_steadily()
    proxy.come_back()
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    assert most < before + len(STREAM_PARTITIONS) * _CHANNEL_LIMIT + _MOST_ON_TOP_BYTES
    stage.conclude()


def _has_given_up(replica: Replica) -> bool:
    """Tell whether the replica says that it works no partition, so that nothing of its own is on its way any more."""
    states = {status["state"] for status in replica.statuses().values()}
    return bool(states) and states <= {"waiting", "not-owned"}


def _ledger_records(stage: Stage) -> set[tuple[int, int]]:
    """Return partition and offset of all that replicas ever wrote to the ledger, asked past the proxy.

    Committed or not; the brokers' own markers, with which they end what a replica left open, are no records.
    """
    records = read_topics(stage.bootstrap_servers, [f"{stage.prefix}-ledger"], isolation_level="read_uncommitted")
    return {(record.partition, record.offset) for record in records}


def _resident_bytes(replica: Replica) -> int:
    fields = Path(f"/proc/{replica.process.pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _most_resident_bytes(replica: Replica, is_over: Callable[[], bool], timeout_s: float) -> int:
    samples = [_resident_bytes(replica)]

    def is_over_now() -> bool:
        samples.append(_resident_bytes(replica))
        return is_over()

    wait_until(is_over_now, "the time is over", timeout_s)
    return max(samples)


@pytest.mark.long
@pytest.mark.fires("stop at before-commit", "stop at restore", _LEADER_KILLED, _RESTARTED)
def test_every_event_once_whatever_broker_goes(trio: KafkaCluster, make_stage: Callable[..., Stage]) -> None:
    """The transactions' coordinator dies in mid-commit, the ledger's leader in a restore, then all restart in turn."""
    stage = make_stage(trio.bootstrap_servers, replication=3)
    replica = stage.start("a", Fault(Point.BEFORE_COMMIT, stage.random.randint(5, 30), Deed.STOP))
    stage.await_owned()
    stage.emit_steadily()
    _lose_a_leader_meanwhile(stage, trio, replica, "__transaction_state")
    replica.kill()
    replica = stage.start("b", Fault(Point.RESTORE, stage.random.randint(1, 10), Deed.STOP))
    _lose_a_leader_meanwhile(stage, trio, replica, f"{stage.prefix}-ledger")
    for broker in stage.random.sample((1, 2, 3), 3):
        trio.stop(broker)
        stage.note(_RESTARTED)
        trio.start(broker)
        stage.await_caught_up(timeout_s=_GOES_ON_S)
    stage.conclude()
    assert stage.unsound() == {}


def _lose_a_leader_meanwhile(stage: Stage, trio: KafkaCluster, replica: Replica, topic: str) -> None:
    """Kill a broker that leads partitions of `topic` while the replica is stopped, and bring it back later."""
    replica.await_strike()
    leader = stage.random.choice(_leaders(stage, topic))
    trio.kill(leader)
    stage.note(_LEADER_KILLED)
    wait_until(lambda: leader not in _leaders(stage, topic), f"{topic} has other leaders")
    replica.process.signal(signal.SIGCONT)
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    trio.start(leader)


def _leaders(stage: Stage, topic: str) -> list[int]:
    """Return the leader of each partition of a topic, in their order."""
    admin = AdminClient({"bootstrap.servers": stage.bootstrap_servers, "log_level": 0})
    partitions = admin.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
    return [partitions[number].leader for number in sorted(partitions)]


@pytest.mark.long
@pytest.mark.parametrize("kind", [_LEADER_KILLED_IN_COMMIT, _COORDINATOR_KILLED_IN_COMMIT])
def test_every_event_once_when_a_broker_is_killed_within_the_commit(
    trio: KafkaCluster, make_stage: Callable[..., Stage], kind: str
) -> None:
    """All is flushed and the commit not yet asked for; nothing begins again where what became of it is soon known.

    A coordinator that dies may have written the markers of the transaction before, and its successor writes them once
    more (ADR 13): then there is no entry in its place.
    """
    stage = make_stage(trio.bootstrap_servers, replication=3)
    fault = Fault(Point.BEFORE_COMMIT, stage.random.randint(5, 30), Deed.STOP)
    replica = stage.start("a", fault, is_static=True, pipeline=_LONG_SESSION)
    stage.await_owned()
    coordinator = _coordinator(stage, f"{stage.prefix}.a")
    leaders = [leader for leader in _leaders(stage, f"{stage.prefix}-ledger") if leader != coordinator]
    stage.emit_steadily()
    replica.await_strike()
    broker = coordinator if kind == _COORDINATOR_KILLED_IN_COMMIT else stage.random.choice(leaders)
    trio.kill(broker)
    stage.note(kind)
    began = time.monotonic()
    replica.process.signal(signal.SIGCONT)
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    took_s = time.monotonic() - began
    trio.start(broker)
    stage.conclude()
    may_restart = {"fenced"} if kind == _COORDINATOR_KILLED_IN_COMMIT else set[str]()
    assert set(replica.restarted()) <= may_restart | ({"unresolved"} if took_s > _RESOLVED_S else set[str]())
    assert stage.unsound() == {}


def _coordinator(stage: Stage, transactional_id: str) -> int:
    """Return the broker that leads the partition in which Kafka keeps the transactions of a producer."""
    topic = "__transaction_state"
    leaders = _leaders(stage, topic)
    return leaders[_java_hash(transactional_id) % len(leaders)]


def _java_hash(text: str) -> int:
    """Return the absolute value of what `String.hashCode` returns."""
    code = reduce(lambda code, character: (31 * code + ord(character)) % 2**32, text, 0)
    return min(code, 2**32 - code)


@pytest.mark.long
@pytest.mark.fires(_STOPPED)
def test_every_event_once_when_a_leader_freezes_for_seconds(
    trio: KafkaCluster, make_stage: Callable[..., Stage]
) -> None:
    """All wait for the one partition's leader; when it is back or replaced they continue, and none restarts."""
    stage = make_stage(trio.bootstrap_servers, replication=3)
    replica = stage.start("a", pipeline=_LONG_SESSION)
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    leader = trio.pid(stage.random.choice(_leaders(stage, f"{stage.prefix}-ledger")))
    os.kill(leader, signal.SIGSTOP)
    time.sleep(_SLOW_S)  # the length of the fault, nothing is waited for
    os.kill(leader, signal.SIGCONT)
    stage.note(_STOPPED)
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    assert replica.replaced()
    stage.conclude()
    assert replica.restarted() == {}
    assert stage.unsound() == {}
