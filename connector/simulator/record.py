"""Owns the record of what was emitted: one append-only log for each stream partition. Knows nothing of connections."""

import threading
from bisect import bisect_left

import msgspec

from connector.events.catalog import StreamPartition


class Emitted(msgspec.Struct, frozen=True):
    """One emitted line without its line ending.

    `emitted_at` is simulated time in ns. `kind` is `event` for a well-formed event of a known type, otherwise what is
    wrong with the line: `unknown-type`, `invalid-body`, `broken` (not JSON), or what the injecting test called it.
    """

    stream: str
    partition: int
    emitted_at: int
    kind: str
    line: bytes


class PartitionLog:
    """What one stream partition emitted, in order; positions count from 0 and stay valid when old lines are forgotten.

    With a `limit`, somewhat more than that many of the newest lines are kept.
    """

    def __init__(self, partition: StreamPartition, limit: int | None) -> None:
        self.partition = partition
        self._limit = limit
        self._lock = threading.Lock()
        self._first = 0
        self._lines: list[Emitted] = []

    def append(self, line: bytes, emitted_at: int, kind: str) -> None:
        """Add a line; a time before that of the last line is raised to it."""
        with self._lock:
            lines = self._lines
            if lines and emitted_at < lines[-1].emitted_at:
                emitted_at = lines[-1].emitted_at
            lines.append(Emitted(self.partition.stream, self.partition.number, emitted_at, kind, line))
            if self._limit is not None and len(lines) > self._limit + self._limit // 4:
                surplus = len(lines) - self._limit
                del lines[:surplus]
                self._first += surplus

    @property
    def first(self) -> int:
        """The position of the oldest line that is kept."""
        with self._lock:
            return self._first

    @property
    def end(self) -> int:
        """The position after the last line."""
        with self._lock:
            return self._first + len(self._lines)

    def read(self, start: int, end: int) -> list[Emitted]:
        """Return the lines at positions from `start` up to `end`, as far as they exist."""
        with self._lock:
            return self._lines[max(start - self._first, 0) : max(end - self._first, 0)]

    def position_at(self, time_ns: int) -> int:
        """Return the position of the first line emitted at or after `time_ns`."""
        with self._lock:
            return self._first + bisect_left(self._lines, time_ns, key=lambda emitted: emitted.emitted_at)
