"""One transactional producer: whole transactions, and one way out of every unclear state.

A transaction is a compare-and-set on the ledger partitions it touches. Each of them has one writer, whose transactions
take two offsets: the entry and the marker of its commit. So the place of every entry is known before it is written, and
an entry that lands anywhere else shows that the log is not the one that was read: it was created again or truncated, or
has another writer. Kafka assigns an offset once, so of two writers at most one finds its entry in its place.

Nothing is aborted or repaired here. After any failure the producer is dropped: its successor's `init_transactions` ends
what it left open, and the ledger shows what was committed. A producer is dropped, never
closed: closing aborts the transaction, which is wrong while the outcome of its commit is unknown.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connector.errors import FencedError, WriterLostError
from connector.events.catalog import StreamPartition
from connector.quoting import shown

DEADLINE_S = 10.0
"""How long a transaction may take; below `transaction.timeout.ms`."""
INIT_DEADLINE_S = 5.0
"""How long a producer may take to end what its predecessor left open: a few of librdkafka's attempts."""
TAKEN_BY_A_TRANSACTION = 2
"""Offsets of a ledger partition: Kafka writes a marker after the entry, before the next transaction can begin."""
_QUEUE_FULL_POLL_S = 0.01
_BY_KEY = -1
"""librdkafka's RD_KAFKA_PARTITION_UA."""
_NOWHERE = -1
_NOW = 0
"""As a record's timestamp: when it is produced."""
_FENCED = {
    KafkaError._FENCED,  # noqa: SLF001 - the client's public name for its own codes begins so
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}


Headers = dict[str, str | bytes | None]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record to be produced; `partition` keeps its default if the key decides.

    A batch holds thousands: neither they nor their headers are tracked by Python's garbage collector.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers | None = None
    partition: int = _BY_KEY


@dataclass(frozen=True, slots=True)
class Part:
    """The share of one stream partition in a transaction: its records, and a ledger entry that must land at `place`."""

    partition: StreamPartition
    records: Sequence[Record]
    entry: Record
    place: int


class Committed(NamedTuple):
    """A transaction that is known to be committed: the offset of its ledger entry, and how long the commit took."""

    ledger_offset: int
    duration_s: float


class UndeliveredError(WriterLostError):
    """Records did not reach Kafka in time, among them the ledger entries of `partitions`."""

    def __init__(self, partitions: Collection[StreamPartition]) -> None:
        names = f", the ledger entries of {', '.join(map(str, partitions))} among them" if partitions else ""
        super().__init__(f"flush: records were not written in time{names}")
        self.partitions = partitions


class MisplacedError(WriterLostError):
    """Ledger entries, written and not committed, are out of place; by stream partition."""

    def __init__(self, misplaced: Mapping[StreamPartition, str]) -> None:
        super().__init__("; ".join(misplaced.values()))
        self.misplaced = misplaced


class TransactionalWriter:
    """Makes a producer and fences its predecessors. After a `WriterLostError`, from any method, it must not be used.

    `FencedError` means that a newer producer has the same transactional id.
    """

    def __init__(
        self,
        properties: Mapping[str, Any],
        monotonic: Callable[[], float] = time.monotonic,
        make_producer: Callable[[dict[str, Any]], Producer] = Producer,
    ) -> None:
        self._monotonic = monotonic
        try:
            self._producer = make_producer(dict(properties))
        except KafkaException as error:
            raise _lost("create the producer", error) from error
        self._resume("init_transactions", self._producer.init_transactions, monotonic() + INIT_DEADLINE_S)

    def commit(self, parts: Sequence[Part]) -> float:
        """Commit the parts in one transaction, if each entry is in its place; return how many seconds it took.

        Raises `MisplacedError` if one is not, and `UndeliveredError`.
        """
        started = self._monotonic()
        deadline = started + DEADLINE_S
        offsets = self._write(parts, deadline)
        self._check_places(parts, offsets, deadline)
        self._resume("commit_transaction", self._producer.commit_transaction, deadline)
        if len(offsets) < len(parts):
            raise WriterLostError("the commit went through without the ledger entry's offset")
        return self._monotonic() - started

    def poll(self) -> None:
        """Run pending callbacks of the client; to be called now and then on an idle producer."""
        with _losing("poll"):
            self._producer.poll(0)

    def write(self, record: Record) -> None:
        """Write a record and leave its transaction open: the next writer there finds its place taken."""
        deadline = self._monotonic() + DEADLINE_S
        with _losing("produce"):
            self._producer.begin_transaction()
            self._produce(record, deadline)
        if not self._flush(deadline):
            raise UndeliveredError([])

    def _write(self, parts: Sequence[Part], deadline: float) -> dict[StreamPartition, int]:
        """Begin a transaction and produce; return a mapping that will hold the offsets of the written entries."""
        offsets: dict[StreamPartition, int] = {}
        with _losing("produce"):
            self._producer.begin_transaction()
            for part in parts:
                for record in part.records:
                    self._produce(record, deadline)
                self._produce(part.entry, deadline, _noting(part.partition, offsets))
        return offsets

    def _produce(
        self, record: Record, deadline: float, note: Callable[[KafkaError | None, Message], None] | None = None
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, record.partition, note, None, _NOW, record.headers
                )
            except BufferError:
                if self._monotonic() > deadline:
                    raise WriterLostError("produce: the queue stayed full") from None
                self._producer.poll(_QUEUE_FULL_POLL_S)
            else:
                return

    def _check_places(self, parts: Sequence[Part], offsets: Mapping[StreamPartition, int], deadline: float) -> None:
        """Raise unless the entries, which are written and not yet committed, are in their places.

        Committing flushes first in any case, so flushing here costs nothing. An entry without a note could not be
        written: then the commit fails, with the reason.
        """
        if not self._flush(deadline):
            raise UndeliveredError([part.partition for part in parts if part.partition not in offsets])
        misplaced = {
            part.partition: f"the ledger of {part.partition} is known up to {part.place}, "
            f"but the next entry is at offset {offset}"
            for part in parts
            if (offset := offsets.get(part.partition, part.place)) != part.place
        }
        if misplaced:
            raise MisplacedError(misplaced)

    def _flush(self, deadline: float) -> bool:
        with _losing("flush"):
            return self._producer.flush(max(0.1, deadline - self._monotonic())) == 0

    def _resume(self, name: str, call: Callable[[float], None], end: float) -> None:
        """Call, and call again while the client reports that the same call may be resumed."""
        while True:
            try:
                call(max(0.1, end - self._monotonic()))
            except (KafkaException, SystemError) as error:
                if not _error(error).retriable() or self._monotonic() >= end:
                    raise _lost(name, error) from error
            else:
                return


class WriterFactory:
    """Makes one producer after another, by `properties_of` a transactional id; `first_id` is that of the first."""

    def __init__(
        self,
        first_id: str,
        properties_of: Callable[[str], Mapping[str, Any]],
        new_id: Callable[[], str],
        make_writer: Callable[[Mapping[str, Any]], TransactionalWriter] = TransactionalWriter,
    ) -> None:
        self._id = first_id
        self._properties_of = properties_of
        self._new_id = new_id
        self._make_writer = make_writer

    def make(self) -> TransactionalWriter:
        """Return a new producer, which has ended what its predecessor left open.

        A transaction that Kafka cannot end, since one of its partitions cannot be written to, blocks its id. By then it
        is ending on all other partitions; the place of an entry fences, not the id. Raises `WriterLostError`, and what
        asking for the properties raises.
        """
        try:
            return self._make_writer(self._properties_of(self._id))
        except WriterLostError:
            new_id = self._new_id()
            writer = self._make_writer(self._properties_of(new_id))
            self._id = new_id
            return writer


def _noting(
    partition: StreamPartition, offsets: dict[StreamPartition, int]
) -> Callable[[KafkaError | None, Message], None]:
    """Return a callback that notes the offset of a written entry: `_NOWHERE` if Kafka did not report it."""

    def note(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        if error is None:
            offsets[partition] = _NOWHERE if offset is None else offset

    return note


def _error(error: BaseException) -> KafkaError:
    """Return what the client reports. Raises the error itself if it is not the client's.

    The client raises a fatal error, such as being fenced, from any call that serves its callbacks. A callback that is
    called while this error is pending fails with a `SystemError`, which has it as its cause.
    """
    found: BaseException | None = error
    while isinstance(found, SystemError):
        found = found.__cause__
    if not isinstance(found, KafkaException):
        raise error
    cause: KafkaError = found.args[0]
    return cause


@contextmanager
def _losing(what: str) -> Iterator[None]:
    """Raise what the client reports as a `WriterLostError`."""
    try:
        yield
    except (KafkaException, SystemError) as error:
        raise _lost(what, error) from error


def _lost(what: str, error: BaseException) -> WriterLostError:
    cause = _error(error)
    kind = FencedError if cause.code() in _FENCED else WriterLostError
    return kind(f"{what}: {cause.name()}: {shown(cause.str())}")
