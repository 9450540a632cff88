"""Finds everything that the topics hold about one id.

A key determines its partition, so an id that is the key costs one partition of each topic. If it is not, everything
must be read. Instants are microseconds since 1970.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES, EventType, Kind
from connector.events.times import parse_ns
from connector.kafka.partitioner import partition_of
from connector.kafka.reading import (
    BEGINNING,
    AvroReader,
    ForeignRecordError,
    ReadRecord,
    TopicReader,
    foreign_records_refused,
)
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.operations.accounts import is_mark
from connector.operations.dead_letters import Letter, read_record
from connector.settings import Settings

_INSTANT = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+")
_NS_PER_US = 1000
_DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class Found:
    """A record about the id: an event by its date, a result of a batch run by when X was asked, or a dead letter.

    `published_us` is when Kafka appended it. `origin` is a stream partition or a run; `record` is the decoded value,
    times as text, and None for a dead letter.
    """

    at_us: int
    published_us: int
    name: str
    key: str
    origin: str
    sequence: int | None
    topic: str
    partition: int
    offset: int
    record: Mapping[str, Any] | None


@dataclass(slots=True)
class Search:
    """The findings by time, and by topic the date of the oldest record read, None if none was."""

    oldest_us: dict[str, int | None]
    found: list[Found] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def search(
    settings: Settings, id_text: str, start: int = BEGINNING, end_us: int | None = None, *, everywhere: bool
) -> Search:
    """Return what the topics hold about an id, dated by Kafka from `start` to before `end_us`.

    Types with lists of ids and dead letters are read in full, and everything is with `everywhere`. Raises the errors
    of `TopicReader` and the registry.
    """
    names = TopicNames(settings.kafka.topic_prefix)
    searcher = _Searcher(names, id_text)
    whole = {names.dead_letter, *(names.event(each) for each in EVENT_TYPES if everywhere or _has_list(each))}
    if everywhere:
        whole |= searcher.fields.keys()
    keyed = searcher.fields.keys() - whole - {names.event(each) for each in EVENT_TYPES if len(each.key) > 1}
    key = id_text.encode()
    result = Search(dict.fromkeys(sorted(whole | keyed)))

    def choose(partitions: int) -> Iterable[int]:
        return [partition_of(key, partitions)]

    with RegistryClient(settings.schema_registry) as registry:
        decoder = AvroReader(registry)
        for topics, chosen in ((whole, range), (keyed, choose)):
            if not topics:
                continue
            with TopicReader(settings.kafka, topics, start, choose=chosen, end_us=end_us) as reader:
                for record in reader.to_end():
                    if end_us is None or record.timestamp_us < end_us:
                        _look_at(record, searcher, decoder, result, key if topics is keyed else None)
    result.found.sort(key=attrgetter("at_us", "origin", "topic", "offset"))
    return result


def _look_at(
    record: ReadRecord, searcher: "_Searcher", decoder: AvroReader, result: Search, only_key: bytes | None
) -> None:
    oldest_us = result.oldest_us[record.topic]
    result.oldest_us[record.topic] = min(oldest_us or record.timestamp_us, record.timestamp_us)
    if only_key is not None and record.key != only_key:
        return
    try:
        result.found.extend(searcher.look_at(record, decoder))
    except ForeignRecordError as error:
        result.foreign.append(str(error))


def unsearched(*, everywhere: bool) -> list[str]:
    """Return places where an id may be that are not searched, as text."""
    if everywhere:
        return []
    fields: dict[str, list[str]] = {}
    for event_type in EVENT_TYPES:
        for name in _id_fields(event_type):
            if event_type.key != (name,) and not _has_list(event_type):
                fields.setdefault(name, []).append(event_type.name)
    return [f"{name} of {', '.join(types)}" for name, types in sorted(fields.items())]


def holds_id(line: bytes, id_text: str) -> bool:
    """Return whether a line that could not be decoded may be about an id: it has that number, whole, in no instant."""
    return re.search(rb"(?<![0-9])%b(?![0-9])" % id_text.encode(), _INSTANT.sub(b"", line)) is not None


def _has_list(event_type: EventType) -> bool:
    return any(each.kind is Kind.IDS for each in event_type.fields)


class _Searcher:
    """Knows which fields of the records of a topic hold ids: `fields`, by topic."""

    def __init__(self, names: TopicNames, id_text: str) -> None:
        self._id = id_text
        self._dead_letter = names.dead_letter
        self._names = {names.records(each.name): each.name for each in (*EVENT_TYPES, *BATCH_TYPES)}
        self.fields = {names.event(event_type): _id_fields(event_type) for event_type in EVENT_TYPES} | {
            names.batch(batch_type.job_type): [batch_type.id_field] for batch_type in BATCH_TYPES
        }

    def look_at(self, record: ReadRecord, decoder: AvroReader) -> Iterator[Found]:
        """Yield the record if it is about the id. Raises `ForeignRecordError`."""
        if self._id.encode() not in record.value:  # Avro writes text as it is
            return
        with foreign_records_refused(record):
            found = self._letter(record) if record.topic == self._dead_letter else self._value(record, decoder)
        if found is not None:
            yield found

    def _value(self, record: ReadRecord, decoder: AvroReader) -> Found | None:
        value = decoder.decode_readable(record)
        held = [value[name] for name in self.fields[record.topic]]
        if not any(self._id in each if isinstance(each, list) else self._id == each for each in held):
            return None
        is_event = "event_at" in value
        return Found(
            parse_ns(value["event_at" if is_event else "checked_at"]) // _NS_PER_US,
            record.timestamp_us,
            self._names[record.topic],
            record.key.decode(errors="backslashreplace"),
            f"{value['stream']}/{value['stream_partition']}" if is_event else f"run {value['run_id']}",
            value["sequence"],
            record.topic,
            record.partition,
            record.offset,
            value,
        )

    def _letter(self, record: ReadRecord) -> Found | None:
        if is_mark(record) or not holds_id(record.value, self._id):
            return None
        letter = read_record(record)
        if not isinstance(letter, Letter):
            return None
        origin = f"run {letter.run_id}" if letter.key.is_of_batch else str(letter.key.origin)
        return Found(
            letter.received_us,
            record.timestamp_us,
            _DEAD_LETTER,
            letter.key.id.hex(),
            origin,
            None,
            record.topic,
            record.partition,
            record.offset,
            None,
        )


def _id_fields(event_type: EventType) -> list[str]:
    return [each.name for each in event_type.fields if each.kind in {Kind.ID, Kind.IDS}]
