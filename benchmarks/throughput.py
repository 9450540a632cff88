"""Events per second: the connector, the scripts it is compared with, and librdkafka alone, on the same feed."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from benchmarks.corpus import read_lines
from benchmarks.feeding import Feeding, drain
from benchmarks.stand import Stand, committed, partitions_of
from benchmarks.usage import bind_to_one_core
from benchmarks.watch import Pace, watch
from connector.events.catalog import EVENT_TYPES, STREAMS, StreamPartition
from connector.events.decode import Event, decode
from connector.kafka.clients import producer_config
from connector.kafka.topics import MESSAGE_MAX_BYTES, TopicNames
from connector.kafka.transaction import Record
from connector.partition.records import RecordBuilder
from connector.settings import RunSettings
from tests.rig.service import Config

STREAM_NAMES = tuple(STREAMS)
SCRIPTS = {"xdk": "benchmarks.baseline", "plain": "benchmarks.plain"}
"""The modules of the scripts, by their names in the results."""
_AGAIN_S = 0.1


def measure_connector(
    stand: Stand, events: int, events_per_chunk: int, *, headers: bool = True, has_one_core: bool = False
) -> Pace:
    """Measure the connector, by the events it says are committed."""
    partitions = partitions_of(STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=events_per_chunk) as feeding,
        stand.config(feeding.url, STREAM_NAMES, kafka={"headers": headers}) as config,
        stand.connector(config) as [(pid, probe)],
    ):
        return _pace(stand, feeding, lambda: committed(probe), events, pid, has_one_core=has_one_core)


def measure_script(stand: Stand, name: str, events: int, events_per_chunk: int, *, has_one_core: bool = False) -> Pace:
    """Measure one of `SCRIPTS`, by the records that Kafka has."""
    partitions = partitions_of(STREAM_NAMES)
    with (
        Feeding(stand.folder, partitions, events_per_chunk=events_per_chunk) as feeding,
        stand.config(feeding.url, STREAM_NAMES) as config,
        _script(name, feeding.url, config, partitions, events) as pid,
    ):
        count = _count_of(RunSettings.model_validate(config))
        return _pace(stand, feeding, count, events, pid, has_one_core=has_one_core)


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
        _produce(producer, batches)  # warm
        began = time.perf_counter()
        _produce(producer, batches)
        return sum(map(len, batches.values())) / (time.perf_counter() - began)


def _produce(producer: Producer, batches: Mapping[str, list[dict[str, bytes]]]) -> None:
    for topic, batch in batches.items():
        assert producer.produce_batch(topic, batch) == len(batch)
    assert producer.flush() == 0


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


def _pace(  # noqa: PLR0913 - what is fed, who is watched, and how
    stand: Stand, feeding: Feeding, progress: Callable[[], int], events: int, pid: int, *, has_one_core: bool
) -> Pace:
    """Feed, and watch the process that is fed."""
    feeding.listen()
    feeding.started()
    if has_one_core:
        bind_to_one_core(pid)
    return watch(progress, events, pid, {"Kafka": stand.kafka_pid, "feeder": feeding.pid})


def _count_of(settings: RunSettings) -> Callable[[], int]:
    """Return what counts the records in the event topics, where no transaction adds its markers."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    names = TopicNames(settings.kafka.topic_prefix)
    ends = {
        TopicPartition(names.event(event_type), number): OffsetSpec.latest()
        for event_type in EVENT_TYPES
        for number in range(settings.kafka.partitions)
    }

    def count() -> int:
        while True:
            try:
                return sum(end.result().offset for end in admin.list_offsets(ends).values())
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION:  # until the topic is where it belongs
                    raise
                time.sleep(_AGAIN_S)

    return count


@contextmanager
def _script(name: str, url: str, config: Config, partitions: Sequence[object], events: int) -> Iterator[int]:
    """Run one of `SCRIPTS`; give its process id."""
    kafka, registry_url = config["kafka"], config["schema_registry"]["url"]
    places = ",".join(map(str, partitions))
    arguments = [url, kafka["bootstrap_servers"], registry_url, kafka["topic_prefix"], places, str(events)]
    command = [sys.executable, "-m", SCRIPTS[name], *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - the command is ours
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()
