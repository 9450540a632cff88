"""Whether the process was kept from running."""

import threading

from connector.source.stall import LATE_US, StallWatch
from tests.unit.x.fakes import FakeTime

_LATE_S = LATE_US / 1_000_000


def _monotonic_us(time: FakeTime) -> int:
    return time.monotonic_ns() // 1000


def test_punctual_ticks_are_no_stall(fake_time: FakeTime) -> None:
    """As long as none is late, and the next one is not overdue."""
    watch, since_us = StallWatch(), _monotonic_us(fake_time)
    for _ in range(20):
        fake_time.advance(_LATE_S)
        assert not watch.was_stalled_since(since_us)
        watch.tick()
    assert not watch.was_stalled_since(since_us)


def test_late_tick_is_a_stall_for_whoever_waited_through_it(fake_time: FakeTime) -> None:
    """But not for who began after it."""
    watch, before_us = StallWatch(), _monotonic_us(fake_time)
    fake_time.advance(_LATE_S + 0.1)
    watch.tick()
    fake_time.advance(0.5)
    watch.tick()
    assert watch.was_stalled_since(before_us)
    assert not watch.was_stalled_since(_monotonic_us(fake_time))


def test_overdue_tick_is_a_stall_already(fake_time: FakeTime) -> None:
    """Whoever wakes first after a pause must not believe that nothing happened."""
    watch = StallWatch()
    fake_time.advance(_LATE_S + 0.1)
    assert watch.was_stalled_since(_monotonic_us(fake_time))


def test_run_ends_when_told() -> None:
    """The watch's thread leaves at once."""
    stop = threading.Event()
    thread = threading.Thread(target=StallWatch().run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
