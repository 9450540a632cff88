"""Replays that are not what they seem: whatever X makes of one, coverage goes on, and what is not sure is a gap."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest

from connector.simulator.answers import not_in_contract
from connector.simulator.faults import (
    Drop,
    EndReplayEarly,
    GrantFutureEnd,
    HoldAnswer,
    IgnoreReplay,
    KeepReplayOpen,
    OvershootReplay,
    Refuse,
    UnframedBody,
)
from tests.faults.upstream.journey import US_PER_S, Expected, Journey, lost_lines
from tests.rig.audit import Place
from tests.rig.process import wait_until

_MINUTE_S = 60.0
_AWAY_S = 40 * _MINUTE_S
_A_FEW = 3
_WITHIN_S = 90 * _MINUTE_S
"""What a catch-up may take of X's time where every attempt fails: some minutes for each range that is given up."""
_FUTURE = "clock: wall clock 20 min ahead at a restart"
_STARTS = 3
"""How often a process begins with that clock: each makes X grant one such replay at least."""
_LIKES: Place = ("like", 1)


def _be_away(journey: Journey, seconds: float = _AWAY_S) -> None:
    """Have something covered on every stream partition, then keep X out of reach while it goes on emitting."""
    journey.emit_on(journey.places, _A_FEW)
    journey.settle()
    journey.cut()
    journey.let_x_emit_everywhere(seconds, _A_FEW)


def _come_back(journey: Journey, expected: Mapping[Place, str], stride_s: float = 20.0) -> None:
    """Catch up with X; gaps of those causes are left where they are expected, and nothing is lost elsewhere."""
    journey.way.come_back()
    journey.return_to_live(_WITHIN_S, stride_s)
    journey.simulator.faults.disarm()
    journey.settle()
    journey.verify(
        Expected(is_ordered=False, is_deceived=True, gaps_of={place: [cause] for place, cause in expected.items()})
    )


@pytest.mark.fires("X: keep-replay-open", "X: overshoot-replay")
def test_coverage_always_moves_past_replays_that_x_never_closes_or_closes_late(embark: Callable[..., Journey]) -> None:
    """One that stays open is asked for once more, then a gap; one that goes on a little past its end is whole."""
    journey = embark("user", keep_alive_s=0.15)
    with journey.running():
        _be_away(journey, _AWAY_S / 2)
        journey.simulator.inject(KeepReplayOpen(stream="user", partition=1))
        journey.simulator.inject(KeepReplayOpen(stream="user", partition=2, times=None))
        journey.simulator.inject(OvershootReplay(stream="user", partition=3, seconds=10, times=None))
        journey.simulator.inject(OvershootReplay(stream="user", partition=4, seconds=4 * _MINUTE_S, times=None))
        _come_back(journey, {("user", 2): "replay-not-closed"}, stride_s=10)


@pytest.mark.usefixtures("delays_cut_short")
@pytest.mark.fires("X: drop", "X: unframed-body", "X: end-replay-early")
def test_coverage_always_moves_past_replays_that_x_cuts_or_leaves_empty(embark: Callable[..., Journey]) -> None:
    """Shorter ones are asked for; ranges that never come whole are gaps, and a busy range that is empty is doubted."""
    journey = embark("user")
    with journey.running():
        _be_away(journey, _AWAY_S / 2)
        journey.simulator.inject(Drop(stream="user", partition=1, mode="replay", after_lines=5, times=4))
        journey.simulator.inject(Drop(stream="user", partition=2, mode="replay", after_lines=2, times=None))
        journey.simulator.inject(EndReplayEarly(stream="user", partition=3, share=0, times=None))
        journey.simulator.inject(UnframedBody(stream="user", partition=4, mode="replay"))
        _come_back(journey, {("user", 2): "replay-interrupted", ("user", 3): "replay-unconfirmed"})


@pytest.mark.usefixtures("delays_cut_short")
@pytest.mark.fires("X: ignore-replay", "X: overshoot-replay")
def test_replays_whose_parameters_x_ignores_are_refused(embark: Callable[..., Journey]) -> None:
    """Once is asked again; twice in a row counts as X's refusal: what it would have brought is a gap."""
    journey = embark("user")
    with journey.running():
        _be_away(journey)
        journey.simulator.inject(IgnoreReplay(stream="user", partition=1))
        journey.simulator.inject(IgnoreReplay(stream="user", partition=2, times=None))
        journey.simulator.inject(OvershootReplay(stream="user", partition=3, seconds=_AWAY_S))
        journey.simulator.inject(OvershootReplay(stream="user", partition=4, seconds=_AWAY_S, times=None))
        _come_back(journey, {("user", 2): "replay-refused", ("user", 4): "replay-refused"})


@pytest.mark.fires("X: grant-future-end", _FUTURE)
def test_replay_that_ends_in_the_future_is_not_taken_though_x_grants_it(embark: Callable[..., Journey]) -> None:
    """The wall clock is all that a new process has; X's first answer shows it wrong, and nothing is claimed by it."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
    journey.set_wall_off(20 * _MINUTE_S, _FUTURE)
    for _ in range(_STARTS):
        journey.let_x_emit(10 * _MINUTE_S)
        journey.simulator.inject(GrantFutureEnd(stream="user"))
        with journey.running():
            journey.await_live()
            journey.let_x_emit(_MINUTE_S)
            assert min(journey.ages_s().values()) >= 0
            journey.settle()
    assert journey.simulator.fired["grant-future-end"] >= _STARTS
    journey.verify()


@pytest.mark.fires("X: end-replay-early", "X: hold-answer")
def test_range_in_doubt_at_the_edge_of_x_s_reach_is_a_gap(embark: Callable[..., Journey]) -> None:
    """What X can replay no more when the doubt comes up is recorded as suspected; the rest is fetched again."""
    journey = embark("like")
    with journey.running():
        _be_away(journey, _MINUTE_S)
        journey.let_x_emit(30 * 60 * _MINUTE_S, 30 * 60 * 3)
        journey.simulator.inject(HoldAnswer(stream="like", mode="replay", times=2))
        journey.simulator.inject(EndReplayEarly(stream="like"))
        journey.way.come_back()
        _release_when_held(journey, 1)
        wait_until(lambda: journey.simulator.fired["hold-answer"] == 2, "the second replay is held")
        journey.let_x_emit(10 * _MINUTE_S)
        journey.simulator.release()
        journey.return_to_live(_WITHIN_S)
        journey.settle()
    gaps = {"outage-too-long": 1, "replay-incomplete": 1}
    history = journey.verify(Expected(is_ordered=False, is_deceived=True, gap_causes=gaps))
    assert lost_lines(history, journey.simulator.record())


@pytest.mark.usefixtures("delays_cut_short")
@pytest.mark.fires("X: end-replay-early", "X: refuse")
def test_range_in_doubt_that_x_no_longer_replays_is_a_gap(embark: Callable[..., Journey]) -> None:
    """Two refusals in a row are believed: what was in doubt is suspected, what was still to come is lost."""
    journey = embark("like")
    with journey.running():
        _be_away(journey)
        journey.simulator.inject(HoldAnswer(stream="like", mode="replay", times=3))
        journey.simulator.inject(EndReplayEarly(stream="like"))
        journey.way.come_back()
        _release_when_held(journey, 1)
        _release_when_held(journey, 2)
        wait_until(lambda: journey.simulator.fired["hold-answer"] == 3, "the refetch is held")
        body = not_in_contract("recovery").body.decode()
        journey.simulator.inject(Refuse(stream="like", status=403, body=body, mode="replay", times=None))
        journey.simulator.release()
        journey.return_to_live(_WITHIN_S)
        journey.simulator.faults.disarm()
        journey.settle()
    gaps = {"replay-incomplete": 1, "replay-refused": 1}
    history = journey.verify(Expected(is_ordered=False, is_deceived=True, gap_causes=gaps))
    assert lost_lines(history, journey.simulator.record())
    refused = [request for request in journey.asked_since(0, _LIKES) if request.status == 403]
    assert len(refused) == 2
    asked = {request.query["start_time"] for request in refused}
    assert max(asked) < datetime.fromtimestamp(journey.now_us / US_PER_S - _AWAY_S / 2, tz=UTC).isoformat()


def _release_when_held(journey: Journey, times: int) -> None:
    wait_until(lambda: journey.simulator.fired["hold-answer"] == times, f"answer {times} is held")
    journey.simulator.release()
