"""The backlog of other programs' consumer groups on the event topics: read, never changed.

A group commits an offset once it has processed everything before it. Of the rest the first records of each topic
partition are read, since offsets alone also count transaction markers and aborted records. Must not know what is too
much, or too old.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Consumer, Message, TopicPartition

from connector.events.catalog import EVENT_TYPES
from connector.kafka.clients import make, reader_config
from connector.kafka.cluster import Cluster
from connector.kafka.reading import (
    SILENCE_S,
    AvroReader,
    ForeignRecordError,
    ReadRecord,
    as_record,
    foreign_records_refused,
    is_end,
    is_of_use,
    silent,
    take,
)
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import Settings

MOST_RECORDS = 500
"""Unprocessed records of a topic partition that are read; later ones are counted by offsets."""
MARKER = 1
"""The offset after the last record of a transaction is not a record: retention removes it with the record."""
_US_PER_MS = 1000

Place = tuple[str, int]
"""A topic and a partition number."""


@dataclass(frozen=True, slots=True)
class Unprocessed:
    """The backlog of a group on a topic partition.

    `committed` is None if it has committed nothing: then all that is kept counts. `begin` is the offset from which
    records are kept. No unprocessed record lies before `clear_until`. `records` is exact, or with `is_exact` false an
    upper bound. `oldest_event_us` is the least `event_at` of those that were read, microseconds since 1970, None if
    nothing is unprocessed.
    """

    topic: str
    partition: int
    committed: int | None
    begin: int
    clear_until: int
    records: int
    is_exact: bool
    oldest_event_us: int | None

    @property
    def place(self) -> Place:
        """Its topic and number."""
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class GroupLook:
    """A group at one moment; `partitions` are all those of the event topics that it reads, or has read.

    `members` is None if there is no such group. With `is_manual` its consumers choose partitions themselves, so that it
    has no members. `not_read` are the other event topics.
    """

    group: str
    members: int | None
    is_manual: bool
    partitions: tuple[Unprocessed, ...]
    not_read: tuple[str, ...]


class Span(NamedTuple):
    """The committed offset of a group in a topic partition that is kept from `begin`, included, to `end`, excluded."""

    offset: int | None
    begin: int
    end: int

    @property
    def committed(self) -> int | None:
        """The offset, unless it is one of an earlier topic of this name."""
        return None if self.offset is None or self.offset > self.end else self.offset

    @property
    def start(self) -> int:
        """Where unprocessed records begin."""
        return max(self.begin, self.committed or 0)

    @property
    def is_overtaken(self) -> bool:
        """Whether records may have been removed before the group processed them, or before it existed."""
        return self.begin - (self.committed or 0) > MARKER


@dataclass(slots=True)
class _Scan:
    """The records of a topic partition from `start`, read up to `reached`; `first` is the first of them."""

    start: int
    reached: int
    first: int | None = None
    records: int = 0
    oldest_event_us: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether enough has been read."""
        return self.records >= MOST_RECORDS

    def goes_on(self, span: Span) -> bool:
        """Return whether the earlier reading still holds."""
        return self.start == span.start and self.reached <= span.end

    def add(self, record: ReadRecord, event_us: int) -> None:
        """Count a record."""
        self.records += 1
        self.first = record.offset if self.first is None else self.first
        self.reached = record.offset + 1
        self.oldest_event_us = event_us if self.oldest_event_us is None else min(self.oldest_event_us, event_us)


class GroupReader:
    """Reads consumer groups repeatedly, inside a `with`; `on_foreign` receives a topic and the problem there.

    For a group that has not moved only new records are read. Making one, and `read`, raise `DependencyUnavailableError`
    or `NotProvisionedError` if Kafka or the registry fails.
    """

    def __init__(self, settings: Settings, on_foreign: Callable[[str, str], None]) -> None:
        names = TopicNames(settings.kafka.topic_prefix)
        self._topics = [names.event(each) for each in EVENT_TYPES if each.stream in settings.x.streams]
        self._on_foreign = on_foreign
        self._cluster = Cluster(settings.kafka)
        self._scans: dict[tuple[str, Place], _Scan] = {}
        with ExitStack() as stack:
            self._decoder = AvroReader(stack.enter_context(RegistryClient(settings.schema_registry)))
            self._consumer = make(Consumer, reader_config(settings.kafka))
            stack.callback(self._consumer.close)
            self._clients = stack.pop_all()

    def read(self, group: str, should_stop: Callable[[], bool]) -> GroupLook | None:
        """Return the present backlog, None when asked to stop."""
        found = self._cluster.consumer_group(group)
        offsets = self._cluster.committed(group)
        members = () if found is None else found.members
        known = {topic for topic, _ in [*offsets, *(place for each in members for place in each.partitions)]}
        spans = find_spans(self._cluster, offsets, [topic for topic in self._topics if topic in known])
        if not self._scan(group, spans, should_stop):
            return None
        return GroupLook(
            group,
            None if found is None else len(members),
            found is not None and found.is_manual,
            tuple(_unprocessed(place, span, self._scans[group, place]) for place, span in spans.items()),
            tuple(topic for topic in self._topics if topic not in known),
        )

    def _scan(self, group: str, spans: Mapping[Place, Span], should_stop: Callable[[], bool]) -> bool:
        """Read on in each place as far as needed; return False when asked to stop."""
        scans = {place: self._scan_of(group, place, span) for place, span in spans.items()}
        pending = {place for place, scan in scans.items() if scan.reached < spans[place].end and not scan.is_full}
        if not pending:
            return True
        starts = {place: scans[place].reached for place in pending}
        return read_each(
            self._consumer, starts, lambda place, message: self._is_done(scans[place], message), should_stop
        )

    def _scan_of(self, group: str, place: Place, span: Span) -> _Scan:
        scan = self._scans.get((group, place))
        if scan is None or not scan.goes_on(span):
            scan = self._scans[group, place] = _Scan(span.start, span.start)
        return scan

    def _is_done(self, scan: _Scan, message: Message) -> bool:
        if is_end(message):
            scan.reached = message.offset() or 0
            return True
        record = as_record(message)
        scan.add(record, self._event_us(record))
        return scan.is_full

    def _event_us(self, record: ReadRecord) -> int:
        """Return the date of an event, or Kafka's date of a foreign record, which is later than X's would be."""
        try:
            with foreign_records_refused(record):
                return int(self._decoder.decode(record)["event_at"]) * _US_PER_MS
        except ForeignRecordError as error:
            self._on_foreign(record.topic, str(error))
            return record.timestamp_us

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clients.close()


def find_spans(cluster: Cluster, offsets: Mapping[Place, int], topics: Collection[str]) -> dict[Place, Span]:
    """Return the span of a group with the committed `offsets` in each partition of `topics` that exists.

    Raises as `Cluster` does. The ends are looked up last, so that none is before what it is compared with.
    """
    counts = cluster.count_partitions(topics) if topics else {}
    places = [TopicPartition(topic, number) for topic in topics for number in range(counts.get(topic, 0))]
    begins = cluster.begins(places) if places else {}
    ends = cluster.ends(places) if places else {}
    keys = [(place.topic, place.partition) for place in places]
    return {key: Span(offsets.get(key), begins[key], ends[key]) for key in keys}


def read_each(
    consumer: Consumer,
    starts: Mapping[Place, int],
    is_done: Callable[[Place, Message], bool],
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Read each place from its offset until `is_done` is true of a record or an end; return False when asked to stop.

    Raises `DependencyUnavailableError` if existing records do not arrive, `NotProvisionedError` if a right is missing.
    """
    pending = set(starts)
    consumer.assign([TopicPartition(*place, start) for place, start in starts.items()])
    deadline = time.monotonic() + SILENCE_S
    try:
        while pending:
            for message in take(consumer):
                place = message.topic() or "", message.partition() or 0
                if is_of_use(message) and place in pending:
                    deadline = time.monotonic() + SILENCE_S
                    if is_done(place, message):
                        pending.discard(place)
                        consumer.incremental_unassign([TopicPartition(*place)])
            if should_stop():
                return False
            if pending and time.monotonic() > deadline:
                raise silent(*min(pending))
    finally:
        consumer.unassign()
    return True


def _unprocessed(place: Place, span: Span, scan: _Scan) -> Unprocessed:
    behind = max(0, span.end - scan.reached) if scan.is_full else 0
    return Unprocessed(
        *place,
        span.committed,
        span.begin,
        clear_until=scan.reached if scan.first is None else scan.first,
        records=scan.records + behind,
        is_exact=behind == 0,
        oldest_event_us=scan.oldest_event_us,
    )
