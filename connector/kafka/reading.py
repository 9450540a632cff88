"""Topics read back as a downstream reader sees them: committed records only, decoded by the writer's schema.

For commands, checks and metrics; the service relies on its ledger, and on coverage records only without one.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import methodcaller
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.avro import AvroDecoder, split_prefix
from connector.events.schemas import LEDGER, AvroSchema
from connector.events.times import format_us
from connector.kafka.clients import OwnsConsumer, make, reader_config
from connector.kafka.cluster import Cluster
from connector.kafka.ledger_decoding import EntryDecoder
from connector.kafka.outages import cause
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import subject
from connector.quoting import shown
from connector.settings import KafkaSettings

_TIMEOUT_S = 10.0
_POLL_S = 0.2
_AT_ONCE = 1000
SILENCE_S = 45.0
"""How long existing records may fail to arrive: longer than the transaction of a dead writer stays open."""
BEGINNING, NOW = OFFSET_BEGINNING, OFFSET_END
"""Starts other than an instant."""
Place = tuple[str | None, int | None]
"""Topic and partition, as the client types them."""
_US_PER_UNIT = {"timestamp-millis": 1000, "timestamp-micros": 1}


class ReadRecord(NamedTuple):
    """A committed record, with the date that its topic uses; header values are bytes.

    `value` is empty for a tombstone, too. Access to `headers` may raise `ForeignRecordError`: a foreign program may
    have written unreadable names.
    """

    topic: str
    partition: int
    offset: int
    timestamp_us: int
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    is_tombstone: bool = False

    @property
    def place(self) -> str:
        """The position of the record, in words."""
        return f"{self.topic} partition {self.partition} offset {self.offset}"


class ForeignRecordError(ValueError):
    """A record that the connector did not write, or that is damaged."""


@contextmanager
def foreign_records_refused(record: ReadRecord) -> Iterator[None]:
    """Raise `ForeignRecordError` for any error in reading a record."""
    try:
        yield
    except ForeignRecordError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, NotProvisionedError) as error:
        raise ForeignRecordError(f"{record.place}: {type(error).__name__}: {error}") from error


def _connect(settings: KafkaSettings) -> tuple[Cluster, Consumer]:
    return Cluster(settings), make(Consumer, reader_config(settings))


class TopicReader(OwnsConsumer):
    """Reads topics from their beginning, an instant or their end, and up to the instant `end_us` if given.

    `start` is microseconds since 1970, or `BEGINNING` or `NOW`; `offsets` has partitions that start elsewhere. `choose`
    receives the number of partitions of a topic and returns which of them to read; by default all. `connect` makes the
    clients.

    Making one raises `NotProvisionedError` if a topic is missing; it and every method raise the same if a right is
    missing, and `DependencyUnavailableError` if Kafka does not answer.
    """

    def __init__(  # noqa: PLR0913 - one for each way to say what is read
        self,
        settings: KafkaSettings,
        topics: Collection[str],
        start: int = BEGINNING,
        *,
        choose: Callable[[int], Iterable[int]] = range,
        end_us: int | None = None,
        offsets: Mapping[Place, int] = MappingProxyType({}),
        connect: Callable[[KafkaSettings], tuple[Cluster, Consumer]] = _connect,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._choose = choose
        self._end_us = end_us
        self._monotonic_s = monotonic_s
        self._cluster, self._consumer = connect(settings)
        try:
            self._consumer.assign([_moved(place, offsets) for place in self._starts(topics, start)])
        except BaseException:
            self._consumer.close()  # or its threads go on for as long as the process
            raise
        self._reached: dict[Place, int] = {}
        self._taken: deque[Message] = deque()

    @property
    def reached(self) -> Mapping[Place, int]:
        """The offset after the latest record that was yielded, and after markers behind it, by topic and partition."""
        return self._reached

    def follow(self, should_stop: Callable[[], bool]) -> Iterator[ReadRecord]:
        """Yield records as they arrive, until asked to stop."""
        while not should_stop():
            message = self._poll()
            if message is not None:
                self._note(message)
                if not is_end(message):
                    yield as_record(message)

    def to_end(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[ReadRecord]:
        """Yield everything committed by now that was not yielded before, or less when asked to stop.

        Some records that Kafka dates after `end_us` may be yielded as well. An open transaction hides what others
        committed after it, so its end is awaited. Raises `DependencyUnavailableError` if a topic was truncated or
        created again since it was read.
        """
        ends = self._cluster.ends(self._consumer.assignment())
        for place, end in ends.items():
            if (reached := self._reached.get(place, 0)) > end:
                raise _cut_short(place, reached, end)
        ends = self._bounded(ends)
        missing = {place: end for place, end in ends.items() if self._reached.get(place, -1) < end}
        deadline = self._monotonic_s() + SILENCE_S
        while missing:
            message = self._poll()
            if should_stop():
                return
            if message is not None:
                place, reached = self._note(message)
                if place in missing:
                    deadline = self._monotonic_s() + SILENCE_S
                    if reached >= missing[place]:
                        del missing[place]
                if not is_end(message):
                    yielded = self._monotonic_s()
                    yield as_record(message)
                    deadline += self._monotonic_s() - yielded  # the caller's time is no silence of Kafka's
            if missing and self._monotonic_s() > deadline:
                raise silent(*min(missing, key=str))

    def _note(self, message: Message) -> tuple[Place, int]:
        """Record how far a partition was read, and return both."""
        place, offset = (message.topic(), message.partition()), message.offset() or 0
        self._reached[place] = reached = offset if is_end(message) else offset + 1
        return place, reached

    def _starts(self, topics: Collection[str], start: int) -> list[TopicPartition]:
        if start < 0:
            return [TopicPartition(*place, start) for place in self._places(topics)]
        return self._at(self._places(topics), start)

    def _at(self, places: Iterable[Place], instant_us: int) -> list[TopicPartition]:
        """Return the offset of each partition's first record from then on, or `NOW` if there is none."""
        times = [TopicPartition(topic or "", partition or 0, instant_us // 1000) for topic, partition in places]
        try:
            return self._consumer.offsets_for_times(times, timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise unavailable(error) from error

    def _bounded(self, ends: dict[Place, int]) -> dict[Place, int]:
        """Return where to end: at the first record from `end_us` on, if there is one."""
        if self._end_us is None:
            return ends
        return {
            (place.topic, place.partition): ends[place.topic, place.partition] if place.offset < 0 else place.offset
            for place in self._at(ends, self._end_us)
        }

    def _places(self, topics: Collection[str]) -> list[tuple[str, int]]:
        known = self._cluster.count_partitions(topics)
        if missing := sorted(set(topics) - set(known)):
            raise NotProvisionedError(f"missing: {', '.join(missing)}; create with: connector provision")
        return [(topic, partition) for topic in topics for partition in self._choose(known[topic])]

    def _poll(self) -> Message | None:
        """Return the next record or end of a partition, waiting a little for it; fetch all that has arrived by then."""
        if not self._taken:
            self._taken.extend(take(self._consumer))
            if not self._taken:
                return None
        message = self._taken.popleft()
        return message if is_of_use(message) else None


OpenTopic = Callable[[KafkaSettings, Collection[str], int], TopicReader]
"""Opens topics from a start on, as `TopicReader` does."""


def _moved(start: TopicPartition, offsets: Mapping[Place, int]) -> TopicPartition:
    at = offsets.get((start.topic, start.partition), start.offset)
    return TopicPartition(start.topic, start.partition, at)


def take(consumer: Consumer) -> list[Message]:
    """Return the next records, ends and errors, waiting a little for the first."""
    first = consumer.poll(_POLL_S)
    return [] if first is None else [first, *consumer.consume(_AT_ONCE, 0)]


def entry_decoder(
    registry: RegistryClient, topic: str, shipped: AvroSchema = LEDGER
) -> Callable[[bytes], Mapping[str, Any]]:
    """Return a decoder for the entries of `topic` of any release: by `shipped`, or by the schema that they name."""
    return EntryDecoder(partial(registry.writer_schema, subject=subject(topic)), shipped).decode


class AvroReader:
    """Decodes values in the registry's wire format, by schemas of their topic's subject alone.

    Asks the registry once for each schema.
    """

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        self._known: dict[tuple[str, int], tuple[AvroDecoder, dict[str, int | None]]] = {}
        self._refused: dict[tuple[str, int], str] = {}

    def decode(self, record: ReadRecord) -> dict[str, Any]:
        """Return the value of `record`, times as raw integers.

        Raises `ValueError` for bytes that are not a value, `NotProvisionedError` for a schema that the registry does
        not have under the topic's subject, or that must not be used.
        """
        schema_id, body = split_prefix(record.value)
        return self._look_up(record.topic, schema_id)[0].decode(body)

    def decode_readable(self, record: ReadRecord) -> dict[str, Any]:
        """Return the value of `record` with times as RFC 3339 text. Raises as `decode` does."""
        schema_id, body = split_prefix(record.value)
        decoder, units = self._look_up(record.topic, schema_id)
        return {
            name: format_us(content * unit) if (unit := units[name]) and isinstance(content, int) else content
            for name, content in decoder.decode(body).items()
        }

    def _look_up(self, topic: str, schema_id: int) -> tuple[AvroDecoder, dict[str, int | None]]:
        asked = topic, schema_id
        if asked in self._refused:
            raise NotProvisionedError(self._refused[asked])
        if asked not in self._known:
            try:
                schema = self._registry.writer_schema(schema_id, subject(topic))
            except NotProvisionedError as error:
                self._refused[asked] = str(error)
                raise
            units = {field["name"]: _us_per_unit(field["type"]) for field in schema["fields"]}
            self._known[asked] = AvroDecoder(schema), units
        return self._known[asked]


def _us_per_unit(avro_type: object) -> int | None:
    """Return how many microseconds an instant's unit has, or None if it is not an instant."""
    if isinstance(avro_type, list):
        return next((unit for part in avro_type if (unit := _us_per_unit(part))), None)
    return _US_PER_UNIT.get(avro_type.get("logicalType", "")) if isinstance(avro_type, dict) else None


def is_of_use(message: Message) -> bool:
    """Return whether it is a record or the end of a partition. Raises for an error that will not pass."""
    error = message.error()
    if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - public name
        return True
    if error.retriable() or error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return False  # librdkafka looks for its group whether or not it is used; a reader needs no right on it
    if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise NotProvisionedError(f"no right to read {message.topic()}: grant Read on this topic")
    raise unavailable(KafkaException(error))


def is_end(message: Message) -> bool:
    """Return whether it is the end of a partition, not a record."""
    return message.error() is not None


class _Headers(Mapping[str, bytes]):
    """The headers of a message, read on first access.

    Every access raises `ForeignRecordError` if a name is not UTF-8.
    """

    __slots__ = ("_is_read", "_message", "_read")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._is_read = False
        self._read: dict[str, bytes] | None = None

    def __getitem__(self, name: str) -> bytes:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, bytes]:
        if not self._is_read:
            self._is_read = True  # never twice: of what it could not read the client says so only once
            self._read = _read_headers(self._message)
        if self._read is None:
            message = self._message
            place = f"{message.topic()} partition {message.partition()} offset {message.offset()}"
            raise ForeignRecordError(f"{place}: the name of a header is not UTF-8")
        return self._read


_headers_of = methodcaller("headers")
"""The client makes a null pointer of a name that is not UTF-8, sets an error, and still returns the list. Once
it is hot, a call written as `message.headers()` does not check for the error, and reading the list crashes the process;
a call that C makes checks each time, and raises `SystemError`."""


def _read_headers(message: Message) -> dict[str, bytes] | None:
    """Return the headers of a message, None if a name is not UTF-8."""
    try:
        headers: Any = _headers_of(message) or ()
    except (SystemError, UnicodeError):
        return None
    return {name: value or b"" for name, value in headers}


def as_record(message: Message) -> ReadRecord:
    """Return a record of the client as a `ReadRecord`."""
    _, timestamp_ms = message.timestamp()
    return ReadRecord(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        timestamp_ms * 1000,
        message.key() or b"",
        message.value() or b"",
        _Headers(message),
        message.value() is None,
    )


def silent(topic: str | None, partition: int | None) -> DependencyUnavailableError:
    """Return the error for a partition whose existing records have not arrived for `SILENCE_S`."""
    return DependencyUnavailableError(
        f"Kafka does not answer: nothing came for {SILENCE_S:.0f} s from {topic} partition {partition}, "
        "unless a transaction stays open there"
    )


def _cut_short(place: Place, reached: int, end: int) -> DependencyUnavailableError:
    topic, partition = place
    return DependencyUnavailableError(
        f"{topic} partition {partition} was read up to {reached}, but ends at {end}: it was truncated or created again"
    )


def unavailable(error: KafkaException) -> DependencyUnavailableError:
    """Return the error for a failed request."""
    return DependencyUnavailableError(f"Kafka does not answer: {cause(shown(error.args[0].str()))}")
