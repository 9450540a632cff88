"""The bounded queue between a reader and its committer, both ways: messages one way, progress and hang-ups the other.

A full channel makes the reader wait, and in the end X.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator

from connector.coverage.messages import Ended, EndReason, Message, Progress

_ENOUGH_BYTES = 256 * 1024
"""Enough bytes to wake a committer that is gathering a transaction; the reader reads on meanwhile."""


class ChannelClosedError(Exception):
    """The committer is gone; the reader has nothing left to do."""


class Channel:
    """Messages in order, up to `limit_bytes`; one message is always let in.

    A message is settled once its transaction is committed.
    """

    def __init__(self, limit_bytes: int, progress: Progress) -> None:
        self.limit_bytes = limit_bytes
        self._enough_bytes = min(_ENOUGH_BYTES, limit_bytes // 2)
        self._waiting: deque[tuple[Message, int]] = deque()
        self._bytes = 0
        self._taken = 0
        self._progress = progress
        self._end_reason: EndReason | None = None
        self._close: Callable[[], None] | None = None
        self._is_urgent = False
        self._is_gathering = False
        self._is_closed = False
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)

    @property
    def waiting_bytes(self) -> int:
        """The number of bytes waiting to be taken."""
        return self._bytes

    @property
    def end_reason(self) -> EndReason | None:
        """Why the current connection was hung up, None if it was not."""
        return self._end_reason

    def begin(self, close: Callable[[], None]) -> None:
        """Begin an attempt to connect, which `close` ends from any thread.

        Raises `ChannelClosedError` after a stop: that reason is the last one.
        """
        with self._filled:
            if self._end_reason is EndReason.STOPPED:
                raise ChannelClosedError
            self._end_reason, self._close = None, close

    def hang_up(self, reason: EndReason) -> None:
        """End the connection, from any thread; the first reason counts, but a stop always does."""
        with self._filled:
            if self._end_reason is None or reason is EndReason.STOPPED:
                self._end_reason = reason
            close = self._close
        if close is not None:
            close()

    def put(self, message: Message, size_bytes: int = 0) -> None:
        """Add a message, waiting while the channel is full. Raises `ChannelClosedError`."""
        with self._emptied:
            while not self._is_closed and self._bytes and self._bytes + size_bytes > self.limit_bytes:
                self._is_urgent = True
                self._filled.notify()
                self._emptied.wait()
            self._check_open()
            self._waiting.append((message, size_bytes))
            self._bytes += size_bytes
            self._is_urgent |= isinstance(message, Ended) or self._bytes >= self._enough_bytes
            if self._is_urgent or not self._is_gathering:
                self._filled.notify()

    def wait(self, timeout_s: float, *, is_gathering: bool = False) -> None:
        """Wait for a message, `timeout_s` at most; when gathering, until a connection ends or enough has arrived."""
        with self._filled:
            self._is_gathering = is_gathering
            if not (self._is_urgent if is_gathering else self._waiting):
                self._filled.wait(timeout_s)
            self._is_urgent = False

    def take(self) -> Iterator[Message]:
        """Yield the messages waiting now, oldest first; later ones are left for the next call."""
        for _ in range(len(self._waiting)):
            with self._emptied:
                if not self._waiting:
                    return
                message, size_bytes = self._waiting.popleft()
                self._bytes -= size_bytes
                self._taken += 1
                self._emptied.notify()
            yield message

    def settle(self, progress: Progress) -> None:
        """Report that everything taken is committed, with the resulting progress."""
        with self._emptied:
            self._progress = progress
            self._taken = 0
            self._emptied.notify()

    def drained(self) -> Progress:
        """Wait until everything put is committed; return the progress. Raises `ChannelClosedError`."""
        with self._emptied:
            while not self._is_closed and (self._waiting or self._taken):
                self._emptied.wait()
            self._check_open()
            return self._progress

    def close(self) -> None:
        """Release both sides: the reader ends, and nothing more is taken."""
        with self._emptied:
            self._is_closed = True
            self._waiting.clear()
            self._bytes = 0
            self._filled.notify_all()
            self._emptied.notify_all()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ChannelClosedError
