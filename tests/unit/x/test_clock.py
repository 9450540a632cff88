"""X's time is known between two bounds, whatever the wall clock does and whatever is in a `Date`."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import US_PER_S
from connector.x.clock import AGREEMENT_US, MAX_LEAD_US, PRECISION_US, WINDOW_US, XClock
from tests.fakes.x import NOW_US, FakeTime

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S


class _World:
    """X's time, which no clock of ours need agree with, and the clock under test."""

    def __init__(self, *, wall_ahead_s: float = 0.0) -> None:
        self.time = FakeTime()
        self._x_minus_monotonic_us = self.time.now_us - self._monotonic_us()
        self.time.step_wall(wall_ahead_s)
        self.clock = XClock(lambda: self.time.now_us, self._monotonic_us)

    def _monotonic_us(self) -> int:
        return self.time.monotonic_ns() // 1000

    @property
    def x_us(self) -> int:
        """X's time."""
        return self._x_minus_monotonic_us + self._monotonic_us()

    def answer(self, off_s: float = 0.0, *, reset_in_s: float | None = None, way_s: float = 0.0) -> None:
        """Take an answer whose `Date` is off, and whose rate limit is reset at a time of X's, after its way."""
        date_us = (self.x_us + int(off_s * US_PER_S)) // US_PER_S * US_PER_S
        reset_us = None if reset_in_s is None else self.x_us + int(reset_in_s * US_PER_S)
        self.time.advance(way_s)
        self.clock.synchronise(date_us, reset_us, int(way_s * US_PER_S))

    @property
    def error_s(self) -> int:
        """How far the clock is ahead of X's time, in whole seconds."""
        return round((self.clock.read().estimate_us - self.x_us) / US_PER_S - 0.5)


def test_clock_before_any_answer_is_the_wall_clock() -> None:
    """There is nothing else to go by."""
    world = _World(wall_ahead_s=-100)
    reading = world.clock.read()
    wall_us = world.time.now_us
    assert (reading.earliest_us, reading.estimate_us, reading.latest_us, reading.best_us) == (wall_us,) * 4
    assert world.clock.offset_us() == 0


@pytest.mark.parametrize("before", [False, True])
def test_answer_without_a_date_says_nothing(*, before: bool) -> None:
    """The clock stays at the wall, or with what earlier answers said."""
    world = _World(wall_ahead_s=30)
    if before:
        world.answer()
    reading = world.clock.read()
    world.clock.synchronise(None, world.x_us + 60 * US_PER_S)
    assert world.clock.read() == reading


@pytest.mark.slow
@given(
    wall_ahead_s=st.floats(-1e6, 1e6),
    phase_s=st.floats(0, 1),
    steps=st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), max_size=5),
)
def test_bounds_hold_x_s_time_whatever_the_wall_clock_does(
    wall_ahead_s: float, phase_s: float, steps: list[tuple[float, float]]
) -> None:
    """It is ahead or behind by days, and set to and fro; the best clock is never off by more than two seconds."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.time.advance(phase_s)
    world.answer()
    for passed_s, step_s in [(0.0, 0.0), *steps]:
        world.time.advance(passed_s)
        world.time.step_wall(step_s)
        reading, x_us, wall_us = world.clock.read(), world.x_us, world.time.now_us
        assert reading.earliest_us <= x_us <= reading.estimate_us <= reading.latest_us
        assert reading.estimate_us - reading.earliest_us == US_PER_S
        assert min(wall_us, x_us + MAX_LEAD_US) <= reading.latest_us <= x_us + US_PER_S + MAX_LEAD_US
        assert abs(reading.best_us - x_us) <= PRECISION_US


@pytest.mark.parametrize("wall_ahead_s", [-0.9, -0.2, 0.0, 0.4, 0.9])
def test_best_clock_is_a_wall_clock_that_agrees(wall_ahead_s: float) -> None:
    """To its full precision, of which a `Date` has none."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.answer()
    world.time.advance(1234.567891)
    assert world.clock.read().best_us == world.time.now_us


@pytest.mark.parametrize("phase_s", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("wall_ahead_s", [-0.9, 0.0, 0.9])
def test_best_clock_is_a_right_wall_clock_however_long_the_answer_took(phase_s: float, wall_ahead_s: float) -> None:
    """The `Date` of a slow answer is behind for that alone."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.time.advance(phase_s)
    world.answer(way_s=2.0)
    world.time.advance(100)
    assert world.clock.read().best_us == world.time.now_us


@pytest.mark.parametrize("wall_ahead_s", [-300.0, -2.1, 3.1, 300.0])
def test_best_clock_beside_a_wrong_wall_clock_is_x_s_date_within_half_a_second(wall_ahead_s: float) -> None:
    """In the middle of the second that a `Date` leaves open."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.time.advance(0.9)
    world.answer()
    world.time.advance(100)
    assert abs(world.clock.read().best_us - world.x_us) <= US_PER_S // 2


def test_latest_follows_a_machine_that_was_suspended() -> None:
    """The monotonic clock stood still meanwhile; the wall clock is believed, but not for longer than ids are kept."""
    world = _World()
    world.answer()
    world.time.step_wall(200)
    assert world.clock.read().latest_us == world.time.now_us
    world.time.step_wall(_DAY_S)
    reading = world.clock.read()
    assert reading.latest_us == reading.estimate_us + MAX_LEAD_US


def test_offset_says_how_far_x_is_ahead_all_the_time() -> None:
    """To a second, since the header has no fraction; also when the wall clock is set between two answers."""
    world = _World(wall_ahead_s=-3600)
    world.answer()
    world.time.advance(10)
    assert world.clock.offset_us() == 3600 * US_PER_S
    world.time.step_wall(3000)
    assert world.clock.offset_us() == 600 * US_PER_S


# --- whom to believe: each `Date` needs a second witness


@pytest.mark.parametrize("wall_ahead_s", [-_DAY_S, -300.0, -30.0, 0.0, 600.0, _DAY_S])
def test_first_answer_is_believed_as_x_s_own_word(wall_ahead_s: float) -> None:
    """A wall clock that is slow or fast by anything costs nothing."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.answer()
    assert world.error_s == 0


@pytest.mark.parametrize("off_s", [-_DAY_S, -_HOUR_S, 61.0 + 1, _HOUR_S, 2 * _DAY_S])
@pytest.mark.parametrize("wall_ahead_s", [-300.0, 0.0, 300.0])
def test_odd_date_among_good_ones_is_ignored(off_s: float, wall_ahead_s: float) -> None:
    """A box that answers in X's place must not move coverage; nor may it when it does so now and then."""
    world = _World(wall_ahead_s=wall_ahead_s)
    world.answer()
    for _ in range(3):
        world.time.advance(100)
        world.answer(off_s)
        assert world.error_s == 0
        world.time.advance(100)
        world.answer()
        assert world.error_s == 0


def test_odd_dates_that_contradict_each_other_are_ignored() -> None:
    """None of them is a witness for another."""
    world = _World()
    world.answer()
    for off_s in (_HOUR_S, -_HOUR_S, 2 * _HOUR_S, _DAY_S):
        world.answer(off_s)
        assert world.error_s == 0


def test_odd_date_that_persists_is_believed_the_second_time() -> None:
    """Then it was the earlier ones that were wrong."""
    world = _World(wall_ahead_s=300)
    world.answer(-_HOUR_S)
    assert world.error_s == -_HOUR_S
    world.answer()
    assert world.error_s == -_HOUR_S
    world.time.advance(50)
    world.answer()
    assert world.error_s == 0


def test_wall_clock_is_a_witness_against_earlier_answers() -> None:
    """A first answer that was odd is corrected by the next good one, where the wall clock is right."""
    world = _World(wall_ahead_s=20)
    world.answer(2 * _DAY_S)
    assert world.error_s == 2 * _DAY_S
    world.answer()
    assert world.error_s == 0


def test_rate_limit_reset_is_a_witness_against_earlier_answers() -> None:
    """X writes it by another clock of its own: a `Date` within its window is X's time, though the wall is wrong."""
    world = _World(wall_ahead_s=-300)
    world.answer(_HOUR_S)
    world.answer(reset_in_s=700)
    assert world.error_s == 0


@pytest.mark.parametrize("reset_in_s", [-1.0, (WINDOW_US + AGREEMENT_US) / US_PER_S + 2])
def test_rate_limit_reset_outside_its_window_is_no_witness(reset_in_s: float) -> None:
    """In the past, or further ahead than a window lasts."""
    world = _World(wall_ahead_s=-300)
    world.answer(_HOUR_S)
    world.answer(reset_in_s=reset_in_s)
    assert world.error_s == _HOUR_S


@pytest.mark.parametrize("step_s", [-300.0, -30.0, 30.0, 600.0])
def test_wall_clock_that_is_stepped_moves_neither_bound_nor_belief(step_s: float) -> None:
    """Under a connection, and at the next answer."""
    world = _World()
    world.answer()
    before = world.clock.read()
    world.time.step_wall(step_s)
    after = world.clock.read()
    assert (after.earliest_us, after.estimate_us) == (before.earliest_us, before.estimate_us)
    world.time.advance(100)
    world.answer()
    assert world.error_s == 0


def test_clock_that_drifts_follows_the_answers() -> None:
    """Each agrees with the one before it."""
    world = _World(wall_ahead_s=-900)
    for off_s in range(0, 600, 50):
        world.answer(off_s)
        assert world.error_s == off_s


def test_readings_are_of_one_moment_while_others_synchronise() -> None:
    """All readers of a process share the clock: bounds never mix the words of two answers."""
    monotonic_us, dates_us = 7 * US_PER_S, (NOW_US, NOW_US + 30 * US_PER_S)
    clock = XClock(lambda: NOW_US, lambda: monotonic_us)
    clock.synchronise(dates_us[0])
    is_over = threading.Event()

    def synchronise() -> None:
        while not is_over.is_set():
            for date_us in dates_us:
                clock.synchronise(date_us)

    threads = [threading.Thread(target=synchronise) for _ in range(3)]
    for thread in threads:
        thread.start()
    readings = {clock.read() for _ in range(20_000)}
    is_over.set()
    for thread in threads:
        thread.join()
    assert {reading.earliest_us for reading in readings} <= set(dates_us)
    assert all(reading.estimate_us == reading.earliest_us + US_PER_S for reading in readings)
    assert all(reading.latest_us == reading.estimate_us for reading in readings)
