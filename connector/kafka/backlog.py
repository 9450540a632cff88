"""Where the backlog of a consumer group begins: the lowest sequence of each stream partition.

Each topic partition is read only until every stream partition has occurred, since sequences rise with offsets. Must not
know what coverage the ledger had then.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, Message

from connector.events.catalog import BY_STREAM_AND_NUMBER, EVENT_TYPES, STREAM_PARTITIONS, EventType, StreamPartition
from connector.kafka.clients import make, reader_config
from connector.kafka.cluster import Cluster
from connector.kafka.consumer_groups import Place, Span, find_spans, read_each
from connector.kafka.reading import ForeignRecordError, ReadRecord, as_record, foreign_records_refused, is_end
from connector.kafka.topics import TopicNames
from connector.settings import Settings

Decode = Callable[[ReadRecord], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Backlog:
    """The backlog of a group on all event topics; `lowest` omits stream partitions that it has processed completely.

    For the event types in `unread` it has committed nothing: all that is kept counts as unprocessed. For those in
    `overtaken` retention has removed events that it had not processed.
    """

    group: str
    lowest: Mapping[StreamPartition, int]
    unread: tuple[str, ...]
    overtaken: tuple[str, ...]


def read_backlog(settings: Settings, group: str, decode: Decode, on_foreign: Callable[[str], None]) -> Backlog:
    """Return the backlog of a group on the enabled streams, up to the present ends of their topics.

    An open transaction hides what was committed after it, so it is waited for. `on_foreign` receives the problem of a
    record. Raises `DependencyUnavailableError` or `NotProvisionedError` if Kafka fails.
    """
    names, cluster = TopicNames(settings.kafka.topic_prefix), Cluster(settings.kafka)
    topics = {names.event(each): each for each in EVENT_TYPES if each.stream in settings.x.streams}
    spans = find_spans(cluster, cluster.committed(group), topics)
    scans = {
        place: _Scan(topics[place[0]], span.end, decode, on_foreign)
        for place, span in spans.items()
        if span.start < span.end
    }
    consumer = make(Consumer, reader_config(settings.kafka))
    try:
        starts = {place: spans[place].start for place in scans}
        read_each(consumer, starts, lambda place, message: scans[place].is_done(message))
    finally:
        consumer.close()
    return Backlog(
        group,
        _lowest(scans),
        tuple(each.name for topic, each in topics.items() if _is_unread(topic, spans)),
        tuple(each.name for topic, each in topics.items() if _is_overtaken(topic, spans)),
    )


@dataclass(slots=True)
class _Scan:
    """The reading of a topic partition that ends at `end`: the first event of each stream partition."""

    event_type: EventType
    end: int
    decode: Decode
    on_foreign: Callable[[str], None]
    first: dict[StreamPartition, int] = field(default_factory=dict)

    def is_done(self, message: Message) -> bool:
        """Process a record or an end; return whether no more is needed."""
        offset = message.offset() or 0
        if is_end(message) or offset >= self.end:
            return offset >= self.end
        self._take(as_record(message))
        return offset + 1 >= self.end or len(self.first) == self._count

    @property
    def _count(self) -> int:
        return sum(partition.stream == self.event_type.stream for partition in STREAM_PARTITIONS)

    def _take(self, record: ReadRecord) -> None:
        try:
            with foreign_records_refused(record):
                event = self.decode(record)
                partition = BY_STREAM_AND_NUMBER[event["stream"], event["stream_partition"]]
                self.first.setdefault(partition, int(event["sequence"]))
        except ForeignRecordError as error:
            self.on_foreign(str(error))


def _lowest(scans: Mapping[Place, _Scan]) -> dict[StreamPartition, int]:
    lowest: dict[StreamPartition, int] = {}
    for scan in scans.values():
        for partition, sequence in scan.first.items():
            lowest[partition] = min(sequence, lowest.get(partition, sequence))
    return lowest


def _is_unread(topic: str, spans: Mapping[Place, Span]) -> bool:
    """Return whether the topic has had records, and the group has committed no offset on it."""
    of_topic = list(_of(topic, spans))
    return any(span.end for span in of_topic) and all(span.committed is None for span in of_topic)


def _is_overtaken(topic: str, spans: Mapping[Place, Span]) -> bool:
    return any(span.is_overtaken for span in _of(topic, spans))


def _of(topic: str, spans: Mapping[Place, Span]) -> Iterator[Span]:
    return (span for place, span in spans.items() if place[0] == topic)
