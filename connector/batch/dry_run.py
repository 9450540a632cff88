"""The `--dry-run` of `connector batch`: reads ids, state, Kafka and X's jobs, and changes nothing.

No job is created, nothing is uploaded, fetched or published, and no file of a run is written.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from connector.batch.calls import Calls, Tools
from connector.batch.command import Request, check_same, check_usable
from connector.batch.gaps import RecordedGap, described
from connector.batch.ids import Counted, count
from connector.batch.pace import Pace
from connector.batch.publish import publishing
from connector.batch.session import resumable, unfinished, unknown_run, wanted
from connector.batch.state import RunFolder, RunState, ShardState
from connector.console import Progress, say
from connector.kafka.topics import TopicNames
from connector.quoting import shown
from connector.settings import RunSettings, Settings
from connector.x.batch_api import BatchApi, Job, JobStatus
from connector.x.clock import wall_us
from connector.x.jobs import Jobs

_CALLS_S = 3600.0
_OVER = frozenset({JobStatus.FAILED, JobStatus.EXPIRED})


def show_run(asked: Request, settings: Settings, folder: Path, *, publish: bool, due_us: int | None = None) -> None:
    """Print what a run, new or unfinished, would ask X and where its results would go.

    Raises as the run does if ids, state, topics or rights are wrong.
    """
    progress, ids = Progress(), asked.ids
    if ids is None:
        raise ValueError("a run without ids is fetched")
    with resumable(progress, asked.folder), TemporaryDirectory(prefix="connector-dry-run-") as spill:
        goal = _goal(asked, settings, progress, publish=publish, due_us=due_us)
        progress_text = f"{ids.unit} read"
        counted = count(ids, Path(spill), on_progress=lambda number: progress.show(f"{number:,} {progress_text}"))
        runs = unfinished(folder, settings, publish=publish).values()
        kept = next((state for state in runs if state.kind is asked.kind), None)
        if kept is not None and not asked.is_fresh:
            check_same(kept, asked, ids)
            if not publish:  # the tools of a run that publishes are created again
                check_usable(kept, asked, is_whole=RunFolder(asked.folder).holds(kept, with_results=True))
    say(*run_lines(asked, counted, kept), *goal)


def _goal(
    asked: Request, settings: Settings, progress: Progress, *, publish: bool, due_us: int | None
) -> Sequence[str]:
    """Return where results would go, as text; ends the command if no run is due."""
    if not publish or not isinstance(settings, RunSettings):
        return [] if asked.results is None else [f"results would replace: {asked.results}"]
    with publishing(asked, settings, progress) as bus:
        if due_us is not None:
            due = bus.due(wanted(asked, due_us), wall_us())
            say(f"{'due' if due.is_due else 'not due'}: {due.why}")
            if not due.is_due:
                raise typer.Exit
        names = TopicNames(settings.kafka.topic_prefix)
        return [
            f"would be published: results to {names.batch(asked.kind)}, the run to {names.batch_run}",
            *gap_lines(bus.open_gaps(), covers_all=asked.covers_all),
        ]


def run_lines(asked: Request, counted: Counted, kept: RunState | None) -> Iterator[str]:
    """Yield what a run would ask X, as text; `kept` is an unfinished run."""
    yield (
        f"{asked.kind.value} to check: {counted.ids:,}; jobs that X would be asked for, one after the other: "
        f"{counted.shards:,}; to upload: {counted.size_bytes:,} bytes"
    )
    if counted.duplicates or counted.invalid:
        yield f"input: {counted.duplicates:,} duplicates, {counted.invalid:,} invalid lines or keys skipped"
    if kept is not None:
        fate = "discarded, and its job cancelled" if asked.is_fresh else "resumed"
        yield f"run {kept.run_id} is unfinished, shards done: {_done(kept)}; it would be {fate}"


def gap_lines(gaps: Sequence[RecordedGap], *, covers_all: bool) -> Iterator[str]:
    """Yield the gaps that a run could reconcile, as text: those open now, if all its results are clear."""
    if not covers_all and gaps:
        yield f"gaps that would stay open, as the ids are not said to be all that is held: {len(gaps)}"
        return
    for each in gaps:
        yield f"could be reconciled: gap of {described(each)}"


def show_fetch(asked: Request, state: RunState, settings: Settings) -> None:
    """Print which shards of an unfinished run are ready at X. Raises as fetching does if its files are gone."""
    folder = RunFolder(asked.folder)
    with resumable(Progress(), asked.folder):
        check_usable(state, asked, is_whole=folder.holds(state, with_results=asked.results is not None))
    with BatchApi(settings.x) as api:
        jobs = Jobs(api)
        found = {shard.number: jobs.find(shard.job_id) for shard in state.shards if shard.job_id and not shard.outcome}
    say(*fetch_lines(state, found))


def fetch_lines(state: RunState, jobs: dict[int, Job | None]) -> Iterator[str]:
    """Yield what would happen to each shard of a run, as text; `jobs` are X's by the number of the shard."""
    yield f"run {state.run_id}; {state.kind.value} to check: {state.ids:,}, shards done: {_done(state)}"
    for number, shard in enumerate(state.shards, 1):
        fate = "done" if shard.outcome is not None else _fate(shard, jobs.get(shard.number))
        yield f"  shard {number} of {len(state.shards)}, ids: {shard.ids:,}: {fate}"


def _fate(shard: ShardState, job: Job | None) -> str:
    if shard.job_id is None:
        return "not submitted yet; X would be asked for a job"
    if job is None:
        return f"job {shard.job_id} is unknown to X, which would be asked for another"
    if job.status in _OVER:
        return f"job {job.id} is {shown(job.status)}; X would be asked for another"
    if job.status == JobStatus.COMPLETE:
        return f"job {job.id} is complete, its results are ready"
    if job.status == JobStatus.CREATED and not shard.is_uploaded:
        return f"job {job.id} is created, its ids would be uploaded"
    return f"job {job.id} is {shown(job.status)}, its results are not ready"


def show_cancel(target: str, state: RunState | None, folder: Path, settings: Settings, *, publish: bool) -> None:
    """Print which run would be discarded and which jobs cancelled. Raises as cancelling does."""
    with BatchApi(settings.x) as api:
        calls = Calls(Tools(api, Pace(_CALLS_S), Progress()))
        if state is not None:
            active = [job for job in calls.active(state.kind) if (job.name or "").startswith(state.prefix)]
            say(f"run {state.run_id} would be discarded, shards done: {_done(state)}")
            say(*(f"job {job.id}, which is {shown(job.status)}, would be cancelled" for job in active))
            return
        job = calls.find(target) if target.isdecimal() else None
    if job is None:
        raise unknown_run(target, folder, publish=publish)
    say(f"job {job.id}, which is {shown(job.status)}, would be cancelled")


def _done(state: RunState) -> str:
    return f"{sum(shard.outcome is not None for shard in state.shards)} of {len(state.shards)}"
