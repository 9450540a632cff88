"""The credible part of a refused ledger: its newest entry that fits the earlier ones, and the ids that it needs.

Owns which entries are believed. Must not know the other topics. Instants are microseconds since 1970.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from connector.errors import OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.identity import unpack_ids
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import GAP_RECORD, LedgerEntry, Mode
from connector.kafka.ledger_log import Bounds, LedgerLog
from connector.kafka.reading import ReadRecord

_FIRST_STEP_BACK = 64


@dataclass(frozen=True, slots=True)
class LastKnown:
    """How far coverage reached and which sequence came last; `dated_us` is Kafka's date of the oldest entry needed."""

    covered_until_us: int
    sequence: int
    dated_us: int
    ids: tuple[bytes, ...]


class Place(NamedTuple):
    """An entry that is whole, sound and plausible, and its record."""

    entry: LedgerEntry
    record: ReadRecord

    def may_follow(self, before: "Place") -> bool:
        """Return whether this entry can directly follow `before`; a reset, which begins a row, only with its gap."""
        if self.entry.mode is Mode.RESET:
            moves_on = self.entry.covered_until_us > before.entry.covered_until_us
            return not moves_on or GAP_RECORD in (self.entry.records or {})
        try:
            self.entry.check_follows(before.entry)
            self.entry.check_refers_to(entry_digest(before.record.value), is_due=before.entry.records is not None)
        except OwnCorruptionError:
            return False
        return True


def newest_that_fits(places: Iterable[Place]) -> tuple[Place | None, bool]:
    """Return the newest entry of the contiguous row from the first one, and whether another one confirms it."""
    newest, is_confirmed = None, False
    for each in places:
        if newest is None:
            newest = each
        elif each.may_follow(newest):
            newest, is_confirmed = each, True
    return newest, is_confirmed


def read_last_known(log: LedgerLog, partition: StreamPartition) -> LastKnown | None:
    """Return the credible part of the ledger of `partition`, None if no entry can be believed.

    Raises as `LedgerLog` does.
    """
    bounds = log.bounds([partition])[partition]
    newest = _newest(log, partition, bounds)
    if newest is None:
        return None
    offset, oldest = newest.record.offset, newest.entry.oldest_offset
    needed = _places(log, partition, max(bounds.begin, offset if oldest is None else oldest), offset + 1)
    ids: dict[bytes, None] = {}
    dated_us = newest.record.timestamp_us
    for each in needed:
        dated_us = min(dated_us, each.record.timestamp_us)
        ids.update(dict.fromkeys(unpack_ids(each.entry.ids)))
    return LastKnown(newest.entry.covered_until_us, newest.entry.sequence, dated_us, tuple(ids))


def _newest(log: LedgerLog, partition: StreamPartition, bounds: Bounds) -> Place | None:
    """Read backwards until two entries confirm each other, or the ledger begins."""
    start, step = bounds.end, _FIRST_STEP_BACK
    newest: Place | None = None
    while start > bounds.begin:
        start, step = max(bounds.begin, bounds.end - step), 4 * step
        newest, is_confirmed = newest_that_fits(_places(log, partition, start, bounds.end))
        if is_confirmed:
            break
    return newest


def _places(log: LedgerLog, partition: StreamPartition, start: int, end: int) -> Iterable[Place]:
    for record in log.read(partition, start, end):
        try:
            yield Place(log.entry(record, partition), record)
        except OwnCorruptionError:
            continue
