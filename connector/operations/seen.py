"""Records read for an audit: the partition of each, and problems visible in the record alone. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connector.events.catalog import BY_STREAM_AND_NUMBER, EVENT_TYPES, EventType, StreamPartition
from connector.kafka.digests import record_number
from connector.kafka.partitioner import partition_of
from connector.kafka.reading import ReadRecord, foreign_records_refused
from connector.kafka.topics import TopicNames
from connector.operations.audit import SeenEvent


@dataclass(frozen=True, slots=True)
class _Topic:
    """An event topic: its type, its number of partitions, and the fields that form the key."""

    event_type: EventType
    partitions: int

    def problems(self, record: ReadRecord, event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield each problem, worded as a finding, and its place."""
        place = record.place
        if (event["event_type"], event["stream"]) != (self.event_type.name, self.event_type.stream):
            yield f"of a different event type than their topic, {record.topic}", f"{event['event_type']} at {place}"
        if record.key != ":".join([event[name] for name in self.event_type.key]).encode():
            yield "with a key that does not match their body", place
        if partition_of(record.key, self.partitions) != record.partition:
            yield "in a Kafka partition that is not their key's", place
        header = record.headers.get("ce_id")
        if header is not None and header != event["event_id"].encode():
            yield "with a different id in their headers", place


class EventReader:
    """Reads events of all types; `partitions` is the number for each topic, `decode` returns a record's fields."""

    def __init__(
        self, names: TopicNames, partitions: Mapping[str, int], decode: Callable[[ReadRecord], Mapping[str, Any]]
    ) -> None:
        self._decode = decode
        self._topics = {
            topic: _Topic(event_type, partitions[topic])
            for event_type in EVENT_TYPES
            if (topic := names.event(event_type)) in partitions
        }

    def read(self, record: ReadRecord) -> tuple[StreamPartition, SeenEvent, list[tuple[str, str]]]:
        """Return the stream partition of an event, the event, and its own problems.

        Raises `ForeignRecordError`.
        """
        topic = self._topics[record.topic]
        with foreign_records_refused(record):
            event = self._decode(record)
            partition = BY_STREAM_AND_NUMBER.get((event["stream"], event["stream_partition"]))
            if partition is None:
                raise ValueError(f"there is no stream partition {event['stream']}/{event['stream_partition']}")
            seen = SeenEvent(
                topic.event_type.name,
                record.topic,
                record.partition,
                record.timestamp_us,
                bytes.fromhex(event["event_id"]),
                event["sequence"],
                number_of(record),
            )
            return partition, seen, list(topic.problems(record, event))


def number_of(record: ReadRecord) -> int:
    """Return the digest of a record as a number."""
    return record_number(record.topic.encode(), record.key, record.value)
