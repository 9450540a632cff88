"""A stream partition without X and Kafka: its records, a writer that keeps what is committed, and lines to deliver."""

import io
from collections.abc import Sequence
from typing import Any, cast

import fastavro

from connector.coverage.messages import ClockReading, Ended, EndReason, KeepAlive, LinesRead, Message, Opened
from connector.coverage.plan import Live, Plan, Replay
from connector.coverage.recovery import MINUTE_US
from connector.events.avro import split_prefix, without_logical_types
from connector.events.catalog import StreamPartition
from connector.events.decode import LongLine
from connector.events.times import US_PER_S, format_us
from connector.kafka.commits import PartitionWriter
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import LedgerEntry, Writer, first_entry
from connector.kafka.ledger_decoding import decode_shipped, read_entry
from connector.kafka.restore import OffsetEntry
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Committed, Record
from connector.partition.batch import Transaction
from connector.partition.records import RecordBuilder
from connector.partition.state import PartitionState
from tests.fakes.bodies import line_of
from tests.fakes.x import NOW_US

PARTITION = StreamPartition("tweet", 2)
WRITER = Writer("w", "replica")
WINDOW_US = 15 * MINUTE_US
"""How long ids are known."""
SYSTEM = b'{"errors":[{"title":"t","disconnect_type":"SlowReader","detail":"too slow"}]}'
CLOSED = Ended(EndReason.CLOSED, is_proper=True, at_us=NOW_US)
CUT = Ended(EndReason.NETWORK, is_proper=False, at_us=NOW_US)
SLICE = Replay(NOW_US - 60 * MINUTE_US, NOW_US - 45 * MINUTE_US)
IN_SLICE_US = SLICE.start_us + 6 * MINUTE_US
NAMES = TopicNames("p")
SCHEMA_IDS = {topic: number for number, topic in enumerate(NAMES.schemas(), 1)}
LIMITS = dict.fromkeys([*SCHEMA_IDS, NAMES.dead_letter], 2 * 1024**2)


def builder(partition: StreamPartition = PARTITION, *, has_headers: bool = True, **limits: int) -> RecordBuilder:
    """Return a builder; `limits` are by topic, its dots and hyphens as underscores."""
    by_topic = {topic: limits.get(topic.replace(".", "_").replace("-", "_"), limit) for topic, limit in LIMITS.items()}
    return RecordBuilder(partition, NAMES, SCHEMA_IDS, by_topic, has_headers=has_headers)


def value_of(record: Record) -> dict[str, Any]:
    """Return the Avro record in `record`, which must name the schema of its topic; times as integers."""
    schema_id, body = split_prefix(record.value)
    assert schema_id == SCHEMA_IDS[record.topic]
    schema = without_logical_types(NAMES.schemas()[record.topic].parsed)
    read = fastavro.schemaless_reader(io.BytesIO(body), schema, None)
    assert isinstance(read, dict)
    return read


def header_of(record: Record, name: str) -> str:
    """Return a header as text."""
    value = (record.headers or {})[name]
    return value.decode() if isinstance(value, bytes) else cast("str", value)


def line(tweet_id: int, at_us: int = NOW_US) -> bytes:
    """Return the delete of a Tweet, dated `at_us`."""
    tweet = {"id": str(tweet_id), "author_id": "7"}
    return line_of("delete", {"event_at": format_us(at_us), "tweet": tweet})


def state_of(covered_until_us: int = NOW_US, restored: Sequence[OffsetEntry] = ()) -> PartitionState:
    """Return the state of a new partition, or of what was restored."""
    first = OffsetEntry(0, first_entry(PARTITION, "w", covered_until_us))
    return PartitionState(PARTITION, builder(), WRITER, restored or [first], window_us=WINDOW_US)


class FakeWriter:
    """Keeps each transaction; the next commit takes `duration_s`, or raises `error`."""

    def __init__(self) -> None:
        self.transactions: list[tuple[Sequence[Record], LedgerEntry]] = []
        self.duration_s = 0.0
        self.error: Exception | None = None
        self.due_at_s: list[float] = []
        self.has_left = self.is_lost = False
        self.next_offset: int | None = None

    def expect_entry_at(self, offset: int) -> None:
        """Note where the next entry must stand."""
        self.next_offset = offset

    def commit(self, records: Sequence[Record], entry: Record) -> Committed:
        """Note the transaction."""
        if self.error is not None:
            raise self.error
        self.transactions.append((records, read_entry(entry.value, PARTITION, decode_shipped)))
        return Committed(len(self.transactions), self.duration_s)

    def announce(self, due_at_s: float) -> None:
        """Note when the next commit was said to be due."""
        self.due_at_s.append(due_at_s)

    def lose(self) -> None:
        """Note that another process owns the stream partition."""
        self.is_lost = True

    def leave(self) -> None:
        """Note that nothing more is committed."""
        self.has_left = True

    def as_writer(self) -> PartitionWriter:
        """Return this in the type of what it stands in for."""
        return cast("PartitionWriter", self)


class Ledger:
    """Commits what a state prepares, as Kafka would: offsets have holes, as markers make them."""

    def __init__(self, state: PartitionState, offsets: Sequence[OffsetEntry] = ()) -> None:
        self.state = state
        self.transactions: list[Transaction] = []
        self.entries = list(offsets) or [OffsetEntry(0, first_entry(PARTITION, "w", state.covered_until_us))]

    def commit(self, written_at_us: int = NOW_US) -> Transaction:
        """Commit everything applied so far; the entry must read back and follow the one before."""
        transaction = self.state.prepare(written_at_us)
        entry = read_entry(transaction.entry_record.value, PARTITION, decode_shipped)
        entry.check_follows(self.entries[-1].entry)
        before = self.entries[-1]
        entry.check_refers_to(before.digest, is_due=before.entry.records is not None)
        digest = entry_digest(transaction.entry_record.value)
        self.entries.append(OffsetEntry(self.entries[-1].offset + 2, entry, digest=digest))
        self.transactions.append(transaction)
        self.state.committed(transaction, self.entries[-1].offset)
        return transaction

    def restored(self) -> list[OffsetEntry]:
        """Return what a restore would read: from the oldest entry that matters on."""
        newest = self.entries[-1]
        oldest = newest.offset if newest.entry.oldest_offset is None else newest.entry.oldest_offset
        return [placed for placed in self.entries if placed.offset >= oldest]

    def records(self, topic: str) -> list[Record]:
        """Return everything committed to the topics whose names begin so: `p.` stands for all events."""
        everything = [record for transaction in self.transactions for record in transaction.records]
        return [record for record in everything if record.topic.startswith(topic)]


def committed(*messages: Message, state: PartitionState | None = None) -> Ledger:
    """Return the ledger of one transaction with `messages`."""
    ledger = Ledger(state or state_of())
    for message in messages:
        ledger.state.apply(message)
    ledger.commit()
    return ledger


def restored(ledger: Ledger) -> Ledger:
    """Return the ledger as the next process reads it and goes on with it."""
    return Ledger(state_of(restored=ledger.restored()), ledger.entries)


def reading(at_us: int = NOW_US, wall_us: int | None = None) -> ClockReading:
    """Return a look at clocks that agree, or at a wall clock that does not; the monotonic clock began in 1970."""
    latest_us = at_us + US_PER_S if wall_us is None else max(at_us + US_PER_S, wall_us)
    return ClockReading(at_us, at_us + US_PER_S, latest_us, at_us, at_us)


def opened(plan: Plan | None = None, at_us: int = NOW_US, answer_us: int = 0) -> Opened:
    """Return the opening of a connection, live without backfill unless said otherwise."""
    return Opened(plan or Live(0), reading(at_us), answer_us)


def lines_read(*lines: bytes | LongLine, at_us: int = NOW_US) -> LinesRead:
    """Return lines read at `at_us`."""
    return LinesRead(lines, reading(at_us))


def keep_alive(at_us: int, waited_s: float | None = 20) -> KeepAlive:
    """Return a keep-alive after a wait, or after none that counts."""
    return KeepAlive(reading(at_us), None if waited_s is None else at_us - int(waited_s * US_PER_S))
