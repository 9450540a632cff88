"""Replicas that share, hand over and take over: promise `one_writer_per_partition`."""

import signal

import pytest

from tests.faults.points import Deed, Fault, Point
from tests.faults.stage import Replica, Stage
from tests.rig.process import wait_until

_SESSION_S = 6.0
_GRACEFUL_S = 10.0
_TAKE_OVER_S = _SESSION_S + 5.0
_HANG_NOTICED_S = 150.0
_SCALED = "replicas: scaled and replaced"
_KILLED = "replicas: killed among others"
_TWIN = "replicas: twin instance id"


@pytest.mark.long
@pytest.mark.fires(_SCALED, _KILLED)
def test_every_event_once_through_scaling_and_a_rolling_restart(stage: Stage) -> None:
    """1 replica, then 3, each of them replaced in turn, one killed, then 1 again: nobody waits long for an owner."""
    first = stage.start("a")
    stage.await_owned()
    stage.emit_steadily()
    old = [first, stage.start("b"), stage.start("c")]
    _await_shared(stage, old)
    for number, replica in enumerate(old):
        replica.leave()
        stage.start(f"new-{number}")
        stage.await_owned(_GRACEFUL_S)
        stage.note(_SCALED)
    _await_shared(stage, stage.up)
    killed, leaving, _ = stage.random.sample(stage.up, 3)
    killed.kill()
    stage.note(_KILLED)
    stage.await_owned(_TAKE_OVER_S)
    leaving.leave()
    stage.await_owned(_GRACEFUL_S)
    stage.conclude()


def _await_shared(stage: Stage, replicas: list[Replica]) -> None:
    """Wait until every replica works something, and everything is worked."""
    wait_until(lambda: all(replica.running() for replica in replicas), "all replicas have a share")
    stage.await_owned()


@pytest.mark.parametrize("kind", [pytest.param("stop at mid-produce", marks=pytest.mark.long), "stop at before-commit"])
def test_one_writer_per_partition_when_a_replica_is_stopped_in_mid_commit(stage: Stage, kind: str) -> None:
    """It sleeps until a neighbour has taken over and committed; awake again it commits nothing more."""
    point = Point(kind.removeprefix("stop at "))
    sleeper = stage.start("sleeper", Fault(point, stage.random.randint(60, 120), Deed.STOP))
    stage.await_owned()
    stage.emit_steadily()
    sleeper.await_strike()
    neighbour = stage.start("neighbour")
    wait_until(lambda: len(neighbour.running()) == 10, "the neighbour has taken over")
    stage.drop_connections()
    stage.await_caught_up()
    sleeper.process.signal(signal.SIGCONT)
    wait_until(lambda: bool(sleeper.process.logged("producer_replaced")), "the sleeper notices")
    stage.await_owned()
    assert not _is_fenced(neighbour)
    stage.conclude()


def _is_fenced(replica: Replica) -> bool:
    return any(entry["cause"] == "fenced" for entry in replica.process.logged("producer_replaced"))


@pytest.mark.fires(_TWIN)
def test_twin_instance_id_ends_the_older_with_the_name(stage: Stage) -> None:
    """Of two replicas with one group instance id the older leaves with exit code 78, naming it; the younger works."""
    older = stage.start("twin", is_static=True)
    stage.await_owned()
    stage.emit_steadily()
    younger = stage.start("twin", is_static=True)
    assert older.process.wait() == 78
    stage.note(_TWIN)
    assert "CONNECTOR_KAFKA__GROUP_INSTANCE_ID: another process uses 'twin'" in older.process.stderr
    stage.await_owned()
    assert len(younger.running()) == 10
    stage.conclude()


@pytest.mark.long
@pytest.mark.fires("hang at before-commit")
def test_one_writer_per_partition_when_a_replica_hangs(stage: Stage) -> None:
    """A replica in which a thread stands still ends itself, though its client sends heartbeats; nobody fights."""
    healthy = stage.start("healthy")
    stage.await_owned()
    stage.emit_steadily()
    hung = stage.start("hung", Fault(Point.BEFORE_COMMIT, stage.random.randint(100, 200), Deed.HANG))
    hung.await_strike()
    wait_until(lambda: len(healthy.running()) == 10, "the healthy one has all", _HANG_NOTICED_S)
    stage.await_caught_up()
    assert not _is_fenced(healthy)
    assert hung.process.wait() == 70
    stage.conclude()
