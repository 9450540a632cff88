"""What a batch run can make up for in a gap, and what it cannot. Pure: gaps are records of `Gap.avsc`.

A job sees the present state (integration guide of batch compliance, "Results"): what it cannot see remains.
"""

from collections.abc import Mapping
from typing import Any

from connector.coverage.gap import GapState
from connector.events.batch import BatchType
from connector.events.catalog import EVENT_TYPES

_OPEN = frozenset({GapState.LOST, GapState.SUSPECTED, GapState.PARTLY_RECONCILED})


def can_reconcile(gap: Mapping[str, Any], batch_type: BatchType) -> bool:
    """Return whether a run of this type reconciles an event type that is missing from the gap."""
    return bool(reconcilable(gap, batch_type))


def reconcilable(gap: Mapping[str, Any], batch_type: BatchType) -> list[str]:
    """Return the event types that are missing from the gap and that a run of this type makes up for."""
    if gap["state"] not in _OPEN:
        return []
    of_stream = _of_stream(gap)
    return [name for name in _missing(gap) if name in batch_type.answers and name in of_stream]


def withdrawn(gap: Mapping[str, Any], reason: str, now_ms: int) -> dict[str, Any]:
    """Return the gap after an operator has found, at `now_ms` since 1970, that nothing of it is missing."""
    state = GapState.WITHDRAWN.value
    return {**gap, "state": state, "withdrawn_at": now_ms, "withdrawn_because": reason}


def reconciled(gap: Mapping[str, Any], batch_type: BatchType, run_id: str) -> dict[str, Any]:
    """Return the gap after a run that can reconcile it."""
    remaining = [name for name in _missing(gap) if name not in batch_type.answers]
    state = GapState.PARTLY_RECONCILED if remaining else GapState.RECONCILED
    runs = [*(gap["reconciled_by"] or ()), run_id]
    return {**gap, "state": state.value, "reconciled_by": runs, "remaining": remaining}


def _missing(gap: Mapping[str, Any]) -> list[str]:
    """Return the event types that may be missing from a gap: all of the stream, unless a run has made up for some."""
    remaining = gap.get("remaining")
    return _of_stream(gap) if remaining is None else list(remaining)


def _of_stream(gap: Mapping[str, Any]) -> list[str]:
    return [event_type.name for event_type in EVENT_TYPES if event_type.stream == gap["stream"]]
