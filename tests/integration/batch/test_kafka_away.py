"""A publishing run while Kafka or the registry is away, or another runner or a kill comes in between."""

import os
import signal
import time
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from connector.simulator.batch.faults import BatchJob
from tests.integration.batch import hasty_connector as hasty
from tests.integration.batch.catching import Catch, answer, caught_at, commit, jobs_made, kill_at, records
from tests.integration.batch.conftest import Servers
from tests.integration.batch.stage import BatchStage
from tests.rig.process import wait_until
from tests.rig.proxy import KafkaProxy, TcpProxy

_INIT_PRODUCER_ID = 22
"""The API key of the request that ends what a predecessor left open."""
_BRIEFLY_S = 0.5
_LONGER_THAN_AN_ATTEMPT_S = hasty.ATTEMPT_S + 1.0
_FEW_TRIES = {hasty.TRIES_VARIABLE: "2"}
_AWAY = "Kafka did not accept the results: "


@pytest.mark.long
@pytest.mark.parametrize("catch", [commit, answer])
def test_kafka_that_is_back_soon_goes_unnoticed(stage: BatchStage, proxy: KafkaProxy, catch: Catch) -> None:
    """The transaction that it broke is ended, or was without an answer."""
    with caught_at(catch, stage, proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        time.sleep(_BRIEFLY_S)  # the length of the fault, nothing is waited for
        proxy.come_back()
        assert runner.wait() == 0, runner.stderr
    stage.check()
    assert jobs_made(stage) == 1


@pytest.mark.long
@pytest.mark.parametrize("catch", [commit, answer])
def test_kafka_away_for_longer_than_an_attempt_is_tried_again(
    stage: BatchStage, proxy: KafkaProxy, catch: Catch
) -> None:
    """What became of the transaction is read from the ledger; it is repeated only if nothing did."""
    with caught_at(catch, stage, proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        time.sleep(_LONGER_THAN_AN_ATTEMPT_S)  # the length of the fault, nothing is waited for
        proxy.come_back()
        assert runner.wait() == 0, runner.stderr
    stage.check()
    assert jobs_made(stage) == 1


def test_kafka_that_stays_away_ends_the_run_and_the_same_command_goes_on(stage: BatchStage, proxy: KafkaProxy) -> None:
    """With what is not on the bus, by the same job; what the first one had not heard of is there."""
    with caught_at(answer, replace(stage, more=_FEW_TRIES), proxy) as (runner, caught):
        proxy.go_away()
        caught.let_go()
        assert runner.wait() == os.EX_UNAVAILABLE, runner.stderr
        assert f"connector: {_AWAY}Kafka at {proxy.address} does not answer" in runner.stderr
        assert "Traceback" not in runner.stderr
    proxy.come_back()
    assert "resuming run" in stage.run().stderr
    stage.check()
    assert jobs_made(stage) == 1


@pytest.mark.long
def test_kafka_away_while_x_works_ends_the_run_and_the_same_command_goes_on(
    stage: BatchStage, proxy: KafkaProxy
) -> None:
    """By the same job: a silent runner would go unnoticed."""
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
    assert jobs_made(stage) == 1


@pytest.mark.long
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


def test_kafka_that_leaves_the_first_producer_without_an_answer_is_asked_again(
    stage: BatchStage, proxy: KafkaProxy
) -> None:
    """As a broker does that has just started and still loads its transactions."""
    opening = proxy.hold(_INIT_PRODUCER_ID, f"{stage.prefix}.batch.tweets")
    with stage.runner() as runner:
        opening.await_caught()
        assert runner.wait() == 0, runner.stderr
    stage.check()


def test_runner_that_another_one_overtakes_before_it_has_a_producer_publishes_nothing(
    stage: BatchStage, proxy: KafkaProxy
) -> None:
    """What it read of the run before is out of date by then."""
    kill_at(commit, stage, proxy).release()
    opening = proxy.hold(_INIT_PRODUCER_ID, f"{stage.prefix}.batch.tweets")
    with stage.runner() as slow:
        opening.await_caught()
        slow.signal(signal.SIGSTOP)
        with stage.runner(folder="other") as quick:
            assert quick.wait(120) == 0, quick.stderr
        opening.let_go()
        slow.signal(signal.SIGCONT)
        assert slow.wait(60) == os.EX_TEMPFAIL, slow.stderr
        assert f"/{quick.pid} has taken over tweets jobs" in slow.stderr
    stage.check()


def test_registry_unavailable_at_the_start_ends_the_run_before_x_is_asked(
    stage: BatchStage, proxy: KafkaProxy, door: TcpProxy
) -> None:
    """A new run as well as one that is to be resumed, which loses nothing by it."""
    door.go_away()
    assert "connector: schema registry http" in stage.run(exits=os.EX_UNAVAILABLE).stderr
    assert (stage.x.requests, stage.records("-batch-ledger")) == ([], [])
    door.come_back()
    kill_at(commit, stage, proxy)
    asked = len(stage.x.requests)
    door.go_away()
    stage.run(exits=os.EX_UNAVAILABLE)
    assert len(stage.x.requests) == asked
    door.come_back()
    assert "resuming run" in stage.run().stderr
    stage.check()
    assert jobs_made(stage) == 1


# --- the end of a runner, and another one


@pytest.mark.parametrize("catch", [commit, *(pytest.param(each, marks=pytest.mark.long) for each in (answer, records))])
def test_runner_killed_in_a_transaction_is_followed_by_one_that_goes_on(
    stage: BatchStage, proxy: KafkaProxy, catch: Catch
) -> None:
    """What the dead one had sent comes to Kafka when its successor is done, and changes nothing."""
    late = kill_at(catch, stage, proxy)
    assert "resuming run" in stage.run().stderr
    late.release()
    stage.check()
    assert jobs_made(stage) == 1


@pytest.mark.long
def test_runner_stopped_in_a_commit_finds_that_another_one_has_taken_over(stage: BatchStage, proxy: KafkaProxy) -> None:
    """It stood still until it was taken for dead; its commit comes to Kafka once everything is published."""
    with caught_at(commit, stage, proxy) as (zombie, late):
        zombie.signal(signal.SIGSTOP)
        with stage.runner(folder="other") as heir:
            assert heir.wait() == 0, heir.stderr
        late.release()
        zombie.signal(signal.SIGCONT)
        assert zombie.wait() == os.EX_TEMPFAIL, zombie.stderr
        assert "has taken over" in zombie.stderr
    stage.check()


def test_runner_fenced_in_a_commit_ends_and_the_same_command_goes_on(
    stage: BatchStage, proxy: KafkaProxy, servers: Servers
) -> None:
    """Kafka refuses the producer of a runner as soon as another one has begun."""
    with caught_at(commit, stage, proxy) as (runner, late):
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
    assert jobs_made(stage) == 1
