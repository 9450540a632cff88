"""Owns the lines of one connection and its position: selected past lines, then those emitted from now on.

Nothing is queued: a line is looked up in the log when its turn comes. Knows nothing of sockets or faults.
"""

from collections.abc import Sequence

from connector.simulator.record import Emitted, PartitionLog


class Playlist:
    """The lines at the positions `past` of a log, then those from `live_from` on (None: no more)."""

    def __init__(self, log: PartitionLog, past: Sequence[int], live_from: int | None) -> None:
        self._log = log
        self._past = past
        self._live_from = live_from
        self._index = 0
        self._forgiven_before = 0

    @property
    def is_in_past(self) -> bool:
        """Whether the next line is one of the past."""
        return self._index < len(self._past)

    @property
    def is_over(self) -> bool:
        """Whether there is no next line and never will be."""
        return self._live_from is None and not self.is_in_past

    def peek(self, count: int) -> list[Emitted]:
        """Return the next `count` lines, or as many as there are now."""
        lines = self._log.pick(self._past[self._index : self._index + count]) if self.is_in_past else []
        if len(lines) < count and (position := self._live_position()) is not None:
            lines = lines + self._log.read(position, position + count - len(lines))
        return lines

    def advance(self, count: int) -> None:
        """Go on by `count` lines."""
        self._index += count

    def skip_forgotten(self) -> None:
        """Go on to the first line that the log still has."""
        first = self._log.first
        while self.is_in_past and self._past[self._index] < first:
            self._index += 1
        if not self.is_in_past and (position := self._live_position()) is not None and position < first:
            self._index += first - position

    def last(self, count: int) -> list[Emitted]:
        """Return the `count` lines before the next one, or as many as there are."""
        start = max(self._index - count, 0)
        lines = self._log.pick(self._past[start : self._index])
        if self._live_from is not None and self._index > len(self._past):
            offset = self._live_from - len(self._past)
            lines = lines + self._log.read(max(start + offset, self._live_from), self._index + offset)
        return lines

    def backlog_bytes(self) -> int:
        """Return how much waits that was emitted since the connection began, or since it was forgiven."""
        position = self._live_position()
        if position is None:
            return 0
        waiting = self._log.read(max(position, self._forgiven_before), self._log.end)
        return sum(len(emitted.line) for emitted in waiting)

    def forgive_backlog(self) -> None:
        """Leave out of the backlog what waits now."""
        self._forgiven_before = self._log.end

    def _live_position(self) -> int | None:
        """Return the position of the next line that is not of the past; None when there will be none."""
        if self._live_from is None:
            return None
        return self._live_from + max(self._index - len(self._past), 0)
