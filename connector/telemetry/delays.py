"""Delays of events, as histograms that are filled a transaction at a time. Pure: no clock.

Owns the buckets, and sorts a whole transaction into them at once. Must not know Prometheus.
All instants and delays are microseconds; a histogram returns seconds.
"""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import NamedTuple

from connector.events.times import US_PER_S

BOUNDS_S = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0, 600.0, 3600.0)
"""Upper bounds of the buckets; the objectives are measured at 5 and 240."""

_BOUNDS_US = tuple(int(bound_s * US_PER_S) for bound_s in BOUNDS_S)


@dataclass(frozen=True, slots=True)
class Arrival:
    """New events read at the same moment, `at_us` by X's clock, with the dates X gave them."""

    at_us: int
    monotonic_us: int
    event_at_us: Sequence[int]
    is_live: bool


class Filled(NamedTuple):
    """Contents of a histogram: the number of delays up to each bound, the number of all, and their sum in seconds."""

    counts: Sequence[int]
    sum_s: float


class DelayHistogram:
    """Delays of one kind in one stream partition; filled and read from any thread."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_US) + 1)
        self._sum_us = 0
        self._lock = threading.Lock()

    def add(self, delay_us: int, count: int) -> None:
        """Count `count` events with the delay `delay_us`; below zero counts as zero."""
        delay_us = max(0, delay_us)
        with self._lock:
            self._counts[bisect_left(_BOUNDS_US, delay_us)] += count
            self._sum_us += delay_us * count

    def add_since(self, since_us: Sequence[int], until_us: int) -> None:
        """Count one event for each instant of `since_us`, which is sorted; instants after `until_us` count as zero.

        Iterates over the bounds, not over the events.
        """
        past = bisect_right(since_us, until_us)
        at_most = [len(since_us) - bisect_left(since_us, until_us - bound_us) for bound_us in _BOUNDS_US]
        with self._lock:
            for place, (count, before) in enumerate(zip([*at_most, len(since_us)], [0, *at_most], strict=True)):
                self._counts[place] += count - before
            self._sum_us += until_us * past - sum(since_us[:past])

    def read(self) -> Filled:
        """Return the counts so far."""
        with self._lock:
            return Filled(tuple(accumulate(self._counts)), self._sum_us / US_PER_S)


class Delays:
    """The three delays of one stream partition's events."""

    def __init__(self) -> None:
        self.event_to_received = DelayHistogram()
        self.received_to_committed = DelayHistogram()
        self.event_to_committed = DelayHistogram()

    def add(self, arrivals: Sequence[Arrival], committed_at_us: int) -> None:
        """Count the events of a transaction committed at `committed_at_us` by the monotonic clock.

        A step of the wall clock changes nothing: our own delay is measured by the monotonic clock alone. Events of a
        replay are late by nature: only our own delay counts.
        """
        for arrival in arrivals:
            self.received_to_committed.add(committed_at_us - arrival.monotonic_us, len(arrival.event_at_us))
        live = [arrival for arrival in arrivals if arrival.is_live]
        if not live:
            return
        last = live[-1]
        as_if_read_last_us = [date_us + last.at_us - each.at_us for each in live for date_us in each.event_at_us]
        self.event_to_received.add_since(sorted(as_if_read_last_us), last.at_us)
        dates_us = sorted(chain.from_iterable(each.event_at_us for each in live))
        self.event_to_committed.add_since(dates_us, last.at_us + committed_at_us - last.monotonic_us)
