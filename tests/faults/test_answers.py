"""The request that ends a transaction, or its answer, lost or late on the way: promise `every_event_once`.

What became of the commit is read from the ledger in time, so no stream partition begins again.
"""

import time

import pytest

from tests.faults.stage import Replica, Stage
from tests.rig.process import wait_until
from tests.rig.proxy import END_TXN, PRODUCE, KafkaProxy

_SLOW_S = 1.2
"""More than a commit may take without its producer being replaced; less, and the retry's own delay makes it so."""

_BROKEN = "commit: answer lost, connection broken"
_SILENT = "commit: answer lost, connection silent"
_LATE = "commit: late by a transaction"
_GIVEN_UP = "commit: late after it was given up"


def _begin(stage: Stage, proxy: KafkaProxy) -> Replica:
    """Start a replica that speaks through the proxy, with traffic."""
    replica = stage.start("a", kafka={"bootstrap_servers": proxy.address})
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    return replica


def _producer_id(stage: Stage) -> str:
    """Return how the transactional id of the replica's producer begins."""
    return f"{stage.prefix}."


def _conclude(stage: Stage, replica: Replica) -> None:
    """Hold the history against the truth; no stream partition began again over it."""
    stage.conclude()
    assert replica.restarted() == {}
    assert stage.unsound() == {}


@pytest.mark.fires(_BROKEN, _SILENT)
def test_commit_answer_lost_is_found_in_the_ledger(stage: Stage, proxy: KafkaProxy) -> None:
    """The commit went through without an answer, with the connection broken or just silent."""
    replica = _begin(stage, proxy)
    broken = proxy.lose_answer(END_TXN, _producer_id(stage))
    broken.await_caught()
    broken.cut()
    stage.note(_BROKEN)
    stage.await_caught_up()
    silent = proxy.lose_answer(END_TXN, _producer_id(stage))
    silent.await_caught()
    stage.note(_SILENT)
    wait_until(lambda: "failed" in replica.replaced(), "the silent commit is given up")
    _conclude(stage, replica)


@pytest.mark.fires(_LATE)
@pytest.mark.parametrize("broken_after_s", [pytest.param(0.0, marks=pytest.mark.long), _SLOW_S])
def test_commit_delayed_until_the_next_transaction_finds_an_old_epoch(
    stage: Stage, proxy: KafkaProxy, broken_after_s: float
) -> None:
    """Sent again over a new connection it succeeds; the first one comes in the middle of the next transaction."""
    replica = _begin(stage, proxy)
    producer_id = _producer_id(stage)
    late = proxy.hold(END_TXN, producer_id)
    late.await_caught()
    following = proxy.hold(PRODUCE, producer_id, f"{stage.prefix}-ledger")
    time.sleep(broken_after_s)  # the length of the fault, nothing is waited for
    late.cut()
    following.await_caught()
    late.release()
    stage.note(_LATE)
    following.release()
    _conclude(stage, replica)
    assert "slow-commit" in replica.replaced()


@pytest.mark.long
@pytest.mark.fires(_GIVEN_UP)
def test_commit_delayed_until_it_is_given_up_finds_an_old_epoch(stage: Stage, proxy: KafkaProxy) -> None:
    """The first of them comes when the next transaction's records are all there, and ends nothing."""
    replica = _begin(stage, proxy)
    producer_id = _producer_id(stage)
    late = proxy.hold(END_TXN, producer_id)
    late.await_caught()
    wait_until(lambda: "failed" in replica.replaced(), "the commit is given up")
    following = proxy.hold(END_TXN, producer_id)
    following.await_caught()
    late.release()
    stage.note(_GIVEN_UP)
    following.release()
    _conclude(stage, replica)
