"""One stream partition between X's socket and its transactions: all is real but Kafka, and no delay is waited for.

For the connect budget time goes on by each delay; for everything else it is X's, which may let some pass.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

import httpcore

from connector.coverage.plan import Plan
from connector.events.times import US_PER_S
from connector.partition.committer import Committer
from connector.settings import PipelineSettings, XSettings
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import PartitionStatus, ServiceStatus, Statuses
from connector.x.backoff import Backoff
from connector.x.client import Connection, XClient
from connector.x.clock import XClock, monotonic_us
from connector.x.transport import Wire
from tests.connections.x import X
from tests.fakes.partition import PARTITION, FakeWriter, state_of

_PATIENCE_S = 20.0
_POLL_S = 0.01
_PREFIX = "compliance_connector_"
_COUNTERS = (
    "connect_failures",
    "plans_refused",
    "disconnects",
    "http_responses",
    "lines_control",
    "lines_dead_lettered",
    "lines_with_secret",
    "truncated_tails",
    "replay_slices",
    "refetches",
    "gaps",
    "unknown_types",
    "unknown_fields",
)
_NOT_OF_A_FAULT = ('http_responses_total{code="200"}', 'disconnects_total{reason="stopped"}')


class _Delays:
    """Records each delay instead of waiting for it."""

    def __init__(self) -> None:
        self.since_attempt_s = 0.0
        self.all_s = 0.0

    def wait(self, seconds: float) -> None:
        """Record the delay."""
        self.since_attempt_s += seconds
        self.all_s += seconds

    def next_attempt(self) -> float:
        """Return what was waited before the attempt that is made now."""
        delay_s, self.since_attempt_s = self.since_attempt_s, 0.0
        return delay_s

    def monotonic_us(self) -> int:
        """Return the system's clock and all that was waited."""
        return monotonic_us() + int(self.all_s * US_PER_S)


class Bench:
    """Reads an X from `away_s` seconds ago on; `given` are settings of X's, also where no operator may set them."""

    def __init__(
        self,
        x: X,
        network: httpcore.NetworkBackend,
        *,
        away_s: float,
        **given: Any,  # noqa: ANN401 - any setting
    ) -> None:
        self.delays_s: list[float] = []
        """How long the reader waited before each attempt but the first."""
        self.asked: list[Plan] = []
        self.watch = StallWatch()
        self._x = x
        self._delays = _Delays()
        self._metrics = Metrics()
        self.status = PartitionStatus()
        service = ServiceTelemetry(self._metrics, ServiceStatus(Statuses(()), 1, None, 0))
        settings = XSettings.model_validate({"base_url": x.base_url, "bearer_token": "simulator-token"})
        settings = settings.model_copy(update={"silence_timeout_s": 5.0, **given})
        self._client = XClient(settings, service.answered, network=network)
        state = state_of(x.time.wall_us() - int(away_s * US_PER_S))
        self._channel = Channel(1024 * 1024, state.progress)
        telemetry = PartitionTelemetry(PARTITION, self._metrics, self.status)
        self.writer = FakeWriter()
        self._committer = Committer(
            state=state,
            channel=self._channel,
            writer=self.writer.as_writer(),
            settings=PipelineSettings(commit_interval_ms=10),
            telemetry=telemetry,
            turn=threading.Lock(),
        )
        self.clock = XClock(x.time.wall_us, x.time.monotonic_us)
        self._reader = Reader(
            partition=PARTITION,
            open_connection=self._open,
            channel=self._channel,
            settings=settings,
            clock=self.clock,
            stall_watch=self.watch,
            limiter=ConnectLimiter(2, self._delays.monotonic_us),
            observer=telemetry,
            backoff=Backoff(lambda: 0.0),
            wait=self._delays.wait,
        )

    def _open(self, _: object, plan: Plan, wire: Wire) -> Connection:
        delay_s = self._delays.next_attempt()
        if self.asked:
            self.delays_s.append(delay_s)
        self.asked.append(plan)
        self._x.before_attempt(len(self.asked))
        return self._client.open(PARTITION, plan, wire)

    def run(self, *, events: int, attempts: int, tick_s: float) -> None:
        """Read until `events` are committed and `attempts` made, and stop.

        The stall watch ticks every `tick_s`, which for it is half a second.
        """
        has_enough = threading.Event()
        threads = [
            threading.Thread(target=self._reader.run, name="reader"),
            threading.Thread(target=self._committer.run, args=(has_enough.is_set,), name="committer"),
        ]
        for thread in threads:
            thread.start()
        began = ticked_at = time.monotonic()
        while self.events < events or len(self.asked) < attempts:
            time.sleep(_POLL_S)
            self._x.go_on(len(self.asked), self.lines)
            if time.monotonic() > began + _PATIENCE_S:
                break
            if time.monotonic() > ticked_at + tick_s:
                ticked_at = time.monotonic()
                self.watch.tick()
        self._reader.stop()
        threads[0].join(_PATIENCE_S)
        has_enough.set()
        self._channel.close()
        threads[1].join(_PATIENCE_S)
        self._client.close()
        assert not any(thread.is_alive() for thread in threads)
        assert (self.events, len(self.asked) >= attempts) == (events, True), f"asked {self.asked}; {self.counted}"

    @property
    def events(self) -> int:
        """How many events are committed."""
        return sum(entry.counts.published for _, entry in self.writer.transactions)

    @property
    def lines(self) -> int:
        """How many lines are committed, known ones too."""
        return sum(entry.counts.received for _, entry in self.writer.transactions)

    @property
    def counted(self) -> Mapping[str, int]:
        """What was counted, but for what is counted where all is well."""
        counts = {
            _text(sample.name, sample.labels): int(sample.value)
            for family in self._metrics.registry.collect()
            if family.name.removeprefix(_PREFIX) in _COUNTERS
            for sample in family.samples
            if sample.name.endswith("_total") and sample.value
        }
        return {name: count for name, count in counts.items() if name not in _NOT_OF_A_FAULT}


def _text(name: str, labels: Mapping[str, str]) -> str:
    shown = ",".join(f'{label}="{value}"' for label, value in labels.items() if label not in {"stream", "partition"})
    return name.removeprefix(_PREFIX) + (f"{{{shown}}}" if shown else "")
