"""What the reader asks X for: refusals that are believed, and answers that grant something else."""

import pytest

from connector.coverage.gap import GapCause
from connector.coverage.messages import EndReason, Opened, Verdict
from connector.coverage.plan import Live, Replay, is_grantable
from connector.events.times import US_PER_S
from connector.x.backoff import Curve
from connector.x.errors import ConnectFailedError, Failure, PlanRefusedError
from tests.unit.source.world import CONFIGURATION_S, DOWN, HOUR_S, HTTP_S, NETWORK_S, REFUSED, World, event, old_event


def test_refusal_is_believed_the_second_time_in_a_row() -> None:
    """The same is asked for again after a back-off, and then less at once."""
    world = World(away_s=HOUR_S)
    world.run(REFUSED, REFUSED, REFUSED, REFUSED, [event()])
    assert [type(plan) for plan in world.plans[:2]] == [Replay, Replay]
    backfill, plain = Live(5, GapCause.REPLAY_REFUSED), Live(0, GapCause.REPLAY_REFUSED)
    assert world.plans[2:5] == [backfill, backfill, plain]
    assert world.delays_s[:4] == [HTTP_S, 0.0, 2 * HTTP_S, 0.0]
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, True] * 2


def test_refusals_of_backfill_and_replay_are_counted_apart() -> None:
    """One of each proves neither."""
    world = World()
    world.run(REFUSED, _jump(world, HOUR_S, REFUSED), REFUSED)
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, False, True]
    assert [type(plan) for plan in world.plans] == [Live, Replay, Replay, Live]


def _jump(world: World, seconds: float, answer: ConnectFailedError) -> ConnectFailedError:
    """Return an answer before which the reader waits for a long time."""
    waits = [lambda: world.time.advance(seconds)]
    world.on_wait = lambda: waits.pop()() if waits else None
    return answer


def test_refusal_is_forgotten_after_a_live_connection() -> None:
    """All is worth asking for again."""
    world = World()
    world.run(REFUSED, REFUSED, [event()], [])
    assert world.plans[1:4] == [Live(1), Live(0, GapCause.BACKFILL_REFUSED), Live(2)]


def test_refusal_of_replays_is_forgotten_after_a_whole_slice() -> None:
    """Two with an answer between them are not in a row."""
    world = World(away_s=HOUR_S)
    world.run(REFUSED, [old_event()], REFUSED, REFUSED)
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, False, True]


def test_refused_plain_connection_waits_and_asks_for_everything_again() -> None:
    """The fault was not in the parameters."""
    world = World()
    world.run(REFUSED, REFUSED, REFUSED)
    assert world.plans == [Live(1), Live(1), Live(0, GapCause.BACKFILL_REFUSED), Live(1)]
    assert world.delays_s == [HTTP_S, 0.0, CONFIGURATION_S]


def test_replay_that_ignores_its_parameters_is_a_refusal() -> None:
    """X's events are from another time: nothing of it is published, and the second time replays are given up."""
    world = World(away_s=HOUR_S)
    world.run([event(1), event(2)], [event(1), event(2)], [event(1)])
    assert world.observed.of("slice_ended") == [(Verdict.IGNORED,)] * 2
    assert [reason for reason, _ in world.observed.of("disconnected")][:2] == [EndReason.PARAMETERS_IGNORED] * 2
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, True]
    assert world.plans[2] == Live(5, GapCause.REPLAY_REFUSED)
    assert world.delays_s[:2] == [0.25, 0.5]


@pytest.mark.parametrize(("x_ahead_s", "away_s"), [(-600.0, 18 * 60.0), (600.0, 24 * HOUR_S)])
def test_refusal_for_the_sake_of_a_wrong_clock_says_nothing_of_the_contract(x_ahead_s: float, away_s: float) -> None:
    """X's answer tells its time: a replay into its future, or from before its reach, is planned again."""
    world = World(away_s=away_s)
    world.x_ahead_s = x_ahead_s
    failure = Failure(Curve.CONFIGURATION, "http-400", "refused", date_us=world.date())
    world.run(PlanRefusedError(failure), [], [])
    first, second = world.plans[:2]
    x_now_us = world.time.now_us + int(x_ahead_s * US_PER_S)
    assert isinstance(first, Replay)
    assert isinstance(second, Replay)
    assert not is_grantable(first, x_now_us)
    assert is_grantable(second, x_now_us)
    assert world.observed.of("plan_refused") == []
    assert world.delays_s[0] == NETWORK_S


def test_slice_that_ends_in_the_future_of_the_answer_is_not_granted() -> None:
    """Though X grants it: coverage would be ahead of the truth. Nothing of it is read."""
    world = World(away_s=18 * 60)
    world.x_ahead_s = -600.0
    world.run([event(1)], [old_event(2)])
    assert world.observed.of("disconnected")[0] == (EndReason.OUT_OF_REACH, 0)
    assert world.connections[0].has_left
    assert [opened.plan for opened in world.put(Opened)] == [world.plans[1]]
    assert world.delays_s[0] == NETWORK_S


def test_slice_that_begins_out_of_reach_by_the_answer_is_not_granted() -> None:
    """X no longer has its beginning, and would leave it out without a word."""
    world = World(away_s=24 * HOUR_S)
    world.x_ahead_s = 600.0
    world.run([event(1)], [event(2)])
    assert world.observed.of("disconnected")[0] == (EndReason.OUT_OF_REACH, 0)
    [opened, *_] = world.put(Opened)
    assert opened.plan == world.plans[1]


def test_jump_of_x_s_clock_plans_again_instead_of_losing() -> None:
    """What X's time shows to be long ago is replayed where it can be; the reader backs off first."""
    world = World()
    world.x_ahead_s = 6 * HOUR_S
    world.run([event()], [])
    assert world.plans[0] == Live(1)
    assert isinstance(world.plans[1], Replay)
    assert [opened.plan for opened in world.put(Opened)] == [world.plans[1]]
    assert world.observed.of("disconnected")[0] == (EndReason.REPLANNED, 0)
    assert world.delays_s[0] == NETWORK_S


@pytest.mark.parametrize("step_s", [-600.0, 600.0])
def test_wall_clock_set_between_two_connections_moves_no_plan(step_s: float) -> None:
    """X's time is known from its answers."""
    world = World()
    world.run([event(), lambda: world.time.step_wall(step_s)], DOWN)
    assert world.plans[1] == Live(2)
