"""Recorded gaps, for the page, and which of them a batch run can still make up for.

Pure: records in, values out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connector.coverage.gap import CLOSED, read_gap_record
from connector.coverage.reconciliation import can_reconcile
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.kafka.reading import ReadRecord
from connector.quoting import shown

_ANSWERED = frozenset().union(*(batch_type.answers for batch_type in BATCH_TYPES))
RECONCILABLE = tuple(dict.fromkeys(each.stream for each in EVENT_TYPES if each.name in _ANSWERED))
"""The streams with an event type that a batch run can reconcile."""
_US_PER_MS = 1000
_MOST_REMAINING = len(EVENT_TYPES)


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """A gap as its newest record has it; instants are microseconds since 1970.

    `is_reconcilable` says that a batch run can make up for it, at least in part.
    """

    gap_id: str
    partition: StreamPartition
    start_us: int
    end_us: int
    state: str
    cause: str
    detail: str
    recorded_us: int
    remaining: tuple[str, ...]
    is_reconcilable: bool

    @property
    def is_open(self) -> bool:
        """Whether events of it may still be missing."""
        return self.state not in CLOSED


def read_gap(fields: Mapping[str, Any], record: ReadRecord) -> RecordedGap:
    """Return the gap in the fields of a record. Raises `ValueError` if it is no record of a gap."""
    read = read_gap_record(fields, record.key)
    return RecordedGap(
        shown(read.gap_id),
        StreamPartition(shown(read.stream), read.stream_partition),
        read.gap_start * _US_PER_MS,
        read.gap_end * _US_PER_MS,
        shown(read.state),
        shown(read.cause),
        shown(read.detail),
        read.recorded_at * _US_PER_MS,
        tuple(map(shown, (read.remaining or ())[:_MOST_REMAINING])),
        any(can_reconcile(fields, batch_type) for batch_type in BATCH_TYPES),
    )


def oldest_gaps(gaps: Iterable[RecordedGap]) -> dict[str, int | None]:
    """Return when the oldest gap that a batch run can make up for was recorded, of each stream in `RECONCILABLE`.

    In milliseconds since 1970, None without one.
    """
    oldest: dict[str, int | None] = dict.fromkeys(RECONCILABLE)
    for gap in gaps:
        if gap.is_reconcilable:
            known, recorded_ms = oldest[gap.partition.stream], gap.recorded_us // _US_PER_MS
            oldest[gap.partition.stream] = recorded_ms if known is None else min(known, recorded_ms)
    return oldest
