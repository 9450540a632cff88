"""Sums up the ledger entries of one stream partition over a time range, as they are read. Pure.

Memory grows with dead letters and changes of owner, never with events. Instants are microseconds since 1970.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.ledger import LedgerEntry, Mode, is_event
from connector.operations.coverage_report import (
    Ownership,
    PartitionCoverage,
    ReportedDeadLetter,
    ReportedGap,
    Verdict,
)
from connector.pages.words import counted

OWNER_AGE_US = 60 * US_PER_S
"""A replica that reads a stream partition writes an entry at least this often."""
UNKNOWN = "unknown"
"""The event type, and the owner, in entries of releases that did not record them."""

_MOST_RESETS = 10
"""More are counted, not named."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where coverage begins; `note` says why that is later than the first reading of the stream partition."""

    covered_from_us: int
    note: str | None = None


def beginning(oldest: Sequence[LedgerEntry], begin: int) -> Beginning | None:
    """Return where coverage begins, by the first one or two entries of a ledger that is kept from offset `begin`.

    Entry 0 is by a wall clock that may have been ahead, so entry 1 may set it back. None without an entry.
    """
    if not oldest:
        return None
    first = oldest[0]
    if first.entry > 0:
        return _cut(min(first.covered_until_before_us, first.covered_until_us), first.entry)
    if first.mode is Mode.RESET and begin > 0:
        return _cut(first.covered_until_us, 0)
    return Beginning(min(entry.covered_until_us for entry in oldest if entry.entry <= 1))


def _cut(covered_from_us: int, number: int) -> Beginning:
    return Beginning(
        covered_from_us,
        f"the ledger is kept from entry {number} on: there was coverage before {format_us(covered_from_us)}, "
        "which can no longer be shown",
    )


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest ledger entry, its date by Kafka, and the claim of the newest coverage record, if any."""

    covered_until_us: int | None = None
    dated_us: int | None = None
    claimed_us: int | None = None

    @property
    def is_readable(self) -> bool:
        """Return whether the entry shows how far coverage reaches, or there is none."""
        return (self.dated_us is None) == (self.covered_until_us is None)


@dataclass(slots=True)
class PartitionSum:
    """Receives the entries of `partition` in order, and sums up those that belong to the range.

    The range is from `start_us`, included, to `end_us`, excluded. An entry belongs to it if it covers any of it, or if
    its lines may be from it though coverage was held: whole transactions, so those at the bounds count in full, and a
    line that may be of two ranges is in both. `resets` are the dates of those that belong to it,
    and `unlinked` entries do not refer to the previous one.
    Before `kept_since_us`, by Kafka's dates, events of a type may be gone; not of types that it leaves out.
    """

    partition: StreamPartition
    start_us: int
    end_us: int
    kept_since_us: Mapping[str, int] = field(default_factory=dict)
    received: int = 0
    duplicates: int = 0
    control: int = 0
    events: Counter[str] = field(default_factory=Counter)
    owners: list[Ownership] = field(default_factory=list)
    dead_letters: list[ReportedDeadLetter] = field(default_factory=list)
    missing_letters: int = 0
    missing_until_us: int = 0
    types_gone: set[str] = field(default_factory=set)
    resets: list[int] = field(default_factory=list)
    unlinked: int = 0

    def belongs(self, entry: LedgerEntry) -> bool:
        """Return whether an entry concerns the range."""
        earliest_us = min(entry.covered_until_before_us + 1, entry.covered_until_us)
        return earliest_us < self.end_us and self.start_us <= _latest_us(entry)

    def is_beyond(self, entry: LedgerEntry) -> bool:
        """Return whether this entry and all that follow come after the range."""
        return entry.entry > 1 and entry.covered_until_before_us >= self.end_us

    def add(self, entry: LedgerEntry, dated_us: int, letters: Collection[ReportedDeadLetter]) -> None:
        """Count an entry that belongs to the range; `letters` are those of it that are still on their topic."""
        counts = entry.counts
        self.received += counts.received
        self.duplicates += counts.duplicate
        self.control += counts.control
        if entry.records is not None:
            for kind, records in entry.records.items():
                if is_event(kind) and records.count:
                    self.events[kind] += records.count
                    if dated_us < self.kept_since_us.get(kind, 0):
                        self.types_gone.add(kind)
                        self.missing_until_us = max(self.missing_until_us, _latest_us(entry) + 1)
        elif counts.published:
            self.events[UNKNOWN] += counts.published
        self.dead_letters.extend(letters)
        if missing := max(0, counts.dead_lettered - len(letters)):
            self.missing_letters += missing
            self.missing_until_us = max(self.missing_until_us, _latest_us(entry) + 1)
        self._add_owner(entry.owner or UNKNOWN, dated_us)

    def _add_owner(self, owner: str, dated_us: int) -> None:
        if self.owners and self.owners[-1].owner == owner:
            self.owners[-1] = replace(self.owners[-1], end_us=max(self.owners[-1].end_us, dated_us))
        else:
            self.owners.append(Ownership(owner, dated_us, dated_us))

    def close(
        self,
        began: Beginning | None,
        newest: Newest,
        gaps: Iterable[ReportedGap],
        faults: Sequence[str],
        now_us: int,
    ) -> PartitionCoverage:
        """Return the result of everything read; `faults` are the untrusted parts of the ledger."""
        touching = tuple(gap for gap in gaps if gap.touches(self.start_us, self.end_us))
        known_from_us = max(began.covered_from_us, self.missing_until_us) if began else None
        has_owner = newest.dated_us is not None and newest.dated_us >= now_us - OWNER_AGE_US
        return PartitionCoverage(
            partition=self.partition,
            verdict=Verdict.NOT_YET if faults else self._verdict(known_from_us, newest.covered_until_us, touching),
            covered_from_us=began.covered_from_us if began else None,
            known_from_us=known_from_us,
            complete_until_us=newest.covered_until_us,
            has_owner=has_owner if newest.is_readable else None,
            gaps=touching,
            dead_letters=tuple(self.dead_letters),
            events=dict(sorted(self.events.items())),
            received=self.received,
            duplicates=self.duplicates,
            control=self.control,
            owners=tuple(self.owners),
            notes=tuple(self._notes(began, newest, faults, has_owner=has_owner)),
        )

    def _verdict(
        self, known_from_us: int | None, complete_until_us: int | None, gaps: Iterable[ReportedGap]
    ) -> Verdict:
        if complete_until_us is None or known_from_us is None or complete_until_us < self.end_us:
            return Verdict.NOT_YET
        if known_from_us > self.start_us:
            return Verdict.BEGINS_LATER
        return Verdict.GAPS if any(gap.is_open for gap in gaps) else Verdict.COMPLETE

    def _notes(
        self, began: Beginning | None, newest: Newest, faults: Sequence[str], *, has_owner: bool
    ) -> Iterable[str]:
        if faults:
            yield f"{counted(len(faults), 'record')} of the ledger cannot be trusted, such as {faults[0]}"
        if began is None and not faults:
            yield "never read: the ledger has no entry"
        if began is not None and began.note and began.covered_from_us > self.start_us:
            yield began.note
        if newest.dated_us is not None and not has_owner:
            yield f"no owner, or no connection to X: nothing was written since {format_us(newest.dated_us)}"
        if newest.claimed_us is not None and newest.claimed_us > (newest.covered_until_us or 0) // 1000 * 1000:
            yield f"the coverage topic claims {format_us(newest.claimed_us)}, which the ledger does not support"
        yield from self._range_notes()

    def _range_notes(self) -> Iterable[str]:
        """Yield the notes that follow from the entries of the range alone."""
        for reset_us in self.resets[:_MOST_RESETS]:
            yield f"the ledger was reset at {format_us(reset_us)}"
        if len(self.resets) > _MOST_RESETS:
            yield f"the ledger was reset {len(self.resets)} times"
        if self.unlinked:
            entries = "1 entry does not refer to the previous one"
            if self.unlinked > 1:
                entries = f"{self.unlinked:,} entries do not refer to the previous one"
            yield f"{entries}: an older release was running, or another program wrote"
        if self.missing_letters:
            kept = "is no longer on its topic" if self.missing_letters == 1 else "are no longer on their topic"
            yield f"{counted(self.missing_letters, 'dead letter')} of the range {kept} and cannot be shown"
        if self.types_gone:
            topics = counted(len(self.types_gone), "topic")
            yield f"events of the range are no longer kept on {topics}: {', '.join(sorted(self.types_gone))}"
        if undivided := self.events[UNKNOWN]:
            yield f"the ledger does not say of which type {counted(undivided, 'event is', 'events are')}"


def _latest_us(entry: LedgerEntry) -> int:
    return max(entry.covered_until_us, entry.covers_to_us)
