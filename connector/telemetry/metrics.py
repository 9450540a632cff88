"""Every metric, and the scrape of them. The only module that knows prometheus_client.

Labels come from closed sets and are set to zero at start, so that a first happening is seen as an increase.
"""

import sys
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connector import __version__
from connector.compliance.catalog import EVENT_TYPES, STREAM_PARTITIONS, StreamPartition
from connector.compliance.decode import Reason
from connector.telemetry.status import PartitionStatus, State
from connector.x.failure import REASONS
from connector.x.overlap import Doubt
from connector.x.plan import Cause

NAMESPACE = "compliance_connector"
_PARTITION_LABELS = ("stream", "partition")

DISCONNECT_REASONS = ("closed", "network", "replanned", "silent", "stopped", "system-message")
REPLACEMENT_CAUSES = ("slow-commit", "lost", "fenced")


class Metrics:
    """All counters of one process, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info(f"{NAMESPACE}_build", "Version of the connector.", registry=self.registry).info(
            {"version": __version__, "python": sys.version.split()[0]}
        )
        self.connects = self._counter("connects", "Connections that X granted.")
        self.connect_failures = self._counter("connect_failures", "Attempts to connect that failed.", reason=REASONS)
        self.disconnects = self._counter("disconnects", "Connections that ended.", reason=DISCONNECT_REASONS)
        self.received_bytes = self._counter("received_bytes", "Bytes read from X, decompressed.")
        self.truncated_tails = self._counter("truncated_tails", "Unfinished lines at the end of a connection.")
        self.received = self._counter("lines_received", "Lines taken up, without keep-alives.")
        self.duplicates = self._counter("lines_duplicate", "Lines dropped as known.")
        self.control = self._counter("lines_control", "Lines in which X spoke of the connection.")
        self.dead_lettered = self._counter(
            "lines_dead_lettered", "Lines put on the dead-letter topic.", reason=[reason.value for reason in Reason]
        )
        self.published = Counter(
            f"{NAMESPACE}_events_published",
            "Events committed, by stream and type.",
            ("stream", "type"),
            registry=self.registry,
        )
        for event_type in EVENT_TYPES:
            self.published.labels(event_type.stream, event_type.name)
        self.transactions = self._counter("transactions_committed", "Transactions committed.")
        self.producers_replaced = self._counter(
            "producers_replaced", "Producers thrown away.", cause=REPLACEMENT_CAUSES
        )
        self.gaps = self._counter("gaps", "Gaps recorded.", cause=[cause.value for cause in Cause])
        self.lost_seconds = self._counter(
            "lost_seconds", "Time within recorded gaps.", cause=[cause.value for cause in Cause]
        )
        self.doubts = self._counter("doubts", "Stretches asked for once more.", doubt=[doubt.value for doubt in Doubt])
        self.clock_offset = Gauge(
            f"{NAMESPACE}_clock_offset_seconds",
            "How far X's clock is ahead of ours, as of the latest connection.",
            _PARTITION_LABELS,
            registry=self.registry,
        )

    def watch(self, statuses: Mapping[StreamPartition, PartitionStatus]) -> None:
        """Show the statuses at each scrape."""
        self.registry.register(_StatusCollector(statuses))

    def _counter(self, name: str, documentation: str, **more_labels: Iterable[str]) -> Counter:
        counter = Counter(
            f"{NAMESPACE}_{name}", documentation, (*_PARTITION_LABELS, *more_labels), registry=self.registry
        )
        for partition in STREAM_PARTITIONS:
            where = (partition.stream, str(partition.number))
            if more_labels:
                [values] = more_labels.values()
                for value in values:
                    counter.labels(*where, value)
            else:
                counter.labels(*where)
        return counter


class _StatusCollector(Collector):
    """Turns statuses into samples when asked, so that nothing is set while events flow."""

    def __init__(self, statuses: Mapping[StreamPartition, PartitionStatus]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[Metric]:
        """Yield one family a gauge."""
        owned = self._gauge("partition_owned", "1 where this process works the stream partition.")
        corrupt = self._gauge("partition_corrupt", "1 where the ledger contradicts itself and the partition stopped.")
        covered = self._gauge("covered_until_timestamp_seconds", "Everything before this instant is committed.")
        last_byte = self._gauge("last_byte_timestamp_seconds", "When the latest byte came from X.")
        sequence = self._gauge("sequence", "Sequence of the last committed event.")
        for partition, status in self._statuses.items():
            labels = (partition.stream, str(partition.number))
            owned.add_metric(labels, status.state is not State.NOT_OWNED)
            corrupt.add_metric(labels, status.state is State.CORRUPT)
            for family, value, scale in (
                (covered, status.covered_until_us, 1e-6),
                (last_byte, status.last_byte_us, 1e-6),
                (sequence, status.sequence, 1),
            ):
                if value is not None:
                    family.add_metric(labels, value * scale)
        return owned, corrupt, covered, last_byte, sequence

    @staticmethod
    def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{NAMESPACE}_{name}", documentation, labels=_PARTITION_LABELS)
