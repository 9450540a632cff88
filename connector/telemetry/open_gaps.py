"""Which recorded gaps a batch run can still make up for. Pure: records in, values out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.coverage.reconciliation import can_reconcile
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES

_ANSWERED = frozenset().union(*(batch_type.answers for batch_type in BATCH_TYPES))
RECONCILABLE = tuple(dict.fromkeys(each.stream for each in EVENT_TYPES if each.name in _ANSWERED))
"""The streams with an event type that some batch run answers for."""


class _Record(msgspec.Struct, frozen=True):
    """The fields of a record that are read here; `recorded_at` is milliseconds since 1970."""

    stream: str
    state: str
    recorded_at: int
    remaining: list[str] | None = None


@dataclass(frozen=True, slots=True)
class OpenGap:
    """A gap that a batch run can make up for, at least in part, recorded at that many milliseconds since 1970."""

    stream: str
    recorded_ms: int


def read_gap(record: Mapping[str, Any]) -> OpenGap | None:
    """Return the gap of a decoded record, None where no batch run can make up for anything that is missing of it.

    Raises `ValueError` for one that is no record of a gap.
    """
    read = msgspec.convert(record, _Record)
    is_open = any(can_reconcile(record, batch_type) for batch_type in BATCH_TYPES)
    return OpenGap(read.stream, read.recorded_at) if is_open else None


def oldest_gaps(gaps: Iterable[OpenGap]) -> dict[str, int | None]:
    """Return when the oldest gap of each stream in `RECONCILABLE` was recorded, None where there is none."""
    oldest: dict[str, int | None] = dict.fromkeys(RECONCILABLE)
    for gap in gaps:
        known = oldest[gap.stream]
        oldest[gap.stream] = gap.recorded_ms if known is None else min(known, gap.recorded_ms)
    return oldest
