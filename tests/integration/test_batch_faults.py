"""A publishing run to which something happens: Kafka or the registry away, X at its limit, another runner, a kill.

On a real Kafka behind a proxy; the runners are in a hurry (`hasty_connector`), and publish in several transactions.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connector.simulator.batch.faults import BatchAnswer, BatchHold, BatchJob, BatchLines
from connector.simulator.clock import NANOS
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.integration import hasty_connector as hasty
from tests.integration.batch_stage import BatchStage, check_runs
from tests.rig.kafka import KafkaCluster
from tests.rig.process import free_port, wait_until
from tests.rig.proxy import END_TXN, PRODUCE, KafkaProxy, Rule, TcpProxy
from tests.rig.service import ConnectorProcess, make_config, override, provisioned
from tests.rig.session import Kafka, SchemaRegistry

_INIT_PRODUCER_ID = 22
"""The API key of the request that ends what a predecessor left open."""
_TOKEN = "AAAAAAAAAAAAAAAAAAAAAHushHushHush-bearer-token-of-the-tests"
_EVENTS = 800
_BRIEFLY_S = 0.5
_LONGER_THAN_AN_ATTEMPT_S = hasty.ATTEMPT_S + 1.0
_OF_A_RESULT = "x.compliance.batch.tweet"
"""Is in the headers of a result, and of nothing else."""
_FEW_TRIES = {hasty.TRIES_VARIABLE: "2"}
_AWAY = "Kafka does not take the results: "


@dataclass(frozen=True)
class _Servers:
    """A broker; who comes through the proxy finds it at `proxy_port` only."""

    kafka: KafkaCluster
    proxy_port: int


@dataclass(frozen=True)
class _Ways:
    """Kafka and the registry as they are, and where the runners find them: behind the proxies."""

    kafka: Kafka
    registry: SchemaRegistry
    bootstrap_servers: str
    registry_url: str


@pytest.fixture(scope="module")
def servers() -> Iterator[_Servers]:
    """Start a broker that all tests of the module share."""
    proxy_port = free_port()
    with KafkaCluster(proxy_port=proxy_port) as kafka:
        yield _Servers(kafka, proxy_port)


@pytest.fixture
def proxy(servers: _Servers) -> Iterator[KafkaProxy]:
    """Put a proxy in front of the broker."""
    with KafkaProxy(servers.proxy_port, servers.kafka.addresses["PROXIED"]) as proxy:
        yield proxy


@pytest.fixture
def door(registry: SchemaRegistry) -> Iterator[TcpProxy]:
    """Put a proxy in front of the registry."""
    with TcpProxy(free_port(), _address(registry)) as door:
        yield door


def _address(registry: SchemaRegistry) -> str:
    return registry.url.split("/")[2]


@pytest.fixture
def ways(servers: _Servers, registry: SchemaRegistry, proxy: KafkaProxy, door: TcpProxy) -> _Ways:
    """Give the addresses by which tests and runners reach Kafka and the registry."""
    url = registry.url.replace(_address(registry), door.address)
    return _Ways(Kafka(servers.kafka.bootstrap_servers), registry, proxy.address, url)


@pytest.fixture
def stage(ways: _Ways, seed: int, tmp_path: Path) -> Iterator[BatchStage]:
    """Give a stage whose runners reach Kafka and the registry through the proxies; X's jobs take no time."""
    kafka, registry, prefix = ways.kafka, ways.registry, f"test-{os.urandom(6).hex()}"
    with (
        Simulator(SimulatorConfig(seed=seed, token=_TOKEN, batch_job_s=0)) as x,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)) as config,
    ):
        x.emit(_EVENTS)
        ids = tmp_path / "ids"
        ids.write_text("\n".join(x.population.ids("tweets")) + "\n", encoding="utf-8")
        through = override(
            config,
            x={"bearer_token": _TOKEN},
            kafka={"bootstrap_servers": ways.bootstrap_servers, "compression": "none"},
            schema_registry={"url": ways.registry_url},
        )
        made = BatchStage(kafka, registry, x, through, ids, tmp_path, hasty.__name__)
        assert len(made.truth()) > 3 * hasty.ANSWERS, "results for several transactions"
        yield made


# --- where a runner is caught


_Catch = Callable[[BatchStage, KafkaProxy], Rule]


def _commit(stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch the request to commit, which does not get to Kafka."""
    return proxy.hold(END_TXN, f"{stage.prefix}.batch.tweets")


def _answer(stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch the answer of Kafka, which has committed."""
    return proxy.lose_answer(END_TXN, f"{stage.prefix}.batch.tweets")


def _records(_: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch records on their way to Kafka."""
    return proxy.hold(PRODUCE, _OF_A_RESULT)


@contextmanager
def _caught_at(catch: _Catch, stage: BatchStage, proxy: KafkaProxy) -> Iterator[tuple[ConnectorProcess, Rule]]:
    """Give a runner that has committed some of its results, and is caught within the next transaction of them."""
    first = proxy.hold(PRODUCE, _OF_A_RESULT)
    with stage.runner() as runner:
        _await_caught(first, runner)
        committing = _commit(stage, proxy)
        first.release()
        _await_caught(committing, runner)
        caught = catch(stage, proxy)
        committing.release()
        _await_caught(caught, runner)
        yield runner, caught


def _await_caught(rule: Rule, runner: ConnectorProcess) -> None:
    wait_until(lambda: rule.is_caught or not runner.is_running, "the runner is caught")
    assert runner.is_running, runner.stderr


def _kill_at(catch: _Catch, stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Kill a runner there; what is caught of it is still on its way."""
    with _caught_at(catch, stage, proxy) as (runner, caught):
        runner.signal(signal.SIGKILL)
        runner.wait()
    return caught


def _jobs_made(stage: BatchStage) -> int:
    return len(stage.x.jobs.snapshot())


# --- Kafka and the registry


@pytest.mark.parametrize("catch", [_commit, _answer])
def test_kafka_that_is_back_soon_goes_unnoticed(stage: BatchStage, proxy: KafkaProxy, catch: _Catch) -> None:
    """The transaction that it broke is ended, or was, though nobody said so."""
    with _caught_at(catch, stage, proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        time.sleep(_BRIEFLY_S)  # the length of the fault, nothing is waited for
        proxy.come_back()
        assert runner.wait() == 0, runner.stderr
    stage.check()
    assert _jobs_made(stage) == 1


@pytest.mark.parametrize("catch", [_commit, _answer])
def test_kafka_away_for_longer_than_an_attempt_is_tried_again(
    stage: BatchStage, proxy: KafkaProxy, catch: _Catch
) -> None:
    """What became of the transaction is read from the ledger; it is repeated only if nothing did."""
    with _caught_at(catch, stage, proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        time.sleep(_LONGER_THAN_AN_ATTEMPT_S)  # the length of the fault, nothing is waited for
        proxy.come_back()
        assert runner.wait() == 0, runner.stderr
    stage.check()
    assert _jobs_made(stage) == 1


def test_kafka_that_stays_away_ends_the_run_and_the_same_command_goes_on(stage: BatchStage, proxy: KafkaProxy) -> None:
    """With what is not on the bus, by the same job; what the first one had not heard of is there."""
    with _caught_at(_answer, replace(stage, more=_FEW_TRIES), proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        assert runner.wait() == os.EX_UNAVAILABLE, runner.stderr
        assert f"connector: {_AWAY}Kafka at {proxy.address} does not answer" in runner.stderr
        assert "Traceback" not in runner.stderr
    proxy.come_back()
    assert "resuming run" in stage.run().stderr
    stage.check()
    assert _jobs_made(stage) == 1


def test_kafka_away_while_x_works_ends_the_run_and_the_same_command_goes_on(
    stage: BatchStage, proxy: KafkaProxy
) -> None:
    """By the same job: nobody would know of a runner that says nothing."""
    stage.x.inject(BatchJob(status="in_progress", seconds=600.0))
    with replace(stage, more=_FEW_TRIES).runner() as runner:
        wait_until(lambda: "in_progress" in runner.stderr, "X works")
        proxy.go_away()
        assert runner.wait() == os.EX_UNAVAILABLE, runner.stderr
        assert _AWAY in runner.stderr
    assert stage.x.fired == {"batch-job": 1}
    proxy.come_back()
    stage.x.clock.advance(900.0)
    stage.run()
    stage.check()
    assert _jobs_made(stage) == 1


def test_kafka_away_at_the_start_ends_the_run_before_x_is_asked(stage: BatchStage, proxy: KafkaProxy) -> None:
    """From the beginning, or while the runner takes the place of the one before."""
    proxy.go_away()
    assert f"connector: Kafka at {proxy.address} does not answer" in stage.run(exits=os.EX_UNAVAILABLE).stderr
    proxy.come_back()
    opening = proxy.hold(_INIT_PRODUCER_ID, f"{stage.prefix}.batch.tweets")
    with stage.runner() as runner:
        opening.await_caught()
        proxy.go_away()
        assert runner.wait() == os.EX_UNAVAILABLE, runner.stderr
        assert "Kafka" in runner.stderr
    assert stage.x.requests == []
    opening.let_go()
    proxy.come_back()
    stage.run()
    stage.check()


def test_registry_away_at_the_start_ends_the_run_before_x_is_asked(
    stage: BatchStage, proxy: KafkaProxy, door: TcpProxy
) -> None:
    """A new run as well as one that is to be resumed, which loses nothing by it."""
    door.go_away()
    assert "connector: schema registry http" in stage.run(exits=os.EX_UNAVAILABLE).stderr
    assert (stage.x.requests, stage.records("-batch-ledger")) == ([], [])
    door.come_back()
    _kill_at(_commit, stage, proxy)
    asked = len(stage.x.requests)
    door.go_away()
    stage.run(exits=os.EX_UNAVAILABLE)
    assert len(stage.x.requests) == asked
    door.come_back()
    assert "resuming run" in stage.run().stderr
    stage.check()
    assert _jobs_made(stage) == 1


# --- the end of a runner, and another one


@pytest.mark.parametrize("catch", [_commit, _answer, _records])
def test_runner_killed_in_a_transaction_is_followed_by_one_that_goes_on(
    stage: BatchStage, proxy: KafkaProxy, catch: _Catch
) -> None:
    """What the dead one had sent comes to Kafka when its successor is done, and changes nothing."""
    late = _kill_at(catch, stage, proxy)
    assert "resuming run" in stage.run().stderr
    late.release()
    stage.check()
    assert _jobs_made(stage) == 1


def test_runner_stopped_in_a_commit_finds_that_another_one_has_taken_over(stage: BatchStage, proxy: KafkaProxy) -> None:
    """It stood still until it was taken for dead; its commit comes to Kafka once everything is published."""
    with _caught_at(_commit, stage, proxy) as (zombie, late):
        zombie.signal(signal.SIGSTOP)
        with stage.runner(folder="other") as heir:
            assert heir.wait() == 0, heir.stderr
        late.release()
        zombie.signal(signal.SIGCONT)
        assert zombie.wait() == os.EX_TEMPFAIL, zombie.stderr
        assert "has taken over" in zombie.stderr
    stage.check()


def test_runner_fenced_in_a_commit_ends_and_the_same_command_goes_on(
    stage: BatchStage, proxy: KafkaProxy, servers: _Servers
) -> None:
    """Kafka refuses the producer of a runner as soon as another one has begun."""
    with _caught_at(_commit, stage, proxy) as (runner, late):
        newer = {
            "bootstrap.servers": servers.kafka.bootstrap_servers,
            "transactional.id": f"{stage.prefix}.batch.tweets",
        }
        Producer(newer).init_transactions(hasty.ATTEMPT_S)
        late.release()
        assert runner.wait() == os.EX_TEMPFAIL, runner.stderr
        assert "connector: another runner of tweets jobs has taken over" in runner.stderr
    stage.run()
    stage.check()
    assert _jobs_made(stage) == 1


# --- X


@pytest.mark.parametrize(
    ("limit", "method", "least_s"),
    [
        (BatchAnswer(call="create", status=429, reset_in_s=4), "POST", 3.0),
        (BatchAnswer(call="upload", status=429, has_rate_limit=False), "PUT", hasty.RATE_LIMIT_S),
    ],
    ids=["with reset", "without"],
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


def _begin_and_change_results(stage: BatchStage, proxy: KafkaProxy) -> None:
    """Kill a runner of whose results a part is published; X has others then, of which nothing is published."""
    _kill_at(_commit, stage, proxy)
    stage.x.inject(BatchLines(how="changed", lines=3, after=1))
    refused = stage.run(exits=os.EX_UNAVAILABLE)
    assert stage.x.fired == {"batch-lines": 1}
    assert f"have changed since {hasty.ANSWERS} of them were published; --fresh abandons the run" in refused.stderr
    assert len(stage.records(".batch.tweet")) == hasty.ANSWERS


def test_results_that_change_once_a_part_is_published_are_refused(stage: BatchStage, proxy: KafkaProxy) -> None:
    """The same command goes on if X has the old ones again, in whatever order."""
    _begin_and_change_results(stage, proxy)
    stage.x.inject(BatchLines(how="shuffled", after=1))
    stage.run()
    assert stage.x.fired == {"batch-lines": 2}
    stage.check()
    assert _jobs_made(stage) == 1


def test_fresh_run_follows_one_whose_results_have_changed(stage: BatchStage, proxy: KafkaProxy) -> None:
    """The one before is said to be abandoned, and the new one has every result."""
    _begin_and_change_results(stage, proxy)
    stage.run("--fresh")
    assert [each["state"] for each in stage.decoded("-batch")].count("abandoned") == 1
    stage.check()
    assert _jobs_made(stage) == 2


@pytest.mark.parametrize("ids", ["", "1", "no id\n-1\n"], ids=["none", "one", "only invalid"])
def test_run_of_few_ids_or_none_is_on_the_bus(stage: BatchStage, ids: str) -> None:
    """As a run that is done."""
    stage.ids.write_text(ids, encoding="utf-8")
    stage.run("--skip-invalid")
    done = stage.check()
    assert (done["ids"], _jobs_made(stage)) == (len(stage.asked()), len(stage.asked()))


# --- secrets


def test_secrets_that_x_repeats_in_results_are_nowhere(stage: BatchStage) -> None:
    """Neither on the bus nor in what is said, in a result as in a line that is none."""
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


def test_record_that_is_doubled_on_the_bus_is_found(stage: BatchStage, servers: _Servers) -> None:
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
