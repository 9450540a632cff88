"""Ledgers that are not as they were left: promise `own_corruption_always_stops_us`."""

from tests.faults.ledger_damage import LedgerDamage
from tests.faults.stage import Stage
from tests.rig.process import wait_until
from tests.rig.service import STREAM_PARTITIONS


def test_own_corruption_always_stops_us(stage: Stage) -> None:
    """Partitions with a garbled last entry or a lost ledger stop and say so; an aborted tail disturbs nobody."""
    stage.start("before")
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    stage.simulator.stop_emitting()
    stage.up[0].leave()
    garbled, emptied, aborted = stage.random.sample(range(len(STREAM_PARTITIONS)), 3)
    damage = LedgerDamage(stage.bootstrap_servers, stage.prefix)
    damage.garble(garbled)
    damage.empty(emptied)
    damage.abort_after(aborted)

    replica = stage.start("after")
    stage.await_owned(partitions=len(STREAM_PARTITIONS) - 2)
    wait_until(lambda: replica.probe.metric("partition_corrupt") == 2, "two partitions are corrupt")
    for number, reason in ((garbled, "cannot be read"), (emptied, "entries were deleted")):
        stream, partition = STREAM_PARTITIONS[number]
        status = replica.probe.partition(stream, partition)
        assert status["state"] == "corrupt"
        assert reason in status["last_error"]
        assert replica.probe.metric("partition_corrupt", stream=stream, partition=str(partition)) == 1
    stage.emit_on(place for number, place in enumerate(STREAM_PARTITIONS) if number not in {garbled, emptied})
    damage.empty(garbled)
    stage.conclude(damaged={STREAM_PARTITIONS[garbled], STREAM_PARTITIONS[emptied]})

    for number in range(len(STREAM_PARTITIONS)):
        damage.garble(number)
    last = stage.start("last")
    assert last.process.wait() == 70
    assert "its ledger cannot be trusted" in last.process.stderr
