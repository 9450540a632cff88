"""The inbox: bounded, in order, and nobody is left waiting."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from connector.x.deliveries import KeptAlive
from connector.x.inbox import Inbox, InboxClosedError

_DEADLINE_S = 5.0


def _delivery(number: int) -> KeptAlive:
    return KeptAlive(number, number)


@contextmanager
def _waiting(call: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run `call` in a thread, which must not end by itself before the block has begun, and must end after it."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    yield thread
    thread.join(_DEADLINE_S)
    assert not thread.is_alive()


def test_deliveries_come_out_in_order() -> None:
    """First in, first out; then nothing."""
    inbox = Inbox(100)
    for number in range(3):
        inbox.put(_delivery(number), 10)
    assert inbox.waiting_bytes == 30
    assert [inbox.take(0) for _ in range(4)] == [_delivery(0), _delivery(1), _delivery(2), None]
    assert inbox.waiting_bytes == 0


def test_full_inbox_makes_the_reader_wait_for_room() -> None:
    """Up to the limit and not a byte over it."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 60)
    inbox.put(_delivery(1), 40)
    with _waiting(lambda: inbox.put(_delivery(2), 1)):
        assert inbox.waiting_bytes == 100
        assert inbox.take(0) == _delivery(0)
    assert inbox.waiting_bytes == 41


def test_empty_inbox_takes_one_delivery_of_any_size() -> None:
    """Otherwise a huge line would wait for ever."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 1000)
    with _waiting(lambda: inbox.put(_delivery(1), 1)):
        inbox.take(0)


def test_take_waits_for_a_delivery() -> None:
    """And is woken by it, long before its time is over."""
    inbox = Inbox(100)
    taken: list[object] = []
    with _waiting(lambda: taken.append(inbox.take(_DEADLINE_S * 10))):
        inbox.put(_delivery(7))
    assert taken == [_delivery(7)]


def test_settled_means_taken_and_committed() -> None:
    """Neither an empty inbox nor a commit of something else is enough."""
    inbox = Inbox(100)
    inbox.wait_until_settled()
    inbox.put(_delivery(0))
    with _waiting(inbox.wait_until_settled) as waiting:
        inbox.settle()
        inbox.take(0)
        waiting.join(0.05)
        assert waiting.is_alive()
        inbox.settle()


@pytest.mark.parametrize("name", ["put", "settled"])
def test_closing_wakes_whoever_waits(name: str) -> None:
    """The reader learns that there is nothing left to do."""
    inbox = Inbox(1)
    inbox.put(_delivery(0), 1)
    raised: list[InboxClosedError] = []

    def wait() -> None:
        try:
            if name == "put":
                inbox.put(_delivery(1), 1)
            inbox.wait_until_settled()
        except InboxClosedError as error:
            raised.append(error)

    with _waiting(wait):
        inbox.close()
    assert len(raised) == 1


def test_closed_inbox_holds_and_takes_nothing() -> None:
    """For good."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 10)
    inbox.close()
    with pytest.raises(InboxClosedError):
        inbox.put(_delivery(1))
    with pytest.raises(InboxClosedError):
        inbox.wait_until_settled()
    assert inbox.take(0) is None
    assert inbox.waiting_bytes == 0


def test_reader_and_committer_at_full_speed_lose_nothing_and_stay_within_the_limit() -> None:
    """Ten thousand deliveries through an inbox that holds three."""
    inbox, count = Inbox(3), 10_000

    def write() -> None:
        for number in range(count):
            inbox.put(_delivery(number), 1)

    writer = threading.Thread(target=write)
    writer.start()
    taken: list[object] = []
    until = time.monotonic() + _DEADLINE_S * 4
    while len(taken) < count and time.monotonic() < until:
        assert inbox.waiting_bytes <= 3
        if (delivery := inbox.take(0.1)) is not None:
            taken.append(delivery)
    writer.join(_DEADLINE_S)
    assert taken == [_delivery(number) for number in range(count)]
