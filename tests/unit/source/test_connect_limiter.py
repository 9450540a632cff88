"""The connect limiter: who may connect, in which order, what the others wait for; and how partitions fare by it."""

import threading
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.coverage.plan import Live, Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.source.connect_limiter import (
    PLACE_S,
    Attempt,
    ConnectLimiter,
    Go,
    Permit,
    Replays,
    Wait,
    WaitReason,
    decide,
)
from connector.source.rate_budget import RESERVE, WINDOW_S, Budget, Sent
from connector.x.errors import RateLimit
from tests.fakes.x import NOW_US, FakeTime
from tests.unit.source.flapping import START_S, Endpoint, Flapper, World

_ONE, _TWO, _THREE, _FOUR = _PARTITIONS = tuple(StreamPartition("tweet", number) for number in range(1, 5))
_USER = StreamPartition("user", 1)
_LIVE = Live(1)
_REPLAY = Replay(NOW_US - 3600 * US_PER_S, NOW_US - 2700 * US_PER_S)
_OLD_US, _NEW_US = NOW_US - 3600 * US_PER_S, NOW_US
_SHARE_S = 36.0
_PACE_S = 45.0
_DAY_S = 24 * 3600.0
_DEADLINE_S = 30.0


def _limiter(fake_time: FakeTime, *, max_replays: int = 2) -> ConnectLimiter:
    return ConnectLimiter(max_replays, lambda: fake_time.monotonic_ns() // 1000)


def _limit(remaining: int, reset_in_s: int = 600) -> RateLimit:
    return RateLimit(100, remaining, NOW_US // US_PER_S + reset_in_s, NOW_US / US_PER_S)


def _connect(
    limiter: ConnectLimiter, partition: StreamPartition, limit: RateLimit | None, plan: Plan = _LIVE
) -> Permit:
    """Make an attempt that X answers at once; return the permit, which lasts."""
    permit = limiter.acquire(partition, plan, _NEW_US, 0)
    assert permit is not None
    permit.answered(limit)
    return permit


def _is_granted(
    limiter: ConnectLimiter, partition: StreamPartition, covered_until_us: int = _NEW_US, plan: Plan = _LIVE
) -> bool:
    return limiter.acquire(partition, plan, covered_until_us, 0) is not None


def _reasons(limiter: ConnectLimiter) -> Sequence[tuple[StreamPartition, WaitReason]]:
    return [(each.partition, each.reason) for each in limiter.waiting()]


def test_partitions_of_an_endpoint_share_its_budget(fake_time: FakeTime) -> None:
    """What X says to one of them counts for all of them, and for no other endpoint."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(0))
    assert not _is_granted(limiter, _TWO)
    assert _is_granted(limiter, _USER)
    [waiting] = limiter.waiting()
    assert (waiting.partition, waiting.plan, waiting.reason) == (_TWO, _LIVE, WaitReason.CONNECT_BUDGET)
    assert waiting.wait_s == limiter.wait_s(_TWO) == 600
    assert limiter.wait_reason(_TWO) is WaitReason.CONNECT_BUDGET
    assert limiter.remaining() == {"tweet": 0}


@pytest.mark.parametrize("plans", [(_LIVE, _REPLAY), (_REPLAY, _LIVE), (_LIVE, _LIVE), (_REPLAY, _REPLAY)])
def test_oldest_coverage_goes_first_whatever_it_asks_for(fake_time: FakeTime, plans: tuple[Plan, Plan]) -> None:
    """Its stretch is the next that X cannot bring any more."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(0, 3))
    assert not _is_granted(limiter, _TWO, _NEW_US, plans[0])
    assert not _is_granted(limiter, _THREE, _OLD_US, plans[1])
    fake_time.advance(3)
    assert not _is_granted(limiter, _TWO, _NEW_US, plans[0])
    assert _reasons(limiter) == [(_TWO, WaitReason.QUEUED)], "the other may go when it asks"
    assert _is_granted(limiter, _THREE, _OLD_US, plans[1])


def test_longest_wait_beyond_the_fair_share_goes_before_older_coverage(fake_time: FakeTime) -> None:
    """However much older: a day of catching up must not keep a partition from its live connection."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(0, 40))
    assert not _is_granted(limiter, _TWO, _NEW_US)
    fake_time.advance(37)
    assert not _is_granted(limiter, _TWO, _NEW_US)
    assert not _is_granted(limiter, _THREE, _OLD_US)
    fake_time.advance(3)
    assert not _is_granted(limiter, _THREE, _OLD_US)
    assert limiter.wait_reason(_THREE) is WaitReason.QUEUED
    assert _is_granted(limiter, _TWO, _NEW_US)


def test_attempt_keeps_its_place_until_it_goes_or_is_released(fake_time: FakeTime) -> None:
    """Whatever it plans meanwhile."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(0))
    since_s = fake_time.monotonic_ns() / 1e9
    for plan in (_LIVE, _REPLAY):
        assert not _is_granted(limiter, _TWO, plan=plan)
        assert [(each.plan, each.waiting_since_s) for each in limiter.waiting()] == [(plan, since_s)]
        fake_time.advance(3)
    limiter.release(_TWO)
    assert limiter.waiting() == []
    assert limiter.wait_reason(_TWO) is None
    assert limiter.wait_s(_TWO) is None
    assert not _is_granted(limiter, _TWO)
    assert limiter.waiting()[0].waiting_since_s == since_s + 6


def test_replays_at_a_time_are_limited(fake_time: FakeTime) -> None:
    """Until one of them ends, whatever its endpoint; live connections do not count."""
    limiter = _limiter(fake_time, max_replays=1)
    permit = _connect(limiter, _ONE, _limit(99), _REPLAY)
    assert not _is_granted(limiter, _USER, plan=_REPLAY)
    assert _reasons(limiter) == [(_USER, WaitReason.OTHER_REPLAYS)]
    assert limiter.wait_s(_USER) is None
    assert _is_granted(limiter, _TWO)
    with permit:
        pass
    assert _is_granted(limiter, _USER, plan=_REPLAY)


def test_permit_that_was_never_answered_counts_as_sent(fake_time: FakeTime) -> None:
    """An unexpected error must not make the budget larger than it is."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(90))
    permit = limiter.acquire(_TWO, _LIVE, _NEW_US, 0)
    assert permit is not None
    with permit:
        pass
    permit.answered(_limit(89))
    assert limiter.remaining() == {"tweet": 89}


@pytest.mark.parametrize("is_released", [True, False])
def test_partition_that_went_away_delays_no_other(fake_time: FakeTime, *, is_released: bool) -> None:
    """At once where it gives its place up, and soon where its reader is just not there."""
    limiter = _limiter(fake_time)
    _connect(limiter, _ONE, _limit(0, 3))
    assert not _is_granted(limiter, _TWO, _OLD_US)
    fake_time.advance(3)
    assert not _is_granted(limiter, _THREE, _NEW_US)
    if is_released:
        limiter.release(_TWO)
    else:
        fake_time.advance(PLACE_S)
    assert _is_granted(limiter, _THREE, _NEW_US)


def test_answer_wakes_what_waits_for_it() -> None:
    """At once, in another thread, by the real clock."""
    limiter = ConnectLimiter(2)
    permit = limiter.acquire(_ONE, _LIVE, _NEW_US, 0)
    assert permit is not None
    granted: list[Permit | None] = []
    thread = threading.Thread(target=lambda: granted.append(limiter.acquire(_TWO, _LIVE, _NEW_US, _DEADLINE_S - 1)))
    thread.start()
    until = time.monotonic() + _DEADLINE_S
    while not limiter.waiting() and time.monotonic() < until:
        pass
    permit.answered(_limit(99))
    thread.join(_DEADLINE_S)
    assert isinstance(granted[0], Permit)


def test_acquire_returns_when_its_time_is_over() -> None:
    """So that the caller can plan again."""
    limiter = ConnectLimiter(2)
    _connect(limiter, _ONE, _limit(0))
    began = time.monotonic()
    assert limiter.acquire(_TWO, _LIVE, _NEW_US, 0.05) is None
    assert 0.05 <= time.monotonic() - began < _DEADLINE_S


_PLANS = st.sampled_from([_LIVE, _REPLAY])
_QUEUE = st.lists(
    st.tuples(st.sampled_from([*_PARTITIONS, _USER]), _PLANS, st.integers(0, 10), st.floats(0, 100)),
    min_size=1,
    unique_by=lambda each: each[0],
)


@pytest.mark.slow
@given(queue=_QUEUE, remaining=st.integers(0, 100), running=st.integers(0, 3), spent=st.integers(1, 4))
def test_decision_lets_exactly_one_of_an_endpoint_go_where_any_could(
    queue: Sequence[tuple[StreamPartition, Plan, int, float]], remaining: int, running: int, spent: int
) -> None:
    """No connect is unused while attempts wait for each other, and no two attempts take the same one."""
    now_s, sent = 1000.0, Sent(spent, 995.0)
    said = RateLimit(100, remaining, 1_400, 1_000)
    spent_budget = Budget(4).send(sent).answer(sent, now_s, said, is_sent=True)
    budgets, replays = {"tweet": spent_budget, "user": Budget(4)}, Replays(running, 2)
    waiting = [Attempt(where, plan, covered, now_s - ago, now_s) for where, plan, covered, ago in queue]

    def may_go(attempt: Attempt, rivals: Sequence[Attempt]) -> bool:
        return isinstance(decide(attempt, rivals, budgets, replays, now_s), Go)

    alone = [attempt for attempt in waiting if may_go(attempt, [])]
    together = [attempt for attempt in waiting if may_go(attempt, waiting)]
    assert bool(together) == bool(alone)
    assert set(together) <= set(alone)
    assert len({attempt.partition.stream for attempt in together}) == len(together)
    assert sum(attempt.is_replay for attempt in together) <= max(0, replays.limit - replays.running)
    for attempt in alone:
        if attempt not in together:
            assert decide(attempt, waiting, budgets, replays, now_s) == Wait(WaitReason.QUEUED, None)


def _flap(world: World, owners: Sequence[int], *, mean_s: float = 5.0) -> None:
    """Have four partitions flap, each in the replica that `owners` says."""
    limiters = [world.limiter() for _ in range(max(owners) + 1)]
    for partition, owner in zip(_PARTITIONS, owners, strict=True):
        world.add(Flapper(partition, limiters[owner], START_S - 30, world.exponential(mean_s)))


def _check_unused(world: World) -> None:
    """No window that is over has connects left beyond the reserve while a partition waited beyond its share."""
    windows = [window for window in world.endpoint.used if world.endpoint.end_s(window) <= world.now_s]
    assert windows
    for window in windows:
        waits_s = [each.wait_s for each in world.connected if world.endpoint.window(each.at_s) == window]
        unused = world.endpoint.limit - world.endpoint.used[window]
        assert unused <= RESERVE * world.endpoint.limit + 1 or max(waits_s) <= _SHARE_S


@pytest.mark.slow
@pytest.mark.parametrize("owners", [(0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 0, 1), (0, 1, 2, 3)])
@pytest.mark.parametrize("window_began_s", [0, 300, 890])
@pytest.mark.parametrize("seed", [1, 2])
def test_flapping_partitions_all_keep_moving(owners: Sequence[int], window_began_s: int, seed: int) -> None:
    """Connections that live 5 s, for 25 minutes: no 429, no long wait, coverage within reach of a backfill."""
    world = World(Endpoint(100, START_S - window_began_s), seed)
    _flap(world, owners)
    world.run(25 * 60)
    waits_s = world.waits_s()
    assert not world.endpoint.refused
    assert waits_s[int(0.99 * len(waits_s))] <= 90
    assert world.oldest_coverage_s < 5 * 60
    by_partition = [sum(each.partition == partition for each in world.connected) for partition in _PARTITIONS]
    assert max(by_partition) <= 1.5 * min(by_partition), "the budget is shared by need, not by replica"
    _check_unused(world)


@pytest.mark.parametrize("owners", [(0, 0, 0, 0), (0, 0, 1, 1)])
def test_flapping_partitions_that_begin_behind_replay_and_go_live(owners: Sequence[int]) -> None:
    """Replays do not wait behind live connections that come again and again."""
    world = World(Endpoint(100, START_S))
    limiters = [world.limiter() for _ in range(max(owners) + 1)]
    for partition, owner, behind_s in zip(_PARTITIONS, owners, (30, 30, 30 * 60, 3600), strict=True):
        world.add(Flapper(partition, limiters[owner], START_S - behind_s, world.exponential(5)))
    world.run(6 * 60)
    assert all(world.age_s(each) < 5 * 60 for each in world.flappers)
    assert not world.endpoint.refused


def test_start_connects_all_partitions_at_once() -> None:
    """Once X has answered the first; and so does a restart of X's that drops all of them."""
    world = World(Endpoint(100, START_S))
    _flap(world, (0, 0, 0, 0), mean_s=1e-6)
    world.run(2.5)
    for partition in _PARTITIONS:
        first, second, *_ = (each.at_s for each in world.connected if each.partition == partition)
        assert first <= START_S + 1
        assert second <= first + 1


def _is_live(flapper: Flapper) -> bool:
    return flapper.last_live_s is not None


@pytest.mark.slow
def test_catch_up_of_a_day_takes_the_windows_that_the_budget_needs() -> None:
    """About 400 slices of four partitions against 100 connects in 15 minutes, and no 429."""
    world = World(Endpoint(100, START_S))
    limiter = world.limiter()
    for partition in _PARTITIONS:
        world.add(Flapper(partition, limiter, START_S - _DAY_S + 180, lambda is_replay: 10.0 if is_replay else _DAY_S))
    world.run(6 * WINDOW_S, until=lambda: all(map(_is_live, world.flappers)))
    assert all(map(_is_live, world.flappers))
    assert 4 * 24 * 4 <= len(world.connected) < 4 * 24 * 4 + 30
    assert world.now_s - START_S < 4.5 * WINDOW_S
    assert not world.endpoint.refused
    _check_unused(world)


@pytest.mark.slow
@pytest.mark.parametrize("max_replays", [1, 2, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_partition_that_drops_during_a_catch_up_connects_within_its_fair_share(max_replays: int, seed: int) -> None:
    """Three partitions catch up a day as fast as they may; the live one drops, at times twice in its share of time.

    Then all four want more than there is, and each gets a connect in 45 s, as the even pace has it.
    """
    world = World(Endpoint(100, START_S), seed)
    limiter = world.limiter(max_replays)
    for partition in (_ONE, _TWO, _THREE):
        world.add(Flapper(partition, limiter, START_S - _DAY_S + 180, lambda is_replay: 10.0 if is_replay else _DAY_S))
    world.add(Flapper(_FOUR, limiter, START_S - 30, world.exponential(90)))
    world.run(3 * WINDOW_S)
    mine = [each for each in world.connected if each.partition == _FOUR]
    assert len(mine) > 15
    assert max(each.wait_s for each in mine) <= _PACE_S
    for before, each in pairwise(mine):
        assert each.wait_s <= _SHARE_S + 1 or each.wanted_s - before.at_s < _SHARE_S
    assert not world.endpoint.refused


def test_replays_that_never_end_do_not_delay_live_connections() -> None:
    """Two hold their permits forever: other replays wait, and what is live flaps as if they were not there."""
    world = World(Endpoint(100, START_S))
    limiter = world.limiter()
    for partition in (_ONE, _TWO):
        world.add(Flapper(partition, limiter, START_S - _DAY_S + 180, lambda _: 10 * _DAY_S))
    world.add(Flapper(_THREE, limiter, START_S - 3600, lambda _: 10.0))
    world.add(Flapper(_FOUR, limiter, START_S - 30, world.exponential(5)))
    world.run(25 * 60)
    assert limiter.wait_reason(_THREE) is WaitReason.OTHER_REPLAYS
    waits_s = [each.wait_s for each in world.connected if each.partition == _FOUR]
    assert len(waits_s) > 25
    assert max(waits_s) <= _SHARE_S
