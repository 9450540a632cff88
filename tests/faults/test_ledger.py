"""Ledgers that are not as they were left: promise `own_corruption_always_stops_us`."""

from itertools import pairwise

import pytest

from tests.faults.stage import Replica, Stage
from tests.rig.audit import check_once_in_order, expected_events
from tests.rig.ledger_damage import LedgerDamage
from tests.rig.process import wait_until
from tests.rig.service import STREAM_PARTITIONS

_GARBLED = "ledger: last entry damaged"
_EMPTIED = "ledger: emptied by retention"
_ABORTED = "ledger: aborted transaction at its end"
_RECREATED = "ledger: topic deleted and created again under a running replica"
_FOREIGN = "ledger: another writer's transaction under a running replica"
_ALL_GARBLED = "ledger: all damaged"
_READ_AGAIN_S = 90.0
_DELETED = "empty, but its coverage is recorded: entries were deleted"
_NEVER_COMMITTED = "Kafka shows no committed entry, but entry "
"""Where the replica wrote to the new ledger before it noticed."""
"""A replica reads a ledger that it cannot trust again every minute."""


def _leave_a_history(stage: Stage) -> LedgerDamage:
    """Have events committed on every stream partition, and no replica running."""
    stage.start("before")
    stage.await_owned()
    stage.emit_on(STREAM_PARTITIONS)
    stage.emit_steadily()
    stage.await_caught_up()
    stage.simulator.stop_emitting()
    stage.await_caught_up()
    stage.up[0].leave()
    return LedgerDamage(stage.bootstrap_servers, stage.prefix)


def _await_stopped(stage: Stage, replica: Replica, reasons: dict[int, str]) -> None:
    """Wait until the stream partitions with those ledger partitions stand still and say why, and the others work."""
    stage.await_owned(partitions=len(STREAM_PARTITIONS) - len(reasons))
    wait_until(lambda: replica.probe.metric("partition_corrupt") == len(reasons), "the damaged ones are corrupt")
    for number, reason in reasons.items():
        stream, partition = STREAM_PARTITIONS[number]
        status = replica.probe.partition(stream, partition)
        assert status["state"] == "corrupt"
        assert reason in status["last_error"]
        assert replica.probe.metric("partition_corrupt", stream=stream, partition=str(partition)) == 1
    stage.emit_on(place for number, place in enumerate(STREAM_PARTITIONS) if number not in reasons)
    stage.await_caught_up({STREAM_PARTITIONS[number] for number in reasons})


@pytest.mark.fires(_GARBLED, _EMPTIED, _ABORTED, _ALL_GARBLED)
def test_own_corruption_always_stops_us(stage: Stage) -> None:
    """Partitions with a garbled last entry or a lost ledger stop and say so; an aborted tail disturbs no replica."""
    damage = _leave_a_history(stage)
    garbled, emptied, aborted = stage.random.sample(range(len(STREAM_PARTITIONS)), 3)
    damage.garble(garbled)
    damage.empty(emptied)
    damage.abort_after(aborted)

    _await_stopped(stage, stage.start("after"), {garbled: "cannot be read", emptied: "entries were deleted"})
    stage.note(_GARBLED)
    stage.note(_EMPTIED)
    stage.note(_ABORTED)
    damage.empty(garbled)
    stage.conclude(damaged={STREAM_PARTITIONS[garbled], STREAM_PARTITIONS[emptied]})

    for number in range(len(STREAM_PARTITIONS)):
        damage.garble(number)
    last = stage.start("last")
    assert last.process.wait() == 70
    assert "its ledger cannot be trusted" in last.process.stderr
    stage.note(_ALL_GARBLED)


@pytest.mark.long
@pytest.mark.fires(_GARBLED, _EMPTIED)
def test_own_corruption_repaired_by_a_reset_leaves_a_gap_and_nothing_twice(stage: Stage) -> None:
    """The damaged partitions go on within a minute, with what they knew; the gap and the damage are reported."""
    damage = _leave_a_history(stage)
    garbled, emptied = stage.random.sample(range(len(STREAM_PARTITIONS)), 2)
    garbled_end = damage.garble(garbled)
    damage.empty(emptied)
    damaged = {STREAM_PARTITIONS[number] for number in (garbled, emptied)}
    _await_stopped(stage, stage.start("after"), {garbled: "cannot be read", emptied: "entries were deleted"})
    stage.note(_GARBLED)
    stage.note(_EMPTIED)
    assert set(stage.unsound()) == damaged

    for stream, partition in damaged:
        assert stage.command("ledger", "reset", "--yes", f"--stream={stream}", f"--partition={partition}")[0] == 0
    stage.await_owned(_READ_AGAIN_S)
    stage.emit_on(STREAM_PARTITIONS)
    stage.await_caught_up()
    [[finding]] = stage.unsound().values()
    assert "cannot be read" in finding
    damage.empty(garbled, garbled_end)
    stage.conclude(damaged)
    assert stage.unsound() == {}
    history = stage.read()
    assert list(check_once_in_order(history, expected_events(stage.prefix, stage.simulator.record()))) == []
    assert sorted((gap["stream"], gap["stream_partition"]) for gap in history.gaps) == sorted(damaged)
    for gap in history.gaps:
        marks = [record["covered_until"] for record in history.coverage[gap["stream"], gap["stream_partition"]]]
        assert gap["cause"] == "ledger-reset"
        ends = {end for start, end in pairwise(marks) if start == gap["gap_start"]}
        assert ends & {gap["gap_end"], gap["gap_end"] - 1}  # a gap's end is rounded up, coverage down


@pytest.mark.fires(_RECREATED)
def test_ledger_created_again_under_a_running_replica_stops_every_partition_at_once(stage: Stage) -> None:
    """No entry stands where it must, so nothing more is committed; the replica and its successor end, saying why."""
    replica = stage.start("running")
    stage.await_owned()
    stage.emit_on(STREAM_PARTITIONS)
    stage.emit_steadily()
    stage.await_caught_up()
    LedgerDamage(stage.bootstrap_servers, stage.prefix).delete()
    code, text = stage.command("provision")
    assert code == 0, text
    stage.note(_RECREATED)
    assert replica.process.wait(_READ_AGAIN_S) == 70
    corrupt = replica.process.logged("ledger_corrupt")
    assert len({(entry["stream"], entry["partition"]) for entry in corrupt}) == len(STREAM_PARTITIONS)
    assert all("created again or truncated" in entry["detail"] for entry in corrupt)

    successor = stage.start("successor")
    assert successor.process.wait() == 70
    told = [entry["detail"] for entry in successor.process.logged("ledger_corrupt")]
    assert len(told) == len(STREAM_PARTITIONS)
    assert all(detail.endswith(_DELETED) or _NEVER_COMMITTED in detail for detail in told), told
    stage.simulator.stop_emitting()
    expected = expected_events(stage.prefix, stage.simulator.record())
    found = list(check_once_in_order(stage.read(), expected))
    assert [fault for fault in found if "repeated" in fault or "made up" in fault] == []


@pytest.mark.fires(_FOREIGN)
def test_transaction_of_another_writer_is_noticed_by_the_next_commit(stage: Stage) -> None:
    """One that was aborted costs a restore; one that was committed stops the partition; the others do not notice."""
    replica = stage.start("running")
    stage.await_owned()
    stage.emit_on(STREAM_PARTITIONS)
    stage.await_caught_up()
    damage = LedgerDamage(stage.bootstrap_servers, stage.prefix)
    aborted, garbled = stage.random.sample(range(len(STREAM_PARTITIONS)), 2)
    damage.abort_after(aborted)
    garbled_end = damage.garble(garbled)
    stage.note(_FOREIGN)
    stage.emit_on(STREAM_PARTITIONS)
    _await_stopped(stage, replica, {garbled: "cannot be read"})
    assert replica.restarted() == {"fenced": {STREAM_PARTITIONS[aborted], STREAM_PARTITIONS[garbled]}}
    damage.empty(garbled, garbled_end)
    stage.conclude(damaged={STREAM_PARTITIONS[garbled]})
