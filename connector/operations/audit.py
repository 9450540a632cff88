"""The auditor: checks one stream partition's ledger against everything that it accounts for. Pure.

Nothing here trusts what the service remembers; all is recomputed from what was read. Instants are microseconds since
1970, by the dates that Kafka gives records unless it says otherwise. Memory is needed for blocks of entries, for the
ids of a duplicate window, and for rare records: dead letters, coverage and gaps. Each id is kept only for entries
without digests, which earlier releases wrote.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from connector.coverage.known_ids import KnownIds
from connector.errors import OwnCorruptionError
from connector.events.catalog import BY_NAME, StreamPartition
from connector.events.identity import unpack_ids
from connector.events.times import format_us
from connector.kafka.digests import gap_number, set_digest
from connector.kafka.ledger import (
    COVERAGE_RECORD,
    DEAD_LETTER,
    GAP_RECORD,
    OWN_KINDS,
    REPLAYED,
    LedgerEntry,
    Mode,
    RecordSet,
)
from connector.operations.accounts import TRANSACTION_US
from connector.operations.blocks import ANY_EVENT, Balance, Basis, Block, Blocks
from connector.operations.findings import Findings

_US_PER_MS = 1000
_UNACCOUNTED = "in a topic, but not accounted for in the ledger"
_NOWHERE = "accounted for in the ledger, but in no topic"
_AUDITED = OWN_KINDS | BY_NAME.keys() | {ANY_EVENT}


@dataclass(frozen=True, slots=True)
class AuditRange:
    """The audited range: entries that Kafka dates from `start_us`, included, to `end_us`, excluded.

    `kept_since_us` is, by kind of record, since when its topics are still complete. No entry may be from long after
    both its date and `now_us`.
    """

    start_us: int = 0
    end_us: int = 1 << 62
    now_us: int = 0
    kept_since_us: Mapping[str, int] = field(default_factory=dict)

    def holds(self, dated_us: int) -> bool:
        """Return whether a record with that date is in the range."""
        return self.start_us <= dated_us < self.end_us

    def is_kept(self, kind: str, dated_us: int) -> bool:
        """Return whether records of that kind and date must still exist."""
        if kind == ANY_EVENT:
            return all(dated_us >= since_us for since_us in self.kept_since_us.values())
        return dated_us >= self.kept_since_us.get(kind, 0)


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event that was read: its place, id and sequence, and its digest as a number."""

    kind: str
    topic: str
    kafka_partition: int
    dated_us: int
    id: bytes
    sequence: int
    number: int


@dataclass(frozen=True, slots=True)
class SeenGap:
    """The newest record of a gap, instants in milliseconds; `problem` is what is wrong with its state."""

    id: str
    start_ms: int
    end_ms: int
    cause: str
    recorded_ms: int
    dated_us: int
    problem: str | None


@dataclass(slots=True)
class Figures:
    """Counts of what was read in the range. `first` is number and date of its first entry.

    `head` is the digest of its newest entry, to which all earlier ones are chained; `entries_by_id` had no digests of
    their records, and `unchecked` records are no longer kept. `unknown` records are of kinds that only a later version
    writes and can read. No entry accounts for the `unaccounted` events, since the ledger was reset there.
    """

    entries: int = 0
    resets: int = 0
    entries_by_id: int = 0
    events: int = 0
    dead_letters: int = 0
    unchecked: int = 0
    unknown: int = 0
    unaccounted: int = 0
    before_ledger: int = 0
    first: tuple[int, int] | None = None
    covered_until_us: int | None = None
    head: bytes | None = None


class PartitionAudit:
    """Receives what was read of one stream partition, the ledger first, and finds what does not fit.

    Entries that were committed during the reading are passed last, before `findings` is called. `problems` is also for
    problems of a single record.
    """

    def __init__(self, partition: StreamPartition, audited: AuditRange) -> None:
        self.partition = partition
        self.figures = Figures()
        self.problems = Findings()
        self._range = audited
        self._blocks = Blocks(audited.kept_since_us.values())
        self._window = _IdWindow()
        self._newest: LedgerEntry | None = None
        self._digest: bytes | None = None
        self._ordinals: dict[str, dict[_Key, list[int]]] = {kind: {} for kind in OWN_KINDS}
        self._resets: dict[int, tuple[int, int]] = {}
        self._unexplained: str | None = None
        self._strays: list[_Stray] = []
        self._by_id: dict[bytes, bool] = {}
        self._repeats_by_id = Counter[bytes]()
        self._found_by_id: set[bytes] = set()
        self._by_id_until_us: int | None = None
        self._beyond = 0
        self._last_at: dict[tuple[str, int], int] = {}

    def entry(self, entry: LedgerEntry, offset: int, dated_us: int, digest: bytes, *, is_recent: bool = False) -> None:
        """Process the next ledger entry; `digest` is that of its value.

        The records of a recent one, committed during the reading, may or may not have been seen.
        """
        self._check(entry, dated_us)
        for event_id in self._window.add(entry, offset):
            self.problems.add("accounted for before", f"{event_id.hex()} in entry {entry.entry}")
        is_context = is_recent or not self._range.holds(dated_us)
        ordinal = self._blocks.add(entry, dated_us, is_context=is_context)
        if entry.records is None:
            self._expect_ids(entry, dated_us, is_context=is_context)
        else:
            for kind in OWN_KINDS & entry.records.keys():
                for key in _keys(kind, entry, entry.records[kind]):
                    self._ordinals[kind].setdefault(key, []).append(ordinal)
        self._newest, self._digest = entry, digest
        if not is_context:
            self._count(entry, dated_us, digest)

    def unreadable(self, why: str) -> None:
        """Record a ledger record that is not a sound entry."""
        self.problems.add("no sound entries of the ledger", why)
        self._digest = None

    def event(self, event: SeenEvent) -> None:
        """Process an event that was read."""
        self.figures.events += self._range.holds(event.dated_us)
        self._check_order(event)
        block = self._blocks.of_sequence(event.sequence)
        if block is None:
            self._unplaced(event)
        elif block.basis is Basis.DIGEST:
            block.found(event.kind, event.number)
        elif block.basis is Basis.IDS:
            block.found(ANY_EVENT, event.sequence)
            self._found_id(event.id)
        else:
            self.figures.unaccounted += self._range.holds(event.dated_us)

    def dead_letter(self, letter_id: bytes, number: int, dated_us: int) -> None:
        """Process a dead letter that was read, whose digest is `number`."""
        self.figures.dead_letters += self._range.holds(dated_us)
        if letter_id in self._by_id:
            self._found_id(letter_id)
        else:
            self._find(number, _Stray(DEAD_LETTER, letter_id, f"dead letter {letter_id.hex()}", dated_us))

    def mark(self, letter_id: bytes, number: int, dated_us: int) -> None:
        """Process the mark of a dead letter that was published as an event."""
        self._find(number, _Stray(REPLAYED, letter_id, f"mark of dead letter {letter_id.hex()}", dated_us))

    def coverage(self, number: int, written_us: int, dated_us: int) -> None:
        """Process a coverage record, written at `written_us` by the clock of the replica."""
        name = f"coverage of {format_us(written_us)}"
        self._find(number, _Stray(COVERAGE_RECORD, number, name, dated_us))

    def gap(self, gap: SeenGap) -> None:
        """Process the newest record of a gap; its digest covers the fields that stay the same."""
        number = gap_number(gap.id, gap.start_ms, gap.end_ms, gap.cause, gap.recorded_ms)
        self._find(number, _Stray(GAP_RECORD, gap.recorded_ms, f"gap {gap.id}", gap.dated_us))
        if gap.problem is not None:
            self.problems.add(gap.problem, gap.id)
        start_ms, end_ms = self._resets.get(gap.recorded_ms, (gap.start_ms, gap.end_ms))
        if gap.start_ms > start_ms or gap.end_ms < end_ms:
            self.problems.add("gaps of a reset that are shorter than what it skipped", gap.id)

    @property
    def has_seen_anything(self) -> bool:
        """Whether the range has any records of this stream partition."""
        figures = self.figures
        return figures.entries + figures.events + figures.dead_letters > 0 or bool(self.problems)

    def findings(self) -> Iterator[str]:
        """Yield everything that does not fit; nothing if all is accounted for."""
        self._tell_unexplained()
        yield from self.problems
        yield from self._late_findings()
        for block in self._blocks:
            if not block.is_context:
                yield from self._block_findings(block)

    def _check(self, entry: LedgerEntry, dated_us: int) -> None:
        try:
            entry.check_plausible(max(dated_us, self._range.now_us))
            if entry.mode is Mode.RESET:
                self._check_reset(entry)
            elif self._newest is not None:
                self._tell_unexplained()
                entry.check_follows(self._newest)
                entry.check_refers_to(self._digest)
                if entry.lacks_reference and self._newest.records is not None:
                    self.problems.add("entries without a reference to the previous one", f"entry {entry.entry}")
        except OwnCorruptionError as error:
            self.problems.add("entries out of place", str(error))

    def _check_reset(self, entry: LedgerEntry) -> None:
        """Check an entry of a reset: the time it skips must be a gap."""
        start_us, end_us = entry.covered_until_before_us, entry.covered_until_us
        when, before = f"that of {format_us(entry.written_at_us)}", self._newest
        if before is not None and start_us > before.covered_until_us:
            self.problems.add("resets that begin after the coverage before", when)
        if entry.skips_time(before):
            self._unexplained = when
            self._resets[entry.written_at_us // _US_PER_MS] = start_us // _US_PER_MS, end_us // _US_PER_MS
        if GAP_RECORD in (entry.records or {}):
            self._unexplained = None
        self.figures.resets += end_us > start_us

    def _tell_unexplained(self) -> None:
        if self._unexplained is not None:
            self.problems.add("resets that skip time without a gap", self._unexplained)
            self._unexplained = None

    def _count(self, entry: LedgerEntry, dated_us: int, digest: bytes) -> None:
        figures = self.figures
        figures.entries += 1
        figures.entries_by_id += entry.records is None
        figures.first = figures.first or (entry.entry, dated_us)
        figures.covered_until_us, figures.head = entry.covered_until_us, digest

    def _expect_ids(self, entry: LedgerEntry, dated_us: int, *, is_context: bool) -> None:
        is_required = self._range.is_kept(ANY_EVENT, dated_us) and not is_context and entry.mode is not Mode.RESET
        for event_id in unpack_ids(entry.ids):
            if event_id in self._by_id and entry.mode is not Mode.RESET:
                self._repeats_by_id[event_id] += 1
            self._by_id[event_id] = is_required or self._by_id.get(event_id, False)
        self._by_id_until_us = dated_us + TRANSACTION_US

    def _check_order(self, event: SeenEvent) -> None:
        place = event.topic, event.kafka_partition
        if event.sequence <= self._last_at.get(place, 0):
            self.problems.add("out of order", f"sequence {event.sequence} in {event.topic} partition {place[1]}")
        self._last_at[place] = event.sequence

    def _unplaced(self, event: SeenEvent) -> None:
        """Process an event that no entry read so far accounts for."""
        first = self._blocks.first
        if not self._range.holds(event.dated_us):
            return
        if first is None or event.sequence >= first.first_sequence:
            self._beyond = max(self._beyond, event.sequence)
        elif self._is_before_ledger(event.dated_us):
            self.figures.before_ledger += 1
        else:
            self.problems.add(_UNACCOUNTED, f"{event.id.hex()} with sequence {event.sequence}")

    def _is_before_ledger(self, dated_us: int) -> bool:
        """Return whether the entry that accounted for a record of the range with that date was removed."""
        first = self._blocks.first
        is_cut = first is not None and first.first_entry > 0 and not first.is_context
        return is_cut and first is not None and self._range.start_us <= dated_us <= first.first_us

    def _found_id(self, event_id: bytes) -> None:
        if event_id not in self._by_id:
            self.problems.add(_UNACCOUNTED, event_id.hex())
        elif event_id not in self._found_by_id:
            self._found_by_id.add(event_id)
        elif self._repeats_by_id[event_id] > 0:
            self._repeats_by_id[event_id] -= 1
        else:
            self.problems.add("duplicated", event_id.hex())

    def _find(self, number: int, stray: "_Stray") -> None:
        """Process a record other than an event; its entry may come later, if it was committed meanwhile."""
        ordinals = self._ordinals[stray.kind].get(stray.key)
        if ordinals is not None:  # records with one key are in the order of their entries
            self._blocks.of_ordinal(ordinals.pop(0) if len(ordinals) > 1 else ordinals[0]).found(stray.kind, number)
        elif self._range.holds(stray.dated_us):
            self._strays.append(stray)

    def _late_findings(self) -> Iterator[str]:
        """Yield findings that are known only once all is read."""
        newest = self._newest.sequence if self._newest is not None else 0
        if self._beyond > newest:
            yield f"sequence {self._beyond} is beyond the ledger's {newest}"
        late = Findings()
        for stray in self._strays:
            if self._is_before_ledger(stray.dated_us):
                self.figures.before_ledger += 1
            elif not self._is_accounted_for(stray):
                late.add(_UNACCOUNTED, stray.name)
        for event_id, is_required in self._by_id.items():
            if is_required and event_id not in self._found_by_id:
                late.add(_NOWHERE, event_id.hex())
        yield from late

    def _is_accounted_for(self, stray: "_Stray") -> bool:
        """Return whether an entry has come that accounts for the record, or may account for it without digests."""
        is_known = stray.key in self._ordinals[stray.kind] or stray.key in self._by_id
        has_none = stray.kind in {COVERAGE_RECORD, GAP_RECORD} and self._by_id_until_us is not None
        return is_known or (has_none and stray.dated_us <= (self._by_id_until_us or 0))

    def _block_findings(self, block: Block) -> Iterator[str]:
        for kind, balance in block.balances.items():
            if kind not in _AUDITED:
                self.figures.unknown += balance.count
            elif self._range.is_kept(kind, block.first_us):
                yield from _difference(kind, balance, block)
            else:
                self.figures.unchecked += max(0, balance.count)


_Key = bytes | int


class _Stray(NamedTuple):
    """A record that no entry read so far accounts for."""

    kind: str
    key: _Key
    name: str
    dated_us: int


def _keys(kind: str, entry: LedgerEntry, records: RecordSet) -> Iterable[_Key]:
    """Return the keys by which to find the records of one kind of an entry: ids, digest or time of writing."""
    if kind == COVERAGE_RECORD:
        return (int.from_bytes(records.digest),)
    if kind == GAP_RECORD:
        return (entry.written_at_us // _US_PER_MS,)
    return unpack_ids(entry.ids)[entry.counts.published if kind == DEAD_LETTER else 0 :]


class _IdWindow:
    """The ids known to the writer of the newest entry, packed as in the entry."""

    def __init__(self) -> None:
        self._ids = KnownIds(0)
        """Forgets by ledger offset, not by instant: an entry has the oldest offset whose ids its writer still knew."""

    def add(self, entry: LedgerEntry, offset: int) -> list[bytes]:
        """Add an entry; return those of its ids that were known, and so must not have been published again."""
        self._ids.forget(offset if entry.oldest_offset is None else entry.oldest_offset)
        is_new = entry.mode is not Mode.RESET and REPLAYED not in (entry.records or {})
        repeated = [event_id for event_id in unpack_ids(entry.ids) if event_id in self._ids] if is_new else []
        self._ids.remember(offset, offset, entry.ids)
        return repeated


def _difference(kind: str, balance: Balance, block: Block) -> Iterator[str]:
    """Yield the problems with the records of one kind in a block."""
    first, last = block.first_entry, block.last_entry
    entries = f"entry {first}" if first == last else f"entries {first} to {last}"
    when = f"committed by {format_us(block.last_us)}"
    if balance.count > 0:
        yield f"{balance.count} {kind} records of {entries}, {when}, are missing"
    elif balance.count < 0:
        yield f"{-balance.count} {kind} records more than {entries}, {when}, account for"
    elif any(set_digest(balance.total)):
        yield f"{kind} records of {entries}, {when}, are not those that the ledger accounts for"
