"""`connector batch run --publish` on real Kafka: every finding is on the bus once, whatever becomes of the runner."""

import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from connector.simulator.batch.faults import BatchJob
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.rig.process import wait_until
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import Config, ConnectorProcess, make_config, provisioned
from tests.rig.session import Kafka, SchemaRegistry

_EVENTS = 12_000
_KILLS = 5
_JOB_S = 3.0


@dataclass(frozen=True)
class _Stage:
    """A provisioned Kafka, an X with a population, and the file of the Tweets that a store holds."""

    kafka: Kafka
    registry: SchemaRegistry
    x: Simulator
    config: Config
    ids: Path
    folder: Path

    @property
    def prefix(self) -> str:
        """The topic prefix."""
        prefix: str = self.config["kafka"]["topic_prefix"]
        return prefix

    @contextmanager
    def runner(self, *more: str, folder: str = "run") -> Iterator[ConnectorProcess]:
        """Run the command."""
        arguments = ["batch", "run", "tweets", str(self.ids), "--publish", "--folder", str(self.folder / folder), *more]
        with ConnectorProcess(self.folder, arguments, self.config) as process:
            yield process

    def records(self, topic: str) -> list[ReadRecord]:
        """Return what a reader of committed records sees."""
        return read_topics(self.kafka.bootstrap_servers, [f"{self.prefix}{topic}"])

    def decoded(self, topic: str) -> list[dict[str, Any]]:
        """Return the values."""
        decoder = Decoder(self.registry.url)
        return [decoder.decode(record.value) for record in self.records(topic)]

    def check(self) -> dict[str, Any]:
        """Check that the bus holds what X knows, to the id, in one sequence for each run; return a run's record.

        A runner that is killed after its last transaction leaves a run that is done, and the next command begins anew.
        """
        findings = self.decoded(".batch.tweet")
        assert len({each["event_id"] for each in findings}) == len(findings)
        runs = {each["run_id"]: each for each in self.decoded("-batch")}
        assert {each["run_id"] for each in findings} == runs.keys()
        for done in runs.values():
            found = [each for each in findings if each["run_id"] == done["run_id"]]
            assert sorted(each["sequence"] for each in found) == list(range(1, len(found) + 1))
            assert {each["tweet_id"]: each["action"] for each in found} == {
                id_: finding.action for id_, finding in self.x.population.findings("tweets").items()
            }
            assert done["state"] == "done"
            assert done["ids"] == done["clean"] + done["rejected"] + sum(each["count"] for each in done["counts"])
            assert (done["last_sequence"], done["dead_letters"]) == (len(found), 0)
        return done


@pytest.fixture
def stage(kafka: Kafka, registry: SchemaRegistry, seed: int, tmp_path: Path) -> Iterator[_Stage]:
    """Give a stage on which nothing has been asked yet."""
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed, batch_job_s=_JOB_S)) as x,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)) as config,
    ):
        x.emit(_EVENTS)
        ids = tmp_path / "ids"
        ids.write_text("\n".join(x.population.ids("tweets")) + "\n", encoding="utf-8")
        yield _Stage(kafka, registry, x, config, ids, tmp_path)


def test_findings_are_on_the_bus_as_the_contract_has_them(stage: _Stage) -> None:
    """Key, headers, fields; and the run that found them."""
    with stage.runner() as runner:
        assert runner.wait(120) == 0, runner.stderr
        assert "all accounted for" in runner.stdout
    done = stage.check()
    [job] = [job for job in stage.x.jobs.snapshot() if job.status == "complete"]
    record = stage.records(".batch.tweet")[0]
    value = Decoder(stage.registry.url).decode(record.value)
    assert (record.key, value["run_id"], value["job_id"]) == (value["tweet_id"], done["run_id"], job.id)
    assert record.headers["ce_type"] == "x.compliance.batch.tweet"
    assert record.headers["ce_id"] == value["event_id"]
    assert value["event_type"] == "batch.tweet"
    assert value["checked_at"] <= value["received_at"]


@pytest.mark.parametrize("is_folder_kept", [True, False])
def test_runner_that_is_killed_again_and_again_publishes_every_finding_once(
    stage: _Stage, seed: int, *, is_folder_kept: bool
) -> None:
    """At any moment, with the files of the one before or without, as a pod that is scheduled elsewhere."""
    choice = random.Random(seed)  # noqa: S311 - choices of a test, not secrets
    kills = 0
    while True:
        with stage.runner(folder="run" if is_folder_kept else f"run-{kills}") as runner:
            if kills < _KILLS and not _has_ended(runner, choice.uniform(1.0, 6.0)):
                runner.signal(signal.SIGKILL)
                runner.wait()
                kills += 1
                continue
            assert runner.wait(120) == 0, runner.stderr
            break
    assert kills > 1
    stage.check()


def test_second_runner_says_who_runs_and_ends(stage: _Stage) -> None:
    """One at a time; the first one is not disturbed."""
    stage.x.inject(BatchJob(status="in_progress", seconds=60.0))
    with stage.runner() as first:
        wait_until(lambda: "in_progress" in first.stderr, "X works")
        with stage.runner(folder="other") as second:
            assert second.wait(180) == 75
            assert f"/{first.pid} runs tweets jobs" in second.stderr
        stage.x.clock.advance(120.0)
        assert first.wait(120) == 0, first.stderr
    stage.check()


def test_runner_that_was_stopped_while_another_took_over_publishes_nothing_more(stage: _Stage) -> None:
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


def _has_ended(runner: ConnectorProcess, within_s: float) -> bool:
    try:
        runner.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True
