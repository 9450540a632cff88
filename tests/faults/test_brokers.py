"""Brokers that go away and come back: promises `bounded` and `every_event_once`."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.faults.points import Deed, Fault, Point
from tests.faults.stage import Replica, Stage
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
_ALL_AWAY = "broker: all away"
_LEADER_KILLED = "broker: leader killed meanwhile"
_RESTARTED = "broker: restarted in turn"


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
    replica = stage.start("a", Fault(Point.BEFORE_COMMIT, stage.random.randint(30, 60), Deed.STOP))
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


def _lose_a_leader_meanwhile(stage: Stage, trio: KafkaCluster, replica: Replica, topic: str) -> None:
    """Kill a broker that leads partitions of `topic` while the replica is stopped, and bring it back later."""
    replica.await_strike()
    leader = stage.random.choice(_leaders(stage.bootstrap_servers, topic))
    trio.kill(leader)
    stage.note(_LEADER_KILLED)
    wait_until(lambda: leader not in _leaders(stage.bootstrap_servers, topic), f"{topic} has other leaders")
    replica.process.signal(signal.SIGCONT)
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    trio.start(leader)


def _leaders(bootstrap_servers: str, topic: str) -> list[int]:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    partitions = admin.list_topics(topic, timeout=_ANSWER_S).topics[topic].partitions
    return [partition.leader for partition in partitions.values()]
