"""What stands in for the world around a reader: clocks that move on command, and connections that follow a script."""

import socket

import pytest

from connector.events.times import US_PER_S
from connector.x import clock
from connector.x.transport import Wire

NOW_US = 1_800_000_000 * US_PER_S


class FakeTime:
    """Stands in for the `time` module; moves by `advance`, the wall alone by `step_wall`."""

    def __init__(self) -> None:
        self._monotonic_ns = 5_000_000_000_000
        self._wall_minus_monotonic_ns = NOW_US * 1000 - self._monotonic_ns

    def time_ns(self) -> int:
        """Return the wall clock."""
        return self._monotonic_ns + self._wall_minus_monotonic_ns

    def monotonic_ns(self) -> int:
        """Return the monotonic clock."""
        return self._monotonic_ns

    @property
    def now_us(self) -> int:
        """The wall clock in microseconds."""
        return self.time_ns() // 1000

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic_ns += int(seconds * 1_000_000_000)

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock."""
        self._wall_minus_monotonic_ns += int(seconds * 1_000_000_000)


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    """Put a clock that stands still in the place of the system's, for everything that asks `connector.x.clock`."""
    fake = FakeTime()
    monkeypatch.setattr(clock, "time", fake)
    return fake


def is_closed(wire: Wire) -> bool:
    """Tell whether a socket that `wire` gets now is ended at once."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.attach(ours)
        theirs.setblocking(False)  # noqa: FBT003 - of the standard library
        try:
            return theirs.recv(1) == b""
        except BlockingIOError:
            return False
