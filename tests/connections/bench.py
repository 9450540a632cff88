"""One stream partition between X's socket and its transactions: all is real but Kafka, and no delay is waited for.

Time goes on by each delay for the connect budget alone; all other clocks are the system's.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any

from connector.coverage.plan import Plan
from connector.events.times import US_PER_S
from connector.partition.committer import Committer
from connector.settings import PipelineSettings, XSettings
from connector.source.channel import Inbox
from connector.source.connect_limiter import ConnectLimiter
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.happenings import Happenings
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceHappenings
from connector.telemetry.status import PartitionStatus, ServiceStatus, Statuses
from connector.x.backoff import Backoff
from connector.x.client import Connection, XClient
from connector.x.clock import monotonic_us, wall_us
from connector.x.transport import Wire
from tests.connections.x import X
from tests.unit.partition.fakes import PARTITION, FakeWriter, timeline

_PATIENCE_S = 20.0
_POLL_S = 0.01
_PREFIX = "compliance_connector_"
_COUNTERS = (
    "connect_failures",
    "disconnects",
    "http_responses",
    "lines_control",
    "lines_dead_lettered",
    "truncated_tails",
    "replay_slices",
    "gaps",
    "unknown_types",
    "unknown_fields",
)
_NOT_OF_A_FAULT = ('http_responses_total{code="200"}', 'disconnects_total{reason="stopped"}')


class _Stop(threading.Event):
    """Notes each delay instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0
        self.all_waited_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        """Note the delay."""
        self.waited_s += timeout or 0.0
        self.all_waited_s += timeout or 0.0
        return self.is_set()


class Bench:
    """Reads an X from `away_s` seconds ago on; `given` are settings of X's, also where no operator may set them."""

    def __init__(self, x: X, *, away_s: float, **given: Any) -> None:  # noqa: ANN401 - any setting
        self.delays_s: list[float] = []
        """How long the reader waited before each attempt but the first."""
        self.asked: list[Plan] = []
        self.watch = StallWatch()
        self._x = x
        self._stop = _Stop()
        self._metrics = Metrics()
        self.status = PartitionStatus()
        service = ServiceHappenings(self._metrics, ServiceStatus(Statuses(()), 1, None, 0))
        settings = XSettings.model_validate({"base_url": x.base_url, "bearer_token": "simulator-token"})
        settings = settings.model_copy(update={"silence_timeout_s": 5.0, **given})
        self._client = XClient(settings, service.answered)
        self._inbox = Inbox(1024 * 1024)
        self._timeline = timeline(wall_us() - int(away_s * US_PER_S))
        happenings = Happenings(PARTITION, self._metrics, self.status)
        writer = FakeWriter()
        self._committer = Committer(
            self._timeline,
            self._inbox,
            writer.as_writer(),
            PipelineSettings(commit_interval_ms=10),
            happenings,
            threading.Lock(),
        )
        self.writer = writer
        self._reader = Reader(
            partition=PARTITION,
            open_connection=self._open,
            inbox=self._inbox,
            progress=self._timeline,
            settings=settings,
            stall_watch=self.watch,
            limiter=ConnectLimiter(2, lambda: monotonic_us() + int(self._stop.all_waited_s * US_PER_S)),
            report=happenings,
        )
        self._reader._stop = self._stop  # noqa: SLF001 - so that delays are seen, not waited for
        self._reader._backoff = Backoff(lambda: 0.0)  # noqa: SLF001 - so that delays are exact

    def _open(self, _: object, plan: Plan, wire: Wire) -> Connection:
        if self.asked:
            self.delays_s.append(self._stop.waited_s)
            self._stop.waited_s = 0.0
        self.asked.append(plan)
        self._x.before_attempt(len(self.asked))
        return self._client.open(PARTITION, plan, wire)

    def run(self, *, events: int, attempts: int, tick_s: float) -> None:
        """Read until so many events are committed and so many attempts made, and stop.

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
            self._x.go_on(len(self.asked))
            if time.monotonic() > began + _PATIENCE_S:
                break
            if time.monotonic() > ticked_at + tick_s:
                ticked_at = time.monotonic()
                self.watch.tick()
        self._reader.stop()
        threads[0].join(_PATIENCE_S)
        has_enough.set()
        self._inbox.close()
        threads[1].join(_PATIENCE_S)
        self._client.close()
        assert not any(thread.is_alive() for thread in threads)
        assert (self.events, len(self.asked) >= attempts) == (events, True), f"asked {self.asked}; {self.counted}"

    @property
    def events(self) -> int:
        """How many events are committed."""
        return sum(entry.counts.published for _, entry in self.writer.transactions)

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
