"""The demo's reading side: what lands on the topics, read and decoded as any downstream team would.

Owns how a record becomes a `Landed` and a sample to show. Must not know who shows it, or what was emitted.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from connector.demo.verdict import Landed, dead_letter_landed, event_landed
from connector.events.catalog import EVENT_TYPES, EventType
from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import Settings

_SAMPLE_BYTES = 60


@dataclass(frozen=True, slots=True)
class Row:
    """What landed on one topic so far: how many records, and the last one's key and content."""

    topic: str
    count: int = 0
    last_key: str = ""
    sample: str = ""


class Decoder:
    """Turns records of the event topics and the dead letters into what the verdict and the view take."""

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
    """Follows the topics from their beginning; `rows` has one entry for each topic, `ids` those of all records."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rows = {topic: Row(topic) for topic in _topics(settings)}
        self.ids: set[str] = set()

    def run(self, stop: Event) -> None:
        """Follow until `stop` is set. Raises as `TopicReader` and `AvroReader` do."""
        kafka = self._settings.kafka
        with (
            RegistryClient(self._settings.schema_registry) as registry,
            TopicReader(kafka, tuple(self.rows)) as reader,
        ):
            decoder = Decoder(kafka.topic_prefix, registry)
            for record in reader.follow(stop):
                landed, sample = decoder.decode(record)
                before = self.rows[record.topic]
                self.rows[record.topic] = Row(record.topic, before.count + 1, landed.place.key, sample)
                self.ids.add(landed.id)


def read_back(settings: Settings) -> tuple[list[Landed], int]:
    """Return every event and dead letter that is committed by now, and how many gaps. Raises as `Watcher.run` does."""
    kafka = settings.kafka
    with RegistryClient(settings.schema_registry) as registry, TopicReader(kafka, _topics(settings)) as reader:
        decoder = Decoder(kafka.topic_prefix, registry)
        landed = [decoder.decode(record)[0] for record in reader.to_end()]
    with TopicReader(kafka, [TopicNames(kafka.topic_prefix).gap]) as reader:
        return landed, sum(1 for _ in reader.to_end())


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
