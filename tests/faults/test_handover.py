"""Replicas that share, hand over and take over: promise `one_writer_per_partition`."""

import signal

import pytest

from connector.simulator.connections import Connections
from tests.faults.stage import Replica, Stage
from tests.rig.audit import Place
from tests.rig.fault_points import Deed, Fault, Point
from tests.rig.process import wait_until
from tests.rig.service import STREAM_PARTITIONS

_SESSION_S = 6.0
_GRACEFUL_S = 10.0
_ABANDONED_S = _SESSION_S + 5.0
"""A replica with an instance id that stops for good is missed only at the end of its session."""
_TAKE_OVER_S = _ABANDONED_S + 25.0
"""A killed or stopped replica may leave a transaction open: the new owner reads the ledger once Kafka has ended it.

That is when the transaction is 15 s old and Kafka, which looks every 10 s, has seen it.
"""
_HANG_NOTICED_S = 150.0
_SCALED = "replicas: scaled and replaced"
_KILLED = "replicas: killed among others"
_TWIN = "replicas: twin instance id"
_REPLACED = "replicas: replaced under the same name while frozen"
_RIVAL = "replicas: two that own everything"


@pytest.mark.long
@pytest.mark.parametrize("is_static", [False, True])
@pytest.mark.fires(_SCALED, _KILLED)
def test_every_event_once_through_scaling_and_a_rolling_restart(
    stage: Stage,
    is_static: bool,  # noqa: FBT001 - parametrized
) -> None:
    """1 replica, then 3, each of them restarted in turn, one killed, then 1 again: none waits long for an owner."""
    first = stage.start("a", is_static=is_static)
    stage.await_owned()
    stage.emit_steadily()
    old = [first, *(stage.start(name, is_static=is_static) for name in "bc")]
    _await_shared(stage, old)
    for replica in old:
        replica.leave()
        stage.start(replica.name, is_static=is_static)
        stage.await_owned(_GRACEFUL_S)
        stage.note(_SCALED)
    _await_shared(stage, stage.up)
    killed, leaving, last = stage.random.sample(stage.up, 3)
    killed.kill()
    stage.note(_KILLED)
    stage.await_owned(_TAKE_OVER_S)
    leaving.leave()
    stage.await_owned(_ABANDONED_S if is_static else _GRACEFUL_S)
    assert len(last.running()) == len(STREAM_PARTITIONS)
    stage.conclude()
    assert stage.unsound() == {}


def _await_shared(stage: Stage, replicas: list[Replica]) -> None:
    """Wait until every replica works something, and everything is worked."""
    wait_until(lambda: all(replica.running() for replica in replicas), "all replicas have a share")
    stage.await_owned()


@pytest.mark.parametrize("kind", [pytest.param("stop at mid-produce", marks=pytest.mark.long), "stop at before-commit"])
def test_one_writer_per_partition_when_a_replica_is_stopped_in_mid_commit(stage: Stage, kind: str) -> None:
    """It sleeps until a neighbour has taken over and committed; awake again it commits nothing more, and says so."""
    point = Point(kind.removeprefix("stop at "))
    sleeper = stage.start("sleeper", Fault(point, stage.random.randint(5, 30), Deed.STOP))
    stage.await_owned()
    stage.emit_steadily()
    sleeper.await_strike()
    neighbour = stage.start("neighbour")
    wait_until(lambda: len(neighbour.running()) == 10, "the neighbour has taken over")
    stage.drop_connections()
    stage.emit_on(STREAM_PARTITIONS)
    stage.await_caught_up()
    sleeper.process.signal(signal.SIGCONT)
    wait_until(lambda: bool(sleeper.replaced() and sleeper.restarted()), "the sleeper notices")
    stage.await_owned()
    assert set(sleeper.restarted()) <= {"unresolved", "fenced"}
    assert not _is_fenced(neighbour)
    stage.conclude()
    assert stage.unsound() == {}


def _is_fenced(replica: Replica) -> bool:
    return "fenced" in replica.replaced() or "fenced" in replica.restarted()


@pytest.mark.fires(_RIVAL)
def test_one_writer_per_partition_when_two_replicas_own_them_all(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in two groups, and X serves them both; the one that finds the other's entry in its place steps back."""
    monkeypatch.setattr(Connections, "_has_place", lambda *_: True)
    first = stage.start("first")
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    rival = stage.start("rival", group="rival")
    wait_until(
        lambda: _fenced_partitions(first) | _fenced_partitions(rival) == set(STREAM_PARTITIONS),
        "they meet on every stream partition",
    )
    stage.note(_RIVAL)
    rival.leave()
    stage.await_owned()
    stage.conclude()
    assert stage.unsound() == {}


def _fenced_partitions(replica: Replica) -> set[Place]:
    """Return the stream partitions of which it found that another replica writes to their ledgers."""
    return replica.restarted().get("fenced", set())


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


@pytest.mark.fires("stop at before-commit", _REPLACED)
def test_pod_whose_successor_has_its_name_commits_nothing_when_its_node_comes_back(stage: Stage) -> None:
    """As after a forced deletion: frozen before a commit, it is fenced on return and leaves with exit code 78."""
    lost = stage.start("pod-0", Fault(Point.BEFORE_COMMIT, stage.random.randint(5, 30), Deed.STOP), is_static=True)
    stage.await_owned()
    stage.emit_steadily()
    lost.await_strike()
    successor = stage.start("pod-0", is_static=True)
    wait_until(lambda: len(successor.running()) == 10, "the successor has taken over")
    stage.drop_connections()
    stage.emit_on(STREAM_PARTITIONS)
    stage.await_caught_up()
    lost.process.signal(signal.SIGCONT)
    assert lost.process.wait() == 78
    stage.note(_REPLACED)
    assert "CONNECTOR_KAFKA__GROUP_INSTANCE_ID: another process uses 'pod-0'" in lost.process.stderr
    assert len(successor.running()) == 10
    assert not _is_fenced(successor)
    stage.conclude()
    assert stage.unsound() == {}


@pytest.mark.long
@pytest.mark.fires("hang at before-commit")
def test_one_writer_per_partition_when_a_replica_hangs(stage: Stage) -> None:
    """A replica with a hung thread ends itself, although its client sends heartbeats; no replicas compete."""
    healthy = stage.start("healthy")
    stage.await_owned()
    stage.emit_steadily()
    hung = stage.start("hung", Fault(Point.BEFORE_COMMIT, stage.random.randint(10, 40), Deed.HANG))
    hung.await_strike()
    wait_until(lambda: len(healthy.running()) == 10, "the healthy one has all", _HANG_NOTICED_S)
    stage.await_caught_up()
    assert not _is_fenced(healthy)
    assert hung.process.wait() == 70
    stage.conclude()
    assert stage.unsound() == {}
