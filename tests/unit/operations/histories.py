"""Owns made-up histories of a ledger and its topics, as the audit reads them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from connector.events.catalog import StreamPartition
from connector.events.identity import pack_ids, unpack_ids
from connector.kafka.digests import entry_digest, gap_number, number_set, record_number, record_sets
from connector.kafka.ledger import Counts, LedgerEntry, Mode
from connector.kafka.transaction import Record
from connector.operations.audit import AuditRange, PartitionAudit, SeenEvent, SeenGap

PARTITION = StreamPartition("tweet", 1)
STEP_US = 10_000
TOPICS = ("tweet.delete", "tweet.edit")


@dataclass(frozen=True)
class Event:
    """An event on its topic; its value represents everything else in it."""

    id: bytes
    sequence: int
    kind: str
    value: bytes

    @property
    def record(self) -> Record:
        """The record of it."""
        return Record(f"p.{self.kind}", self.id, self.value)


@dataclass(frozen=True)
class Transaction:
    """What one transaction put into the topics: its entry, its events, its dead letters' ids, whether coverage."""

    entry: LedgerEntry
    events: tuple[Event, ...] = ()
    letters: tuple[bytes, ...] = ()
    has_coverage: bool = False

    @property
    def coverage(self) -> Record:
        """The record of coverage that goes with the entry."""
        return coverage_record(self.entry.written_at_us)


def made_id(number: int) -> bytes:
    """Return the id of the event or dead letter of that number."""
    return number.to_bytes(16, "big")


def coverage_record(written_us: int) -> Record:
    """Return a record of the coverage topic; nothing but its time matters here."""
    return Record("p-coverage", b"tweet/1", str(written_us).encode())


def letter_record(letter_id: bytes) -> Record:
    """Return a dead letter of that id."""
    return Record("p-dead-letter", letter_id, b"line")


def number_of(record: Record) -> int:
    """Return what a record adds to the digest of its kind."""
    return record_number(record.topic.encode(), record.key, record.value)


def value_of(entry: LedgerEntry) -> bytes:
    """Return the bytes of an entry on the ledger; they only have to differ as entries do."""
    return repr(entry).encode()


def made_entry(number: int, sequence: int, at_us: int, ids: Sequence[bytes] = (), letters: int = 0) -> LedgerEntry:
    """Return a sound entry, before digests."""
    return LedgerEntry(
        entry=number,
        writer_id="w",
        partition=PARTITION,
        covered_until_before_us=max(0, at_us - STEP_US),
        covered_until_us=at_us,
        covers_to_us=at_us,
        counts=Counts(len(ids), len(ids) - letters, 0, letters, 0),
        sequence=sequence,
        mode=Mode.LIVE,
        slice_us=None,
        ids=pack_ids(ids),
        oldest_offset=0,
        written_at_us=at_us,
    )


def with_digests(transaction: Transaction, previous: bytes | None) -> Transaction:
    """Return the transaction with digests of its records and of the entry before."""
    records = [event.record for event in transaction.events] + [letter_record(each) for each in transaction.letters]
    if transaction.has_coverage:
        records.append(transaction.coverage)
    sets = record_sets(records, "p")
    if transaction.entry.mode is Mode.RESET:
        gap = gap_of_reset(transaction.entry)
        sets["gap"] = number_set([gap_number(gap.id, gap.start_ms, gap.end_ms, gap.cause, gap.recorded_ms)])
    return replace(transaction, entry=replace(transaction.entry, records=sets, previous=previous, owner="r"))


def gap_of_reset(entry: LedgerEntry) -> SeenGap:
    """Return the gap that a reset records."""
    start_ms, at_ms = entry.covered_until_before_us // 1000, entry.written_at_us // 1000
    return SeenGap(f"reset {at_ms}", start_ms, at_ms, "ledger-reset", at_ms, entry.written_at_us, None)


def made_history(*steps: tuple[int, int] | None, without_digests: int = 0) -> list[Transaction]:
    """Return a sound history: each step is how many events and dead letters a transaction holds, None is a reset.

    The first entries, as many as are said to be without digests, are of a release that wrote none.
    """
    history: list[Transaction] = []
    number = sequence = ids = 0
    for at, step in enumerate([(0, 0), *steps]):
        at_us = at * STEP_US
        if step is None:
            known = [
                each for before in history if before.entry.mode is Mode.LIVE for each in unpack_ids(before.entry.ids)
            ]
            reset = replace(
                made_entry(0, sequence, at_us, known), mode=Mode.RESET, counts=Counts(), covered_until_before_us=0
            )
            transaction = Transaction(reset, has_coverage=True)
            number = 0
        else:
            count, letters = step
            new = tuple(made_id(ids + each) for each in range(1, count + letters + 1))
            ids += count + letters
            events = tuple(
                Event(each, sequence + place, TOPICS[place % 2], each * 2) for place, each in enumerate(new[:count], 1)
            )
            sequence += count
            entry = made_entry(number, sequence, at_us, new, letters)
            transaction = Transaction(entry, events, new[count:], has_coverage=at % 2 == 1)
        if at >= without_digests:
            is_first = not history or step is None
            transaction = with_digests(transaction, None if is_first else entry_digest(value_of(history[-1].entry)))
        history.append(transaction)
        number += 1
    return history


class Bench:
    """Feeds an audit what transactions put into the topics, as Kafka would date and place it."""

    def __init__(self, audited: AuditRange | None = None) -> None:
        self.audit = PartitionAudit(PARTITION, audited or AuditRange())
        self._offset = 0

    def entries(self, history: Sequence[Transaction], *, is_recent: bool = False) -> None:
        """Have the audit read the entries of a history."""
        for each in history:
            self.entry(each.entry, each.entry.written_at_us, is_recent=is_recent)

    def entry(self, entry: LedgerEntry, dated_us: int, *, is_recent: bool = False) -> None:
        """Have it read one entry."""
        self.audit.entry(entry, self._offset, dated_us, entry_digest(value_of(entry)), is_recent=is_recent)
        self._offset += 2

    def records(self, history: Sequence[Transaction]) -> None:
        """Have it read the records of a history."""
        for each in history:
            dated_us = each.entry.written_at_us
            for event in each.events:
                self.event(event, dated_us)
            for letter_id in each.letters:
                self.audit.dead_letter(letter_id, number_of(letter_record(letter_id)), dated_us)
            if each.entry.mode is Mode.RESET:
                self.audit.gap(gap_of_reset(each.entry))
            if each.has_coverage:
                self.audit.coverage(number_of(each.coverage), each.entry.written_at_us, dated_us)

    def event(self, event: Event, dated_us: int = 0, partition: int = 0) -> None:
        """Have it read one event."""
        number = number_of(event.record)
        seen = SeenEvent(event.kind, event.record.topic, partition, dated_us, event.id, event.sequence, number)
        self.audit.event(seen)

    @property
    def findings(self) -> list[str]:
        """What the audit has found."""
        return list(self.audit.findings())


def findings_of(history: list[Transaction], recent: int = 0) -> list[str]:
    """Return the findings of a history; the last `recent` entries are read after the records were."""
    bench, first = Bench(), len(history) - recent
    bench.entries(history[:first])
    bench.records(history)
    bench.entries(history[first:], is_recent=True)
    return bench.findings
