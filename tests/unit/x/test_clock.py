"""X's time is known between two bounds, whatever the wall clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import US_PER_S
from connector.x.clock import MAX_LEAD_US, MAX_OFFSET_US, XClock
from tests.unit.x.fakes import NOW_US, FakeTime


def _clock(time: FakeTime) -> XClock:
    return XClock(lambda: time.now_us, lambda: time.monotonic_ns() // 1000)


def test_clock_before_any_answer_is_the_wall_clock() -> None:
    """There is nothing else to go by."""
    time = FakeTime()
    clock = _clock(time)
    time.step_wall(-100)
    assert clock.received_at() == clock.estimate() == clock.now() == time.now_us
    assert clock.offset_us() == 0


@given(
    skew_us=st.integers(US_PER_S - MAX_OFFSET_US, MAX_OFFSET_US - US_PER_S),
    steps=st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=5),
)
def test_bounds_hold_x_s_time_whatever_the_wall_clock_does(skew_us: int, steps: list[tuple[float, float]]) -> None:
    """X is ahead or behind by up to a week, and the wall clock is set to and fro."""
    time = FakeTime()
    clock = _clock(time)
    x_minus_monotonic_us = NOW_US + skew_us - time.monotonic_ns() // 1000
    clock.synchronise((NOW_US + skew_us) // US_PER_S * US_PER_S)
    for passed_s, step_s in steps:
        time.advance(passed_s)
        time.step_wall(step_s)
        x_us = x_minus_monotonic_us + time.monotonic_ns() // 1000
        assert clock.received_at() <= x_us <= clock.now()
        assert clock.received_at() <= time.now_us
        assert min(time.now_us, x_us + MAX_LEAD_US) <= clock.now() <= x_us + US_PER_S + MAX_LEAD_US
        assert 0 <= clock.estimate() - x_us <= US_PER_S


def test_offset_says_how_far_x_is_ahead() -> None:
    """To a second, since the header has no fraction."""
    time = FakeTime()
    clock = _clock(time)
    clock.synchronise(NOW_US + 3600 * US_PER_S)
    time.advance(10)
    assert clock.offset_us() == 3600 * US_PER_S


@pytest.mark.parametrize(
    ("date_us", "offset_us"),
    [
        (NOW_US + MAX_OFFSET_US - 1, MAX_OFFSET_US - 1),
        (NOW_US - MAX_OFFSET_US + 1, -MAX_OFFSET_US + 1),
        (NOW_US + MAX_OFFSET_US, 3600 * US_PER_S),
        (NOW_US - MAX_OFFSET_US, 3600 * US_PER_S),
        (0, 3600 * US_PER_S),
        (10**18, 3600 * US_PER_S),
    ],
)
def test_date_that_is_nobody_s_time_leaves_the_clock_as_it_was(date_us: int, offset_us: int) -> None:
    """A week or more off the wall clock: a proxy that answers in X's place must not move coverage by years."""
    time = FakeTime()
    clock = _clock(time)
    clock.synchronise(NOW_US + 3600 * US_PER_S)
    clock.synchronise(date_us)
    assert clock.offset_us() == offset_us


def test_date_that_is_nobody_s_time_leaves_a_new_clock_at_the_wall() -> None:
    """As before any answer."""
    time = FakeTime()
    clock = _clock(time)
    clock.synchronise(0)
    assert clock.received_at() == clock.now() == time.now_us
