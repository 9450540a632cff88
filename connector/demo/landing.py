"""The demo's reading side: reads and decodes the topics as any downstream team would.

Owns how a record becomes a `Landed` and a sample to show. Must not know who shows it, or what was emitted.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from connector.demo.accounts import RecordedGap, Result
from connector.demo.verdict import Landed, dead_letter_landed, event_landed
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES, EventType, StreamPartition
from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import KafkaSettings, Settings

_SAMPLE_BYTES = 60


@dataclass(frozen=True, slots=True)
class Row:
    """The records of one topic so far: their number, and the last one's key and content."""

    topic: str
    count: int = 0
    last_key: str = ""
    sample: str = ""


class Decoder:
    """Turns records of the event topics and the dead letters into input of the verdict and the view."""

    def __init__(self, prefix: str, registry: RegistryClient) -> None:
        names = TopicNames(prefix)
        self._event_types = {names.event(event_type): event_type for event_type in EVENT_TYPES}
        self._avro = AvroReader(registry)

    def decode(self, record: ReadRecord) -> tuple[Landed, str]:
        """Return the record and its sample. Raises as `AvroReader.decode` does."""
        key = record.key.decode()
        event_type = self._event_types.get(record.topic)
        if event_type is None:
            return dead_letter_landed(record.headers, key), _dead_letter_sample(record)
        value = self._avro.decode(record)
        return event_landed(value, event_type.name, key), _event_sample(event_type, value)


class Watcher:
    """Follows the topics from their beginning.

    `rows` has one entry for each topic of events or dead letters, `ids` those of all their records, and `in_gaps` the
    stream partitions that have a gap.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rows = {topic: Row(topic) for topic in _topics(settings)}
        self.ids: set[str] = set()
        self.in_gaps: set[StreamPartition] = set()

    def run(self, stop: Event) -> None:
        """Follow until `stop` is set. Raises as `TopicReader` and `AvroReader` do."""
        kafka = self._settings.kafka
        gap = TopicNames(kafka.topic_prefix).gap
        with (
            RegistryClient(self._settings.schema_registry) as registry,
            TopicReader(kafka, (*self.rows, gap)) as reader,
        ):
            decoder, avro = Decoder(kafka.topic_prefix, registry), AvroReader(registry)
            for record in reader.follow(stop.is_set):
                if record.topic == gap:
                    self.in_gaps.add(RecordedGap.of(avro.decode(record)).partition)
                    continue
                landed, sample = decoder.decode(record)
                before = self.rows[record.topic]
                self.rows[record.topic] = Row(record.topic, before.count + 1, landed.place.key, sample)
                self.ids.add(landed.id)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """All that is committed: events and dead letters, the newest record of each gap, and the results of batch runs."""

    landed: list[Landed]
    gaps: list[RecordedGap]
    results: list[Result]


def read_back(settings: Settings) -> ReadBack:
    """Return everything committed by now. Raises as `Watcher.run` does."""
    kafka, names = settings.kafka, TopicNames(settings.kafka.topic_prefix)
    with RegistryClient(settings.schema_registry) as registry:
        decoder, avro = Decoder(kafka.topic_prefix, registry), AvroReader(registry)
        landed = [decoder.decode(record)[0] for record in _records(kafka, _topics(settings))]
        gaps = {record.key: RecordedGap.of(avro.decode(record)) for record in _records(kafka, [names.gap])}
        id_fields = {names.batch(each.job_type): each.id_field for each in BATCH_TYPES}
        results = [_result(avro.decode(record), id_fields[record.topic]) for record in _records(kafka, id_fields)]
        return ReadBack(landed, list(gaps.values()), results)


def _records(kafka: KafkaSettings, topics: Collection[str]) -> Iterator[ReadRecord]:
    with TopicReader(kafka, topics) as reader:
        yield from reader.to_end()


def _result(value: Mapping[str, Any], id_field: str) -> Result:
    return Result(value["run_id"], value[id_field], value["action"], value["reason"])


def _topics(settings: Settings) -> tuple[str, ...]:
    names = TopicNames(settings.kafka.topic_prefix)
    return (*map(names.event, EVENT_TYPES), names.dead_letter)


def _event_sample(event_type: EventType, value: Mapping[str, Any]) -> str:
    """Return place and order, and the fields that are not in the key, in ASCII: X's texts hold anything."""
    shown = {
        field.name: value[field.name]
        for field in event_type.fields
        if field.name not in event_type.key and value[field.name] is not None
    }
    return f"{value['stream']}/{value['stream_partition']} #{value['sequence']} {json.dumps(shown)}"


def _dead_letter_sample(record: ReadRecord) -> str:
    return f"{record.headers['reason'].decode()}: {record.value[:_SAMPLE_BYTES]!r}"
