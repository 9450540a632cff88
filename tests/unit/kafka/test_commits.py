"""Who commits through a producer of its own, and for how long."""

import threading
from concurrent.futures import wait

import pytest

from connector.errors import WriterLostError
from connector.kafka.commits import SUSPECTED_S, Commits
from tests.rig.process import wait_until
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench


def _fail_alone(bench: Bench, commits: Commits) -> None:
    """Have a part that Kafka refuses end a life of `A`."""
    bench.kafka.refused = {b"poison"}
    writer = commits.join(A)
    bench.expect((A, writer))
    assert isinstance(bench.start(writer, b"poison").exception(PATIENCE_S), WriterLostError)
    writer.leave()


def test_partition_that_failed_by_itself_has_a_producer_of_its_own_for_a_while(bench: Bench) -> None:
    """It holds up no other; when it has committed for some minutes it shares with the others again."""
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        b = commits.join(B)
        bench.expect((B, b))
        _fail_alone(bench, commits)
        again = commits.join(A)
        assert (again.has_own_producer, b.has_own_producer) == (True, False)
        bench.expect((A, again))
        goes_on = threading.Event()
        bench.kafka.hold = goes_on.wait
        own = bench.start(again, b"1")
        wait_until(lambda: len(bench.kafka.transactions) == 3, "its own transaction is under way")
        bench.kafka.hold = list
        assert bench.start(b, b"b").result(PATIENCE_S).ledger_offset == 0
        assert not own.done()
        goes_on.set()
        assert own.result(PATIENCE_S)
        made = bench.kafka.made
        bench.kafka.now_s += SUSPECTED_S
        bench.start(again, b"2").result(PATIENCE_S)
        assert not again.has_own_producer
        assert bench.kafka.made == made + 1, "its last marker is awaited before another producer writes behind it"
        again.announce(bench.kafka.now_s)
        b.announce(bench.kafka.now_s)
        both = [bench.start(again, b"3"), bench.start(b, b"c")]
        wait(both, PATIENCE_S)
        assert sorted(bench.kafka.transactions[-1]) == [A, B]
        again.leave()
        commits.join(A)
        assert bench.kafka.made == made + 1


def test_suspect_that_gets_no_producer_stays_one(bench: Bench) -> None:
    """It tries for one of its own again."""
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        _fail_alone(bench, commits)
        made = bench.kafka.made
        bench.kafka.failures_to_make = [WriterLostError("at its start"), WriterLostError("none to be had")]
        with pytest.raises(WriterLostError, match="none to be had"):
            commits.join(A)
        commits.join(A)
        assert bench.kafka.made == made + 1


def test_suspect_stays_one_until_it_has_committed_for_some_minutes(bench: Bench) -> None:
    """Whatever ends its life before: a ledger that cannot be read, a rebalance."""
    with Commits(bench.make_group, lambda: bench.kafka.now_s) as commits:
        _fail_alone(bench, commits)
        made = bench.kafka.made
        for lives in (1, 2):
            commits.join(A).leave()
            assert bench.kafka.made == made + lives
