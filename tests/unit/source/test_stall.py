"""Whether the process was kept from running."""

import threading

from connector.source.stall import LATE_US, StallWatch

_LATE_S = LATE_US / 1_000_000


class _Clock:
    """A monotonic clock that moves on command."""

    def __init__(self) -> None:
        self.now_us = 5_000_000

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_us += int(seconds * 1_000_000)


def test_punctual_ticks_are_no_stall() -> None:
    """As long as none is late, and the next one is not overdue."""
    clock = _Clock()
    watch, since_us = StallWatch(clock), clock()
    for _ in range(20):
        clock.advance(_LATE_S)
        assert not watch.was_stalled_since(since_us)
        watch.tick()
    assert not watch.was_stalled_since(since_us)


def test_late_tick_is_a_stall_for_what_waited_through_it() -> None:
    """But not for what began after it."""
    clock = _Clock()
    watch, before_us = StallWatch(clock), clock()
    clock.advance(_LATE_S + 0.1)
    watch.tick()
    clock.advance(0.5)
    watch.tick()
    assert watch.was_stalled_since(before_us)
    assert not watch.was_stalled_since(clock())


def test_overdue_tick_is_a_stall_already() -> None:
    """What runs first after a pause must not believe that nothing happened."""
    clock = _Clock()
    watch = StallWatch(clock)
    clock.advance(_LATE_S + 0.1)
    assert watch.was_stalled_since(clock())


def test_run_ends_with_its_stop() -> None:
    """The watch's thread leaves at once."""
    stop = threading.Event()
    thread = threading.Thread(target=StallWatch().run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_each_tick_acts_as_long_as_its_block_lasts() -> None:
    """Two may last at once, and one that ends leaves the other alone."""
    watch, acts = StallWatch(_Clock()), list[str]()
    with watch.each_tick(lambda: acts.append("outer")):
        with watch.each_tick(lambda: acts.append("inner")):
            watch.tick()
        watch.tick()
    watch.tick()
    assert acts == ["outer", "inner", "outer"]
