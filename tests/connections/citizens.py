"""Many stream partitions of one endpoint in simulated time: real readers, gates and simulator, one thread.

Time is the simulator's. It goes on when all readers wait, by as much as the first of them has to; what each receives is
committed at once.
"""

import heapq
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from unittest import mock

from connector.source.deliveries import Delivery
from connector.source.lifecycle import State

from connector.coverage.plan import Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.simulator import Simulator
from connector.simulator.clock import NANOS
from connector.source import reader as reader_module
from connector.source.connect_limiter import Gate
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus
from connector.x import clock
from connector.x.client import Connection, XClient
from connector.x.transport import Wire
from tests.faults.upstream.journey import Travelling
from tests.unit.partition.fakes import Ledger, timeline

if TYPE_CHECKING:
    from connector.source.channel import Inbox

PARTITIONS = tuple(StreamPartition("tweet", number) for number in range(1, 5))
_METRICS = Metrics()
_TURN_S = 1.0
"""How long a reader that has no turn waits before it asks again."""


class _Committed:
    """Stands in for an inbox whose committer is infinitely fast."""

    def __init__(self, covered_until_us: int) -> None:
        self.timeline = timeline(covered_until_us)
        self._ledger = Ledger(self.timeline)

    def put(self, delivery: Delivery, _: int = 0) -> None:
        """Take it up."""
        self.timeline.take(delivery)

    def wait_until_settled(self) -> None:
        """Commit what was taken up, once there is anything."""
        if self.timeline.has_begun:
            self._ledger.commit(clock.wall_us())


class _Wait:
    """Stands in for the event that stops a reader: notes the delay."""

    def __init__(self) -> None:
        self.delay_s = 0.0

    def wait(self, timeout: float) -> None:
        """Note the delay."""
        self.delay_s = timeout

    def is_set(self) -> bool:
        """Return no: a reader of these is just dropped."""
        return False


class Citizen:
    """The reader of one stream partition; `has_caught_up` once it wants to go live after a catch-up."""

    def __init__(self, partition: StreamPartition, gate: Gate, client: XClient, *, away_s: float) -> None:
        self._client = client
        self._is_away = away_s > 0
        self.has_caught_up = False
        inbox = _Committed(clock.wall_us() - int(away_s * US_PER_S))
        self.timeline = inbox.timeline
        self._wait, self._state = _Wait(), State.PLANNING
        self._reader = Reader(
            partition=partition,
            open_connection=self._open,
            inbox=cast("Inbox", inbox),
            progress=inbox.timeline,
            settings=XSettings(),
            stall_watch=StallWatch(),
            gate=gate,
            report=PartitionTelemetry(partition, _METRICS, PartitionStatus()),
        )
        self._reader._stop = self._wait  # type: ignore[assignment] # noqa: SLF001 - so that nobody waits

    def _open(self, partition: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        if self._is_away and not isinstance(plan, Replay):
            self.has_caught_up = True
        return self._client.open(partition, plan, wire)

    def act(self) -> float:
        """Take a step; return how long it has to wait for the next one, in seconds."""
        before, self._wait.delay_s = self._state, 0.0
        self._state = self._reader.step()
        has_no_turn = before is self._state is State.PLANNING
        return _TURN_S if has_no_turn else self._wait.delay_s


@contextmanager
def simulated_time(simulator: Simulator) -> Iterator[None]:
    """Have the connector's clocks go by the simulator's, and nobody wait for a turn."""
    with (
        mock.patch.object(clock, "time", Travelling(simulator)),
        mock.patch.object(reader_module, "_TURN_WAIT_S", 0.0),
    ):
        yield


def play(simulator: Simulator, citizens: Sequence[Citizen], until_s: float) -> None:
    """Let all of them act until the simulator's time is `until_s`, or all that were away have caught up."""
    due = [(_now_s(simulator), number) for number in range(len(citizens))]
    while due:
        due_s, number = heapq.heappop(due)
        if due_s >= until_s:
            continue
        simulator.advance(max(0.0, due_s - _now_s(simulator)))
        wait_s = citizens[number].act()
        if not citizens[number].has_caught_up:
            heapq.heappush(due, (_now_s(simulator) + wait_s, number))


def _now_s(simulator: Simulator) -> float:
    return simulator.clock.now_ns() / NANOS
