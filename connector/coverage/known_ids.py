"""The ids committed lately. Pure.

An id is forgotten by covered time, never by the wall clock, so a long outage forgets nothing. Coverage never stops for
long, which bounds the memory: ids are kept for the age of coverage plus the window.
"""

import sys
from array import array
from collections import deque
from dataclasses import dataclass

from connector.events.identity import ID_BYTES, unpack_ids

_BUCKET_BITS = 14
"""With 900,000 ids a bucket holds 55 of them: searched in less than a microsecond, and 33 bytes of overhead are few."""
_SHIFT = 16 - _BUCKET_BITS
_SHIFTED = bytes(byte >> _SHIFT for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Entry:
    """A ledger entry; `buckets` are the buckets of its ids, in order of arrival."""

    offset: int
    covers_to_us: int
    buckets: "array[int]"


class KnownIds:
    """The ids of the ledger entries that still matter, oldest first.

    An id is kept until coverage is `window_us` past the latest time its event can belong to. Ids are hashes,
    so they spread evenly over buckets of plain bytes, each with the oldest in front: forgetting cuts off the front.
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._buckets = [b""] * (1 << _BUCKET_BITS)
        self._entries: deque[_Entry] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, event_id: bytes) -> bool:
        bucket = self._buckets[_bucket_of(event_id)]
        at = bucket.find(event_id)
        while at >= 0 and at % ID_BYTES:  # a match across two ids is not an id
            at = bucket.find(event_id, at + 1)
        return at >= 0

    @property
    def oldest_offset(self) -> int | None:
        """The ledger offset of the oldest entry whose ids still matter."""
        return self._entries[0].offset if self._entries else None

    def remember(self, offset: int, covers_to_us: int, ids: bytes) -> None:
        """Add the packed ids, all unknown so far, of the ledger entry committed at `offset`."""
        if ids:
            buckets, places = self._buckets, _buckets_of(ids)
            for place, event_id in zip(places, unpack_ids(ids), strict=True):
                buckets[place] += event_id
            self._entries.append(_Entry(offset, covers_to_us, places))
            self._count += len(places)

    def forget(self, covered_until_us: int) -> None:
        """Drop ids, oldest first, that coverage has left far enough behind."""
        buckets = self._buckets
        while self._entries and self._entries[0].covers_to_us + self._window_us < covered_until_us:
            places = self._entries.popleft().buckets
            for place in places:
                buckets[place] = buckets[place][ID_BYTES:]
            self._count -= len(places)


def _bucket_of(event_id: bytes) -> int:
    return event_id[0] | event_id[1] >> _SHIFT << 8


def _buckets_of(ids: bytes) -> "array[int]":
    """Return the bucket of each of the packed ids: `_bucket_of` for all at once, in a tenth of the time."""
    pairs = bytearray(2 * len(ids) // ID_BYTES)
    pairs[0::2] = ids[0::ID_BYTES]
    pairs[1::2] = ids[1::ID_BYTES].translate(_SHIFTED)
    buckets = array("H", bytes(pairs))
    if sys.byteorder == "big":  # pragma: no cover - on such machines only
        buckets.byteswap()
    return buckets
