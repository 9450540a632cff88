"""A publishing run at an X that is at its limit or changes its mind, of few ids or none; and the check of it all."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any

import pytest
from confluent_kafka import Producer

from connector.events.avro import AvroEncoder
from connector.events.schemas import BATCH_LEDGER
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, subject
from connector.settings import RunSettings
from connector.simulator.batch.faults import BatchAnswer, BatchHold, BatchJob, BatchLines
from connector.simulator.clock import NANOS
from tests.integration.batch import hasty_connector as hasty
from tests.integration.batch.catching import commit, jobs_made, kill_at
from tests.integration.batch.conftest import Servers
from tests.integration.batch.stage import BatchStage, check_runs
from tests.rig.process import wait_until
from tests.rig.proxy import KafkaProxy

_TOKEN = "AAAAAAAAAAAAAAAAAAAAAHushHushHush-bearer-token-of-the-tests"


@pytest.mark.parametrize(
    ("limit", "method", "least_s"),
    [
        pytest.param(
            BatchAnswer(call="create", status=429, reset_in_s=4), "POST", 3.0, marks=pytest.mark.long, id="with reset"
        ),
        pytest.param(
            BatchAnswer(call="upload", status=429, has_rate_limit=False), "PUT", hasty.RATE_LIMIT_S, id="without"
        ),
    ],
)
def test_runner_waits_as_x_asks_and_is_known_to_be_there(
    stage: BatchStage, limit: BatchAnswer, method: str, least_s: float
) -> None:
    """X is not asked before, and the ledger has heartbeats meanwhile."""
    stage.x.inject(limit)
    runner = stage.run()
    assert stage.x.fired == {"batch-answer": 1}
    assert "HTTP 429" in runner.stderr
    refused, granted = [request.at for request in stage.x.requests if request.method == method]
    assert granted - refused >= least_s * NANOS
    written = [each["written_at"] * NANOS // 1000 for each in stage.decoded("-batch-ledger")]
    assert any(refused < at < granted for at in written)
    stage.check()


@pytest.mark.long
def test_run_whose_jobs_x_fails_is_on_record_as_failed_until_it_goes_on(stage: BatchStage) -> None:
    """Three jobs are all that a process makes; the next one says that the run is under way again."""
    stage.x.inject(BatchJob(status="failed", times=3))
    assert "giving up after 3 jobs" in stage.run(exits=os.EX_UNAVAILABLE).stderr
    assert [each["state"] for each in stage.decoded("-batch")] == ["running", "failed"]
    stage.run()
    assert [each["state"] for each in stage.decoded("-batch")] == ["running", "failed", "running", "done"]
    stage.check()


def test_run_of_other_ids_is_neither_taken_for_the_unfinished_one_nor_put_in_its_place(
    stage: BatchStage, proxy: KafkaProxy
) -> None:
    """Neither from a folder of its own, nor if the folder of the unfinished run holds other ids."""
    kill_at(commit, stage, proxy)
    ours = stage.ids.read_text(encoding="utf-8")
    stage.ids.write_text(ours.replace("1\n", "2\n", 1), encoding="utf-8")
    with stage.runner(folder="other") as other:
        assert other.wait(60) == os.EX_CONFIG
        assert "is unfinished, and was started with other ids; --fresh discards it" in other.stderr
    (stage.folder / "other").rename(stage.folder / "moved")
    stage.ids.write_text(ours, encoding="utf-8")
    kept = stage.folder / "run/tweets-published/shard-00001.ids"
    kept.write_bytes(kept.read_bytes().replace(b"1\n", b"2\n", 1))
    assert "resuming run" in stage.run().stderr
    stage.check()
    assert jobs_made(stage) == 1


@pytest.mark.long
def test_ledger_state_that_cannot_be_read_is_for_the_operator_to_give_up(stage: BatchStage, proxy: KafkaProxy) -> None:
    """A later version may have written it."""
    kill_at(commit, stage, proxy)
    last = stage.decoded("-batch-ledger")[-1]
    settings = RunSettings.model_validate(stage.config)
    with RegistryClient(settings.schema_registry) as registry:
        names = TopicNames(settings.kafka.topic_prefix)
        schema_id = registry.find(subject(names.batch_ledger), BATCH_LEDGER)
    assert schema_id is not None
    entry = last | {"entry": last["entry"] + 1, "state": '{"version": 2}'}
    producer = Producer({"bootstrap.servers": stage.kafka.bootstrap_servers})
    producer.produce(names.batch_ledger, AvroEncoder(BATCH_LEDGER, schema_id).encode(entry), b"tweets", 0)
    producer.flush()
    assert f"the state of run {last['run_id']} cannot be read" in stage.run(exits=os.EX_CONFIG).stderr
    stage.run("--fresh")
    assert stage.decoded("-batch")[-1]["state"] == "done"


def _begin_and_change_results(stage: BatchStage, proxy: KafkaProxy) -> None:
    """Kill a runner of whose results a part is published; X has others then, of which nothing is published."""
    kill_at(commit, stage, proxy)
    stage.x.inject(BatchLines(how="changed", lines=3, after=1))
    refused = stage.run(exits=os.EX_UNAVAILABLE)
    assert stage.x.fired == {"batch-lines": 1}
    assert f"have changed since {hasty.ANSWERS} of them were published; --fresh begins again" in refused.stderr
    assert len(stage.records(".batch.tweet")) == hasty.ANSWERS


@pytest.mark.long
def test_results_that_change_once_a_part_is_published_are_refused(stage: BatchStage, proxy: KafkaProxy) -> None:
    """The same command goes on if X has the old ones again, in whatever order."""
    _begin_and_change_results(stage, proxy)
    stage.x.inject(BatchLines(how="shuffled", after=1))
    stage.run()
    assert stage.x.fired == {"batch-lines": 2}
    stage.check()
    assert jobs_made(stage) == 1


def test_fresh_run_follows_one_whose_results_have_changed(stage: BatchStage, proxy: KafkaProxy) -> None:
    """The one before is said to be abandoned, and the new one has every result."""
    _begin_and_change_results(stage, proxy)
    stage.run("--fresh")
    assert [each["state"] for each in stage.decoded("-batch")].count("abandoned") == 1
    stage.check()
    assert jobs_made(stage) == 2


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param("", id="none"),
        pytest.param("1", id="one", marks=pytest.mark.long),
        pytest.param("no id\n-1\n", id="only invalid", marks=pytest.mark.long),
    ],
)
def test_run_of_few_ids_or_none_is_on_the_bus(stage: BatchStage, ids: str) -> None:
    """As a run that is done."""
    stage.ids.write_text(ids, encoding="utf-8")
    stage.run("--skip-invalid")
    done = stage.check()
    assert (done["ids"], jobs_made(stage)) == (len(stage.asked()), len(stage.asked()))


# --- secrets


def test_secrets_that_x_repeats_in_results_are_nowhere(stage: BatchStage) -> None:
    """Neither on the bus nor in what is said, in a result or in a line that is not one."""
    stage.x.inject(BatchHold(call="download"))
    with stage.runner() as runner:
        wait_until(lambda: stage.x.fired["batch-hold"] == 1, "the results are asked for")
        [job] = stage.x.jobs.listed("tweets", None)
        result, odd, *others = map(json.loads, job.results.splitlines())
        echo = f"Bearer {_TOKEN} {job.tokens['upload']} {job.tokens['download']}"
        lines = [result | {"note": echo}, odd | {"action": None, "note": echo}, *others]
        job.results = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        stage.x.release()
        assert runner.wait() == 0, runner.stderr
    stage.check_secrets()
    told = [each for each in stage.decoded(".batch.tweet") if each["unknown_fields"]]
    dead = stage.records("-dead-letter")
    assert [each["unknown_fields"].count("[secret]") for each in told] == [3]
    assert [each.value.count(b"[secret]") for each in dead] == [3]


# --- the checker checked

_Records = list[dict[str, Any]]


def _numbered(findings: _Records) -> _Records:
    """Return findings in one sequence, as if nothing had happened to them."""
    return [each | {"sequence": number} for number, each in enumerate(findings, 1)]


_DAMAGES: dict[str, Callable[[_Records, _Records], tuple[_Records, _Records]]] = {
    "first dropped": lambda found, runs: (found[1:], runs),
    "last dropped": lambda found, runs: (found[:-1], runs),
    "dropped without a gap": lambda found, runs: (_numbered(found[1:]), runs),
    "dropped, and not counted": lambda found, runs: (
        _numbered(found[1:]),
        [each | {"last_sequence": len(found) - 1} for each in runs],
    ),
    "doubled": lambda found, runs: ([*found, found[0]], runs),
    "doubled as another": lambda found, runs: ([*found, found[0] | {"event_id": "0" * 32}], runs),
    "doubled as the next, and counted": lambda found, runs: (
        _numbered([*found, found[0] | {"event_id": "0" * 32}]),
        [each | {"last_sequence": len(found) + 1} for each in runs],
    ),
    "of an id never asked about": lambda found, runs: ([found[0] | {"tweet_id": "1"}, *found[1:]], runs),
    "with another action": lambda found, runs: ([found[0] | {"action": "quarantine"}, *found[1:]], runs),
    "of a run that there is not": lambda found, runs: ([found[0] | {"run_id": "0"}, *found[1:]], runs),
    "an id less counted": lambda found, runs: (found, [each | {"clean": each["clean"] - 1} for each in runs]),
    "an id less asked about": lambda found, runs: (found, [each | {"ids": each["ids"] - 1} for each in runs]),
    "run not done": lambda found, runs: (found, runs[:1]),
    "run not there": lambda found, _: (found, []),
}


def test_damage_to_what_is_on_the_bus_is_found(stage: BatchStage) -> None:
    """By the check that each run of these tests goes through."""
    stage.run()
    stage.check()
    found = sorted(stage.decoded(".batch.tweet"), key=itemgetter("sequence"))
    runs, truth, ids = stage.decoded("-batch"), stage.truth(), len(stage.asked())
    check_runs(found, runs, truth, ids)
    for name, damage in _DAMAGES.items():
        with suppress(AssertionError):
            check_runs(*damage(found, runs), truth, ids)
            pytest.fail(f"is not found: {name}")


def test_record_that_is_doubled_on_the_bus_is_found(stage: BatchStage, servers: Servers) -> None:
    """Though it is the same to a byte; so is a secret, wherever it is."""
    stage.run()
    record = stage.records(".batch.tweet")[0]
    producer = Producer({"bootstrap.servers": servers.kafka.bootstrap_servers})
    producer.produce(record.topic, record.value, record.key, headers=dict(record.headers))
    assert producer.flush(10) == 0
    with pytest.raises(AssertionError):
        stage.check()
    stage.check_secrets()
    producer.produce(f"{stage.prefix}-dead-letter", f"about {_TOKEN}")
    assert producer.flush(10) == 0
    with pytest.raises(AssertionError, match="about"):
        stage.check_secrets()
