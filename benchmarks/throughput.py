"""Events per second: the connector, the script one would otherwise write, and librdkafka alone, on the same feed."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Producer

from benchmarks.corpus import read_lines
from benchmarks.feeding import Feeding, drain
from benchmarks.stand import Stand, await_committed, partitions_of
from benchmarks.usage import Stopwatch
from connector.compliance.catalog import STREAMS, StreamPartition
from connector.compliance.decode import Event, decode
from connector.kafka.clients import producer_config
from connector.kafka.topics import MESSAGE_MAX_BYTES, TopicNames
from connector.kafka.transaction import Record
from connector.pipeline.records import RecordBuilder
from connector.settings import RunSettings

STREAM_NAMES = tuple(STREAMS)


@dataclass(frozen=True, slots=True)
class Throughput:
    """One measurement; CPU is that of the process alone, not of Kafka's or the feeder's."""

    events_per_s: float
    cpu_us_per_event: float


def measure_connector(stand: Stand, events: int, events_per_chunk: int, *, headers: bool = True) -> Throughput:
    """Measure from the first byte fed to the last event committed."""
    partitions = partitions_of(STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=events_per_chunk) as feeding,
        stand.config(feeding.url, STREAM_NAMES, kafka={"headers": headers}) as config,
        stand.connector(config) as [(pid, probe)],
    ):
        feeding.listen()
        feeding.started()
        stopwatch = Stopwatch(pid)
        await_committed([probe], events)
        return _throughput(events, *stopwatch.read())


def measure_baseline(stand: Stand, events: int, events_per_chunk: int) -> Throughput:
    """Measure the script from the first byte fed to the last record acknowledged."""
    partitions = partitions_of(STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=events_per_chunk) as feeding,
        stand.config(feeding.url, STREAM_NAMES) as config,
        _baseline(stand, feeding.url, config["kafka"]["topic_prefix"], partitions, events) as process,
    ):
        feeding.listen()
        feeding.started()
        stopwatch = Stopwatch(process.pid)
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        return _throughput(events, *stopwatch.read())


def measure_feeder(stand: Stand, events: int, events_per_chunk: int) -> float:
    """Return how many events/s the feeder serves to a reader that does nothing with them."""
    partitions = partitions_of(STREAM_NAMES)
    with Feeding(stand.folder, partitions, events_per_chunk=events_per_chunk) as feeding:
        return drain(feeding, partitions, events, events_per_chunk)


def measure_ceiling(stand: Stand, events: int) -> float:
    """Return how many of the same records, encoded before, librdkafka alone gets acknowledged in a second.

    Without headers, which `produce_batch` does not write.
    """
    with stand.config("http://127.0.0.1:1", STREAM_NAMES) as config:
        settings = RunSettings.model_validate(config)
        batches = _encoded(stand, settings, events)
        properties = producer_config(settings.kafka, "ceiling") | {"queue.buffering.max.messages": events}
        for owned in ("transactional.id", "transaction.timeout.ms"):
            del properties[owned]
        producer = Producer(properties | {"queue.buffering.max.kbytes": 1024**2})
        began = time.perf_counter()
        for topic, batch in batches.items():
            assert producer.produce_batch(topic, batch) == len(batch)
        assert producer.flush() == 0
        return sum(map(len, batches.values())) / (time.perf_counter() - began)


def encoded_records(stand: Stand, settings: RunSettings, events: int) -> Iterator[Record]:
    """Yield the records that the connector makes of the corpus, `events` of all stream partitions together."""
    partitions = partitions_of(STREAM_NAMES)
    for partition in partitions:
        builder = make_builder(partition, settings, has_headers=True)
        lines = read_lines(stand.folder, partition)[: events // len(partitions)]
        for sequence, line in enumerate(lines, 1):
            event = decode(partition.stream, line)
            assert isinstance(event, Event)
            yield builder.event(event, time.time_ns() // 1000, sequence, "stream")


def make_builder(partition: StreamPartition, settings: RunSettings, *, has_headers: bool) -> RecordBuilder:
    """Return a builder of records as the connector has it; no registry is asked, all schema ids are 1."""
    names = TopicNames(settings.kafka.topic_prefix)
    limits = dict.fromkeys([*names.schemas(), names.dead_letter], MESSAGE_MAX_BYTES)
    return RecordBuilder(partition, names, dict.fromkeys(names.schemas(), 1), limits, has_headers=has_headers)


def _encoded(stand: Stand, settings: RunSettings, events: int) -> dict[str, list[dict[str, bytes]]]:
    batches: dict[str, list[dict[str, bytes]]] = {}
    for record in encoded_records(stand, settings, events):
        batches.setdefault(record.topic, []).append({"key": record.key, "value": record.value})
    return batches


@contextmanager
def _baseline(
    stand: Stand, url: str, prefix: str, partitions: Sequence[object], events: int
) -> Iterator["subprocess.Popen[bytes]"]:
    arguments = [url, stand.bootstrap_servers, stand.registry_url, prefix, ",".join(map(str, partitions)), str(events)]
    process = subprocess.Popen(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "benchmarks.baseline", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _throughput(events: int, seconds: float, cpu_s: float) -> Throughput:
    return Throughput(events / seconds, cpu_s / events * 1e6)
