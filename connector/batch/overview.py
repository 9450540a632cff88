"""The runs that there are: the unfinished ones, in a folder or on the bus, and those that the bus has records of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from connector.batch.bus_ledger import last_entry, unfinished
from connector.batch.state import RunFolder, RunState
from connector.events.times import format_us
from connector.quoting import shown
from connector.settings import KafkaSettings
from connector.x.batch_api import Job, JobType
from connector.x.jobs import Jobs

_MOST_RECORDS = 20


def unfinished_runs(folder: Path, kafka: KafkaSettings | None) -> Iterator[RunState]:
    """Yield the unfinished runs: those on the bus, or those in a folder if `kafka` is None.

    Raises `UnusableRunError`, `OSError`, and what Kafka comes to.
    """
    for kind in JobType:
        if kafka is None:
            state = RunFolder(folder / kind).load()
        else:
            last = last_entry(kafka, kind)
            state = None if last is None else unfinished(last)
        if state is not None:
            yield state


def status_lines(
    run_id: str | None, runs: Iterable[RunState], others: Sequence[Mapping[str, Any]], jobs: Jobs
) -> Iterator[str]:
    """Yield what there is to say of a run, or of all: unfinished ones, after the latest of the others.

    Raises `CallFailedError`.
    """
    for record in others if run_id else others[-_MOST_RECORDS:]:
        if run_id in {None, record["run_id"]}:
            yield _line_of_record(record)
    for state in runs:
        if run_id in {None, state.run_id}:
            yield from _lines_of(state, jobs)


def _lines_of(state: RunState, jobs: Jobs) -> Iterator[str]:
    """Yield what there is to say of an unfinished run, with what X says of the job under way."""
    done = sum(shard.outcome is not None for shard in state.shards)
    yield (
        f"run {state.run_id}: {'failed, can be resumed' if state.has_failed else 'unfinished'}; "
        f"{state.kind.value} to check: {state.ids:,}, parts done: {done} of {len(state.shards)}"
    )
    for number, shard in enumerate(state.shards, 1):
        if shard.outcome is None and shard.job_id is not None:
            job = jobs.find(shard.job_id)
            told = f"job {shard.job_id} is unknown to X" if job is None else _line_of(job)
            yield f"  part {number} of {len(state.shards)}: {told}"


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
