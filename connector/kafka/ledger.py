"""The ledger: one entry per transaction, with its content and the coverage after it.

Owns the entry and what makes a row of entries consistent. Must not know how entries are read or sent.
Instants are microseconds since 1970 in X's time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from connector.coverage.recovery import NOTHING_LEARNED, Recovery
from connector.errors import OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.identity import ID_BYTES, unpack_ids
from connector.events.times import US_PER_S, format_us

CLOCKS_APART_US = 49 * 60 * 60 * US_PER_S
"""No instant is recorded this far beyond every clock involved, even if some of them are wrong.

Coverage goes by X's time, `written_at` and entry 0 by a replica's wall clock, the date of a record by a broker's clock.
Each may be two days off without harm, as may X's `Date`; so an honest entry may be two days ahead of the clocks that
are consulted. The hour is for what is added to a clock: the travel time of an answer, the minutes by which a wall clock
is believed to be ahead of X, a machine that was suspended.
"""
DEAD_LETTER, COVERAGE_RECORD, GAP_RECORD, REPLAYED = "dead-letter", "coverage", "gap", "replayed"
OWN_KINDS = frozenset((DEAD_LETTER, COVERAGE_RECORD, GAP_RECORD, REPLAYED))
"""Kinds of records other than events. `REPLAYED`, on the dead-letter topic, marks one that became an event.

A later version may write more: `is_event` distinguishes those of any version.
"""


class Mode(StrEnum):
    """What a stream partition is doing; `RESET` marks the entry with which `ledger reset` begins a new row."""

    LIVE = "live"
    REPLAY = "replay"
    DISCONNECTED = "disconnected"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of the lines received, by outcome."""

    received: int = 0
    published: int = 0
    duplicate: int = 0
    dead_lettered: int = 0
    control: int = 0

    @property
    def lowest(self) -> int:
        """The smallest count."""
        return min(self.received, self.published, self.duplicate, self.dead_lettered, self.control)

    @property
    def balance(self) -> int:
        """Lines that are unaccounted for: anything but zero is a bug of the connector."""
        return self.received - self.published - self.duplicate - self.dead_lettered - self.control


class Writer(NamedTuple):
    """The author of entries: every restore draws a new `id`, `owner` is the name of the replica."""

    id: str
    owner: str


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The number of records of one kind in a transaction, and the digest of them all (`digests`)."""

    count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One transaction of one stream partition.

    `sequence` is that of the last event so far; `ids` are those of this transaction's events, then of its dead letters,
    packed; `oldest_offset` is the offset of the oldest entry whose ids still matter, None for this one itself. Entry 0
    is written by the wall clock, before X's time is known; entry 1 may therefore set coverage back. All entries that a
    reset writes are number 0.

    `records` are those of this transaction by kind: an event type, `dead-letter`, `coverage`, `gap` or `replayed`.
    `previous` is the digest of the entry before, and `owner` the replica that wrote this one. All three are None in
    entries of releases that did not write them; `previous` also where a ledger begins.
    """

    entry: int
    writer_id: str
    partition: StreamPartition
    covered_until_before_us: int
    covered_until_us: int
    covers_to_us: int
    counts: Counts
    sequence: int
    mode: Mode
    slice_us: tuple[int, int] | None
    ids: bytes
    oldest_offset: int | None
    written_at_us: int
    recovery: Recovery = NOTHING_LEARNED
    records: Mapping[str, RecordSet] | None = None
    previous: bytes | None = None
    owner: str | None = None

    @property
    def id_count(self) -> int:
        """The number of ids."""
        return len(self.ids) // ID_BYTES

    def check(self) -> None:
        """Raise `OwnCorruptionError` when the entry contradicts itself."""
        counts = self.counts
        faults = [
            fault
            for fault, is_there in (
                ("lines are unaccounted for", counts.balance != 0),
                ("a count is negative", counts.lowest < 0),
                ("ids and counts differ", self.id_count != self._expected_ids),
                ("duplicate id", len(set(unpack_ids(self.ids))) != self.id_count),
                ("coverage moves back", self.covered_until_us < self.covered_until_before_us and self.entry > 1),
                ("the entry number is negative", self.entry < 0),
                ("records and counts differ", not self._records_agree),
            )
            if is_there
        ]
        if faults:
            raise OwnCorruptionError(f"ledger {self.partition} entry {self.entry}: {', '.join(faults)}")

    def check_plausible(self, latest_us: int, wall_us: int = 0) -> None:
        """Raise `OwnCorruptionError` when an instant of the entry is beyond `latest_us` by more than clocks differ.

        `latest_us` is the latest of the clocks that a writer of entries cannot set, such as Kafka's date of the record:
        one right clock is enough, so a slow one refuses nothing. `written_at` vouches for nothing, being as easy to
        forge; it alone may also be by a wall clock that shows `wall_us`.
        """
        for name, instant_us, limit_us in (
            ("covered_until", self.covered_until_us, latest_us),
            ("covers_to", self.covers_to_us, latest_us),
            ("slice_end", self.slice_us[1] if self.slice_us else 0, latest_us),
            ("recovery", self.recovery.latest_us, latest_us),
            ("written_at", self.written_at_us, max(latest_us, wall_us)),
        ):
            if not is_plausible(instant_us, limit_us):
                raise OwnCorruptionError(
                    f"ledger {self.partition} entry {self.entry}: {name} is {format_us(instant_us)}, and the latest "
                    f"that any clock shows is {format_us(limit_us)}"
                )

    @property
    def _expected_ids(self) -> int:
        """The number of ids expected; a reset counts no lines, and holds the ids that must stay known."""
        if self.mode is Mode.RESET:
            return self.id_count
        return self.counts.published + self.counts.dead_lettered

    @property
    def _records_agree(self) -> bool:
        """Whether the record sets, if any, are as large as the counts."""
        if self.records is None:
            return True
        sizes = {kind: each.count for kind, each in self.records.items()}
        published = sum(count for kind, count in sizes.items() if is_event(kind))
        return published == self.counts.published and sizes.get(DEAD_LETTER, 0) == self.counts.dead_lettered

    def check_follows(self, before: "LedgerEntry") -> None:
        """Raise `OwnCorruptionError` if this entry cannot directly follow `before`."""
        faults = [
            fault
            for fault, is_there in (
                (f"follows entry {before.entry}", self.entry != (0 if self.mode is Mode.RESET else before.entry + 1)),
                ("begins at another coverage", self.covered_until_before_us != before.covered_until_us),
                ("the sequence does not add up", self.sequence != before.sequence + self.counts.published),
            )
            if is_there
        ]
        if faults:
            raise OwnCorruptionError(f"ledger {self.partition} entry {self.entry}: {', '.join(faults)}")

    @property
    def lacks_reference(self) -> bool:
        """Whether it lacks the reference to the previous entry, although its release writes one except in resets."""
        return self.previous is None and self.records is not None and self.mode is not Mode.RESET

    def skips_time(self, before: "LedgerEntry | None") -> bool:
        """Return whether this entry of a reset advances coverage, so that it must account for a gap.

        A release without digests accounts for none: neither its entry nor the one before has records.
        """
        is_of_older_release = self.records is None and (before is None or before.records is None)
        return self.covered_until_us > self.covered_until_before_us and not is_of_older_release

    def check_refers_to(self, digest: bytes | None, *, is_due: bool = False) -> None:
        """Raise `OwnCorruptionError` if this entry refers to another previous entry than the one with `digest`.

        An entry without a digest to compare passes, as does one without a reference, unless that `is_due`: the entry
        before is of a release that wrote digests. A reset starts over, and an entry without digests at all is of an
        older release.
        """
        if is_due and self.lacks_reference:
            raise OwnCorruptionError(
                f"ledger {self.partition} entry {self.entry}: does not say which entry it was written after"
            )
        if None not in (self.previous, digest) and self.previous != digest:
            raise OwnCorruptionError(
                f"ledger {self.partition} entry {self.entry}: the entry before is not the one that it was written after"
            )

    def as_record(self) -> dict[str, Any]:
        """Return the entry as the Avro record of `LedgerEntry.avsc`."""
        slice_start, slice_end = self.slice_us or (None, None)
        return {
            "entry": self.entry,
            "writer_id": self.writer_id,
            "stream": self.partition.stream,
            "stream_partition": self.partition.number,
            "covered_until_before": self.covered_until_before_us,
            "covered_until": self.covered_until_us,
            "covers_to": self.covers_to_us,
            "received": self.counts.received,
            "published": self.counts.published,
            "duplicate": self.counts.duplicate,
            "dead_lettered": self.counts.dead_lettered,
            "control": self.counts.control,
            "sequence": self.sequence,
            "mode": self.mode.value,
            "slice_start": slice_start,
            "slice_end": slice_end,
            "ids": self.ids,
            "oldest_offset": self.oldest_offset,
            "written_at": self.written_at_us // 1000,
            "recovery": None if self.recovery == NOTHING_LEARNED else self.recovery.as_text(),
            "records": None
            if self.records is None
            else [{"kind": kind, "count": each.count, "digest": each.digest} for kind, each in self.records.items()],
            "previous": self.previous,
            "owner": self.owner,
        }


def is_event(kind: str) -> bool:
    """Return whether records of this kind are events, in an entry of any version.

    Events are on `PREFIX.STREAM.EVENT`, everything else on `PREFIX-NAME`, so only the names of events have a dot.
    """
    return "." in kind


def is_plausible(instant_us: int, latest_us: int) -> bool:
    """Return whether a recorded instant may be true, if `latest_us` is the latest of all clocks."""
    return instant_us <= latest_us + CLOCKS_APART_US


def check_contiguous(entries: Iterable[LedgerEntry]) -> None:
    """Raise `OwnCorruptionError` unless each entry follows the one before."""
    before: LedgerEntry | None = None
    for entry in entries:
        if before is not None:
            entry.check_follows(before)
        before = entry


def first_entry(partition: StreamPartition, writer_id: str, now_us: int) -> LedgerEntry:
    """Return entry 0 of a new stream partition: covered from now on, by the wall clock."""
    return LedgerEntry(
        entry=0,
        writer_id=writer_id,
        partition=partition,
        covered_until_before_us=now_us,
        covered_until_us=now_us,
        covers_to_us=now_us,
        counts=Counts(),
        sequence=0,
        mode=Mode.DISCONNECTED,
        slice_us=None,
        ids=b"",
        oldest_offset=None,
        written_at_us=now_us,
    )
