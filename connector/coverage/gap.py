"""Doubts and gaps: why a time range is requested again, and why one is recorded as a gap. Pure.

Instants are microseconds since 1970 in X's time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec


class GapState(StrEnum):
    """What a gap means to a reader; public, an open set in the contract."""

    LOST = "lost"
    SUSPECTED = "suspected"
    PARTLY_RECONCILED = "partly-reconciled"
    RECONCILED = "reconciled"
    WITHDRAWN = "withdrawn"


CLOSED = frozenset({GapState.RECONCILED, GapState.WITHDRAWN})
"""States in which no event of a gap is missing any more; an unknown state is open."""


class Suspicion(StrEnum):
    """Why the completeness of a time range is in doubt, though X claims nothing of the kind: a closed set, public."""

    REPLAY_INCOMPLETE = "replay-incomplete"
    REPLAY_UNCONFIRMED = "replay-unconfirmed"
    REPLAY_NOT_CLOSED = "replay-not-closed"
    BACKFILL_UNCONFIRMED = "backfill-unconfirmed"
    COVERAGE_HELD_BACK = "coverage-held-back"


class GapCause(StrEnum):
    """Why a gap was recorded: a closed set here, public, an open set in the contract."""

    OUTAGE_TOO_LONG = "outage-too-long"
    REPLAY_REFUSED = "replay-refused"
    BACKFILL_REFUSED = "backfill-refused"
    CONNECT_TOO_SLOW = "connect-too-slow"
    REPLAY_INTERRUPTED = "replay-interrupted"
    LEDGER_RESET = "ledger-reset"
    REPLAY_INCOMPLETE = Suspicion.REPLAY_INCOMPLETE.value
    REPLAY_UNCONFIRMED = Suspicion.REPLAY_UNCONFIRMED.value
    REPLAY_NOT_CLOSED = Suspicion.REPLAY_NOT_CLOSED.value
    BACKFILL_UNCONFIRMED = Suspicion.BACKFILL_UNCONFIRMED.value
    COVERAGE_HELD_BACK = Suspicion.COVERAGE_HELD_BACK.value


class GapRecord(msgspec.Struct, frozen=True):
    """A record of the gap topic (`Gap.avsc`); instants are milliseconds since 1970."""

    gap_id: str
    stream: str
    stream_partition: int
    gap_start: int
    gap_end: int
    state: str
    cause: str
    detail: str
    recorded_at: int
    reconciled_by: tuple[str, ...] | None = None
    remaining: tuple[str, ...] | None = None
    withdrawn_at: int | None = None
    withdrawn_because: str | None = None


def read_gap_record(fields: Mapping[str, Any], key: bytes) -> GapRecord:
    """Return the record with these fields under `key`. Raises `ValueError` if the connector did not write it."""
    read = msgspec.convert(fields, GapRecord)
    if read.gap_id.encode() != key:
        raise ValueError("the key is not the gap_id")
    return read


_SUSPECTED = frozenset(suspicion.value for suspicion in Suspicion)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time range whose events the streams cannot deliver, or not verifiably."""

    start_us: int
    end_us: int
    cause: GapCause

    @property
    def state(self) -> GapState:
        """`suspected` if X contradicted itself and may have delivered everything, `lost` otherwise."""
        return GapState.SUSPECTED if self.cause.value in _SUSPECTED else GapState.LOST
