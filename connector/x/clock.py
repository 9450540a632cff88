"""X's time, as far as it is known: the `Date` header of an answer and the monotonic time since.

All instants are microseconds since 1970, UTC; all durations are microseconds where their name ends in `_us`.
"""

import threading
import time
from collections.abc import Callable

from connector.coverage.messages import ClockReading
from connector.events.times import US_PER_S

AGREEMENT_US = 60 * US_PER_S
"""Two clocks closer than this agree; a backfill's margin is as long."""
WINDOW_US = 15 * 60 * US_PER_S
"""X's rate-limit windows: a reset is never further ahead (X API v2, "Rate limits")."""
MAX_LEAD_US = 5 * 60 * US_PER_S
"""How far ahead of X's answers a wall clock is believed: ids must stay known for that long because of it."""
PRECISION_US = 2 * US_PER_S
"""A wall clock this close to X's date, truncated to the second, is the better clock; the travel time is added."""


def wall_us() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the monotonic clock."""
    return time.monotonic_ns() // 1000


class XClock:
    """Keeps X's time for all readers of a process; before X's first answer it is the wall clock."""

    def __init__(self, wall: Callable[[], int] = wall_us, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: tuple[int, int] | None = None  # X's time less the monotonic clock; the way of that answer at most
        self._odd_offset_us: int | None = None

    def synchronise(self, date_us: int | None, reset_us: int | None = None, taken_us: int = 0) -> None:
        """Adopt the `Date` of an answer that has just arrived, truncated to a second, unless nothing supports it.

        It travelled for `taken_us` at most: the request was sent that long ago.

        Rests on a second witness: our wall clock, the rate-limit reset of the same answer, the time by earlier answers,
        or a next answer with the same time, if neither the reset nor a wall clock that agrees with earlier answers
        contradicts it. A first answer is believed unless its reset contradicts it.
        """
        if date_us is None:
            return
        monotonic_us_, wall_us_ = self._monotonic(), self._wall()
        offset_us = date_us - monotonic_us_
        fits_reset = None if reset_us is None else 0 <= reset_us - date_us <= WINDOW_US + AGREEMENT_US
        with self._lock:
            known_us, odd_us = None if self._known is None else self._known[0], self._odd_offset_us
            is_odd = not (_agree(date_us, wall_us_) or fits_reset)
            if is_odd and known_us is None:
                is_odd = fits_reset is False
            elif is_odd and known_us is not None:
                is_repeated = odd_us is not None and _agree(offset_us, odd_us)
                is_against = fits_reset is False or _agree(known_us + monotonic_us_, wall_us_)
                is_odd = not (_agree(offset_us, known_us) or (is_repeated and not is_against))
            self._odd_offset_us = offset_us if is_odd else None
            if not is_odd:
                self._known = offset_us, taken_us

    def read(self) -> ClockReading:
        """Read the clocks."""
        wall_us_, monotonic_us_ = self._wall(), self._monotonic()
        known = self._known
        if known is None:
            return ClockReading(wall_us_, wall_us_, wall_us_, wall_us_, monotonic_us_, wall_us_)
        offset_us, taken_us = known
        earliest_us = offset_us + monotonic_us_
        estimate_us = earliest_us + US_PER_S
        is_wall_right = -US_PER_S <= wall_us_ - earliest_us < PRECISION_US + taken_us
        return ClockReading(
            earliest_us,
            estimate_us,
            max(estimate_us, min(wall_us_, estimate_us + MAX_LEAD_US)),
            wall_us_ if is_wall_right else earliest_us + US_PER_S // 2,
            monotonic_us_,
            wall_us_,
        )

    def offset_us(self) -> int:
        """Return how far X's time is ahead of the wall clock now, to a second; 0 before any answer."""
        known = self._known
        return 0 if known is None else known[0] + self._monotonic() - self._wall()


def _agree(one_us: int, other_us: int) -> bool:
    return abs(one_us - other_us) <= AGREEMENT_US
