"""X's time, as far as it can be known: the `Date` header of an answer and the monotonic time since.

All instants are microseconds since 1970, UTC; all durations are microseconds where their name ends in `_us`.
"""

import time
from collections.abc import Callable

from connector.events.times import US_PER_S

MAX_OFFSET_US = 7 * 24 * 3600 * US_PER_S
MAX_LEAD_US = 5 * 60 * US_PER_S
"""How far a wall clock that is ahead of X's answers is believed: so long must ids stay known for its sake."""


def wall_us() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1000


def monotonic_us() -> int:
    """Return the monotonic clock."""
    return time.monotonic_ns() // 1000


class XClock:
    """Keeps a lower and an upper bound of X's time; before the first answer both are the wall clock."""

    def __init__(self, wall: Callable[[], int] = wall_us, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._date_minus_monotonic_us: int | None = None

    def synchronise(self, date_us: int) -> None:
        """Take the `Date` of an answer that has just arrived; it is a whole second, cut off, not rounded.

        One that is `MAX_OFFSET_US` or more off the wall clock is nobody's time and is ignored.
        """
        if abs(date_us - self._wall()) < MAX_OFFSET_US:
            self._date_minus_monotonic_us = date_us - self._monotonic()

    def received_at(self) -> int:
        """Return the earliest that X's time can be: nothing read now was sent later than this bound allows."""
        wall = self._wall()
        return min(wall, self._x_time(wall))

    def estimate(self) -> int:
        """Return X's time as its latest answer tells it, rounded up, and the wall clock before any.

        What X is asked for is reckoned from here. It is too early after a suspension that the monotonic clock did not
        see; X's next answer shows that.
        """
        return self._x_time(self._wall() - US_PER_S) + US_PER_S

    def now(self) -> int:
        """Return the latest that X's time can be, whichever of the clocks is wrong, by `MAX_LEAD_US` at most."""
        estimate = self.estimate()
        return min(max(self._wall(), estimate), estimate + MAX_LEAD_US)

    def offset_us(self) -> int:
        """Return by how much X's time is ahead of the wall clock, to a second's precision; 0 before any answer."""
        wall = self._wall()
        return self._x_time(wall) - wall

    def _x_time(self, unknown: int) -> int:
        if self._date_minus_monotonic_us is None:
            return unknown
        return self._date_minus_monotonic_us + self._monotonic()
