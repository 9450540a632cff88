"""Owns simulated time: real time passing, plus what tests skip. Knows nothing of events or sockets."""

import threading
import time
from email.utils import formatdate

NANOS = 1_000_000_000


class SimulatedClock:
    """A clock that runs with real time and can be set forward, never back."""

    def __init__(self, behind_s: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._offset_ns = time.time_ns() - time.monotonic_ns() - round(behind_s * NANOS)

    def now_ns(self) -> int:
        """Return the simulated time in nanoseconds since 1970, UTC."""
        return time.monotonic_ns() + self._offset_ns

    def advance(self, seconds: float) -> None:
        """Skip `seconds`; nothing is emitted meanwhile. Raises `ValueError` when negative."""
        if seconds < 0:
            raise ValueError(f"the clock only goes forward, not by {seconds} s")
        with self._lock:
            self._offset_ns += round(seconds * NANOS)

    def http_date(self, offset_s: float = 0) -> str:
        """Return the simulated time, `offset_s` off, as a `Date` header: whole seconds, rounded down."""
        return formatdate((self.now_ns() + round(offset_s * NANOS)) // NANOS, usegmt=True)
