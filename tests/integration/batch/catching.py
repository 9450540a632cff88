"""Where a runner is caught in the middle of what it does: in a transaction, on either side of Kafka's answer."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.integration.batch.stage import BatchStage
from tests.rig.process import wait_until
from tests.rig.proxy import END_TXN, PRODUCE, KafkaProxy, Rule
from tests.rig.service import ConnectorProcess

_OF_A_RESULT = "x.compliance.batch.tweet"
"""Is in the headers of a result, and of nothing else."""


Catch = Callable[[BatchStage, KafkaProxy], Rule]


def commit(stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch the request to commit, which does not get to Kafka."""
    return proxy.hold(END_TXN, f"{stage.prefix}.batch.tweets")


def answer(stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch the answer of Kafka, which has committed."""
    return proxy.lose_answer(END_TXN, f"{stage.prefix}.batch.tweets")


def records(_: BatchStage, proxy: KafkaProxy) -> Rule:
    """Catch records on their way to Kafka."""
    return proxy.hold(PRODUCE, _OF_A_RESULT)


@contextmanager
def caught_at(catch: Catch, stage: BatchStage, proxy: KafkaProxy) -> Iterator[tuple[ConnectorProcess, Rule]]:
    """Give a runner that has committed some of its results, and is caught within the next transaction of them."""
    first = proxy.hold(PRODUCE, _OF_A_RESULT)
    with stage.runner() as runner:
        await_caught(first, runner)
        committing = commit(stage, proxy)
        first.release()
        await_caught(committing, runner)
        caught = catch(stage, proxy)
        committing.release()
        await_caught(caught, runner)
        yield runner, caught


def await_caught(rule: Rule, runner: ConnectorProcess) -> None:
    """Wait until a runner is caught, and check that it runs."""
    wait_until(lambda: rule.is_caught or not runner.is_running, "the runner is caught")
    assert runner.is_running, runner.stderr


def kill_at(catch: Catch, stage: BatchStage, proxy: KafkaProxy) -> Rule:
    """Kill a runner there; what is caught of it is still on its way."""
    with caught_at(catch, stage, proxy) as (runner, caught):
        runner.signal(signal.SIGKILL)
        runner.wait()
    return caught


def jobs_made(stage: BatchStage) -> int:
    """Return how many jobs X was asked to make."""
    return len(stage.x.jobs.snapshot())
