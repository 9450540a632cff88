"""Brokers that go away and come back: promises `bounded` and `every_event_once`."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.faults.points import Deed, Fault, Point
from tests.faults.stage import Replica, Stage
from tests.rig.kafka import KafkaCluster
from tests.rig.process import wait_until
from tests.rig.proxy import KafkaProxy
from tests.rig.service import STREAM_PARTITIONS

_AWAY_S = 120.0 if os.environ.get("ROUNDS") else 20.0
_GOES_ON_S = 60.0
_INBOX_LIMIT = 1024**2
_MOST_ON_TOP_BYTES = 100 * 1024**2
_HEAVY_RATE = 1000.0
_POLL_S = 0.25
_ANSWER_S = 30.0
_ALL_AWAY = "broker: all away"
_LEADER_KILLED = "broker: leader killed meanwhile"
_RESTARTED = "broker: restarted in turn"


@pytest.mark.fires(_ALL_AWAY)
def test_bounded_while_all_brokers_are_away(stage: Stage, proxy: KafkaProxy) -> None:
    """Under load the process holds no more than its inboxes; afterwards it goes on by itself and misses nothing."""
    replica = stage.start("a", kafka={"bootstrap_servers": proxy.address}, pipeline={"inbox_limit_bytes": _INBOX_LIMIT})
    stage.await_owned()
    stage.emit_on(STREAM_PARTITIONS)
    stage.emit_steadily()
    stage.await_caught_up()
    before = _resident_bytes(replica)
    proxy.go_away()
    stage.simulator.set_rate(_HEAVY_RATE)
    most = _most_resident_bytes(replica, _AWAY_S / 2)
    ends = _ledger_ends(stage)
    most = max(most, _most_resident_bytes(replica, _AWAY_S / 2))
    assert _ledger_ends(stage) == ends
    stage.note(_ALL_AWAY)
    stage.emit_steadily()
    proxy.come_back()
    stage.await_caught_up(timeout_s=_GOES_ON_S)
    assert most < before + len(STREAM_PARTITIONS) * _INBOX_LIMIT + _MOST_ON_TOP_BYTES
    stage.conclude()


def _ledger_ends(stage: Stage) -> dict[int, int]:
    """Return where the ledger's partitions end, asked past the proxy: they stand still while nobody can write."""
    ledger, admin = f"{stage.prefix}-ledger", AdminClient({"bootstrap.servers": stage.bootstrap_servers})
    places = {TopicPartition(ledger, number): OffsetSpec.latest() for number in range(len(STREAM_PARTITIONS))}
    return {place.partition: found.result(_ANSWER_S).offset for place, found in admin.list_offsets(places).items()}


def _resident_bytes(replica: Replica) -> int:
    fields = Path(f"/proc/{replica.process.pid}/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _most_resident_bytes(replica: Replica, for_s: float) -> int:
    until = time.monotonic() + for_s
    samples = [_resident_bytes(replica)]

    def is_over() -> bool:
        samples.append(_resident_bytes(replica))
        return time.monotonic() >= until

    wait_until(is_over, "the time is over", for_s + _POLL_S)
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
