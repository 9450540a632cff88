"""Every counter, and the registry that a scrape reads. With `gauges` the only place that knows prometheus_client.

Labels come from closed sets and are set to zero at start, so that a first happening is seen as an increase.
"""

import sys
import time
from collections.abc import Iterable
from enum import StrEnum

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from connector import __version__
from connector.coverage.gap import GapCause, Suspicion
from connector.coverage.messages import EndReason, Verdict
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, STREAMS
from connector.events.decode import Reason
from connector.source.connect_limiter import WaitReason
from connector.telemetry.delays import Delays
from connector.telemetry.drift import OTHER, Names
from connector.telemetry.gauges import (
    NAMESPACE,
    PARTITION_LABELS,
    DelayCollector,
    ServiceCollector,
    StatusCollector,
    labels_of,
)
from connector.telemetry.status import ServiceStatus
from connector.x.errors import FailureReason

REPLACEMENT_CAUSES = ("slow-commit", "lost", "fenced")
REFUSABLE = ("backfill", "replay")
HTTP_CODES = ("200", "400", "401", "403", "404", "429", "500", "502", "503", "504")
_TRANSACTION_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one process, on a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library does not say
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        Info(f"{NAMESPACE}_build", "Version of the connector.", registry=self.registry).info(
            {"version": __version__, "python": sys.version.split()[0]}
        )
        Gauge(
            f"{NAMESPACE}_scrape_timestamp_seconds",
            "When the numbers of this scrape were read.",
            registry=self.registry,
        ).set_function(time.time)
        self._count_connections()
        self._count_lines()
        self._count_transactions()
        self._count_drift()
        self.delays = {partition: Delays() for partition in STREAM_PARTITIONS}
        self.registry.register(DelayCollector(self.delays))

    def watch(self, status: ServiceStatus) -> None:
        """Show the status at each scrape."""
        self.registry.register(ServiceCollector(status))
        self.registry.register(StatusCollector(status.partitions))

    def _count_connections(self) -> None:
        self.connects = self._counter("connects", "Connections that X granted.")
        self.backfills = self._counter("backfills", "Connections that X granted with a backfill.")
        self.connect_failures = self._counter(
            "connect_failures", "Attempts to connect that failed.", reason=_values(FailureReason)
        )
        self.disconnects = self._counter("disconnects", "Connections that ended.", reason=_values(EndReason))
        self.replay_slices = self._counter(
            "replay_slices",
            "Replay slices that ended, by what they turned out to be.",
            verdict=_values(Verdict),
        )
        self.plans_refused = self._counter(
            "plans_refused", "Requests whose parameters X refused or ignored.", plan=REFUSABLE
        )
        self.connect_wait = self._counter(
            "connect_wait_seconds",
            "Time that attempts to connect waited for a permit.",
            reason=_values(WaitReason),
        )
        self.http_responses = self._stream_counter(
            "http_responses", "X's answers to requests for a stream, by status code.", code=(*HTTP_CODES, OTHER)
        )

    def _count_lines(self) -> None:
        self.received_bytes = self._counter("received_bytes", "Bytes read from X, decompressed.")
        self.truncated_tails = self._counter("truncated_tails", "Unfinished lines at the end of a connection.")
        self.received = self._counter("lines_received", "Lines taken up, without keep-alives.")
        self.duplicates = self._counter("lines_duplicate", "Lines dropped as known.")
        self.control = self._counter("lines_control", "Lines in which X spoke of the connection.")
        self.dead_lettered = self._counter(
            "lines_dead_lettered", "Lines put on the dead-letter topic.", reason=_values(Reason)
        )
        self.published = Counter(
            f"{NAMESPACE}_events_published",
            "Events committed, by stream and type.",
            ("stream", "type"),
            registry=self.registry,
        )
        for event_type in EVENT_TYPES:
            self.published.labels(event_type.stream, event_type.name)

    def _count_transactions(self) -> None:
        causes = _values(GapCause)
        self.transactions = self._counter("transactions_committed", "Transactions committed.")
        self.transaction_duration = Histogram(
            f"{NAMESPACE}_transaction_duration_seconds",
            "How long a transaction took, from its first record to the end of its commit.",
            PARTITION_LABELS,
            buckets=_TRANSACTION_BOUNDS_S,
            registry=self.registry,
        )
        for partition in STREAM_PARTITIONS:
            self.transaction_duration.labels(*labels_of(partition))
        self.producers_replaced = self._counter(
            "producers_replaced", "Producers thrown away.", cause=REPLACEMENT_CAUSES
        )
        self.transmit_retries = self._counter(
            "kafka_transmit_retries", "Requests to Kafka that were sent again, by librdkafka's count."
        )
        self.transmit_errors = self._counter(
            "kafka_transmit_errors", "Requests to Kafka that failed to be sent, by librdkafka's count."
        )
        self.gaps = self._counter("gaps", "Gaps recorded.", cause=causes)
        self.gap_seconds = self._counter("gap_seconds", "Time within recorded gaps.", cause=causes)
        self.refetches = self._counter(
            "refetches",
            "Time ranges re-requested because their completeness was in doubt.",
            suspicion=_values(Suspicion),
        )

    def _count_drift(self) -> None:
        self.type_names, self.field_names = Names(), Names()
        self.unknown_types = self._stream_counter("unknown_types", "Lines of a type that the connector does not know.")
        self.unknown_fields = self._stream_counter(
            "unknown_fields", "Events with a member that the connector does not know, by its name.", field=(OTHER,)
        )

    def _counter(self, name: str, documentation: str, **more_labels: Iterable[str]) -> Counter:
        places = [labels_of(partition) for partition in STREAM_PARTITIONS]
        return self._counter_at(name, documentation, PARTITION_LABELS, places, more_labels)

    def _stream_counter(self, name: str, documentation: str, **more_labels: Iterable[str]) -> Counter:
        return self._counter_at(name, documentation, ("stream",), [(stream,) for stream in STREAMS], more_labels)

    def _counter_at(
        self,
        name: str,
        documentation: str,
        labels: tuple[str, ...],
        places: Iterable[tuple[str, ...]],
        more_labels: dict[str, Iterable[str]],
    ) -> Counter:
        """Return a counter that is zero at each place, for each value of the one more label there may be."""
        counter = Counter(f"{NAMESPACE}_{name}", documentation, (*labels, *more_labels), registry=self.registry)
        for place in places:
            if more_labels:
                [values] = more_labels.values()
                for value in values:
                    counter.labels(*place, value)
            else:
                counter.labels(*place)
        return counter


def _values(closed_set: type[StrEnum]) -> list[str]:
    return [member.value for member in closed_set]
