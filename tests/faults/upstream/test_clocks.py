"""Clocks that are set, and connects that take long: coverage stays true, and nothing is given up for it."""

from collections.abc import Callable

import pytest

from connector.simulator.faults import HoldAnswer
from tests.faults.upstream.journey import Expected, Journey
from tests.rig.process import wait_until

_STEP_S = 600.0
_AWAY_S = 20 * 60.0
_CONNECT_S = 60.0
_LONG_CONNECT_S = 5 * 60.0
_STEPPED = "clock: wall clock stepped at work"
_OFF_AT_START = "clock: wall clock off at a start"
_OFF_AT_FIRST = "clock: wall clock off at the first start"


@pytest.mark.fires(_STEPPED)
@pytest.mark.parametrize("step_s", [_STEP_S, -_STEP_S])
@pytest.mark.parametrize("away_s", [30.0, pytest.param(_AWAY_S, marks=pytest.mark.long)], ids=["backfill", "catch-up"])
def test_wall_clock_stepped_at_run_time_nothing_is_given_up(
    embark: Callable[..., Journey], step_s: float, away_s: float
) -> None:
    """The connector reckons in X's time, so a connection lost just after the step is made up for as always."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.set_wall_off(step_s, _STEPPED)
        journey.emit_on(journey.places)
        journey.cut_off(away_s)
        journey.await_live()
        journey.emit_on(journey.places)
        journey.travelling.wall_is_off_s = 0.0
        journey.settle()
    journey.verify(Expected(is_wall_behind=step_s < 0))


@pytest.mark.fires(_OFF_AT_START)
@pytest.mark.parametrize("step_s", [_STEP_S, pytest.param(-_STEP_S, marks=pytest.mark.long)])
def test_wall_clock_off_at_a_start_after_an_outage_nothing_is_given_up(
    embark: Callable[..., Journey], step_s: float
) -> None:
    """Before X's first answer the wall is all there is; what X refuses because of it is asked for again."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
    journey.let_x_emit(_AWAY_S / 2)
    journey.set_wall_off(step_s, _OFF_AT_START)
    with journey.running():
        journey.await_live()
        journey.travelling.wall_is_off_s = 0.0
        journey.settle()
    journey.verify(Expected(is_wall_behind=step_s < 0))


@pytest.mark.fires(_OFF_AT_FIRST)
@pytest.mark.parametrize("step_s", [pytest.param(_STEP_S, marks=pytest.mark.long), -_STEP_S])
def test_wall_clock_off_at_the_first_start_coverage_begins_with_x(
    embark: Callable[..., Journey], step_s: float
) -> None:
    """X is away at first; its first answer then says when it is, and an outage soon after is made up for."""
    journey = embark("user")
    journey.set_wall_off(step_s, _OFF_AT_FIRST)
    journey.way.go_away()
    with journey.running():
        wait_until(lambda: journey.probe.is_ready, "all wait for X")
        journey.way.come_back()
        journey.await_live()
        journey.travelling.wall_is_off_s = 0.0
        journey.emit_on(journey.places)
        journey.settle()
    journey.let_x_emit(_AWAY_S / 4)
    with journey.running():
        journey.await_live()
        journey.settle()
    journey.verify(Expected(is_wall_behind=step_s < 0))


@pytest.mark.fires("X: hold-answer")
@pytest.mark.parametrize(
    "held_s", [pytest.param(_CONNECT_S, marks=pytest.mark.long), _LONG_CONNECT_S], ids=["60s", "5min"]
)
def test_connect_that_takes_long_is_judged_by_the_time_of_its_answer(
    embark: Callable[..., Journey], held_s: float
) -> None:
    """What the requested backfill no longer reaches when it is granted is requested again."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.simulator.inject(HoldAnswer(stream="user", mode="live"))
        journey.drop_connections_only()
        wait_until(lambda: journey.simulator.fired["hold-answer"] == len(journey.places), "all answers are held")
        journey.let_x_emit(held_s)
        journey.simulator.release()
        journey.settle()
    journey.verify()
