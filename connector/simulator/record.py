"""Owns the record of what was emitted: one append-only log for each stream partition. Knows nothing of connections."""

import threading
from bisect import bisect_left, insort
from collections.abc import Sequence

import msgspec

from connector.events.catalog import StreamPartition


class Emitted(msgspec.Struct, frozen=True):
    """One emitted line without its line ending.

    `emitted_at` is simulated time in ns. `kind` is `event` for a well-formed event of a known type, otherwise what is
    wrong with the line: `unknown-type`, `invalid-body`, `broken` (not JSON), or a name given by the injecting test.
    """

    stream: str
    partition: int
    emitted_at: int
    kind: str
    line: bytes


class PartitionLog:
    """What one stream partition emitted, in order; positions count from 0 and stay valid when old lines are forgotten.

    With a `limit`, somewhat more than that many of the newest lines are kept. Lines are selected by the time of their
    emission, or `by_event_at`, for which the events' dates are kept in order beside them.
    """

    def __init__(self, partition: StreamPartition, limit: int | None, *, by_event_at: bool = False) -> None:
        self.partition = partition
        self._limit = limit
        self._dates: list[tuple[int, int]] | None = [] if by_event_at else None
        self._newest_event_at = 0
        self._lock = threading.Lock()
        self._first = 0
        self._lines: list[Emitted] = []

    def append(self, line: bytes, emitted_at: int, kind: str, event_at: int | None = None) -> None:
        """Add a line; a time before that of the last line is raised to it. `event_at` None is that time too."""
        with self._lock:
            lines = self._lines
            if lines and emitted_at < lines[-1].emitted_at:
                emitted_at = lines[-1].emitted_at
            self._newest_event_at = emitted_at if event_at is None else event_at
            if self._dates is not None:
                insort(self._dates, (self._newest_event_at, self._first + len(lines)))
            lines.append(Emitted(self.partition.stream, self.partition.number, emitted_at, kind, line))
            if self._limit is not None and len(lines) > self._limit + self._limit // 4:
                surplus = len(lines) - self._limit
                del lines[:surplus]
                self._first += surplus
                if self._dates is not None:
                    self._dates = [dated for dated in self._dates if dated[1] >= self._first]

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

    def newest(self) -> tuple[Emitted, int] | None:
        """Return the last line and its date; None when there is no line."""
        with self._lock:
            return (self._lines[-1], self._newest_event_at) if self._lines else None

    def pick(self, positions: Sequence[int]) -> list[Emitted]:
        """Return the lines at these positions, as far as they exist."""
        if isinstance(positions, range):
            return self.read(positions.start, positions.stop)
        with self._lock:
            return [self._lines[position - self._first] for position in positions if position >= self._first]

    def select(self, start_ns: int, end_ns: int | None, before: int) -> Sequence[int]:
        """Return the positions, less than `before`, of the lines from `start_ns` on and before `end_ns` (None: all)."""
        with self._lock:
            if self._dates is None:
                start = self._position_at(start_ns)
                end = before if end_ns is None else min(self._position_at(end_ns), before)
                return range(start, max(start, end))
            first = bisect_left(self._dates, (start_ns, 0))
            last = None if end_ns is None else bisect_left(self._dates, (end_ns, 0))
            return sorted(position for _, position in self._dates[first:last] if position < before)

    def position_at(self, time_ns: int) -> int:
        """Return the position of the first line emitted at or after `time_ns`."""
        with self._lock:
            return self._position_at(time_ns)

    def _position_at(self, time_ns: int) -> int:
        return self._first + bisect_left(self._lines, time_ns, key=lambda emitted: emitted.emitted_at)
