"""The inbox: bounded, in order, and nobody is left waiting."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from connector.source.deliveries import Delivery, Ended, KeptAlive

from connector.source.channel import Inbox, InboxClosedError

_DEADLINE_S = 30.0


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
    assert list(inbox.take()) == [_delivery(0), _delivery(1), _delivery(2)]
    assert list(inbox.take()) == []
    assert inbox.waiting_bytes == 0


def test_full_inbox_makes_the_reader_wait_for_room() -> None:
    """Up to the limit and not a byte over it."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 60)
    inbox.put(_delivery(1), 40)
    with _waiting(lambda: inbox.put(_delivery(2), 1)):
        assert inbox.waiting_bytes == 100
        assert next(inbox.take()) == _delivery(0)
    assert inbox.waiting_bytes == 41


def test_empty_inbox_takes_one_delivery_of_any_size() -> None:
    """Otherwise a huge line would wait for ever."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 1000)
    with _waiting(lambda: inbox.put(_delivery(1), 1)):
        next(inbox.take())


def test_take_leaves_what_comes_meanwhile() -> None:
    """However fast the reader is, the committer gets to the end of what it has begun."""
    inbox = Inbox(100)
    inbox.put(_delivery(0))
    taken = inbox.take()
    assert next(taken) == _delivery(0)
    inbox.put(_delivery(1))
    assert list(taken) == []
    assert list(inbox.take()) == [_delivery(1)]


def test_wait_ends_with_a_delivery() -> None:
    """Long before its time is over."""
    inbox = Inbox(100)
    with _waiting(lambda: inbox.wait(_DEADLINE_S * 10)):
        inbox.put(_delivery(7))
    inbox.wait(_DEADLINE_S * 10)
    assert list(inbox.take()) == [_delivery(7)]


@pytest.mark.parametrize(("urgent", "size_bytes"), [(_delivery(9), 30), (Ended(is_whole=True), 0)])
def test_gathering_goes_on_until_enough_came_or_a_connection_ended(urgent: Delivery, size_bytes: int) -> None:
    """Half of what the inbox holds is enough; a delivery here and there wakes nobody."""
    inbox = Inbox(100)
    with _waiting(lambda: inbox.wait(_DEADLINE_S * 10, is_gathering=True)) as gathering:
        inbox.put(_delivery(0), 20)
        gathering.join(0.05)
        assert gathering.is_alive()
        inbox.put(urgent, size_bytes)
    assert list(inbox.take()) == [_delivery(0), urgent]


def test_gathering_ends_when_the_reader_waits_for_room() -> None:
    """A delivery larger than what is left, though less than enough is there."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 10)
    with _waiting(lambda: inbox.wait(_DEADLINE_S * 10, is_gathering=True)) as gathering:
        reader = threading.Thread(target=inbox.put, args=(_delivery(1), 95))
        reader.start()
        gathering.join(_DEADLINE_S)
    assert list(inbox.take()) == [_delivery(0)]
    reader.join(_DEADLINE_S)
    assert list(inbox.take()) == [_delivery(1)]


def test_gathering_ends_with_its_time() -> None:
    """What came by then is there to be taken."""
    inbox = Inbox(100)
    inbox.put(_delivery(0), 10)
    inbox.wait(0.01, is_gathering=True)
    assert list(inbox.take()) == [_delivery(0)]


def test_settled_means_taken_and_committed() -> None:
    """Neither an empty inbox nor a commit of something else is enough."""
    inbox = Inbox(100)
    inbox.wait_until_settled()
    inbox.put(_delivery(0))
    with _waiting(inbox.wait_until_settled) as waiting:
        inbox.settle()
        next(inbox.take())
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
    assert list(inbox.take()) == []
    assert inbox.waiting_bytes == 0


@pytest.mark.parametrize("is_gathering", [False, True])
def test_reader_and_committer_at_full_speed_lose_nothing_and_stay_within_the_limit(*, is_gathering: bool) -> None:
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
        inbox.wait(0.1, is_gathering=is_gathering)
        taken += inbox.take()
    writer.join(_DEADLINE_S)
    assert taken == [_delivery(number) for number in range(count)]
