"""A sign of life that a thread gives again and again, so that another can tell when it hangs."""

import time


class Pulse:
    """Beaten by one thread, looked at by others."""

    def __init__(self) -> None:
        self._beaten_at = time.monotonic()

    def beat(self) -> None:
        """Give a sign of life."""
        self._beaten_at = time.monotonic()

    def rest(self, seconds: float) -> None:
        """Say that no sign of life is to be expected for so long."""
        self._beaten_at = time.monotonic() + seconds

    @property
    def age_s(self) -> float:
        """How long ago the latest sign of life was, or was to be expected."""
        return time.monotonic() - self._beaten_at
