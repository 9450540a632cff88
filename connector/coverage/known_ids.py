"""Which ids have been committed lately. Pure.

An id is forgotten by covered time, never by the clock on the wall, so a long outage forgets nothing. Coverage never
stands still for long, which is what bounds the memory: ids are kept for the age of coverage plus the window.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int
    covers_to_us: int
    ids: tuple[bytes, ...]


class KnownIds:
    """The ids of the ledger entries that still matter, oldest first.

    An id is kept until coverage is `window_us` past the latest time its event can belong to.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._ids: set[bytes] = set()
        self._entries: deque[_Entry] = deque()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, event_id: bytes) -> bool:
        return event_id in self._ids

    @property
    def oldest_offset(self) -> int | None:
        """The ledger offset of the oldest entry whose ids still matter."""
        return self._entries[0].offset if self._entries else None

    def remember(self, offset: int, covers_to_us: int, ids: tuple[bytes, ...]) -> None:
        """Add the ids of the ledger entry committed at `offset`."""
        if ids:
            self._entries.append(_Entry(offset, covers_to_us, ids))
            self._ids.update(ids)

    def forget(self, covered_until_us: int) -> None:
        """Drop what coverage has left far enough behind, from the oldest on."""
        while self._entries and self._entries[0].covers_to_us + self._window_us < covered_until_us:
            self._ids.difference_update(self._entries.popleft().ids)
