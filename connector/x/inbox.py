"""The bounded queue between a reader and its committer. A full inbox makes the reader wait, and in the end X."""

import threading
from collections import deque

from connector.x.deliveries import Delivery


class InboxClosedError(Exception):
    """The committer is gone; the reader has nothing left to do."""


class Inbox:
    """Deliveries in order, up to `limit_bytes`; one delivery is always let in.

    A delivery counts as settled when the transaction that took it up is committed.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._waiting: deque[tuple[Delivery, int]] = deque()
        self._bytes = 0
        self._taken = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes wait to be taken."""
        return self._bytes

    def put(self, delivery: Delivery, size_bytes: int = 0) -> None:
        """Add a delivery, waiting while the inbox is full. Raises `InboxClosedError`."""
        with self._changed:
            while not self._is_closed and self._bytes and self._bytes + size_bytes > self.limit_bytes:
                self._changed.wait()
            self._check_open()
            self._waiting.append((delivery, size_bytes))
            self._bytes += size_bytes
            self._changed.notify_all()

    def take(self, timeout_s: float) -> Delivery | None:
        """Return the oldest delivery, or None when there is none for `timeout_s`."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None
            delivery, size_bytes = self._waiting.popleft()
            self._bytes -= size_bytes
            self._taken += 1
            self._changed.notify_all()
            return delivery

    def settle(self) -> None:
        """Say that all that was taken is committed."""
        with self._changed:
            self._taken = 0
            self._changed.notify_all()

    def wait_until_settled(self) -> None:
        """Wait until all that was put is committed. Raises `InboxClosedError`."""
        with self._changed:
            while not self._is_closed and (self._waiting or self._taken):
                self._changed.wait()
            self._check_open()

    def close(self) -> None:
        """Let go of everything and everyone."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InboxClosedError
