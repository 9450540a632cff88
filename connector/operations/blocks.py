"""Expected and found records, by blocks of neighbouring ledger entries. Pure.

Digests of record sets add up, so entries can be merged: a partition's audit needs memory for a bounded number of
blocks, however many entries and events there are.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from connector.kafka.ledger import LedgerEntry, RecordSet

MOST_BLOCKS = 4096
"""Beyond this, neighbours are merged in pairs."""


ANY_EVENT = "event"
"""The kind used for an entry without digests: the sequences of its events are added up instead."""


class Basis(Enum):
    """How the records of an entry are checked against it."""

    DIGEST = auto()
    IDS = auto()  # the entry is of a release that wrote no digests
    NOTHING = auto()  # nothing accounts for them: a ledger was reset, or an entry cannot be read


@dataclass(slots=True)
class Balance:
    """Records expected minus records found, and the same for the sums of their digests."""

    count: int = 0
    total: int = 0


@dataclass(slots=True)
class Block:
    """Neighbouring entries: numbers of the first and last, their dates in microseconds since 1970, the last sequence.

    `is_context` is set if the entries are outside the audited range: records found for them are theirs, and missing
    ones do not matter.
    """

    basis: Basis
    is_context: bool
    first_entry: int
    last_entry: int
    first_us: int
    last_us: int
    first_sequence: int
    last_sequence: int
    last_ordinal: int
    balances: dict[str, Balance] = field(default_factory=dict)
    entries: int = 1

    def expect(self, kind: str, records: RecordSet) -> None:
        """Add records that an entry accounts for."""
        balance = self.balances.setdefault(kind, Balance())
        balance.count += records.count
        balance.total += int.from_bytes(records.digest)

    def found(self, kind: str, number: int) -> None:
        """Subtract a record that was read, whose digest is `number`."""
        balance = self.balances.get(kind)
        if balance is None:
            balance = self.balances[kind] = Balance()
        balance.count -= 1
        balance.total -= number

    def absorb(self, after: "Block") -> None:
        """Merge the other block into this one."""
        self.last_entry, self.last_us = after.last_entry, after.last_us
        self.last_sequence, self.last_ordinal = after.last_sequence, after.last_ordinal
        self.entries += after.entries
        for kind, balance in after.balances.items():
            mine = self.balances.setdefault(kind, Balance())
            mine.count += balance.count
            mine.total += balance.total


class Blocks:
    """The blocks of one stream partition, in the order of its ledger.

    Beyond `most` blocks, neighbours are merged, so that all hold about as many entries; never across one of the
    `boundaries`, dates in microseconds since 1970 at which the set of kept records changes.
    """

    def __init__(self, boundaries: Iterable[int] = (), most: int = MOST_BLOCKS) -> None:
        self._boundaries = sorted(boundaries)
        self._most = most
        self._capacity = 1
        self._blocks: list[Block] = []
        self._sequences: list[int] = []
        self._ordinals: list[int] = []
        self._next_ordinal = 0

    def __iter__(self) -> Iterator[Block]:
        return iter(self._blocks)

    @property
    def first(self) -> Block | None:
        """The block of the oldest entry."""
        return self._blocks[0] if self._blocks else None

    def add(self, entry: LedgerEntry, dated_us: int, *, is_context: bool) -> int:
        """Add the next entry; return its ordinal."""
        ordinal, self._next_ordinal = self._next_ordinal, self._next_ordinal + 1
        number, first, last = entry.entry, entry.sequence - entry.counts.published + 1, entry.sequence
        after = self._blocks[-1].last_sequence + 1 if self._blocks else first
        dates = dated_us, dated_us
        if first > after:
            nothing = Block(Basis.NOTHING, is_context, number, number, *dates, after, first - 1, ordinal - 1)
            self._append(nothing)
        basis = Basis.IDS if entry.records is None else Basis.DIGEST
        block = Block(basis, is_context, number, number, *dates, first, last, ordinal)
        if entry.records is None:
            block.balances[ANY_EVENT] = Balance(last - first + 1, (first + last) * (last - first + 1) // 2)
        for kind, records in (entry.records or {}).items():
            block.expect(kind, records)
        self._append(block)
        return ordinal

    def of_sequence(self, sequence: int) -> Block | None:
        """Return the block whose entries account for an event, or None."""
        at = bisect_left(self._sequences, sequence)
        if at == len(self._blocks) or sequence < self._blocks[at].first_sequence:
            return None
        return self._blocks[at]

    def of_ordinal(self, ordinal: int) -> Block:
        """Return the block of an entry."""
        return self._blocks[bisect_left(self._ordinals, ordinal)]

    def _append(self, block: Block) -> None:
        if self._blocks and self._goes_with(self._blocks[-1], block):
            self._blocks[-1].absorb(block)
            self._sequences[-1], self._ordinals[-1] = block.last_sequence, block.last_ordinal
            return
        self._blocks.append(block)
        self._sequences.append(block.last_sequence)
        self._ordinals.append(block.last_ordinal)
        if len(self._blocks) > self._most:
            self._put_together()

    def _put_together(self) -> None:
        """Double the capacity of a block, and merge neighbours accordingly."""
        self._capacity *= 2
        merged: list[Block] = []
        for block in self._blocks:
            if merged and self._goes_with(merged[-1], block):
                merged[-1].absorb(block)
            else:
                merged.append(block)
        self._blocks = merged
        self._sequences = [block.last_sequence for block in merged]
        self._ordinals = [block.last_ordinal for block in merged]

    def _goes_with(self, before: Block, block: Block) -> bool:
        return (
            before.entries + block.entries <= self._capacity
            and (before.basis, before.is_context) == (block.basis, block.is_context)
            and bisect_right(self._boundaries, before.last_us) == bisect_right(self._boundaries, block.first_us)
        )
