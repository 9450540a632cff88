"""The one transactional producer of a stream partition: whole transactions, and one way out of every unclear state.

Every transaction checks its place. A ledger partition has one writer, whose transactions take two offsets each: the
entry and the marker of its commit. So an entry that comes to stand anywhere but right behind the last marker says that
the log is not the one that was read: it was created again or cut short, or has another writer. It is not committed.

Nothing is aborted or repaired here. Whatever goes wrong, the producer is of no more use: its successor's
`init_transactions` ends what it left open, and the ledger tells what was committed. A producer is dropped, never
closed: closing aborts the transaction, which is wrong while the outcome of its commit is unknown.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connector.errors import FencedError, WriterLostError

DEADLINE_S = 10.0
"""How long any transaction call may take; below `transaction.timeout.ms`."""
SLOW_COMMIT_S = 1.0
"""A commit that took longer is followed by a new producer.

librdkafka lacks KIP-890: a delayed end of this transaction must find an old epoch, not the next transaction. The end
is sent a second time only after the producer's retry back-off, which is longer than this.
"""
_QUEUE_FULL_POLL_S = 0.1
_BY_KEY = -1
"""librdkafka's RD_KAFKA_PARTITION_UA."""
_NOW = 0
"""As a record's timestamp: when it is produced."""
_TAKEN_BY_A_TRANSACTION = 2
"""Offsets of a ledger partition: Kafka writes a marker behind the entry, before it lets the next transaction begin."""
_FENCED = {
    KafkaError._FENCED,  # noqa: SLF001 - the client's public name for its own codes begins so
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
}


Headers = dict[str, str | bytes | None]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record to be produced; `partition` is left as it is where the key decides.

    A batch holds thousands: neither they nor their headers are anything that Python's collector has to look at.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers | None = None
    partition: int = _BY_KEY


class Committed(NamedTuple):
    """A transaction that is known to be committed: where its ledger entry stands, and how long the commit took."""

    ledger_offset: int
    duration_s: float


class TransactionalWriter:
    """Makes a producer and fences its predecessors. Every method raises `WriterLostError`, after which it is useless.

    `FencedError` says that a newer producer has the same transactional id.
    """

    def __init__(self, properties: Mapping[str, Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._properties = dict(properties)
        self._monotonic = monotonic
        self.next_offset: int | None = None
        """Where the next ledger entry must stand; None until it is set."""
        self._producer = self._make_producer()

    def renew(self) -> None:
        """Replace the producer by a new one, with a new epoch.

        Between two transactions that writes nothing to the ledger, so the next entry's place stays the same.
        """
        self._producer = self._make_producer()

    def expect_entry_at(self, offset: int) -> None:
        """Set where the log ends as far as it was read: the first ledger entry is committed only there.

        Each later one is committed only behind the one before.
        """
        self.next_offset = offset

    def commit(self, records: Sequence[Record], entry: Record) -> Committed:
        """Commit `records` and the ledger's `entry` in one transaction, if the entry stands where it must."""
        started = self._monotonic()
        deadline = started + DEADLINE_S
        offsets: list[int] = []

        def note(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is None and offset is not None:
                offsets.append(offset)

        try:
            self._producer.begin_transaction()
            for record in records:
                self._produce(record, deadline)
            self._produce(entry, deadline, note)
        except KafkaException as error:
            raise _lost("produce", error) from error
        self._check_place(offsets, deadline)
        self._resume("commit_transaction", self._producer.commit_transaction, deadline)
        if not offsets:
            raise WriterLostError("the commit went through without the ledger entry's offset")
        self.next_offset = offsets[0] + _TAKEN_BY_A_TRANSACTION
        return Committed(offsets[0], self._monotonic() - started)

    def _make_producer(self) -> Producer:
        try:
            producer = Producer(self._properties)
        except KafkaException as error:
            raise _lost("create the producer", error) from error
        self._resume("init_transactions", producer.init_transactions)
        return producer

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

    def _check_place(self, offsets: Sequence[int], deadline: float) -> None:
        """Raise unless the entry, which is written and not yet committed, stands at the next offset.

        Committing flushes first in any case, so to flush here costs nothing. An entry without an offset was not
        written: then the commit fails, with the reason.
        """
        if self._producer.flush(max(0.1, deadline - self._monotonic())):
            raise WriterLostError("flush: the ledger entry was not written in time")
        if offsets and offsets[0] != self.next_offset:
            raise WriterLostError(
                f"the ledger is known up to {self.next_offset}, but the next entry stands at {offsets[0]}"
            )

    def _resume(self, name: str, call: Callable[[float], None], deadline: float | None = None) -> None:
        """Call, and call again while the client says that the same call may go on."""
        end = self._monotonic() + DEADLINE_S if deadline is None else deadline
        while True:
            try:
                call(max(0.1, end - self._monotonic()))
            except KafkaException as error:
                if not _error(error).retriable() or self._monotonic() >= end:
                    raise _lost(name, error) from error
            else:
                return


def _error(error: KafkaException) -> KafkaError:
    cause: KafkaError = error.args[0]
    return cause


def _lost(what: str, error: KafkaException) -> WriterLostError:
    cause = _error(error)
    kind = FencedError if cause.code() in _FENCED else WriterLostError
    return kind(f"{what}: {cause.name()}: {cause.str()}")
