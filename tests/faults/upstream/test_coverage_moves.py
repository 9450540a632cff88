"""Dates and clocks that are not what they should be: promise `coverage_always_moves`."""

import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from connector.simulator.connections import Connection
from connector.simulator.faults import Drop, Straggler, WrongDate
from tests.faults.upstream.journey import BOUND_S, US_PER_S, Expected, Journey
from tests.rig.audit import History, Place
from tests.rig.oracle import expect_event
from tests.rig.process import wait_until

_MINUTE_S = 60.0
_HOUR_S = 60 * _MINUTE_S
_DAY_S = 24 * _HOUR_S
_SECONDS_S = 10.0
"""What coverage of a busy stream partition may be behind, in real time: it moves with the next commit."""
_BUDGET = 100
_LIFE_S = 5.0
_MAX_LATE_S = 90.0
_LONGEST_WAIT_S = 3 * 4 * BOUND_S / _BUDGET
"""Three times the fair share: four stream partitions share the budget of their endpoint."""
_OLD = "events: dated before the connect, each minute"
_REPEATED = "events: the same old line again, each minute"
_SLOW_30, _SLOW_300, _FAST = "clock: 30 s slow", "clock: 300 s slow", "clock: 10 min fast"
_SUSPENDED = "clock: machine suspended"
_FLAPPING = "connection: lives 5 s, again and again"


def _delete(number: int, at_us: int) -> bytes:
    at = datetime.fromtimestamp(at_us / US_PER_S, tz=UTC).isoformat(timespec="milliseconds")
    return json.dumps({"data": {"user_delete": {"user": {"id": str(number)}, "event_at": at}}}).encode()


@pytest.mark.fires("X: straggler", _OLD, _REPEATED)
def test_coverage_always_moves_whatever_dates_events_bear(embark: Callable[..., Journey]) -> None:
    """For an hour, each minute: an event hours late, a minute late, dated before the connect, or one old line again.

    That line is published again each time that it has been known for as long as the window is.
    """
    journey = embark("user")
    with journey.running():
        journey.await_live()
        connected_us = journey.now_us
        journey.simulator.inject(Straggler(stream="user", partition=1, late_s=3 * _HOUR_S, times=None, every_s=60))
        journey.simulator.inject(Straggler(stream="user", partition=2, late_s=_MINUTE_S, times=None, every_s=45))
        for minute in range(60):
            journey.simulator.emit_line("user", 3, _delete(1, connected_us - 30 * US_PER_S), "event")
            journey.simulator.emit_line("user", 4, _delete(minute, connected_us - 30 * US_PER_S), "event")
            journey.stride(_MINUTE_S)
            ages_s = journey.ages_s()
            assert max(ages_s.values()) < BOUND_S, ages_s
        journey.note(_OLD)
        journey.note(_REPEATED)
        known = [journey.probe.partition(*place)["known_ids"] for place in journey.places]
        assert max(known) < 100
        journey.simulator.stop_emitting()
        journey.settle()
    journey.verify(Expected(repeated={("user", 3): 1}))


@pytest.mark.fires("X: wrong-date", "X: drop")
@pytest.mark.parametrize(
    "wrong",
    [
        WrongDate(stream="user", offset_s=-_HOUR_S),
        pytest.param(WrongDate(stream="user", offset_s=_HOUR_S), marks=pytest.mark.long),
        pytest.param(WrongDate(stream="user", offset_s=2 * _DAY_S), marks=pytest.mark.long),
        pytest.param(WrongDate(stream="user", text="yesterday, perhaps"), marks=pytest.mark.long),
        pytest.param(WrongDate(stream="user"), marks=pytest.mark.long),
    ],
    ids=["an hour slow", "an hour fast", "two days ahead", "garbage", "missing"],
)
@pytest.mark.parametrize("is_first", [pytest.param(True, marks=pytest.mark.long), False], ids=["at first", "later"])
def test_coverage_always_moves_whatever_date_one_answer_bears(
    embark: Callable[..., Journey],
    wrong: WrongDate,
    is_first: bool,  # noqa: FBT001 - parametrized
) -> None:
    """The `Date` of one answer, at the very first or in an outage: another clock tells, and nothing is given up."""
    journey = embark("user")
    only = WrongDate(stream="user", partition=2, offset_s=wrong.offset_s, text=wrong.text)
    if is_first:
        journey.simulator.inject(only)
    with journey.running():
        journey.settle()
        if not is_first:
            journey.simulator.inject(only)
        for away_s in (2 * _MINUTE_S, 20 * _MINUTE_S):
            journey.drop_connections_only()
            journey.cut_off(away_s)
            journey.settle()
            assert max(journey.ages_s().values()) < BOUND_S
    journey.verify()


@pytest.mark.fires("X: wrong-date", "X: drop")
@pytest.mark.parametrize(
    "offset_s", [-_HOUR_S, pytest.param(_HOUR_S, marks=pytest.mark.long)], ids=["an hour slow", "an hour fast"]
)
def test_coverage_always_moves_while_an_edge_tells_the_wrong_time(
    embark: Callable[..., Journey], offset_s: float
) -> None:
    """Every answer is an hour off for a while, through drops and an outage: wall clock and rate limit know better."""
    journey = embark("user")
    with journey.running():
        journey.settle()
        journey.simulator.inject(WrongDate(stream="user", offset_s=offset_s, times=None))
        for _ in range(3):
            journey.drop_connections_only()
            journey.return_to_live(BOUND_S)
            journey.stride()
        journey.cut_off(3 * _MINUTE_S)
        journey.return_to_live(BOUND_S)
        journey.simulator.faults.disarm()
        journey.drop_connections_only()
        journey.settle()
        ages_s = journey.ages_s()
        assert 0 <= min(ages_s.values()) <= max(ages_s.values()) < BOUND_S, ages_s
    journey.verify(Expected(is_ordered=False))


@pytest.mark.fires(_SLOW_30, _SLOW_300, _FAST)
def test_coverage_always_moves_wherever_the_wall_clock_stands(embark: Callable[..., Journey]) -> None:
    """Off at a start and stepped under a live connection, there and back: a busy stream is covered within seconds."""
    journey = embark("user")
    offs_s = {_SLOW_30: -30.0, _SLOW_300: -300.0, _FAST: 600.0}
    with journey.running():
        journey.settle()
        journey.simulator.set_rate(50)
        for kind, off_s in offs_s.items():
            for step_s in (off_s, 0.0):
                journey.set_wall_off(step_s, kind)
                _await_covered_now(journey)
        journey.simulator.set_rate(0)
    journey.set_wall_off(offs_s[_SLOW_300], _SLOW_300)
    with journey.running():
        journey.settle()
        journey.simulator.set_rate(50)
        _await_covered_now(journey)
        journey.simulator.set_rate(0)
    journey.verify(Expected(is_wall_behind=True))


def _await_covered_now(journey: Journey) -> None:
    """Wait until what X emits now is covered: real seconds are X's here."""
    now_us = journey.now_us
    wait_until(lambda: min(journey.covered_us().values()) > now_us, "all is covered within seconds", _SECONDS_S)


@pytest.mark.fires(_SUSPENDED)
@pytest.mark.parametrize(
    ("asleep_s", "is_dropped"),
    [
        pytest.param(3 * _HOUR_S, True, marks=pytest.mark.long),
        pytest.param(3 * _MINUTE_S, True, marks=pytest.mark.long),
        (3 * _HOUR_S, False),
        pytest.param(4.0, False, marks=pytest.mark.long),
    ],
    ids=["3 h", "3 min", "3 h, connected", "4 s, connected"],
)
def test_coverage_always_moves_after_the_machine_was_suspended(
    embark: Callable[..., Journey],
    asleep_s: float,
    is_dropped: bool,  # noqa: FBT001 - parametrized
) -> None:
    """Its monotonic clock stood still while X went on; the wall clock and X's next answer tell."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        if is_dropped:
            journey.drop_connections_only()
        journey.travelling.suspend(asleep_s, rate=0.1)
        journey.note(_SUSPENDED)
        journey.stride()
        journey.await_live()
        woken_us = journey.now_us
        while min(journey.covered_us().values()) <= woken_us:
            journey.await_live()  # catching up takes what it takes
            assert journey.now_us - woken_us < BOUND_S * US_PER_S
            journey.stride()
        journey.settle()
    journey.verify()


@pytest.mark.long
@pytest.mark.timeout(500)
@pytest.mark.fires(_FLAPPING, "X: drop")
def test_coverage_always_moves_while_connections_flap(embark: Callable[..., Journey]) -> None:
    """For 25 minutes no connection lives longer than 5 s, with 100 connects in 15 minutes: the budget is well spent."""
    journey = embark("user", rate_limit=_BUDGET)
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        began_us = journey.now_us
        worst_s = 0.0
        while journey.now_us - began_us < 25 * _MINUTE_S * US_PER_S:
            journey.stride(_LIFE_S)
            _drop_the_old(journey, _LIFE_S)
            worst_s = max(worst_s, *journey.ages_s().values())
            assert worst_s < 5 * _MINUTE_S, journey.ages_s()
        journey.note(_FLAPPING)
        longest_s = _longest_wait_s(journey, began_us)
        journey.simulator.faults.disarm()
        journey.settle()
    late_s = _late_s(journey, journey.verify(Expected(is_ordered=False)), began_us)
    print(f"oldest coverage {worst_s:.0f} s, longest wait {longest_s:.0f} s, p99 {late_s:.0f} s")  # noqa: T201 - shown
    assert late_s <= _MAX_LATE_S
    assert {request.status for request in journey.simulator.requests} == {200}
    assert longest_s < _LONGEST_WAIT_S


def _late_s(journey: Journey, history: History, since_us: int) -> float:
    """Return how late events emitted since then were received, in seconds, at the 99th percentile."""
    emitted_us = {
        expect_event(history.prefix, line.stream, line.partition, line.line).id: line.emitted_at // 1000
        for line in journey.simulator.record()
        if line.kind == "event"
    }
    late_s: list[float] = [
        (event.fields["received_at"] * 1000 - emitted_us[event.id]) / US_PER_S
        for events in history.events.values()
        for event in events
        if emitted_us[event.id] >= since_us
    ]
    return statistics.quantiles(late_s, n=100)[-1]


def _drop_the_old(journey: Journey, life_s: float) -> None:
    """Drop what was opened about so long ago: time passes in strides, at the beginning of which connections open."""
    opened_by_ns = journey.now_us * 1000 - round((life_s - 1) * 1e9)

    def old() -> list[Connection]:
        return [each for each in journey.simulator.connections if each.ended is None and each.opened_at <= opened_by_ns]

    for connection in old():
        journey.simulator.inject(Drop(stream=connection.stream, partition=connection.partition))
    wait_until(lambda: not old(), "all that are old have ended")
    journey.simulator.faults.disarm()  # a replay may have ended by itself


def _longest_wait_s(journey: Journey, since_us: int) -> float:
    """Return the longest time that a stream partition was without a connection."""
    waits_s = [0.0]
    ended_at = dict[Place, int]()
    for connection in journey.simulator.connections:
        place = (connection.stream, connection.partition)
        if place in ended_at and connection.opened_at >= since_us * 1000:
            waits_s.append((connection.opened_at - ended_at[place]) / 1e9)
        if connection.ended_at is not None:
            ended_at[place] = connection.ended_at
    return max(waits_s)
