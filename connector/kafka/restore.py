"""Reads a stream partition's ledger back: its newest entry, and the ids that still matter.

Offsets do not count entries: markers and aborted records take some too, and an open transaction hides what was
committed after it. So the end is the log's own end, and reading is done only at an end-of-partition at or beyond it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connector.errors import DependencyUnavailableError, OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.kafka.clients import ClientProperties, admin_config, reader_config
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import LedgerEntry, Mode, check_contiguous
from connector.kafka.ledger_decoding import read_entry
from connector.kafka.reading import TopicReader
from connector.kafka.topics import TopicNames
from connector.quoting import shown
from connector.settings import KafkaSettings

REQUEST_TIMEOUT_S = 10.0
STABLE_DEADLINE_S = 60.0
"""How long the stable offset may stay short of the end: longer than any transaction of the connector stays open."""
_FIRST_STEP_BACK = 16
_POLL_S = 1.0
_AT_ONCE = {"fetch.wait.max.ms": 10}
"""Kafka reports the end of a log after this wait for more; by default half a second, and a restore meets two ends."""

_OF_NO_CONCERN = {KafkaError.GROUP_AUTHORIZATION_FAILED}
"""librdkafka looks for its group whether or not it is used; a reader needs no right on it."""


class OffsetEntry(NamedTuple):
    """A ledger entry, its offset, and its date by Kafka: microseconds since 1970, 0 if it was not read back.

    `digest` is the entry's, to which the next one refers.
    """

    offset: int
    entry: LedgerEntry
    dated_us: int = 0
    digest: bytes | None = None


class Restored(NamedTuple):
    """The entries whose ids matter, and the bounds of the log as it was read; the next record is at `end`."""

    placed: list[OffsetEntry]
    begin: int
    end: int


class Tail(NamedTuple):
    """The end of a ledger: offset and value of the committed records there, and the offset of the next record."""

    entries: list[tuple[int, bytes | None]]
    end: int


class _Raw(NamedTuple):
    offset: int
    value: bytes | None
    dated_us: int


class LedgerReader:
    """Reads one partition of the ledger topic.

    No entry may be from long after both the date that Kafka gave it and `clock_us`, microseconds since 1970.
    """

    def __init__(  # noqa: PLR0913 - what it reads, by which clocks and clients
        self,
        settings: KafkaSettings,
        partition: StreamPartition,
        decode: Callable[[bytes], Mapping[str, Any]],
        should_stop: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        clock_us: Callable[[], int] = lambda: 0,
        make_admin: Callable[[ClientProperties], AdminClient] = AdminClient,
        make_consumer: Callable[[ClientProperties], Consumer] = Consumer,
    ) -> None:
        self._settings = settings
        self._topic = TopicNames(settings.topic_prefix).ledger
        self._partition = partition
        self._decode = decode
        self._should_stop = should_stop
        self._monotonic = monotonic
        self._clock_us = clock_us
        self._make_admin = make_admin
        self._make_consumer = make_consumer

    def restore(self, known_end: int = 0, known_entry: int = 0) -> Restored:
        """Return the entries whose ids matter, oldest first, the newest last; none for a new partition.

        To be called once this process has a producer; the log is known to have reached `known_end`, and `known_entry`
        to be the number of the newest committed entry. Raises `OwnCorruptionError` if the ledger cannot be trusted, and
        `DependencyUnavailableError` if Kafka does not answer, or answers something impossible.
        """
        try:
            admin = self._make_admin(admin_config(self._settings))
            begin, end = self._edge(admin, OffsetSpec.earliest()), self._edge(admin, OffsetSpec.latest())
            if begin > end:
                raise DependencyUnavailableError(
                    f"ledger {self._partition}: Kafka reports that it begins at {begin} and ends at {end}"
                )
            placed, end = self._restore(begin, end) if begin < end else ([], end)
            self._check_not_shorter(placed, end, known_end, known_entry)
            if not placed:
                self._check_never_held(begin, end)
        except KafkaException as error:
            raise DependencyUnavailableError(f"ledger {self._partition}: {shown(error.args[0].str())}") from error
        return Restored(placed, begin, end)

    def end(self) -> int:
        """Return the offset of the next record. Raises `DependencyUnavailableError`."""
        try:
            return self._edge(self._make_admin(admin_config(self._settings)), OffsetSpec.latest())
        except KafkaException as error:
            raise DependencyUnavailableError(f"ledger {self._partition}: {shown(error.args[0].str())}") from error

    def tail(self, place: int) -> Tail:
        """Return what is committed at offset `place` and beyond, once no transaction is open there any more.

        Raises `DependencyUnavailableError`, and `OwnCorruptionError` if a transaction stays open.
        """
        end = self.end()
        if end <= place:
            return Tail([], end)
        try:
            with self._consumer() as consumer:
                found, end = self._read(consumer, place, end)
                return Tail([(raw.offset, raw.value) for raw in found], end)
        except KafkaException as error:
            raise DependencyUnavailableError(f"ledger {self._partition}: {shown(error.args[0].str())}") from error

    def check_is_new(self) -> None:
        """Distinguish a stream partition without a ledger from one whose ledger topic was deleted and created again.

        Raises `OwnCorruptionError` for the latter: there are records of its coverage. Raises
        `DependencyUnavailableError` if Kafka does not answer, or when asked to stop.
        """
        partition, key = self._partition, str(self._partition).encode()
        with TopicReader(self._settings, [TopicNames(self._settings.topic_prefix).coverage]) as reader:
            if any(record.key == key for record in reader.to_end(self._should_stop)):
                raise OwnCorruptionError(
                    f"ledger {partition}: empty, but its coverage is recorded: entries were deleted"
                )
        if self._should_stop():
            raise DependencyUnavailableError(f"coverage of {partition}: stopped while reading it")

    @contextmanager
    def _consumer(self, **properties: str) -> Iterator[Consumer]:
        consumer = self._make_consumer(ClientProperties(reader_config(self._settings) | _AT_ONCE | properties))
        try:
            yield consumer
        finally:
            consumer.close()

    def _restore(self, begin: int, end: int) -> tuple[list[OffsetEntry], int]:
        with self._consumer() as consumer:
            return self._needed(consumer, begin, end)

    def _needed(self, consumer: Consumer, begin: int, end: int) -> tuple[list[OffsetEntry], int]:
        """Return the entries that matter, and where the log ends once no transaction is open there any more."""
        start, step, tail = end, _FIRST_STEP_BACK, list[_Raw]()
        while not tail and start > begin:
            start = max(begin, end - step)
            step *= 2
            tail, end = self._read(consumer, start, end)
        if not tail:
            return [], end
        newest = tail[-1]
        oldest = self._entry(newest).oldest_offset
        if oldest is None:
            oldest = newest.offset
        elif oldest < begin:
            raise OwnCorruptionError(
                f"ledger {self._partition}: ids of offset {oldest} are needed, but the log begins at {begin}"
            )
        if oldest < start:
            tail = self._read(consumer, oldest, start)[0] + tail
        needed = [self._placed(raw) for raw in tail if raw.offset >= oldest]
        if not needed or needed[0].offset != oldest:
            raise OwnCorruptionError(
                f"ledger {self._partition}: ids of offset {oldest} are needed, but there is no entry"
            )
        check_contiguous(placed.entry for placed in needed)
        for before, placed in pairwise(needed):
            placed.entry.check_refers_to(before.digest, is_due=before.entry.records is not None)
        return needed, end

    def _placed(self, raw: _Raw) -> OffsetEntry:
        return OffsetEntry(raw.offset, self._entry(raw), raw.dated_us, entry_digest(raw.value or b""))

    def _entry(self, raw: _Raw) -> LedgerEntry:
        """Return the entry in a record. Raises `OwnCorruptionError` unless it is whole, sound and plausible."""
        try:
            entry = read_entry(raw.value, self._partition, self._decode)
            entry.check_plausible(max(raw.dated_us, self._clock_us()))
        except OwnCorruptionError as error:
            place = f"{self._topic} partition {self._partition.ledger_partition} offset {raw.offset}"
            raise OwnCorruptionError(f"{place}: {error}") from error
        return entry

    def _check_not_shorter(self, placed: list[OffsetEntry], end: int, known_end: int, known_entry: int) -> None:
        """Refuse a log that ends before a committed entry: offsets only grow, whatever is removed.

        A truncated log may have been written over, so the number of the newest entry is checked, too. A log that begins
        with a reset is short on purpose.
        """
        if placed and placed[0].entry.mode is Mode.RESET:
            return
        newest = placed[-1].entry.entry if placed else 0
        if end < known_end or newest < known_entry:
            raise OwnCorruptionError(
                f"ledger {self._partition}: its log ends at {end} with entry {newest}, but reached {known_end} and "
                f"entry {known_entry} before: the topic was created again or truncated"
            )

    def _check_never_held(self, begin: int, end: int) -> None:
        """Distinguish a partition that never held a committed entry from one that lost or hides them."""
        if begin > 0:
            raise OwnCorruptionError(
                f"ledger {self._partition}: empty, but its log begins at {begin}: entries were deleted"
            )
        if begin == end:
            return
        with self._consumer(**{"isolation.level": "read_uncommitted"}) as consumer:
            for raw in self._read(consumer, begin, end)[0]:
                number = self._entry(raw).entry
                if number > 0:
                    raise OwnCorruptionError(
                        f"ledger {self._partition}: Kafka shows no committed entry, but entry {number} is at "
                        f"offset {raw.offset}, and none but entry 0 is written before one is committed"
                    )

    def _read(self, consumer: Consumer, start: int, end: int) -> tuple[list[_Raw], int]:
        """Return the entries from offset `start` to `end`, excluded, that are visible to the consumer.

        Also returns the offset that was reached: beyond `end` if a transaction was open there, since the marker that
        ended it follows it.
        """
        found: list[_Raw] = []
        ledger_partition = self._partition.ledger_partition
        consumer.assign([TopicPartition(self._topic, ledger_partition, start)])
        deadline = self._monotonic() + STABLE_DEADLINE_S
        while True:
            message = consumer.poll(_POLL_S)
            if message is not None:
                error, offset = message.error(), _offset(message)
                is_end = error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - public name
                if offset >= end and (is_end or error is None):
                    return found, offset
                if error is None:
                    found.append(_Raw(offset, message.value(), _dated_us(message)))
                    deadline = self._monotonic() + STABLE_DEADLINE_S
                elif not is_end and not error.retriable() and error.code() not in _OF_NO_CONCERN:
                    raise KafkaException(error)
            if self._should_stop():
                raise DependencyUnavailableError(f"ledger {self._partition}: stopped while reading it")
            if self._monotonic() > deadline:
                self._explain_silence(end)

    def _explain_silence(self, end: int) -> None:
        """Raise: an operator must end a transaction that stays open; otherwise Kafka does not answer."""
        stable = self._edge(self._make_admin(admin_config(self._settings)), OffsetSpec.latest(), is_committed=True)
        if stable < end:
            raise OwnCorruptionError(
                f"ledger {self._partition}: a transaction at offset {stable} stays open and hides what follows; "
                "kafka-transactions.sh can find and abort it"
            )
        raise DependencyUnavailableError(f"ledger {self._partition}: Kafka does not answer")

    def _edge(self, admin: AdminClient, spec: OffsetSpec, *, is_committed: bool = False) -> int:
        where = TopicPartition(self._topic, self._partition.ledger_partition)
        futures = admin.list_offsets(
            {where: spec},
            isolation_level=IsolationLevel.READ_COMMITTED if is_committed else IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        offset: int = futures[where].result().offset
        if offset < 0:
            raise DependencyUnavailableError(f"ledger {self._partition}: Kafka does not report where it begins or ends")
        return offset


def _offset(message: Message) -> int:
    offset = message.offset()
    return -1 if offset is None else offset


def _dated_us(message: Message) -> int:
    _, dated_ms = message.timestamp()
    return dated_ms * 1000
