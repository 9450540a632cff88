"""A heartbeat of one thread, by which another sees whether it hangs."""

import time


class Heartbeat:
    """Beaten by one thread, looked at by others."""

    def __init__(self) -> None:
        self._beaten_at_s = time.monotonic()

    def beat(self) -> None:
        """Record that the thread is alive."""
        self._beaten_at_s = time.monotonic()

    def rest(self, seconds: float) -> None:
        """Expect no beat for `seconds`."""
        self._beaten_at_s = time.monotonic() + seconds

    @property
    def age_s(self) -> float:
        """How long ago the latest beat was, or was expected."""
        return time.monotonic() - self._beaten_at_s
