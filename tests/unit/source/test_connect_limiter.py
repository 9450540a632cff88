"""The gate: who may connect, in which order, and what the others are told to wait for."""

import threading
import time

from connector.coverage.plan import Live, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.source.connect_limiter import Gate, Turn, WaitsFor
from connector.x.errors import RateLimit
from tests.unit.x.fakes import NOW_US, FakeTime

_ONE, _TWO, _THREE, _FOUR = (StreamPartition("tweet", number) for number in range(1, 5))
_USER = StreamPartition("user", 1)
_LIVE = Live(1)
_OLD, _NEW = (Replay(NOW_US + start, NOW_US + start + 1) for start in (0, 10))
_DEADLINE_S = 30.0


def _gate(fake_time: FakeTime, *, max_replays: int = 2) -> Gate:
    return Gate(max_replays, lambda: fake_time.monotonic_ns() // 1000)


def _limit(remaining: int, reset_in_s: int = 600) -> RateLimit:
    return RateLimit(100, remaining, NOW_US // US_PER_S + reset_in_s, NOW_US / US_PER_S)


def _pass(gate: Gate, partition: StreamPartition, limit: RateLimit | None) -> Turn:
    """Make an attempt that X answers at once; return the turn, which lasts."""
    turn = gate.enter(partition, _LIVE, 0)
    assert turn is not None
    turn.over(limit)
    return turn


def _told(gate: Gate) -> list[tuple[StreamPartition, WaitsFor]]:
    return [(each.partition, each.waits_for) for each in gate.waiting()]


def test_partitions_of_an_endpoint_share_its_budget(fake_time: FakeTime) -> None:
    """What one of them hears counts for all of them, and for no other endpoint."""
    gate = _gate(fake_time)
    _pass(gate, _ONE, _limit(0))
    assert gate.enter(_TWO, _LIVE, 0) is None
    assert gate.enter(_USER, _LIVE, 0) is not None
    [waiting] = gate.waiting()
    assert (waiting.partition, waiting.plan, waiting.waits_for) == (_TWO, _LIVE, WaitsFor.CONNECT_BUDGET)
    assert waiting.wait_s == gate.wait_s(_TWO) == 600
    assert gate.remaining() == {"tweet": 0}


def test_live_goes_before_catch_up(fake_time: FakeTime) -> None:
    """Also where the catch-up came first."""
    gate = _gate(fake_time)
    _pass(gate, _ONE, _limit(0))
    assert gate.enter(_TWO, _OLD, 0) is None
    assert gate.enter(_THREE, _LIVE, 0) is None
    fake_time.advance(601)
    assert gate.enter(_TWO, _OLD, 0) is None
    assert _told(gate) == [(_THREE, WaitsFor.CONNECT_BUDGET), (_TWO, WaitsFor.OTHERS)]
    turn = gate.enter(_THREE, _LIVE, 0)
    assert turn is not None
    turn.over(_limit(99))
    assert gate.enter(_TWO, _OLD, 0) is not None


def test_oldest_catch_up_goes_first(fake_time: FakeTime) -> None:
    """Its stretch is the next that X cannot bring any more."""
    gate = _gate(fake_time)
    _pass(gate, _ONE, _limit(0))
    assert gate.enter(_TWO, _NEW, 0) is None
    assert gate.enter(_THREE, _OLD, 0) is None
    fake_time.advance(601)
    assert gate.enter(_TWO, _NEW, 0) is None
    assert gate.enter(_THREE, _OLD, 0) is not None


def test_only_so_many_catch_ups_go_at_the_same_time(fake_time: FakeTime) -> None:
    """Until one of them ends, whatever its endpoint; live ones do not count."""
    gate = _gate(fake_time, max_replays=1)
    turn = gate.enter(_ONE, _OLD, 0)
    assert turn is not None
    turn.over(_limit(99))
    assert gate.enter(_USER, _OLD, 0) is None
    assert _told(gate) == [(_USER, WaitsFor.CATCH_UPS)]
    assert gate.wait_s(_USER) is None
    assert gate.enter(_TWO, _LIVE, 0) is not None
    with turn:
        pass
    assert gate.enter(_USER, _OLD, 0) is not None


def test_turn_that_never_said_how_it_came_out_counts_as_sent(fake_time: FakeTime) -> None:
    """An error nobody foresaw must not make the budget larger than it is."""
    gate = _gate(fake_time)
    _pass(gate, _ONE, _limit(90))
    turn = gate.enter(_TWO, _LIVE, 0)
    assert turn is not None
    with turn:
        pass
    assert gate.remaining() == {"tweet": 89}


def test_who_gives_up_holds_up_nobody(fake_time: FakeTime) -> None:
    """A live connection that is wanted no more."""
    gate = _gate(fake_time)
    _pass(gate, _ONE, _limit(0))
    assert gate.enter(_TWO, _LIVE, 0) is None
    assert gate.enter(_THREE, _OLD, 0) is None
    fake_time.advance(601)
    gate.forget(_TWO)
    assert gate.enter(_THREE, _OLD, 0) is not None
    assert gate.waiting() == []


def test_answer_wakes_who_waits_for_it() -> None:
    """At once, in another thread, by the real clock."""
    gate = Gate(2)
    turn = gate.enter(_ONE, _LIVE, 0)
    assert turn is not None
    entered: list[Turn | None] = []
    thread = threading.Thread(target=lambda: entered.append(gate.enter(_TWO, _LIVE, _DEADLINE_S - 1)))
    thread.start()
    until = time.monotonic() + _DEADLINE_S
    while not gate.waiting() and time.monotonic() < until:
        time.sleep(0.005)
    turn.over(_limit(99))
    thread.join(_DEADLINE_S)
    assert isinstance(entered[0], Turn)


def test_rollout_of_all_partitions_connects_them_one_after_the_other(fake_time: FakeTime) -> None:
    """A fresh process waits for the first answer of each endpoint, and then nobody waits."""
    gate = _gate(fake_time)
    first = gate.enter(_ONE, _LIVE, 0)
    assert first is not None
    assert [gate.enter(each, _LIVE, 0) for each in (_TWO, _THREE, _FOUR)] == [None] * 3
    first.over(_limit(99))
    assert all(gate.enter(each, _LIVE, 0) for each in (_TWO, _THREE, _FOUR))
