"""Detects that this process was kept from running: a clock in its own thread records when its ticks were late."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from connector.events.times import US_PER_S
from connector.x.clock import monotonic_us

TICK_S = 0.5
LATE_US = 2 * US_PER_S


class StallWatch:
    """Records the pauses of the process: suspended, starved, or swapped out. Instants are monotonic microseconds."""

    def __init__(self, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self.last_tick_us = monotonic()
        self._late_until_us = 0
        self._each_tick: tuple[Callable[[], None], ...] = ()

    def tick(self) -> None:
        """Record that the process runs."""
        now_us = self._monotonic()
        if now_us - self.last_tick_us > LATE_US:
            self._late_until_us = now_us
        self.last_tick_us = now_us
        for act in self._each_tick:
            act()

    @contextmanager
    def each_tick(self, act: Callable[[], None]) -> Iterator[None]:
        """Call `act` at each tick: time in which the process does not run does not count."""
        with self._lock:
            self._each_tick = (*self._each_tick, act)
        try:
            yield
        finally:
            with self._lock:
                self._each_tick = tuple(each for each in self._each_tick if each != act)

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set."""
        while not stop.wait(TICK_S):
            self.tick()

    def was_stalled_since(self, since_us: int) -> bool:
        """Return whether the process was kept from running at any time since `since_us`, or is late now."""
        return self._late_until_us >= since_us or self._monotonic() - self.last_tick_us > LATE_US
