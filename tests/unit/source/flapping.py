"""Stream partitions of one endpoint whose connections do not last, in virtual time: X's limit, limiters, a loop.

Everything random is seeded. Coverage is modelled simply: a live connection moves it to the beginning of the one before
it, or to its end where it lasts longer than a minute, and a replay to the end of what was asked for.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from connector.coverage.plan import Live, Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.source.connect_limiter import ConnectLimiter
from connector.source.rate_budget import WINDOW_S
from connector.x.errors import RateLimit

START_S = 1_000_000.0
BACKFILL_REACH_S = 4 * 60.0
_ANSWER_S = 0.2
_POLL_S = 0.5
_SETTLING_S = 60.0
_SLICE_S = 15 * 60.0


class Endpoint:
    """An endpoint of X's that counts requests in windows of which one begins at `start_s`, and says what is left."""

    def __init__(self, limit: int, start_s: float = 0.0) -> None:
        self.limit = limit
        self.refused = 0
        self._start_s = start_s
        self.used = Counter[int]()

    def ask(self, now_s: float) -> RateLimit:
        """Count a request made at `now_s` and answer it."""
        window = self.window(now_s)
        self.used[window] += 1
        self.refused += self.used[window] > self.limit
        return RateLimit(self.limit, max(0, self.limit - self.used[window]), round(self.end_s(window)), now_s)

    def window(self, now_s: float) -> int:
        """Return the number of the window that an instant is in."""
        return int((now_s - self._start_s) // WINDOW_S)

    def end_s(self, window: int) -> float:
        """Return when a window ends."""
        return self._start_s + (window + 1) * WINDOW_S

    @property
    def most_used(self) -> int:
        """The most requests of any window."""
        return max(self.used.values(), default=0)


@dataclass(frozen=True, slots=True)
class Connected:
    """A permit that came: for what, since when it was wanted, and when it came."""

    partition: StreamPartition
    plan: Plan
    wanted_s: float
    at_s: float

    @property
    def wait_s(self) -> float:
        """How long it was waited for."""
        return self.at_s - self.wanted_s


@dataclass(slots=True)
class Flapper:
    """A stream partition that connects, loses the connection, and wants the next one."""

    partition: StreamPartition
    limiter: ConnectLimiter
    covered_until_s: float
    life_s: Callable[[bool], float]
    """Return how long a connection lasts, given whether it is a replay's."""
    wanted_s: float | None = None
    last_live_s: float | None = None


@dataclass(slots=True)
class World:
    """The endpoint, the clock and what is due; `limiters` know of each other by the endpoint's answers only."""

    endpoint: Endpoint
    seed: int = 1
    now_s: float = START_S
    connected: list[Connected] = field(default_factory=list)
    oldest_coverage_s: float = 0.0
    flappers: list[Flapper] = field(default_factory=list)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _count: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        """Make what is random repeatable."""
        self._random.seed(self.seed)

    def limiter(self, max_replays: int = 2) -> ConnectLimiter:
        """Return the limiter of one more replica."""
        return ConnectLimiter(max_replays, lambda: int(self.now_s * US_PER_S))

    def exponential(self, mean_s: float) -> Callable[[bool], float]:
        """Return lives of connections that end at any moment alike."""
        return lambda _: self._random.expovariate(1 / mean_s)

    def add(self, flapper: Flapper) -> None:
        """Have a stream partition want a connection from now on."""
        self.flappers.append(flapper)
        self.after(0.0, lambda: self._want(flapper))

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Call `act` after `delay_s` of simulated time."""
        self._count += 1
        heapq.heappush(self._due, (self.now_s + delay_s, self._count, act))

    def run(self, for_s: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        end_s = self.now_s + for_s
        while self._due[0][0] <= end_s and not until():
            self.now_s, _, act = heapq.heappop(self._due)
            act()
            self.oldest_coverage_s = max(self.oldest_coverage_s, *(self.age_s(each) for each in self.flappers))

    def age_s(self, flapper: Flapper) -> float:
        """Return how old the coverage of a stream partition is."""
        return self.now_s - flapper.covered_until_s

    def waits_s(self) -> Sequence[float]:
        """Return every wait for a permit, the shortest first, those that go on included."""
        going_on = [self.now_s - each.wanted_s for each in self.flappers if each.wanted_s is not None]
        return sorted([*(each.wait_s for each in self.connected), *going_on])

    def _want(self, flapper: Flapper) -> None:
        if flapper.wanted_s is None:
            flapper.wanted_s = self.now_s
        plan, covered_until_us = self._plan(flapper), int(flapper.covered_until_s * US_PER_S)
        permit = flapper.limiter.acquire(flapper.partition, plan, covered_until_us, 0)
        if permit is None:
            self.after(_POLL_S, lambda: self._want(flapper))
            return
        self.connected.append(Connected(flapper.partition, plan, flapper.wanted_s, self.now_s))
        flapper.wanted_s = None
        is_replay = isinstance(plan, Replay)
        life_s, limit = flapper.life_s(is_replay), self.endpoint.ask(self.now_s)
        if not is_replay:
            flapper.covered_until_s = max(flapper.covered_until_s, flapper.last_live_s or 0.0)
            flapper.last_live_s = self.now_s
        self.after(_ANSWER_S, lambda: permit.answered(limit))

        def end() -> None:
            with permit:
                pass
            if isinstance(plan, Replay):
                flapper.covered_until_s = plan.end_us / US_PER_S
            elif life_s > _SETTLING_S:
                flapper.covered_until_s = self.now_s
            self._want(flapper)

        self.after(_ANSWER_S + life_s, end)

    def _plan(self, flapper: Flapper) -> Plan:
        if self.age_s(flapper) <= BACKFILL_REACH_S:
            return Live(5)
        start_s = flapper.covered_until_s
        end_s = min(start_s + _SLICE_S, self.now_s - _SETTLING_S)
        return Replay(int(start_s * US_PER_S), int(end_s * US_PER_S))
