"""Reads the dead-letter topic: the dead letters, and the marks of those replayed since.

Owns which records are one dead letter. Must not know how a line would be decoded today. Instants are microseconds since
1970.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.identity import ID_BYTES
from connector.events.times import parse_ns
from connector.kafka.reading import ForeignRecordError, ReadRecord, TopicReader, foreign_records_refused
from connector.kafka.topics import TopicNames
from connector.operations.accounts import is_mark
from connector.settings import KafkaSettings

_BATCH = frozenset(batch_type.name for batch_type in BATCH_TYPES)
_NS_PER_US = 1000


class LetterKey(NamedTuple):
    """The key of a dead letter, the same in all of its records: where it came from, and its id.

    One line that X delivers on two stream partitions is two dead letters.
    """

    origin: StreamPartition
    id: bytes

    @property
    def is_of_batch(self) -> bool:
        """Whether it came from the results of a batch run, whose origin is no stream partition."""
        return self.origin.stream in _BATCH


@dataclass(frozen=True, slots=True)
class Mark:
    """That a dead letter was published as the event with this `sequence`."""

    key: LetterKey
    sequence: int
    replayed_us: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes, of which `kept` of `length` exist, by its first and last record.

    `run_id` and `job_id` are those of its batch run, else None; `records` is the number of its records.
    """

    key: LetterKey
    reason: str
    detail: str
    length: int
    kept: int
    received_us: int
    run_id: str | None
    job_id: str | None
    first_offset: int
    last_offset: int
    records: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether all of the line is kept."""
        return self.kept == self.length


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are wanted: those received from `start_us` to before `end_us`, with a reason, with an id."""

    start_us: int = 0
    end_us: int | None = None
    reason: str | None = None
    ids: frozenset[bytes] = frozenset()

    def has(self, letter: Letter) -> bool:
        """Return whether this one is wanted."""
        return (
            self.start_us <= letter.received_us
            and (self.end_us is None or letter.received_us < self.end_us)
            and self.reason in {None, letter.reason}
            and (not self.ids or letter.key.id in self.ids)
        )


@dataclass(slots=True)
class Letters:
    """The content of the topic, in its order: about 500 bytes of memory for each dead letter, whatever its length."""

    letters: dict[LetterKey, Letter] = field(default_factory=dict)
    marks: dict[LetterKey, Mark] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    def take(self, record: ReadRecord) -> Letter | None:
        """Process the next record; return its dead letter, as in this record alone."""
        try:
            read = read_record(record)
        except ForeignRecordError as error:
            self.foreign.append(str(error))
            return None
        if isinstance(read, Mark):
            self.marks[read.key] = read
            return None
        first = self.letters.setdefault(read.key, read)
        if first is not read:
            self.letters[read.key] = replace(first, last_offset=read.last_offset, records=first.records + 1)
        return read

    def chosen(self, wanted: Wanted) -> list[Letter]:
        """Return the dead letters that are wanted."""
        return [letter for letter in self.letters.values() if wanted.has(letter)]


def read_letters(settings: KafkaSettings) -> Letters:
    """Return the content of the dead-letter topic. Raises as `TopicReader` does."""
    letters = Letters()
    with TopicReader(settings, [TopicNames(settings.topic_prefix).dead_letter]) as reader:
        for record in reader.to_end():
            letters.take(record)
    return letters


class Shown(NamedTuple):
    """A dead letter with its bytes, and the mark of its replay, if any."""

    letter: Letter
    mark: Mark | None
    line: bytes


def read_lines(settings: KafkaSettings, event_id: bytes) -> list[Shown]:
    """Return the dead letters with this id: one for each place they came from. Raises as `TopicReader` does.

    If a dead letter has several records, the bytes are from the first with the longest part of the line.
    """
    letters, lines = Letters(), dict[LetterKey, bytes]()
    with TopicReader(settings, [TopicNames(settings.topic_prefix).dead_letter]) as reader:
        for record in reader.to_end():
            if record.key == event_id.hex().encode() and (letter := letters.take(record)) is not None:
                lines[letter.key] = max(lines.get(letter.key, b""), record.value, key=len)
    return [Shown(letter, letters.marks.get(key), lines[key]) for key, letter in letters.letters.items()]


def read_record(record: ReadRecord) -> Letter | Mark:
    """Return the content of a record of the dead-letter topic. Raises `ForeignRecordError`."""
    with foreign_records_refused(record):
        return _mark(record) if is_mark(record) else _letter(record)


def _letter(record: ReadRecord) -> Letter:
    headers = _Headers(record)
    return Letter(
        key=headers.key,
        reason=headers.text("reason"),
        detail=headers.text("detail"),
        length=int(headers.text("length")),
        kept=len(record.value),
        received_us=headers.instant_us("received-at"),
        run_id=headers.text("run-id") if headers.key.is_of_batch else None,
        job_id=headers.text("job-id") if headers.key.is_of_batch else None,
        first_offset=record.offset,
        last_offset=record.offset,
    )


def _mark(record: ReadRecord) -> Mark:
    headers = _Headers(record)
    if headers.key.is_of_batch:
        raise ValueError("a result of a batch run is not replayed")
    return Mark(headers.key, int(headers.text("sequence")), headers.instant_us("replayed-at"))


class _Headers:
    """The headers of a record; each access raises the error for a missing or malformed one."""

    def __init__(self, record: ReadRecord) -> None:
        self._record = record

    def text(self, name: str) -> str:
        return self._record.headers[name].decode(errors="replace")

    def instant_us(self, name: str) -> int:
        return parse_ns(self.text(name)) // _NS_PER_US

    @cached_property
    def key(self) -> LetterKey:
        """The key, if it is valid and equals the record's. Raises `ValueError`."""
        text = self.text("event-id")
        key = LetterKey(StreamPartition(self.text("stream"), int(self.text("stream-partition"))), bytes.fromhex(text))
        if len(key.id) != ID_BYTES or self._record.key != key.id.hex().encode():
            raise ValueError(f"the event-id {text} is invalid, or not the key")
        if not (key.is_of_batch or key.origin in STREAM_PARTITIONS):
            raise ValueError(f"there is no stream partition {key.origin}")
        return key


def in_order(letters: Iterable[Letter]) -> list[Letter]:
    """Return dead letters by the time at which they were received."""
    return sorted(letters, key=lambda letter: (letter.received_us, letter.first_offset))
