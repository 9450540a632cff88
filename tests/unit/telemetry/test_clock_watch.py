"""A wall clock that steps is seen at the next tick, and nothing else is taken for a step."""

import pytest

from connector.events.times import US_PER_S
from connector.telemetry.clock_watch import ClockWatch


class _Clocks:
    """A wall and a monotonic clock, and the steps that were reported."""

    def __init__(self) -> None:
        self.wall_us, self.monotonic_us = 1_000_000 * US_PER_S, 77 * US_PER_S
        self.reading_us = 0
        self.steps_us: list[int] = []
        self.watch = ClockWatch(self.steps_us.append, lambda: self.wall_us, self._read)

    def _read(self) -> int:
        self.monotonic_us += self.reading_us
        return self.monotonic_us

    def tick_after(self, seconds: float, wall_s: float | None = None) -> None:
        """Let time go by, on the wall by `wall_s` where that differs, and tick."""
        self.monotonic_us += int(seconds * US_PER_S)
        self.wall_us += int((seconds if wall_s is None else wall_s) * US_PER_S)
        self.watch.tick()


@pytest.mark.parametrize("step_s", [-600, -30, -1, 1, 30, 600])
def test_step_is_reported_once_with_how_far(step_s: int) -> None:
    """Ahead or back; what follows goes by the clock as it is then."""
    clocks = _Clocks()
    clocks.tick_after(0.5)
    clocks.tick_after(0.5, 0.5 + step_s)
    clocks.tick_after(0.5)
    assert clocks.steps_us == [step_s * US_PER_S]


def test_clock_that_is_slewed_does_not_step() -> None:
    """However far it gets in the end."""
    clocks = _Clocks()
    for _ in range(10_000):
        clocks.tick_after(0.5, 0.50025)
    assert clocks.steps_us == []


def test_late_tick_is_no_step() -> None:
    """The process was kept from running, and both clocks went on."""
    clocks = _Clocks()
    clocks.tick_after(0.5)
    clocks.tick_after(300.0)
    assert clocks.steps_us == []


def test_pause_between_two_readings_is_no_step() -> None:
    """The clocks are compared at the next tick, which still sees a step of that time."""
    clocks = _Clocks()
    clocks.tick_after(0.5)
    clocks.reading_us = 5 * US_PER_S
    clocks.tick_after(0.5, 30.5)
    assert clocks.steps_us == []
    clocks.reading_us = 0
    clocks.wall_us += 10 * US_PER_S
    clocks.tick_after(0.5)
    assert clocks.steps_us == [30 * US_PER_S]
