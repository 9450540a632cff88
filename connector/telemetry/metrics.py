"""Every counter, and the registry that a scrape reads. With `gauges` the only place that knows prometheus_client.

Labels come from closed sets and start at zero, so that the first count shows as an increase.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import product

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
from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.messages import EndReason, Verdict
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, STREAMS
from connector.events.decode import Reason
from connector.kafka.current_writer import ReplacementCause
from connector.source.connect_limiter import WaitReason
from connector.telemetry.delays import Delays
from connector.telemetry.drift import OTHER, Names
from connector.telemetry.gauges import (
    NAMESPACE,
    PARTITION_LABELS,
    BatchCollector,
    DelayCollector,
    GroupCollector,
    ServiceCollector,
    StatusCollector,
    labels_of,
)
from connector.telemetry.status import ServiceStatus
from connector.x.errors import FailureReason


class RefusalOutcome(StrEnum):
    """The consequence of refused request parameters: a closed set, public."""

    RETRIED = "retried"
    BELIEVED = "believed"


class RestartCause(StrEnum):
    """Why a stream partition restarts from its ledger: a closed set, public."""

    UNRESOLVED = "unresolved"
    FENCED = "fenced"


REFUSABLE = ("backfill", "replay")
GAPS = tuple((Gap(0, 0, cause).state.value, cause.value) for cause in GapCause)
"""Every pair of state and cause that a gap can have."""
HTTP_CODES = ("200", "400", "401", "403", "404", "408", "429", "500", "502", "503", "504")
_TRANSACTION_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """All metrics of one process, on their own registry."""

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
        self._count_gaps()
        self._count_drift()
        self.clock_steps = Counter(
            f"{NAMESPACE}_clock_steps",
            "Detected steps of the host's wall clock.",
            registry=self.registry,
        )
        self.delays = {partition: Delays() for partition in STREAM_PARTITIONS}
        self.registry.register(DelayCollector(self.delays))

    def watch(self, status: ServiceStatus) -> None:
        """Show the status at each scrape."""
        self.registry.register(ServiceCollector(status))
        self.registry.register(BatchCollector(status))
        self.registry.register(GroupCollector(status))
        self.registry.register(StatusCollector(status.partitions))

    def _count_connections(self) -> None:
        self.connects = self._counter("connects", "Connections that X granted, except those given up at once.")
        self.backfills = self._counter("backfills", "Connections that X granted with a backfill.")
        self.connect_failures = self._counter(
            "connect_failures", "Attempts to connect that failed.", ("reason",), _values(FailureReason)
        )
        self.disconnects = self._counter(
            "disconnects",
            "Connections that ended, or (replanned, out-of-reach) were given up at once.",
            ("reason",),
            _values(EndReason),
        )
        self.system_messages = self._counter("system_messages", "In-stream system messages from X.")
        self.replay_slices = self._counter(
            "replay_slices", "Replay slices that ended, by verdict.", ("verdict",), _values(Verdict)
        )
        self.plans_refused = self._counter(
            "plans_refused",
            "Requests whose parameters X refused or ignored; a believed refusal makes the next request smaller.",
            ("plan", "outcome"),
            product(REFUSABLE, RefusalOutcome),
        )
        self.connect_wait = self._counter(
            "connect_wait_seconds",
            "Time that attempts to connect waited for a permit.",
            ("reason",),
            _values(WaitReason),
        )
        self.http_responses = self._stream_counter(
            "http_responses",
            "X's answers to requests for a stream, by status code.",
            ("code",),
            [(code,) for code in (*HTTP_CODES, OTHER)],
        )

    def _count_lines(self) -> None:
        self.received_bytes = self._counter("received_bytes", "Bytes read from X, decompressed.")
        self.truncated_tails = self._counter("truncated_tails", "Unfinished lines at the end of a connection.")
        self.received = self._counter("lines_received", "Lines processed, without keep-alives.")
        self.duplicates = self._counter("lines_duplicate", "Duplicate lines dropped.")
        self.control = self._counter("lines_control", "Lines that were system messages of X, not content.")
        self.dead_lettered = self._counter(
            "lines_dead_lettered", "Lines sent to the dead-letter topic.", ("reason",), _values(Reason)
        )
        self.secrets_hidden = self._counter(
            "lines_with_secret", "Lines in which X repeated a secret of the request, which was hidden."
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
        self.transactions = self._counter(
            "transactions_committed",
            "Commits of the stream partition; the stream partitions of a process share their transactions.",
        )
        self.transaction_duration = Histogram(
            f"{NAMESPACE}_transaction_duration_seconds",
            "Time from the first record of a transaction to the end of its commit, or until its outcome was known.",
            PARTITION_LABELS,
            buckets=_TRANSACTION_BOUNDS_S,
            registry=self.registry,
        )
        for partition in STREAM_PARTITIONS:
            self.transaction_duration.labels(*labels_of(partition))
        self.start_failures = self._counter(
            "start_failures",
            "Failed starts of a partition, usually because Kafka did not provide what it needs.",
        )
        self.restarts = self._counter(
            "partition_restarts",
            "Restarts of a stream partition from its ledger, without its uncommitted work.",
            ("cause",),
            _values(RestartCause),
        )
        self.producers_replaced = Counter(
            f"{NAMESPACE}_producers_replaced",
            "Replacements of the producer of the process.",
            ("cause",),
            registry=self.registry,
        )
        for cause in ReplacementCause:
            self.producers_replaced.labels(cause.value)
        self.transmit_retries = Counter(
            f"{NAMESPACE}_kafka_transmit_retries",
            "Requests to Kafka that librdkafka sent again, by its own count.",
            registry=self.registry,
        )
        self.transmit_errors = Counter(
            f"{NAMESPACE}_kafka_transmit_errors",
            "Requests to Kafka that librdkafka could not send, by its own count.",
            registry=self.registry,
        )
        self.unexpected_errors = self._counter(
            "unexpected_errors", "Unexpected exceptions; the partition retries after each."
        )

    def _count_gaps(self) -> None:
        self.gaps = self._counter("gaps", "Gaps recorded.", ("state", "cause"), GAPS)
        self.gap_seconds = self._counter("gap_seconds", "Time within recorded gaps.", ("state", "cause"), GAPS)
        self.counted_resets = set[str]()
        """The writers of the resets of a ledger whose gaps are counted."""
        self.refetches = self._counter(
            "refetches",
            "Time ranges re-requested because their completeness was in doubt.",
            ("suspicion",),
            _values(Suspicion),
        )

    def _count_drift(self) -> None:
        self.type_names, self.field_names = Names(), Names()
        self.unknown_types = self._stream_counter("unknown_types", "Lines of a type that the connector does not know.")
        self.unknown_fields = self._stream_counter(
            "unknown_fields",
            "Events with a member that the connector does not know, by its name.",
            ("field",),
            [(OTHER,)],
        )

    def _counter(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        values: Iterable[tuple[str, ...]] = ((),),
    ) -> Counter:
        """Return a counter that is zero for every stream partition, with all `values` of its other labels."""
        places = [labels_of(partition) for partition in STREAM_PARTITIONS]
        return self._counter_at(name, documentation, (*PARTITION_LABELS, *labels), product(places, values))

    def _stream_counter(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        values: Iterable[tuple[str, ...]] = ((),),
    ) -> Counter:
        """Return a counter that is zero for every stream, with all `values` of its other labels."""
        places = [(stream,) for stream in STREAMS]
        return self._counter_at(name, documentation, ("stream", *labels), product(places, values))

    def _counter_at(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        values: Iterable[tuple[tuple[str, ...], tuple[str, ...]]],
    ) -> Counter:
        counter = Counter(f"{NAMESPACE}_{name}", documentation, labels, registry=self.registry)
        for place, others in values:
            counter.labels(*place, *others)
        return counter


def _values(closed_set: type[StrEnum]) -> list[tuple[str, ...]]:
    return [(member.value,) for member in closed_set]
