"""`connector batch run --publish` on real Kafka: every finding is on the bus once, whatever becomes of the runner."""

import os
import random
import signal
import subprocess
from dataclasses import replace

import pytest

from tests.integration.batch import hasty_connector as hasty
from tests.integration.batch.stage import BatchStage
from tests.rig.readback import Decoder
from tests.rig.service import ConnectorProcess

_KILLS = int(os.environ.get("BATCH_KILLS", "3"))


def test_findings_are_on_the_bus_as_the_contract_has_them(batch_stage: BatchStage) -> None:
    """Key, headers, fields; and the run that found them."""
    assert "all accounted for" in replace(batch_stage, module=hasty.__name__).run().stdout
    done = batch_stage.check()
    [job] = [job for job in batch_stage.x.jobs.snapshot() if job.status == "complete"]
    record = batch_stage.records(".batch.tweet")[0]
    value = Decoder(batch_stage.registry.url).decode(record.value)
    assert (record.key, value["run_id"], value["job_id"]) == (value["tweet_id"], done["run_id"], job.id)
    assert record.headers["ce_type"] == "x.compliance.batch.tweet"
    assert record.headers["ce_id"] == value["event_id"]
    assert value["event_type"] == "batch.tweet"
    assert value["checked_at"] <= value["received_at"]


@pytest.mark.parametrize("is_folder_kept", [pytest.param(True, marks=pytest.mark.long), False])
def test_runner_that_is_killed_again_and_again_publishes_every_finding_once(
    batch_stage: BatchStage, seed: int, *, is_folder_kept: bool
) -> None:
    """At any moment, with the files of the one before or without, as a pod that is scheduled elsewhere."""
    choice = random.Random(seed)  # noqa: S311 - choices of a test, not secrets
    kills = 0
    while True:
        with batch_stage.runner(folder="run" if is_folder_kept else f"run-{kills}") as runner:
            if kills < _KILLS and not _has_ended(runner, choice.uniform(1.0, 4.0)):
                runner.signal(signal.SIGKILL)
                runner.wait()
                kills += 1
                continue
            assert runner.wait(120) == 0, runner.stderr
            break
    assert kills
    batch_stage.check()


def _has_ended(runner: ConnectorProcess, within_s: float) -> bool:
    try:
        runner.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True
