"""The bounded queue between a reader and its committer. A full inbox makes the reader wait, and in the end X."""

import threading
from collections import deque
from collections.abc import Iterator

from connector.source.deliveries import Delivery, Ended

_ENOUGH_BYTES = 256 * 1024
"""Worth waking a committer for that is gathering a transaction: it works on while the reader reads on."""


class InboxClosedError(Exception):
    """The committer is gone; the reader has nothing left to do."""


class Inbox:
    """Deliveries in order, up to `limit_bytes`; one delivery is always let in.

    A delivery counts as settled when the transaction that took it up is committed.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._enough_bytes = min(_ENOUGH_BYTES, limit_bytes // 2)
        self._waiting: deque[tuple[Delivery, int]] = deque()
        self._bytes = 0
        self._taken = 0
        self._is_urgent = False
        self._is_gathering = False
        self._is_closed = False
        lock = threading.Lock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be taken."""
        return self._bytes

    def put(self, delivery: Delivery, size_bytes: int = 0) -> None:
        """Add a delivery, waiting while the inbox is full. Raises `InboxClosedError`."""
        with self._emptied:
            while not self._is_closed and self._bytes and self._bytes + size_bytes > self.limit_bytes:
                self._is_urgent = True
                self._filled.notify()
                self._emptied.wait()
            self._check_open()
            self._waiting.append((delivery, size_bytes))
            self._bytes += size_bytes
            self._is_urgent |= isinstance(delivery, Ended) or self._bytes >= self._enough_bytes
            if self._is_urgent or not self._is_gathering:
                self._filled.notify()

    def wait(self, timeout_s: float, *, is_gathering: bool = False) -> None:
        """Wait for a delivery, `timeout_s` at most; when gathering, until a connection ends or enough has come."""
        with self._filled:
            self._is_gathering = is_gathering
            if not (self._is_urgent if is_gathering else self._waiting):
                self._filled.wait(timeout_s)
            self._is_urgent = False

    def take(self) -> Iterator[Delivery]:
        """Yield what waits now, oldest first; what comes meanwhile is left for the next time."""
        for _ in range(len(self._waiting)):
            with self._emptied:
                if not self._waiting:
                    return
                delivery, size_bytes = self._waiting.popleft()
                self._bytes -= size_bytes
                self._taken += 1
                self._emptied.notify()
            yield delivery

    def settle(self) -> None:
        """Say that all that was taken is committed."""
        with self._emptied:
            self._taken = 0
            self._emptied.notify()

    def wait_until_settled(self) -> None:
        """Wait until all that was put is committed. Raises `InboxClosedError`."""
        with self._emptied:
            while not self._is_closed and (self._waiting or self._taken):
                self._emptied.wait()
            self._check_open()

    def close(self) -> None:
        """Let go of everything and everyone."""
        with self._emptied:
            self._is_closed = True
            self._waiting.clear()
            self._bytes = 0
            self._filled.notify_all()
            self._emptied.notify_all()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InboxClosedError
