"""Metrics that are read at the scrape, so that nothing is set while events flow.

A stream partition that is not owned has samples only of `partition_owned`, `partition_corrupt`,
`partition_topics_changed` and `partition_mode`, all of them 0: only its owner knows the rest.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from connector.events.catalog import STREAMS, StreamPartition
from connector.kafka.statistics import ProducerStatistics
from connector.telemetry.delays import BOUNDS_S, DelayHistogram, Delays
from connector.telemetry.group_states import GroupState, age_us
from connector.telemetry.status import MODES, PartitionStatus, ServiceStatus, State
from connector.x.clock import wall_us

NAMESPACE = "compliance_connector"
PARTITION_LABELS = ("stream", "partition")
_US = 1e-6
_MS = 1e-3
_LE = (*map(str, BOUNDS_S), "+Inf")


def labels_of(partition: StreamPartition) -> tuple[str, str]:
    """Return the values of `PARTITION_LABELS`."""
    return partition.stream, str(partition.number)


def _gauge(name: str, documentation: str, labels: Iterable[str] = PARTITION_LABELS) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{NAMESPACE}_{name}", documentation, labels=list(labels))


class StatusCollector(Collector):
    """One sample per gauge and stream partition with a known value."""

    def __init__(self, statuses: Mapping[StreamPartition, PartitionStatus]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterable[Metric]:
        """Yield one family per gauge."""
        owned = _gauge("partition_owned", "1 if this process owns the stream partition.")
        corrupt = _gauge("partition_corrupt", "1 if the ledger cannot be trusted and the partition stopped.")
        changed = _gauge(
            "partition_topics_changed",
            "1 if a topic has the wrong number of partitions and the stream partition stopped.",
        )
        mode = _gauge(
            "partition_mode",
            "1 for what an owned stream partition is doing, 0 for the rest.",
            (*PARTITION_LABELS, "mode"),
        )
        values = {name: _gauge(name, documentation) for name, documentation in _VALUES.items()}
        for partition, status in self._statuses.items():
            where = labels_of(partition)
            owned.add_metric(where, status.is_owned)
            corrupt.add_metric(where, status.state is State.CORRUPT)
            changed.add_metric(where, status.state is State.TOPICS_CHANGED)
            for name in MODES:
                mode.add_metric((*where, name), status.is_owned and status.mode == name)
            for name, value in _values_of(status).items():
                if value is not None and status.is_owned:
                    values[name].add_metric(where, value)
        return owned, corrupt, changed, mode, *values.values()


_VALUES = {
    "covered_until_timestamp_seconds": "Everything before this instant is committed, or recorded as a gap.",
    "watermark_timestamp_seconds": "Value of covered_until once all that has been read is committed.",
    "last_byte_timestamp_seconds": "When the latest byte came from X.",
    "last_event_timestamp_seconds": "When the latest new event was received.",
    "sequence": "Sequence of the last committed event.",
    "channel_bytes": "Bytes read from X that wait for the committer.",
    "known_ids": "Event ids kept to recognise duplicates.",
}
_PRODUCER_VALUES = {
    "kafka_queue_messages": "Records that the producer has not yet delivered.",
    "kafka_queue_bytes": "Bytes of records that the producer has not yet delivered.",
    "kafka_broker_round_trip_seconds": "Average round trip to the slowest broker, in librdkafka's latest interval.",
}


def _values_of(status: PartitionStatus) -> dict[str, float | None]:
    return {
        "covered_until_timestamp_seconds": _seconds(status.covered_until_us),
        "watermark_timestamp_seconds": _seconds(status.watermark_us),
        "last_byte_timestamp_seconds": _seconds(status.last_byte_us),
        "last_event_timestamp_seconds": _seconds(status.last_event_us),
        "sequence": status.sequence,
        "channel_bytes": status.channel_bytes(),
        "known_ids": status.known_ids,
    }


def _values_of_producer(producer: ProducerStatistics | None) -> dict[str, float]:
    if producer is None:
        return {}
    return {
        "kafka_queue_messages": producer.queue_messages,
        "kafka_queue_bytes": producer.queue_bytes,
        "kafka_broker_round_trip_seconds": producer.round_trip_s,
    }


def _seconds(instant_us: int | None) -> float | None:
    return None if instant_us is None else instant_us * _US


class ServiceCollector(Collector):
    """Gauges of the process, or of a stream as a whole."""

    def __init__(self, status: ServiceStatus) -> None:
        self._status = status

    def collect(self) -> Iterable[Metric]:
        """Yield one family per gauge."""
        status = self._status
        ready = _gauge("ready", "1 while /readyz answers 200.", ())
        ready.add_metric((), status.is_ready)
        joined = _gauge("group_joined", "1 while this process is a member of the consumer group.", ())
        joined.add_metric((), status.has_joined)
        limit = _gauge("channel_limit_bytes", "Most bytes that may wait for the committer of a stream partition.", ())
        limit.add_metric((), status.channel_limit_bytes)
        registry_unavailable = _gauge(
            "registry_unavailable", "1 while a schema registry that was away at the start has not answered yet.", ()
        )
        registry_unavailable.add_metric((), status.is_registry_unavailable)
        offset = _gauge("clock_offset_seconds", "How far X's clock is ahead of the wall clock, to a second.", ())
        offset.add_metric((), status.clock_offset_s())
        enabled = _gauge("stream_enabled", "1 if the settings switch the stream on.", ("stream",))
        for stream in STREAMS:
            enabled.add_metric((stream,), stream in status.streams)
        return ready, joined, limit, registry_unavailable, offset, enabled, *self._rate_limits(), *self._of_producer()

    def _of_producer(self) -> Iterable[Metric]:
        values = _values_of_producer(self._status.producer)
        for name, documentation in _PRODUCER_VALUES.items():
            family = _gauge(name, documentation, ())
            if name in values:
                family.add_metric((), values[name])
            yield family

    def _rate_limits(self) -> Iterable[Metric]:
        limit = _gauge("rate_limit", "Connects that X allows in a window, by its latest answer.", ("stream",))
        remaining = _gauge("rate_limit_remaining", "Connects left in X's window, by its latest answer.", ("stream",))
        reset = _gauge("rate_limit_reset_timestamp_seconds", "When X's window ends, by its latest answer.", ("stream",))
        for stream, said in list(self._status.rate_limits.items()):
            limit.add_metric((stream,), said.limit)
            remaining.add_metric((stream,), said.remaining)
            reset.add_metric((stream,), said.reset_s)
        return limit, remaining, reset


class BatchCollector(Collector):
    """Gauges of batch runs and gaps; no sample of unknown values. `wall_s` is a clock in seconds."""

    def __init__(self, status: ServiceStatus, wall_s: Callable[[], float] = time.time) -> None:
        self._status = status
        self._wall_s = wall_s

    def collect(self) -> Iterable[Metric]:
        """Yield one family per gauge."""
        return *self._runs(), self._gaps()

    def _runs(self) -> Iterable[Metric]:
        failed = _gauge("batch_last_run_failed", "1 if the newest batch run of the type failed, else 0.", ("type",))
        done = _gauge("batch_last_done_timestamp_seconds", "When the last successful batch run finished.", ("type",))
        ids = _gauge(
            "batch_last_done_ids",
            "Ids that the last successful batch run asked about, by outcome.",
            ("type", "outcome"),
        )
        for job_type, last in (self._status.last_runs or {}).items():
            failed.add_metric((job_type,), last.has_failed)
            if last.done is not None:
                done.add_metric((job_type,), last.done.done_ms * _MS)
                for outcome, count in last.done.ids.items():
                    ids.add_metric((job_type, outcome.value), count)
        return failed, done, ids

    def _gaps(self) -> Metric:
        age = _gauge(
            "gap_unreconciled_age_seconds",
            "Age of the oldest recorded gap that a batch run can still make up for; 0 without one.",
            ("stream",),
        )
        for stream, recorded_ms in (self._status.oldest_gaps or {}).items():
            age.add_metric((stream,), 0.0 if recorded_ms is None else max(0.0, self._wall_s() - recorded_ms * _MS))
        return age


class GroupCollector(Collector):
    """Gauges of the backlog of watched consumer groups; `wall_us` is a clock in microseconds.

    No samples of unknown values, nor in a replica that does not watch them.
    """

    def __init__(self, status: ServiceStatus, wall_us: Callable[[], int] = wall_us) -> None:
        self._status = status
        self._wall_us = wall_us

    def collect(self) -> Iterable[Metric]:
        """Yield one family per gauge."""
        watched = _gauge("consumer_groups_watched", "Consumer groups to watch, by the settings.", ())
        watched.add_metric((), len(self._status.watched_groups))
        lag = _gauge(
            "consumer_group_lag_records",
            "Records of the topic that the watched group has not processed; an upper bound above 500 in a partition.",
            ("group", "topic"),
        )
        age = _gauge(
            "consumer_group_oldest_event_age_seconds",
            "Age of the oldest event that the watched consumer group has not processed, by event_at; 0 without one.",
            ("group", "topic"),
        )
        state = _gauge(
            "consumer_group_state",
            "1 for what the watched consumer group is doing, 0 for the rest.",
            ("group", "state"),
        )
        look, now_us = self._status.groups, self._wall_us()
        for found in look.found if look is not None and self._status.watches_groups else ():
            for each in GroupState:
                state.add_metric((found.group, each.value), found.state is each)
            for topic in found.topics:
                lag.add_metric((found.group, topic.topic), topic.records)
                age.add_metric((found.group, topic.topic), age_us(topic.oldest_event_us, now_us) * _US)
        return watched, lag, age, state


class DelayCollector(Collector):
    """The histograms that `delays` fills."""

    def __init__(self, delays: Mapping[StreamPartition, Delays]) -> None:
        self._delays = delays

    def collect(self) -> Iterable[Metric]:
        """Yield one family per kind of delay."""
        yield self._family(
            "event_received_delay_seconds",
            "From X's date of an event to its receipt; live only.",
            {partition: delays.event_to_received for partition, delays in self._delays.items()},
        )
        yield self._family(
            "received_committed_delay_seconds",
            "From the receipt of an event to the end of its commit.",
            {partition: delays.received_to_committed for partition, delays in self._delays.items()},
        )
        yield self._family(
            "event_committed_delay_seconds",
            "From X's date of an event to the end of its commit; live only.",
            {partition: delays.event_to_committed for partition, delays in self._delays.items()},
        )

    @staticmethod
    def _family(
        name: str, documentation: str, histograms: Mapping[StreamPartition, DelayHistogram]
    ) -> HistogramMetricFamily:
        family = HistogramMetricFamily(f"{NAMESPACE}_{name}", documentation, labels=PARTITION_LABELS)
        for partition, histogram in histograms.items():
            filled = histogram.read()
            family.add_metric(labels_of(partition), list(zip(_LE, filled.counts, strict=True)), filled.sum_s)
        return family
