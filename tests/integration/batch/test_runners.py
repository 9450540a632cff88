"""Two runners of one type of batch jobs: one at a time, whatever the other believes."""

import signal
from dataclasses import replace

import pytest

from connector.simulator.batch.faults import BatchJob
from tests.integration.batch import hasty_connector as hasty
from tests.integration.batch.stage import BatchStage
from tests.rig.process import wait_until


@pytest.fixture
def stage(batch_stage: BatchStage) -> BatchStage:
    """Give a stage whose runners wait for each other in seconds."""
    return replace(batch_stage, module=hasty.__name__)


def test_second_runner_says_who_runs_and_ends(stage: BatchStage) -> None:
    """One at a time; the first one is not disturbed."""
    stage.x.inject(BatchJob(status="in_progress", seconds=60.0))
    with stage.runner() as first:
        wait_until(lambda: "in_progress" in first.stderr, "X works")
        with stage.runner(folder="other") as second:
            assert second.wait(180) == 75
            assert f"/{first.pid}, is publishing the results of tweets run " in second.stderr
        stage.x.clock.advance(120.0)
        assert first.wait(120) == 0, first.stderr
    stage.check()


def test_runner_that_was_stopped_while_another_took_over_publishes_nothing_more(stage: BatchStage) -> None:
    """A zombie finds its place taken, or its producer fenced."""
    with stage.runner() as zombie:
        wait_until(lambda: "in_progress" in zombie.stderr, "X works")
        zombie.signal(signal.SIGSTOP)
        with stage.runner(folder="other") as heir:
            assert heir.wait(300) == 0, heir.stderr
        zombie.signal(signal.SIGCONT)
        assert zombie.wait(120) == 75, zombie.stderr
        assert "has taken over" in zombie.stderr
    stage.check()
