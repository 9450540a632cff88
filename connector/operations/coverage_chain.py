"""Whether the ledger entries of one stream partition can follow one another, and which gaps they account for. Pure.

All entries of a reset are number 0 and refer to no previous entry, so any program with access to the ledger could use
one to advance coverage. A reset is believed only if it continues from the previous coverage, and accounts for the time
it skips as a gap.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from connector.errors import OwnCorruptionError
from connector.events.times import format_us
from connector.kafka.digests import set_digest
from connector.kafka.ledger import GAP_RECORD, LedgerEntry, Mode, RecordSet
from connector.operations.coverage_records import GapEvidence
from connector.pages.words import counted

_US_PER_MS = 1000


class Link(NamedTuple):
    """An entry, the digest of its record's value, its place in words, and its date by Kafka."""

    entry: LedgerEntry
    digest: bytes
    place: str
    dated_us: int


class GapAccount(NamedTuple):
    """The gaps that an entry accounts for, recorded at `recorded_us`, and where the entry is, in words."""

    place: str
    recorded_us: int
    records: RecordSet


@dataclass(slots=True)
class _Reset:
    """The entries of one reset: the instants between which they move coverage, and the gap they account for."""

    writer_id: str
    place: str
    dated_us: int
    is_of_range: bool = False
    skips_time: bool = False
    accounts: list[GapAccount] = field(default_factory=list)


class Chain:
    """Takes entries in their order, and calls `blame` with each fault, in words.

    `resets` are the dates of those in the range, `accounts` the gaps that its entries account for. `unlinked` entries
    of the range have no digests, though the one before has: an older release may have been back, or another program.
    """

    def __init__(self, blame: Callable[[str], None]) -> None:
        self.resets: list[int] = []
        self.accounts: list[GapAccount] = []
        self.unlinked = 0
        self._blame = blame
        self._before: Link | None = None
        self._reset: _Reset | None = None

    @property
    def is_in_reset(self) -> bool:
        """Whether the last entry was one of a reset."""
        return self._reset is not None

    def take(self, link: Link, *, is_of_range: bool) -> None:
        """Process the next entry; `is_of_range` is whether it concerns the range of the report."""
        if link.entry.mode is Mode.RESET:
            self._take_reset(link, is_of_range=is_of_range)
        else:
            self.cut()
            self._check_follows(link)
            if is_of_range:
                self.accounts.extend(_accounts(link))
                self.unlinked += self._is_unlinked(link.entry)
        self._before = link

    def skip(self) -> None:
        """Skip an unsound entry: the link of the next one cannot be judged."""
        self.cut()
        self._before = None

    def cut(self) -> None:
        """End the reset: no further entry of it follows."""
        reset, self._reset = self._reset, None
        if reset is None:
            return
        if reset.skips_time and not reset.accounts:
            self._blame(f"{reset.place}: the ledger was reset, and the skipped time is not accounted for as a gap")
        if reset.is_of_range:
            self.resets.append(reset.dated_us)
            self.accounts.extend(reset.accounts)

    def _take_reset(self, link: Link, *, is_of_range: bool) -> None:
        entry, before = link.entry, self._before.entry if self._before else None
        if self._reset is not None and self._reset.writer_id != entry.writer_id:
            self.cut()
        if self._reset is None:
            self._reset = _Reset(entry.writer_id, link.place, link.dated_us)
        reset = self._reset
        reset.is_of_range |= is_of_range
        reset.accounts.extend(_accounts(link))
        reset.skips_time |= entry.skips_time(before)
        if before is not None and entry.covered_until_before_us > before.covered_until_us:
            self._blame(
                f"{link.place}: the ledger was reset from {format_us(entry.covered_until_before_us)} on, but covered "
                f"no more than until {format_us(before.covered_until_us)}"
            )

    def _is_unlinked(self, entry: LedgerEntry) -> bool:
        before = self._before
        has_digests = before is not None and before.entry.records is not None
        return has_digests and entry.records is None and entry.previous is None

    def _check_follows(self, link: Link) -> None:
        before = self._before
        if before is None:
            return
        try:
            link.entry.check_follows(before.entry)
            link.entry.check_refers_to(before.digest)
        except OwnCorruptionError as error:
            self._blame(f"{link.place}: {error}")
        if link.entry.lacks_reference and before.entry.records is not None:
            self._blame(f"{link.place}: entry {link.entry.entry} does not refer to the previous one")


def _accounts(link: Link) -> Iterator[GapAccount]:
    entry = link.entry
    if entry.records is not None and GAP_RECORD in entry.records:
        recorded_us = entry.written_at_us // _US_PER_MS * _US_PER_MS
        yield GapAccount(link.place, recorded_us, entry.records[GAP_RECORD])


def gap_faults(accounts: Iterable[GapAccount], gaps: Iterable[GapEvidence]) -> Iterator[str]:
    """Yield differences between the gaps on their topic and in the ledger; all are of one stream partition.

    Additional gaps are no fault here: their entries may be outside the range.
    """
    there: dict[int, list[int]] = {}
    for each in gaps:
        there.setdefault(each.gap.recorded_us, []).append(each.number)
    expected: dict[int, list[GapAccount]] = {}
    for account in accounts:
        expected.setdefault(account.recorded_us, []).append(account)
    for recorded_us, together in expected.items():
        found, place = there.get(recorded_us, []), together[0].place
        count = sum(account.records.count for account in together)
        total = sum(int.from_bytes(account.records.digest) for account in together)
        if len(found) < count:
            missing = counted(count - len(found), "gap is", "gaps are")
            yield f"{place}: {missing} not on the gap topic though this entry accounts for {count}"
        elif len(found) == count and set_digest(sum(found)) != set_digest(total):
            yield f"{place}: the gaps on the gap topic are not those that this entry accounts for"
