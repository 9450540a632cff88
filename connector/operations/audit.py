"""The auditor: one stream partition's ledger, events and dead letters held against each other. Pure.

Each finding is a sentence. Nothing here trusts what the service remembers; all is recomputed from what was read.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from connector.errors import OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.identity import unpack_ids
from connector.kafka.ledger import LedgerEntry, Mode

_EXAMPLES = 3


@dataclass(slots=True)
class PartitionAudit:
    """Takes what was read of one stream partition, in the order of its log, and tells what does not fit.

    What was committed before `since_us`, microseconds since 1970 as Kafka dates records, was read in part only and is
    not missed. No entry may be from long after both its date and `now_us`.
    """

    partition: StreamPartition
    since_us: int = 0
    now_us: int = 0
    entries: int = 0
    covered_until_us: int | None = None
    _newest: LedgerEntry | None = None
    _sequence_before: int | None = None
    _accounted: set[bytes] = field(default_factory=set)
    _must_be_there: set[bytes] = field(default_factory=set)
    _events: dict[bytes, int] = field(default_factory=dict)
    _dead_letters: set[bytes] = field(default_factory=set)
    _sequences: list[int] = field(default_factory=list)
    _findings: list[str] = field(default_factory=list)

    def entry(self, entry: LedgerEntry, dated_us: int, *, is_recent: bool = False) -> None:
        """Take the next ledger entry, as Kafka dates it; of a recent one the records may not have been read yet."""
        if entry.mode is not Mode.RESET:
            self._check_follows(entry)
        self._check_plausible(entry, dated_us)
        self._newest = entry
        ids = unpack_ids(entry.ids)
        self._accounted.update(ids)
        if self._sequence_before is None and dated_us >= self.since_us:
            self._sequence_before = entry.sequence - entry.counts.published
        if not is_recent and entry.mode is not Mode.RESET and dated_us >= self.since_us:
            self._must_be_there.update(ids)
        self.entries += 1
        self.covered_until_us = entry.covered_until_us

    def _check_follows(self, entry: LedgerEntry) -> None:
        try:
            if self._newest is not None:
                entry.check_follows(self._newest)
        except OwnCorruptionError as error:
            self._findings.append(str(error))
        for event_id in self._accounted.intersection(unpack_ids(entry.ids)):
            self._findings.append(f"ledger entry {entry.entry}: id {event_id.hex()} was accounted for before")

    def _check_plausible(self, entry: LedgerEntry, dated_us: int) -> None:
        try:
            entry.check_plausible(max(dated_us, self.now_us))
        except OwnCorruptionError as error:
            self._findings.append(str(error))

    def unreadable(self, why: str) -> None:
        """Record a ledger record that is not a sound entry."""
        self._findings.append(why)

    def record(self, event_id: bytes, sequence: int | None) -> None:
        """Take an event that was read, or a dead letter, which has no sequence."""
        if sequence is None:
            self.dead_letter(event_id)
        else:
            self.event(event_id, sequence)

    def event(self, event_id: bytes, sequence: int) -> None:
        """Take an event that was read."""
        if event_id in self._events:
            self._findings.append(f"event {event_id.hex()} is there twice")
        self._events[event_id] = sequence
        self._sequences.append(sequence)

    def dead_letter(self, event_id: bytes) -> None:
        """Take a dead letter that was read."""
        if event_id in self._dead_letters:
            self._findings.append(f"dead letter {event_id.hex()} is there twice")
        self._dead_letters.add(event_id)

    @property
    def records(self) -> int:
        """How many events and dead letters were read."""
        return len(self._events) + len(self._dead_letters)

    def findings(self) -> Iterator[str]:
        """Yield everything that does not fit; nothing means that all is accounted for."""
        yield from self._findings
        there = self._events.keys() | self._dead_letters
        yield from _some("accounted for in the ledger, but in no topic", self._must_be_there - there)
        yield from _some("in a topic, but not accounted for in the ledger", there - self._accounted)
        yield from _some("there as event and as dead letter", self._events.keys() & self._dead_letters)
        yield from self._sequence_findings()

    def _sequence_findings(self) -> Iterator[str]:
        repeated = [sequence for sequence, count in Counter(self._sequences).items() if count > 1]
        for sequence in sorted(repeated)[:_EXAMPLES]:
            yield f"sequence {sequence} belongs to more than one event"
        present = set(self._sequences)
        if not present:
            return
        first, newest = 1 + (self._sequence_before or 0), max(present)
        count = newest - first - sum(first <= sequence < newest for sequence in present)
        if count > 0:
            yield f"{count} sequence numbers are missing, the first is {_first_missing(first, present)}"
        if self._newest is not None and newest > self._newest.sequence:
            yield f"sequence {newest} is beyond the ledger's {self._newest.sequence}"


def _first_missing(first: int, present: Collection[int]) -> int:
    return next(sequence for sequence in itertools.count(first) if sequence not in present)


def _some(what: str, ids: set[bytes]) -> Iterator[str]:
    if ids:
        examples = ", ".join(sorted(event_id.hex() for event_id in ids)[:_EXAMPLES])
        yield f"{len(ids)} {what}, such as {examples}"
