"""A heartbeat of one thread, from which another detects a hang."""

import time
from collections.abc import Callable


class Heartbeat:
    """Beaten by one thread, read by others. `monotonic_s` is in seconds."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._beaten_at_s = monotonic_s()

    def beat(self) -> None:
        """Record that the thread is alive."""
        self._beaten_at_s = self._monotonic_s()

    def rest(self, seconds: float) -> None:
        """Expect no beat for `seconds`."""
        self._beaten_at_s = self._monotonic_s() + seconds

    @property
    def age_s(self) -> float:
        """The time since the latest beat, or since one was expected; negative while none is expected."""
        return self._monotonic_s() - self._beaten_at_s
