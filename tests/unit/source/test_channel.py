"""The channel: bounded, in order, no thread left waiting, and one reason for the end of a connection."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from connector.coverage.messages import Ended, EndReason, KeepAlive, Message, Progress
from connector.source.channel import Channel, ChannelClosedError
from tests.fakes.partition import reading

_DEADLINE_S = 30.0
_NOTHING = Progress(0)


def _message(number: int) -> KeepAlive:
    return KeepAlive(reading(number), None)


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


def test_messages_come_out_in_order() -> None:
    """First in, first out; then nothing."""
    channel = Channel(100, _NOTHING)
    for number in range(3):
        channel.put(_message(number), 10)
    assert channel.waiting_bytes == 30
    assert list(channel.take()) == [_message(0), _message(1), _message(2)]
    assert list(channel.take()) == []
    assert channel.waiting_bytes == 0


def test_full_channel_makes_the_reader_wait_for_room() -> None:
    """Up to the limit and not a byte over it."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0), 60)
    channel.put(_message(1), 40)
    with _waiting(lambda: channel.put(_message(2), 1)):
        assert channel.waiting_bytes == 100
        assert next(channel.take()) == _message(0)
    assert channel.waiting_bytes == 41


def test_empty_channel_takes_one_message_of_any_size() -> None:
    """Otherwise a huge line would wait forever."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0), 1000)
    with _waiting(lambda: channel.put(_message(1), 1)):
        next(channel.take())


def test_take_leaves_what_comes_meanwhile() -> None:
    """However fast the reader is, the committer gets to the end of what it has begun."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0))
    taken = channel.take()
    assert next(taken) == _message(0)
    channel.put(_message(1))
    assert list(taken) == []
    assert list(channel.take()) == [_message(1)]


def test_wait_ends_with_a_message() -> None:
    """Long before its time is over."""
    channel = Channel(100, _NOTHING)
    with _waiting(lambda: channel.wait(_DEADLINE_S * 10)):
        channel.put(_message(7))
    channel.wait(_DEADLINE_S * 10)
    assert list(channel.take()) == [_message(7)]


@pytest.mark.parametrize(
    ("urgent", "size_bytes"), [(_message(9), 30), (Ended(EndReason.CLOSED, is_proper=True, at_us=0), 0)]
)
def test_gathering_goes_on_until_enough_came_or_a_connection_ended(urgent: Message, size_bytes: int) -> None:
    """Half of what the channel holds is enough; a message here and there does not wake the committer."""
    channel = Channel(100, _NOTHING)
    with _waiting(lambda: channel.wait(_DEADLINE_S * 10, is_gathering=True)) as gathering:
        channel.put(_message(0), 20)
        gathering.join(0.05)
        assert gathering.is_alive()
        channel.put(urgent, size_bytes)
    assert list(channel.take()) == [_message(0), urgent]


def test_gathering_ends_when_the_reader_waits_for_room() -> None:
    """A message larger than what is left, though less than enough is there."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0), 10)
    with _waiting(lambda: channel.wait(_DEADLINE_S * 10, is_gathering=True)) as gathering:
        reader = threading.Thread(target=channel.put, args=(_message(1), 95))
        reader.start()
        gathering.join(_DEADLINE_S)
    assert list(channel.take()) == [_message(0)]
    reader.join(_DEADLINE_S)
    assert list(channel.take()) == [_message(1)]


def test_gathering_ends_with_its_time() -> None:
    """What came by then is there to be taken."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0), 10)
    channel.wait(0.01, is_gathering=True)
    assert list(channel.take()) == [_message(0)]


def test_drained_means_taken_and_committed_and_says_what_became_of_it() -> None:
    """Neither an empty channel nor a commit of something else is enough."""
    channel = Channel(100, _NOTHING)
    found = [channel.drained()]
    channel.put(_message(0))
    with _waiting(lambda: found.append(channel.drained())) as waiting:
        channel.settle(Progress(1))
        next(channel.take())
        waiting.join(0.05)
        assert waiting.is_alive()
        channel.settle(Progress(2))
    assert found == [_NOTHING, Progress(2)]


@pytest.mark.parametrize("name", ["put", "settled"])
def test_closing_wakes_what_waits(name: str) -> None:
    """The reader learns that there is nothing left to do."""
    channel = Channel(1, _NOTHING)
    channel.put(_message(0), 1)
    raised: list[ChannelClosedError] = []

    def wait() -> None:
        try:
            if name == "put":
                channel.put(_message(1), 1)
            channel.drained()
        except ChannelClosedError as error:
            raised.append(error)

    with _waiting(wait):
        channel.close()
    assert len(raised) == 1


def test_closed_channel_holds_and_takes_nothing() -> None:
    """For good."""
    channel = Channel(100, _NOTHING)
    channel.put(_message(0), 10)
    channel.close()
    with pytest.raises(ChannelClosedError):
        channel.put(_message(1))
    with pytest.raises(ChannelClosedError):
        channel.drained()
    assert list(channel.take()) == []
    assert channel.waiting_bytes == 0


@pytest.mark.slow
@pytest.mark.parametrize("is_gathering", [False, True])
def test_reader_and_committer_at_full_speed_lose_nothing_and_stay_within_the_limit(*, is_gathering: bool) -> None:
    """Ten thousand messages through a channel that holds three."""
    channel, count = Channel(3, _NOTHING), 10_000

    def write() -> None:
        for number in range(count):
            channel.put(_message(number), 1)

    writer = threading.Thread(target=write)
    writer.start()
    taken: list[object] = []
    until = time.monotonic() + _DEADLINE_S * 4
    while len(taken) < count and time.monotonic() < until:
        assert channel.waiting_bytes <= 3
        channel.wait(0.1, is_gathering=is_gathering)
        taken += channel.take()
    writer.join(_DEADLINE_S)
    assert taken == [_message(number) for number in range(count)]


def test_first_reason_to_hang_up_is_the_one_that_counts() -> None:
    """What comes later follows from it; each closes the socket, which may be of use."""
    channel, closed = Channel(100, _NOTHING), list[int]()
    channel.begin(lambda: closed.append(1))
    channel.hang_up(EndReason.SYSTEM_MESSAGE)
    channel.hang_up(EndReason.SILENT)
    assert (channel.end_reason, len(closed)) == (EndReason.SYSTEM_MESSAGE, 2)


@pytest.mark.parametrize("earlier", [[], [EndReason.SILENT], [EndReason.STOPPED]])
def test_stop_is_the_reason_whatever_came_before_and_comes_after(earlier: list[EndReason]) -> None:
    """It ends more than the connection."""
    channel = Channel(100, _NOTHING)
    channel.begin(lambda: None)
    for reason in [*earlier, EndReason.STOPPED, EndReason.SILENT]:
        channel.hang_up(reason)
    assert channel.end_reason is EndReason.STOPPED


def test_attempt_begins_without_a_reason_against_it() -> None:
    """That of the connection before says nothing of the next one, whose socket is the one to close."""
    channel, closed = Channel(100, _NOTHING), list[str]()
    channel.begin(lambda: closed.append("first"))
    channel.hang_up(EndReason.SILENT)
    channel.begin(lambda: closed.append("second"))
    assert channel.end_reason is None
    channel.hang_up(EndReason.SUSPICION)
    assert closed == ["first", "second"]


def test_nothing_begins_after_a_stop() -> None:
    """Also where the stop came before there was anything to close."""
    channel = Channel(100, _NOTHING)
    channel.hang_up(EndReason.STOPPED)
    with pytest.raises(ChannelClosedError):
        channel.begin(lambda: None)
    assert channel.end_reason is EndReason.STOPPED
