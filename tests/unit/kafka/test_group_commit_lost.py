"""Group commit: parts whose stream partition was lost, and a process that ends."""

from concurrent.futures import wait

import pytest

from connector.errors import DependencyUnavailableError, WriterLostError
from connector.kafka.group_commit import RESOLVE_S
from connector.kafka.transaction import Part, Record
from tests.rig.process import wait_until
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench, Fate

_NO_ANSWER = DependencyUnavailableError("no answer")
_LOST = "no longer counts this process as the owner"


def test_part_that_is_lost_while_it_waits_for_another_transaction_is_not_tried(bench: Bench) -> None:
    """Its entry would take the next owner's place."""
    lost, b = bench.join(A, B)
    first, second = bench.behind((b, b"b"), (lost, b"a"), meanwhile=lost.lose)
    assert first.exception() is None
    with pytest.raises(WriterLostError, match=_LOST):
        second.result()
    assert bench.kafka.transactions[1:] == []


def test_part_that_is_lost_in_a_transaction_that_fails_is_not_tried_again(bench: Bench) -> None:
    """The other one is."""
    b, lost = bench.join(B, A)
    bench.kafka.fates = [Fate.ABORTED]
    bench.kafka.hold = lost.lose
    first, second = bench.together(b, lost)
    assert first.exception() is None
    with pytest.raises(WriterLostError, match=_LOST):
        second.result()
    assert bench.kafka.transactions[1:] == [[B]]


@pytest.mark.parametrize("fate", [Fate.COMMITTED, Fate.ANSWER_LOST, Fate.NOT_WRITTEN])
def test_process_that_lost_what_it_committed_makes_no_producer(bench: Bench, fate: Fate) -> None:
    """A pod that was paused and replaced: its successor has the same transactional id, and would be fenced."""
    [lost] = bench.join(A)
    bench.kafka.attempt_takes_s = 7.7
    bench.kafka.fates = [fate]
    bench.on_pause = lost.lose
    wait([bench.start(lost, b"a")], PATIENCE_S)
    with pytest.raises(WriterLostError):  # taken once the thread is done with the part before
        bench.group.commit(Part(A, [], Record("ledger", b"k", b"b"), 2), lambda: False)
    assert bench.kafka.made == 1


def test_partition_may_be_lost_in_the_moment_after_a_long_transaction(bench: Bench) -> None:
    """A process that was paused learns of it only then; what waited is not tried."""
    lost, b = bench.join(A, B)
    bench.kafka.attempt_takes_s = 6.0
    bench.on_pause = lost.lose
    first, second = bench.behind((b, b"b"), (lost, b"a"))
    assert first.result(PATIENCE_S).ledger_offset == 0
    with pytest.raises(WriterLostError, match=_LOST):
        second.result(PATIENCE_S)


@pytest.mark.parametrize("fate", [Fate.COMMITTED, Fate.ANSWER_LOST])
def test_process_that_lost_one_of_two_partitions_has_a_producer_for_the_other(bench: Bench, fate: Fate) -> None:
    """The transaction was slow or failed, and its producer was dropped."""
    lost, kept = bench.join(A, B)
    bench.kafka.attempt_takes_s = 7.7
    bench.kafka.fates = [fate]
    bench.on_pause = lost.lose
    bench.together(lost, kept)
    wait_until(lambda: bench.kafka.made == 2, "a producer is made for the next part")


def test_part_that_is_lost_while_no_producer_can_be_made_is_not_tried(bench: Bench) -> None:
    """Neither is a producer made: the successor may have the same transactional id."""
    [lost] = bench.join(A)
    bench.kafka.attempt_takes_s = 1.1
    bench.kafka.failures_to_make = [_NO_ANSWER] * 45
    assert bench.start(lost, b"1").result(PATIENCE_S).ledger_offset == 0
    bench.on_pause = lost.lose
    with pytest.raises(WriterLostError, match=_LOST):
        bench.start(lost, b"2").result(PATIENCE_S)
    assert (bench.kafka.made, bench.kafka.transactions) == (1, [[A]])


def test_part_that_is_lost_while_it_waits_to_be_resolved_is_not_tried(bench: Bench) -> None:
    """As long as no producer can be made."""
    [lost] = bench.join(A)
    bench.kafka.fates = [Fate.ABORTED]
    bench.kafka.failures_to_make = [_NO_ANSWER] * 3
    bench.on_pause = lost.lose
    with pytest.raises(WriterLostError, match=_LOST):
        bench.start(lost, b"x").result(PATIENCE_S)
    assert (bench.kafka.made, bench.kafka.transactions) == (1, [[A]])


def test_part_that_is_lost_while_its_ledger_is_read_is_not_tried_again(bench: Bench) -> None:
    """That waits for open transactions, and may take long."""
    [lost] = bench.join(A)
    bench.kafka.fates = [Fate.ABORTED]
    bench.kafka.on_read = lost.lose
    with pytest.raises(WriterLostError, match=_LOST):
        bench.start(lost, b"x").result(PATIENCE_S)
    assert bench.kafka.transactions == [[A]]


def test_part_that_is_not_resolved_when_the_process_ends_says_so(bench: Bench) -> None:
    """At once, and not that time was up."""
    [a] = bench.join(A)
    bench.kafka.fates = [Fate.ABORTED]
    bench.kafka.failures_to_make = [_NO_ANSWER] * 200
    bench.on_pause = bench.group.close
    began_s = bench.kafka.now_s
    with pytest.raises(WriterLostError, match=r"^the process ends$"):
        bench.start(a, b"x").result(PATIENCE_S)
    assert bench.kafka.now_s - began_s < RESOLVE_S / 2
