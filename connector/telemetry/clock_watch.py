"""Detects steps of the host's wall clock, by comparing it with the monotonic clock at each tick.

Must not know X's time: the modules that keep it make a step harmless.
"""

from collections.abc import Callable

from connector.events.times import US_PER_S
from connector.x.clock import monotonic_us, wall_us

STEP_US = US_PER_S
"""A clock that is slewed moves by less than a millisecond between two ticks; X's dates have whole seconds."""
_READING_LIMIT_US = US_PER_S // 10


class ClockWatch:
    """Reports each step to `on_step`, in microseconds: positive if the wall clock moved ahead."""

    def __init__(
        self,
        on_step: Callable[[int], None],
        wall: Callable[[], int] = wall_us,
        monotonic: Callable[[], int] = monotonic_us,
    ) -> None:
        self._on_step = on_step
        self._wall = wall
        self._monotonic = monotonic
        self._ahead_us = wall() - monotonic()

    def tick(self) -> None:
        """Compare the clocks; if they cannot be read close together, wait for the next tick."""
        before_us, wall_us_, after_us = self._monotonic(), self._wall(), self._monotonic()
        if after_us - before_us > _READING_LIMIT_US:
            return
        ahead_us = wall_us_ - after_us
        if abs(ahead_us - self._ahead_us) >= STEP_US:
            self._on_step(ahead_us - self._ahead_us)
        self._ahead_us = ahead_us
