"""Many stream partitions of one endpoint in simulated time: real readers, limiters and simulator, one thread.

Time is the simulator's. It goes on when all readers wait, by as much as the first of them has to; what each receives is
committed at once.
"""

import heapq
from collections.abc import Sequence

from connector.coverage.messages import EndReason, Message, Progress
from connector.coverage.plan import Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.simulator import Simulator
from connector.simulator.clock import NANOS
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus
from connector.x.client import Connection, XClient
from connector.x.clock import XClock
from connector.x.transport import Wire
from tests.fakes.partition import Ledger, state_of

PARTITIONS = tuple(StreamPartition("tweet", number) for number in range(1, 5))
_METRICS = Metrics()
_NO_PERMIT_S = 1.0
"""How long a reader without a permit waits before it asks again."""


class Times:
    """The clocks of a simulator, as the connector reads them."""

    def __init__(self, simulator: Simulator) -> None:
        self._clock = simulator.clock

    def us(self) -> int:
        """Return the time, for the wall clock and the monotonic one alike."""
        return self._clock.now_ns() // 1000


class _Committed(Channel):
    """A channel whose committer is infinitely fast."""

    def __init__(self, covered_until_us: int, times: Times) -> None:
        self._times = times
        self._state = state_of(covered_until_us)
        self._ledger = Ledger(self._state)
        super().__init__(1024 * 1024, self._state.progress)

    def put(self, message: Message, size_bytes: int = 0) -> None:
        """Apply the message."""
        del size_bytes
        if (reason := self._state.apply(message)) is not None:
            self.hang_up(reason)

    def drained(self) -> Progress:
        """Commit what was applied, once there is anything."""
        if self._state.has_begun:
            self._ledger.commit(self._times.us())
        return self._state.progress


class Citizen:
    """The reader of one stream partition; `has_caught_up` once it wants to go live after a catch-up."""

    def __init__(
        self, partition: StreamPartition, limiter: ConnectLimiter, client: XClient, times: Times, *, away_s: float
    ) -> None:
        self._partition = partition
        self._limiter = limiter
        self._client = client
        self._is_away = away_s > 0
        self._has_asked = False
        self.has_caught_up = False
        self.channel = _Committed(times.us() - int(away_s * US_PER_S), times)
        self._reader = Reader(
            partition=partition,
            open_connection=self._open,
            channel=self.channel,
            settings=XSettings(),
            clock=XClock(times.us, times.us),
            stall_watch=StallWatch(),
            limiter=limiter,
            observer=PartitionTelemetry(partition, _METRICS, PartitionStatus()),
            permit_wait_s=0.0,
        )

    def _open(self, partition: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        self._has_asked = True
        if self._is_away and not isinstance(plan, Replay):
            self.has_caught_up = True
        connection = self._client.open(partition, plan, wire)
        if self.has_caught_up:
            self.channel.hang_up(EndReason.STOPPED)
        return connection

    def act(self) -> float:
        """Make an attempt; return how long to wait for the next one, in seconds."""
        self._has_asked = False
        delay_s = self._reader.attempt()
        if not self._has_asked:
            return _NO_PERMIT_S
        self._limiter.release(self._partition)
        return delay_s


def play(simulator: Simulator, citizens: Sequence[Citizen], until_s: float) -> None:
    """Let all of them act until the simulator's time is `until_s`, or all that were away have caught up."""
    due = [(now_s(simulator), number) for number in range(len(citizens))]
    while due:
        due_s, number = heapq.heappop(due)
        if due_s >= until_s:
            continue
        simulator.advance(max(0.0, due_s - now_s(simulator)))
        wait_s = citizens[number].act()
        if not citizens[number].has_caught_up:
            heapq.heappush(due, (now_s(simulator) + wait_s, number))


def now_s(simulator: Simulator) -> float:
    """Return the simulator's time in seconds since 1970."""
    return simulator.clock.now_ns() / NANOS
