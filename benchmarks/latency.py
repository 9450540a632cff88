"""Latency of events at a steady rate, from receipt until a `read_committed` consumer sees them, and what it costs.

A consumer of the ledger notes when each transaction becomes visible; the events are read afterwards, and `received_at`
and `sequence` tell which event came when and with which transaction it went. The feed has no `Date`, so that
`received_at` is the wall clock. Events are sent every 10 ms, one a chunk. Those of the first fifth of the time do not
count: producers and Kafka meet each of a hundred topic partitions for the first time then.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.feeding import Feeding
from benchmarks.prefill import prefill
from benchmarks.stand import Stand, committed, partitions_of
from benchmarks.usage import Stopwatch, rss_bytes
from connector.events.avro import AvroDecoder, split_prefix
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, StreamPartition
from connector.events.schemas import event_schema
from connector.kafka.clients import reader_config
from connector.kafka.ledger_decoding import decode_shipped, read_entry
from connector.kafka.topics import TopicNames
from connector.settings import KafkaSettings, RunSettings
from tests.rig.service import Probe

_STREAM_NAMES = ("tweet", "user")
_PERCENTILES = (50.0, 99.0, 99.9)
_BATCH = 5000
_POLL_S = 0.05
_DRAIN_LIMIT_S = 60.0
_MS_PER_S = 1000
_COLD_PART = 0.2

Visible = dict[StreamPartition, list[tuple[int, float]]]
"""The last sequence of each transaction, and when it became visible, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Latency:
    """One rate: latencies in milliseconds by percentile; CPU in parts of one core; memory at begin and end.

    Kafka's CPU includes its answers to the consumer that measures the latencies. `bytes_a_record` is an event's share
    of the segment files, for one replica.
    """

    rate: float
    events: int
    received_to_committed_ms: Mapping[str, float]
    cpu_cores: float
    kafka_cpu_cores: float
    bytes_a_record: float
    rss_bytes: tuple[int, int]
    ids_known: int


def measure_latency(stand: Stand, rate: int, seconds: float, ids_known: int, **sections: dict[str, object]) -> Latency:
    """Feed at `rate` events/s for `seconds`, to a connector that knows `ids_known` ids from its ledger.

    `sections` are settings that differ from the defaults.
    """
    partitions = partitions_of(_STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, rate=rate, seconds=seconds) as feeding,
        stand.config(feeding.url, _STREAM_NAMES, **sections) as config,
    ):
        settings = RunSettings.model_validate(config)
        known = sum(prefill(settings.kafka, partition, ids_known // len(partitions)) for partition in partitions)
        with stand.connector(config) as [(pid, probe)], _watching(settings.kafka) as visible:
            feeding.listen()
            warm_at_ms = (feeding.started() + _COLD_PART * seconds) * _MS_PER_S
            rss_before = rss_bytes(pid)
            stopwatches = Stopwatch(pid), Stopwatch(stand.kafka_pid)
            time.sleep(seconds)
            cpu_cores, kafka_cpu_cores = (stopwatch.cores() for stopwatch in stopwatches)
            rss = rss_before, rss_bytes(pid)
            events = _drain(probe) - known
        latencies = list(_latencies_ms(settings.kafka, visible))
        assert len(latencies) == events
        disk_bytes = stand.bytes_on_disk(map(TopicNames(settings.kafka.topic_prefix).event, EVENT_TYPES))
    warm = sorted(latency_ms for received_at_ms, latency_ms in latencies if received_at_ms >= warm_at_ms)
    return Latency(
        rate=rate,
        events=events,
        received_to_committed_ms=_percentiles(warm),
        cpu_cores=cpu_cores,
        kafka_cpu_cores=kafka_cpu_cores,
        bytes_a_record=disk_bytes / events,
        rss_bytes=rss,
        ids_known=known,
    )


def _drain(probe: Probe) -> int:
    """Wait until nothing more is committed; return how many events were."""
    deadline = time.monotonic() + _DRAIN_LIMIT_S
    before, events = -1, committed(probe)
    while before != events:
        assert time.monotonic() < deadline, "events are still coming"
        time.sleep(1.0)
        before, events = events, committed(probe)
    return events


@contextmanager
def _watching(settings: KafkaSettings) -> Iterator[Visible]:
    """Note from the ledger what becomes visible when, until the end of the `with`.

    Kafka answers a waiting fetch as soon as there is something to read, so a long wait delays nothing and costs little.
    """
    visible: Visible = {partition: [] for partition in STREAM_PARTITIONS}
    consumer = Consumer(reader_config(settings) | {"fetch.wait.max.ms": 500, "enable.partition.eof": False})
    topic = TopicNames(settings.topic_prefix).ledger
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(len(STREAM_PARTITIONS))])
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for message in consumer.consume(_BATCH, _POLL_S):
                partition = STREAM_PARTITIONS[message.partition() or 0]
                visible[partition].append(
                    (read_entry(message.value(), partition, decode_shipped).sequence, time.time())
                )

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield visible
    finally:
        stop.set()
        thread.join()
        consumer.close()


def _latencies_ms(settings: KafkaSettings, visible: Visible) -> Iterator[tuple[float, float]]:
    """Yield when each event was received, in milliseconds since 1970, and how many later it was visible."""
    for event in _read_events(settings):
        transactions = visible[StreamPartition(event["stream"], event["stream_partition"])]
        _, seen_at = transactions[bisect_left(transactions, (event["sequence"], 0.0))]
        yield event["received_at"], seen_at * _MS_PER_S - event["received_at"]


def _read_events(settings: KafkaSettings) -> Iterator[dict[str, Any]]:
    names = TopicNames(settings.topic_prefix)
    decoders = {names.event(kind): AvroDecoder(event_schema(kind).parsed) for kind in EVENT_TYPES}
    consumer = Consumer(reader_config(settings))
    places = [TopicPartition(topic, number, 0) for topic in decoders for number in range(settings.partitions)]
    consumer.assign(places)
    open_ends = len(places)
    try:
        while open_ends:
            for message in consumer.consume(_BATCH, _POLL_S):
                if message.error() is not None:
                    open_ends -= 1
                    continue
                yield decoders[message.topic() or ""].decode(split_prefix(message.value() or b"")[1])
    finally:
        consumer.close()


def _percentiles(ordered: Sequence[float]) -> dict[str, float]:
    return {f"p{share:g}": ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] for share in _PERCENTILES}
