"""X away, and ourselves away, for as long as it takes; X refusing to make up for it: promise `no_silent_gap`."""

from collections.abc import Callable
from itertools import takewhile

import pytest

from connector.simulator.faults import AcceptAndClose
from connector.simulator.world import LoggedRequest
from tests.faults.upstream.journey import US_PER_S, Expected, Journey, lost_lines, to_us
from tests.rig.audit import Place
from tests.rig.process import wait_until

_MINUTE_S = 60.0
_HOUR_S = 60 * _MINUTE_S
_RETURN_S = 15.0
"""What a reconnect or a start may take on a busy machine; X tells whole seconds."""
_FIRST_OVERLAP_S = 5 * _MINUTE_S
_REACH_S = 24 * _HOUR_S
_REACH_MARGIN_S = 3 * _MINUTE_S


def _is_x_away(kind: str) -> bool:
    return kind.startswith("away: X")


def _begin(journey: Journey) -> None:
    """Have something committed and covered on every stream partition."""
    journey.emit_on(journey.places)
    journey.settle()


def _until_behind(journey: Journey, covered_us: dict[Place, int], seconds: float, *, is_at_most: bool) -> None:
    """Let time pass, with events, until the coverage of the last (at most) or of the first is that far behind."""
    from_us = min(covered_us.values()) if is_at_most else max(covered_us.values())
    journey.let_x_emit(seconds - (journey.now_us - from_us) / US_PER_S)


def _granted_since(journey: Journey, at_us: int, place: Place) -> list[LoggedRequest]:
    return [request for request in journey.asked_since(at_us, place) if request.status == 200]


def _check_backfilled(journey: Journey, covered_us: dict[Place, int], at_us: int) -> None:
    """One live connection was asked for, with enough minutes and not one too many; twice where time moved meanwhile."""
    for place in journey.places:
        granted = _granted_since(journey, at_us, place)
        assert all("backfill_minutes" in request.query for request in granted), f"{place}: {granted}"
        *replanned, request = granted
        assert len(replanned) <= 1
        needed_s = (request.at // 1000 - covered_us[place]) / US_PER_S
        minutes = float(request.query["backfill_minutes"])
        assert needed_s <= minutes * _MINUTE_S <= needed_s + 2 * _MINUTE_S + 1


def _check_caught_up(journey: Journey, covered_us: dict[Place, int], at_us: int) -> None:
    """Slices follow one another from before coverage to a few minutes before now; then comes a live connection."""
    for place in journey.places:
        granted = _granted_since(journey, at_us, place)
        slices = list(takewhile(lambda request: "start_time" in request.query, granted))
        live, *replanned = granted[len(slices) :]
        assert len(replanned) <= 1
        assert all("backfill_minutes" in request.query for request in (live, *replanned))
        starts, ends = ([to_us(each.query[name]) for each in slices] for name in ("start_time", "end_time"))
        oldest_us = max(covered_us[place] - _FIRST_OVERLAP_S * US_PER_S, slices[0].at // 1000 - _REACH_S * US_PER_S)
        assert oldest_us - US_PER_S <= starts[0] <= oldest_us + _REACH_MARGIN_S * US_PER_S
        assert starts[1:] == [end_us - int(_MINUTE_S) * US_PER_S for end_us in ends[:-1]]
        assert live.at // 1000 - ends[-1] <= 4 * _MINUTE_S * US_PER_S
        assert all(
            end_us - start_us <= 20 * _MINUTE_S * US_PER_S for start_us, end_us in zip(starts, ends, strict=True)
        )


@pytest.mark.parametrize(
    ("kind", "away_s", "is_backfilled"),
    [
        pytest.param("away: X, 30 s", 30.0, True, marks=pytest.mark.long),
        ("away: X, under 4 min", 4 * _MINUTE_S - _RETURN_S, True),
        ("away: X, over 4 min", 4 * _MINUTE_S + 1, False),
        pytest.param("away: X, 20 min", 20 * _MINUTE_S, False, marks=pytest.mark.long),
        pytest.param("away: X, 6 h", 6 * _HOUR_S, False, marks=pytest.mark.long),
        ("away: ourselves, 30 s", 30.0, True),
        pytest.param("away: ourselves, under 4 min", 4 * _MINUTE_S - _RETURN_S, True, marks=pytest.mark.long),
        pytest.param("away: ourselves, over 4 min", 4 * _MINUTE_S + 1, False, marks=pytest.mark.long),
        pytest.param("away: ourselves, 20 min", 20 * _MINUTE_S, False, marks=pytest.mark.long),
        pytest.param("away: ourselves, 6 h", 6 * _HOUR_S, False, marks=pytest.mark.long),
    ],
)
def test_outage_that_x_can_make_up_for_loses_nothing(
    embark: Callable[..., Journey],
    kind: str,
    away_s: float,
    is_backfilled: bool,  # noqa: FBT001 - parametrized
) -> None:
    """A short one by backfill, a longer one by catching up, and X is asked for just that."""
    is_x = _is_x_away(kind)
    journey = embark("user")
    with journey.running():
        _begin(journey)
        covered_us = journey.cut()
        if is_x:
            _until_behind(journey, covered_us, away_s, is_at_most=is_backfilled)
            back_us = journey.now_us
            journey.way.come_back()
            journey.settle()
    if not is_x:
        _until_behind(journey, covered_us, away_s, is_at_most=is_backfilled)
        journey.way.come_back()
        back_us = journey.now_us
        with journey.running():
            journey.settle()
    journey.verify()
    (_check_backfilled if is_backfilled else _check_caught_up)(journey, covered_us, back_us)
    journey.note(kind)


@pytest.mark.parametrize("kind", ["away: X, 30 h", pytest.param("away: ourselves, 30 h", marks=pytest.mark.long)])
def test_no_silent_gap_after_an_outage_beyond_x_s_reach(embark: Callable[..., Journey], kind: str) -> None:
    """After 30 hours, the first 6 are a gap, with a few minutes of margin; the rest is caught up with."""
    is_x = _is_x_away(kind)
    journey = embark("like")
    with journey.running():
        _begin(journey)
        covered_us = journey.cut()
        if is_x:
            journey.let_x_emit(30 * _HOUR_S)
            back_us = journey.now_us
            journey.way.come_back()
            journey.settle()
    if not is_x:
        journey.let_x_emit(30 * _HOUR_S)
        back_us = journey.now_us
        journey.way.come_back()
        with journey.running():
            journey.settle()
    history = journey.verify(Expected(gap_causes={"outage-too-long": 1}))
    _check_caught_up(journey, covered_us, back_us)
    [gap] = history.gaps
    assert gap["gap_start"] == covered_us["like", 1] // 1000
    away_us = back_us - covered_us["like", 1]
    excess_us = gap["gap_end"] * 1000 - gap["gap_start"] * 1000 - (away_us - _REACH_S * US_PER_S)
    assert 0 <= excess_us <= _REACH_MARGIN_S * US_PER_S
    assert lost_lines(history, journey.simulator.record())
    journey.note(kind)


@pytest.mark.fires("X: accept-and-close")
def test_flapping_for_twenty_minutes_loses_nothing(embark: Callable[..., Journey]) -> None:
    """X takes connections and drops them at once, again and again; coverage waits for what comes of the last."""
    journey = embark("user")
    with journey.running():
        _begin(journey)
        for flaps in range(1, 6):
            journey.simulator.inject(AcceptAndClose(stream="user", ending="drop"))
            journey.drop_connections_only()
            journey.let_x_emit(4 * _MINUTE_S, 40)
            dropped = flaps * len(journey.places)
            wait_until(
                lambda dropped=dropped: journey.simulator.fired["accept-and-close"] == dropped,  # type: ignore[misc]
                "X has taken each and dropped it",
            )
        journey.settle()
    journey.verify()


@pytest.mark.parametrize("status", [400, pytest.param(403, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("kind", "away_s", "cause"),
    [
        ("refused: backfill", 90.0, "backfill-refused"),
        ("refused: replay", 20 * _MINUTE_S, "replay-refused"),
    ],
)
def test_refusal_of_what_would_make_up_for_an_outage_is_a_gap_and_no_loop(
    embark: Callable[..., Journey], status: int, kind: str, away_s: float, cause: str
) -> None:
    """The second refusal in a row is believed: X is asked for what it does grant, and the gap is recorded."""
    refused = kind.removeprefix("refused: ")
    journey = embark("like", **{f"{refused}_refusal": status})
    with journey.running():
        journey.await_live()
        journey.emit_on(journey.places)
        journey.settle()
        journey.cut_off(away_s)
        back_us = journey.now_us
        journey.settle()
        asked = journey.asked_since(back_us, ("like", 1))
    gaps = {cause: 2 if refused == "backfill" else 1}
    history = journey.verify(Expected(gap_causes=gaps))
    assert [request.status for request in asked] == [status, status, 200]
    assert lost_lines(history, journey.simulator.record())
    journey.note(kind)
