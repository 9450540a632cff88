"""The clocks of a story: X's true time, and a machine's that are wrong, stepped, or stand still."""

from dataclasses import dataclass

from connector.x.clock import XClock
from tests.fakes.x import NOW_US


@dataclass
class Clocks:
    """True time moves by `advance`; the monotonic clock misses the time in which the machine is suspended."""

    now_us: int = NOW_US
    wall_ahead_us: int = 0
    suspended_us: int = 0

    def advance(self, duration_us: int) -> None:
        """Let time pass."""
        self.now_us += max(0, duration_us)

    def suspend(self, duration_us: int) -> None:
        """Let time pass that the machine does not notice, but for its wall clock."""
        self.now_us += duration_us
        self.suspended_us += duration_us

    def wall_us(self) -> int:
        """Return the wall clock."""
        return self.now_us + self.wall_ahead_us

    def monotonic_us(self) -> int:
        """Return the monotonic clock."""
        return self.now_us - self.suspended_us - NOW_US + 5_000_000_000

    def x_clock(self) -> XClock:
        """Return the clock of a process that has just begun."""
        return XClock(self.wall_us, self.monotonic_us)
