"""All runs: the unfinished ones, in a folder or on the bus, and those recorded on the bus."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.batch.bus_ledger import batch_entry_decode, last_entry, unfinished
from connector.batch.state import RunFolder, RunState
from connector.events.times import format_us
from connector.kafka.registry import RegistryClient
from connector.quoting import shown
from connector.settings import Settings
from connector.x.batch_api import Job, JobType
from connector.x.jobs import Jobs

_MOST_RECORDS = 20
_TIMES = frozenset({"started_at", "finished_at", "checked_from"})


def unfinished_runs(folder: Path, bus: Settings | None) -> Iterator[RunState]:
    """Yield the unfinished runs: those on the bus, or those in a folder if `bus` is None.

    Raises `UnusableRunError`, `OSError`, and what Kafka and the registry come to.
    """
    for kind in JobType:
        state = RunFolder(folder / kind).load() if bus is None else _unfinished_on(bus, kind)
        if state is not None:
            yield state


def _unfinished_on(bus: Settings, kind: JobType) -> RunState | None:
    with RegistryClient(bus.schema_registry) as registry:
        last = last_entry(bus.kafka, kind, batch_entry_decode(registry, bus.kafka))
    return None if last is None else unfinished(last)


@dataclass(frozen=True, slots=True)
class JobOfShard:
    """The active job of a shard, as described by X; `job` is None if X does not know it."""

    shard: int
    job_id: str
    job: Job | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"shard": self.shard} | ({"id": self.job_id, "status": None} if self.job is None else job_json(self.job))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An unfinished run, and the state of its active jobs at X."""

    state: RunState
    jobs: Sequence[JobOfShard]

    def lines(self) -> Iterator[str]:
        """Yield it as lines of text."""
        state, shards = self.state, len(self.state.shards)
        yield (
            f"run {state.run_id}: {'failed, can be resumed' if state.has_failed else 'unfinished'}; "
            f"{state.kind.value} to check: {state.ids:,}, shards done: {self._done()} of {shards}"
        )
        for each in self.jobs:
            details = f"job {each.job_id} is unknown to X" if each.job is None else _line_of(each.job)
            yield f"  shard {each.shard} of {shards}: {details}"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        state = self.state
        return {
            "run_id": state.run_id,
            "type": state.kind.value,
            "state": "failed" if state.has_failed else "unfinished",
            "ids": state.ids,
            "shards": len(state.shards),
            "shards_done": self._done(),
            "jobs": [each.as_json() for each in self.jobs],
        }

    def _done(self) -> int:
        return sum(shard.outcome is not None for shard in self.state.shards)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run, by its record of `BatchRun.avsc`."""

    record: Mapping[str, Any]

    def lines(self) -> Iterator[str]:
        """Yield it as a line of text."""
        yield _line_of_record(self.record)

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, with times as text."""
        return {name: _as_text(value) if name in _TIMES else value for name, value in self.record.items()}


def runs_shown(
    run_id: str | None, runs: Iterable[RunState], others: Sequence[Mapping[str, Any]], jobs: Jobs
) -> Iterator[Unfinished | Recorded]:
    """Yield the run, or all: unfinished ones, after the latest of the others.

    Raises `CallFailedError`.
    """
    for record in others if run_id else others[-_MOST_RECORDS:]:
        if run_id in {None, record["run_id"]}:
            yield Recorded(record)
    for state in runs:
        if run_id in {None, state.run_id}:
            yield Unfinished(state, list(_jobs_under_way(state, jobs)))


def job_json(job: Job) -> dict[str, Any]:
    """Return a job as a JSON object."""
    created = None if job.created_us is None else format_us(job.created_us)
    return {"id": job.id, "status": shown(job.status), "created_at": created, "name": job.name and shown(job.name)}


def _jobs_under_way(state: RunState, jobs: Jobs) -> Iterator[JobOfShard]:
    for number, shard in enumerate(state.shards, 1):
        if shard.outcome is None and shard.job_id is not None:
            yield JobOfShard(number, shard.job_id, jobs.find(shard.job_id))


def _as_text(ms: int | None) -> str | None:
    return None if ms is None else format_us(ms * 1000)


def _line_of_record(run: Mapping[str, Any]) -> str:
    finished = "" if run["finished_at"] is None else f" at {format_us(run['finished_at'] * 1000)}"
    counts = [f"{each['count']:,} {each['action']} ({each['reason'] or 'no reason'})" for each in run["counts"]]
    doubts = [
        f"{what}: {run[name]:,}"
        for name, what in (("rejected", "rejected"), ("unclear", "in doubt"), ("dead_letters", "dead letters"))
        if run[name]
    ]
    scope = ["covers all"] if run["covers_all"] else []
    found = ", ".join([f"{run['clean']:,} clean", *counts, *doubts, *scope])
    return f"run {run['run_id']}: {run['state']}{finished}; {run['type']} to check: {run['ids']:,}; {found}"


def _line_of(job: Job) -> str:
    created = "" if job.created_us is None else f", created at {format_us(job.created_us)}"
    return f"job {job.id} is {shown(job.status)}{created}"
