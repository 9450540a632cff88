"""What cannot be vouched for: why a time range is asked for again, and why one is recorded as a gap. Pure.

Instants are microseconds since 1970 in X's time.
"""

from dataclasses import dataclass
from enum import StrEnum


class GapState(StrEnum):
    """What a gap means to a reader; public, an open set in the contract."""

    LOST = "lost"
    SUSPECTED = "suspected"
    PARTLY_RECONCILED = "partly-reconciled"
    RECONCILED = "reconciled"
    WITHDRAWN = "withdrawn"


class Suspicion(StrEnum):
    """Why the completeness of a time range is in doubt, though X claims nothing of the kind: a closed set, public."""

    REPLAY_INCOMPLETE = "replay-incomplete"
    REPLAY_UNCONFIRMED = "replay-unconfirmed"
    REPLAY_NOT_CLOSED = "replay-not-closed"
    BACKFILL_UNCONFIRMED = "backfill-unconfirmed"
    COVERAGE_HELD = "coverage-held"


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
    COVERAGE_HELD = Suspicion.COVERAGE_HELD.value


_SUSPECTED = frozenset(suspicion.value for suspicion in Suspicion)


@dataclass(frozen=True, slots=True)
class Gap:
    """A time range whose events the streams cannot bring, or not in a way that can be vouched for."""

    start_us: int
    end_us: int
    cause: GapCause

    @property
    def state(self) -> GapState:
        """`suspected` where X contradicted itself and may have delivered everything, `lost` otherwise."""
        return GapState.SUSPECTED if self.cause.value in _SUSPECTED else GapState.LOST
