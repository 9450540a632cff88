"""The newest batch run of each type, from the records of runs. Pure: records in, values out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from connector.events.batch import BY_JOB_TYPE

DONE, FAILED = "done", "failed"
"""The states of a run that matter here, as in the contract."""


class Outcome(StrEnum):
    """What a run found about an id: a closed set, public. Any other action from X is `other`."""

    CLEAN = "clean"
    UNCLEAR = "unclear"
    REJECTED = "rejected"
    DELETE = "delete"
    REHYDRATE = "rehydrate"
    SCRUB_GEO = "scrub_geo"
    OTHER = "other"


_ACTIONS = {outcome.value: outcome for outcome in (Outcome.DELETE, Outcome.REHYDRATE, Outcome.SCRUB_GEO)}


class _Count(msgspec.Struct, frozen=True):
    action: str
    count: int


class _Record(msgspec.Struct, frozen=True):
    """The fields of a record that are read here; instants are milliseconds since 1970."""

    type: str
    state: str
    started_at: int
    clean: int
    rejected: int
    unclear: int
    counts: list[_Count]
    finished_at: int | None = None


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A run of one type of job; instants are milliseconds since 1970.

    `done_ms` is when it was done, or None. `ids` counts all ids that it asked about, by outcome.
    """

    job_type: str
    started_ms: int
    has_failed: bool
    done_ms: int | None
    ids: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class DoneRun:
    """The newest run that is done: when, in milliseconds since 1970, and the ids that it asked about, by outcome."""

    done_ms: int
    ids: Mapping[Outcome, int]


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The runs of one type: whether the newest failed, and the newest that is done, if there is one."""

    has_failed: bool
    done: DoneRun | None


def read_run(record: Mapping[str, Any]) -> BatchRun | None:
    """Return the run in a decoded record, None for an unknown type of job.

    Raises `ValueError` for a record of anything else.
    """
    read = msgspec.convert(record, _Record)
    if read.type not in BY_JOB_TYPE:
        return None
    done_ms = read.finished_at if read.state == DONE else None
    return BatchRun(read.type, read.started_at, read.state == FAILED, done_ms, _by_outcome(read))


def last_runs(runs: Iterable[BatchRun]) -> dict[str, LastRuns]:
    """Return the newest runs by type: the newest by start, done ones by end; types without a run are left out."""
    by_type: dict[str, list[BatchRun]] = {}
    for run in runs:
        by_type.setdefault(run.job_type, []).append(run)
    return {job_type: LastRuns(_newest(found).has_failed, _last_done(found)) for job_type, found in by_type.items()}


def _newest(runs: Collection[BatchRun]) -> BatchRun:
    return max(runs, key=lambda run: run.started_ms)


def _last_done(runs: Iterable[BatchRun]) -> DoneRun | None:
    done = (DoneRun(run.done_ms, run.ids) for run in runs if run.done_ms is not None)
    return max(done, key=lambda run: run.done_ms, default=None)


def _by_outcome(record: _Record) -> dict[Outcome, int]:
    """Return the number of ids of each outcome; unclear ones, which a record counts as clean, are counted apart."""
    ids = dict.fromkeys(Outcome, 0)
    for each in record.counts:
        ids[_ACTIONS.get(each.action, Outcome.OTHER)] += each.count
    return ids | {
        Outcome.CLEAN: record.clean - record.unclear,
        Outcome.UNCLEAR: record.unclear,
        Outcome.REJECTED: record.rejected,
    }
