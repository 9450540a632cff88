"""Group commit: which parts share a transaction."""

import time

import pytest

from connector.errors import FencedError
from connector.kafka.group_commit import GATHER_S
from connector.kafka.transaction import Committed
from tests.rig.process import wait_until
from tests.unit.kafka.group import PATIENCE_S, A, B, Bench, C


def test_parts_that_are_due_together_share_a_transaction(bench: Bench) -> None:
    """Each learns where its own entry stands; the next one comes behind Kafka's marker."""
    a, b = bench.join(A, B)
    b.expect_entry_at(0)
    first, second = bench.together(a, b)
    assert (first.result(), second.result()) == (Committed(0, 0.1), Committed(0, 0.1))
    assert (a.next_offset, b.next_offset) == (2, 2)
    assert bench.start(a, b"next").result(PATIENCE_S).ledger_offset == 2
    assert [sorted(each) for each in bench.kafka.transactions] == [sorted([A, B]), [A]]
    assert bench.kafka.made == 1


def test_part_waits_for_none_that_is_due_later(bench: Bench) -> None:
    """As the end of a connection, which is committed at once."""
    a, b = bench.join(A, B)
    b.announce(bench.kafka.now_s + 0.001)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0
    assert bench.kafka.transactions == [[A]]


def test_part_waits_in_vain_for_a_moment_and_never_again(bench: Bench) -> None:
    """One that is due and does not come is then overdue, and holds up no other."""
    a, b = bench.join(A, B)
    b.announce(bench.kafka.now_s)
    commit = bench.start(a, b"a")
    wait_until(lambda: bench.kafka.transactions == [] and not commit.done(), "the part waits")
    bench.kafka.now_s += GATHER_S
    assert commit.result(PATIENCE_S).ledger_offset == 0
    assert bench.start(a, b"more").result(PATIENCE_S).ledger_offset == 2


@pytest.mark.parametrize("way", ["leaves", "commits"])
def test_part_does_not_wait_for_who_has_left_or_been(bench: Bench, way: str) -> None:
    """An announcement is good for one commit."""
    a, b = bench.join(A, B)
    b.announce(bench.kafka.now_s)
    if way == "leaves":
        b.leave()
    else:
        bench.start(b, b"b").result(PATIENCE_S)
    assert bench.start(a, b"a").result(PATIENCE_S).ledger_offset == 0


def test_parts_that_come_during_a_transaction_share_the_next(bench: Bench) -> None:
    """None waits for more than the one in progress."""
    a, b, c = bench.join(A, B, C)
    bench.behind((a, b"a"), (b, b"b"), (c, b"c"))
    assert [len(transaction) for transaction in bench.kafka.transactions] == [1, 2]


def test_two_parts_of_one_partition_never_share_a_transaction(bench: Bench) -> None:
    """An owner that stopped too late and its successor: the place of the entry decides."""
    old, new, b = bench.join(A, A, B)
    _, *commits = bench.behind((b, b"b"), (old, b"old"), (new, b"new"))
    assert bench.kafka.transactions[1:] == [[A], [A]]
    assert sorted(str(type(commit.exception())) for commit in commits) == sorted([str(type(None)), str(FencedError)])
    assert len(bench.kafka.logs[A].committed) == 1


def test_part_that_comes_to_an_idle_thread_is_committed_at_once(bench: Bench) -> None:
    """And not when that thread would look by itself, once a second."""
    [a] = bench.join(A)
    began_s = time.monotonic()
    for number in range(10):
        assert bench.start(a, b"%d" % number).result(PATIENCE_S).ledger_offset == 2 * number
    assert time.monotonic() - began_s < 4
