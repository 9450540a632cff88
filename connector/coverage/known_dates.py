"""Dates of known events, to ten seconds: these must come again when an overlap is delivered. Pure.

Instants are microseconds since 1970 in X's time.
"""

from collections.abc import Iterable

from connector.events.times import US_PER_S

BUCKET_US = 10 * US_PER_S
_MOST_BUCKETS = 1000


class KnownDates:
    """The dates of recent events, committed and pending; the oldest buckets are dropped first."""

    def __init__(self) -> None:
        self._buckets: dict[int, None] = {}

    def add(self, dates_us: Iterable[int]) -> None:
        """Record the dates of events."""
        buckets = self._buckets
        for bucket in {date_us // BUCKET_US for date_us in dates_us}:
            buckets[bucket] = None
        if len(buckets) > _MOST_BUCKETS:
            for oldest in sorted(buckets)[: len(buckets) - _MOST_BUCKETS + _MOST_BUCKETS // 10]:
                del buckets[oldest]

    def has_any(self, start_us: int, end_us: int) -> bool:
        """Return whether an event is known whose whole bucket lies within the range."""
        first, end = -(-start_us // BUCKET_US), end_us // BUCKET_US
        return any(first <= bucket < end for bucket in self._buckets)
