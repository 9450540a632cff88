"""What a batch run can make up for of a gap, and what it cannot. Pure: gaps are records as `Gap.avsc` has them.

A job sees how things are now (integration guide of batch compliance, "Results"): what it cannot see remains.
"""

from collections.abc import Mapping
from typing import Any

from connector.coverage.gap import GapState
from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import EVENT_TYPES
from connector.x.batch_api import JobType

_OPEN = frozenset({GapState.LOST, GapState.SUSPECTED, GapState.PARTLY_RECONCILED})


def can_reconcile(gap: Mapping[str, Any], kind: JobType) -> bool:
    """Return whether a run of this type answers for an event type that is missing from the gap."""
    return gap["state"] in _OPEN and not BY_JOB_TYPE[kind].answers.isdisjoint(_missing(gap))


def reconciled(gap: Mapping[str, Any], kind: JobType, run_id: str, now_us: int) -> dict[str, Any]:
    """Return the gap as it is after a run that can reconcile it."""
    answers = BY_JOB_TYPE[kind].answers
    remaining = [name for name in _missing(gap) if name not in answers]
    state = GapState.PARTLY_RECONCILED if remaining else GapState.RECONCILED
    return {
        **gap,
        "state": state.value,
        "reconciled_by": [*(gap["reconciled_by"] or ()), run_id],
        "remaining": remaining,
        "recorded_at": now_us // 1000,
    }


def _missing(gap: Mapping[str, Any]) -> list[str]:
    """Return the event types that may be missing from a gap: all of the stream, unless a run has made up for some."""
    if gap["remaining"] is not None:
        return list(gap["remaining"])
    return [event_type.name for event_type in EVENT_TYPES if event_type.stream == gap["stream"]]
