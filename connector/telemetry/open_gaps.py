"""Which recorded gaps a batch run can still make up for. Pure: records in, values out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.coverage.gap import GapState
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES, STREAMS

_ANSWERED = frozenset().union(*(batch_type.answers for batch_type in BATCH_TYPES))
_ANSWERED_OF = {
    stream: _ANSWERED & {event_type.name for event_type in EVENT_TYPES if event_type.stream == stream}
    for stream in STREAMS
}
RECONCILABLE = tuple(stream for stream in STREAMS if _ANSWERED_OF[stream])
"""The streams with an event type that some batch run answers for."""
_UNRECONCILED = frozenset({GapState.LOST, GapState.SUSPECTED})


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
    return OpenGap(read.stream, read.recorded_at) if _is_open(read) else None


def oldest_gaps(gaps: Iterable[OpenGap]) -> dict[str, int | None]:
    """Return when the oldest gap of each stream in `RECONCILABLE` was recorded, None where there is none."""
    oldest: dict[str, int | None] = dict.fromkeys(RECONCILABLE)
    for gap in gaps:
        known = oldest[gap.stream]
        oldest[gap.stream] = gap.recorded_ms if known is None else min(known, gap.recorded_ms)
    return oldest


def _is_open(gap: _Record) -> bool:
    """Return whether events are missing that a batch run answers for; unless it says which, all of a gap are."""
    answered = _ANSWERED_OF.get(gap.stream, frozenset())
    if gap.remaining is None:
        return bool(answered) and gap.state in _UNRECONCILED
    return not answered.isdisjoint(gap.remaining)
