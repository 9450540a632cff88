"""What the batch commands share: ids, request and tools from the options, and the output.

Every function raises the exceptions that end a command: `ConnectorError`, `typer.BadParameter` or `typer.Exit`.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import typer

from connector.batch.calls import Calls, Tools
from connector.batch.command import Request, abandon_batch, run_batch, submit_batch
from connector.batch.due import Wanted, read_runs
from connector.batch.holdings import HeldIds
from connector.batch.ids import FileIds, Ids, IdSource
from connector.batch.overview import job_json, runs_shown, unfinished_runs
from connector.batch.pace import Pace
from connector.batch.publish import publishing
from connector.batch.state import RunState, UnusableRunError
from connector.console import Progress, configure, say
from connector.errors import ConnectorError
from connector.events.times import format_us
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.kafka.verify import verify_holdings
from connector.quoting import shown
from connector.settings import BatchSettings, RunSettings, Settings
from connector.x.batch_api import BatchApi, Job, JobType
from connector.x.clock import wall_us
from connector.x.jobs import Jobs

_HOUR_S = 3600.0
_INTERRUPTED = 130
_TO_RESUME = "run the same command again to resume"


class UnusableFileError(ConnectorError):
    """A file cannot be read or written."""

    exit_code = os.EX_CONFIG

    def __init__(self, path: str | Path, error: OSError) -> None:
        super().__init__(f"cannot use {path}: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class Given:
    """A request and the tools to carry it out; `calls` counts those to X by method."""

    request: Request
    tools: Tools
    calls: Counter[str]


def check_goal(results: Path | None, *, publish: bool) -> None:
    """Check that results go to one place."""
    if (results is None) != publish:
        raise typer.BadParameter("give either -r FILE or --publish")


def check_files(source: str | None, results: Path | None) -> None:
    """Check that the results do not replace the ids."""
    files = [path for path in (results, None if source is None else Path(source)) if path is not None and path.exists()]
    if len(files) > 1 and files[0].samefile(files[1]):
        raise typer.BadParameter("FILE and the file for the results are the same")


def check_ids(source: str | None, *, from_topic: bool, covers_all: bool, publish: bool) -> None:
    """Check that ids come from one place, and that the claims about them make sense."""
    if from_topic and source is not None:
        raise typer.BadParameter("give either FILE or --from-topic")
    if covers_all and not publish:
        raise typer.BadParameter("--covers-all needs --publish: gaps are in Kafka")


def configured(config: Path | None, *, publish: bool) -> Settings:
    """Return the settings: without Kafka, only those for X are checked."""
    return configure(RunSettings, config) if publish else configure(BatchSettings, config)


@contextmanager
def ids(kind: str, source: str | None, settings: Settings, *, from_topic: bool, skip_invalid: bool) -> Iterator[Ids]:
    """Yield the ids that the options name."""
    if not from_topic:
        with _file(source or "-") as file:
            yield FileIds(file, skip_invalid=skip_invalid)
        return
    verify_holdings(settings.kafka, Cluster(settings.kafka))
    yield HeldIds(settings.kafka, JobType(kind), skip_invalid=skip_invalid)


@contextmanager
def _file(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UnusableFileError(source, error) from error
    with file:
        yield file


def request(  # noqa: PLR0913 - what the options say of the run
    kind: str,
    given: Ids | None,
    results: Path | None,
    folder: Path,
    *,
    publish: bool,
    run_id: str | None = None,
    covers_all: bool = False,
    fresh: bool = False,
) -> Request:
    """Return the request; ids from the holdings topic cover everything held.

    Runs that publish have separate folders: neither kind knows the state of the other.
    """
    return Request(
        kind=JobType(kind),
        ids=given,
        results=results,
        folder=folder / (f"{kind}-published" if publish else kind),
        run_id=run_id,
        covers_all=covers_all or (given is not None and given.source is IdSource.TOPIC),
        is_fresh=fresh,
    )


@contextmanager
def opened(  # noqa: PLR0913 - what the options say of the run
    asked: Request,
    settings: Settings,
    timeout_s: float,
    *,
    publish: bool,
    due_us: int | None = None,
    as_json: bool = False,
) -> Iterator[Given]:
    """Yield the tools for a request; with `due_us`, end the command if such a run finished in that time."""
    progress, calls = Progress(), Counter[str]()
    with resumable(progress, asked.folder), BatchApi(settings.x, lambda method, _: calls.update([method])) as api:
        if not publish or not isinstance(settings, RunSettings):
            yield Given(asked, Tools(api, Pace(timeout_s), progress), calls)
            return
        with publishing(asked, settings, progress) as bus:
            if due_us is not None:
                due = bus.due(wanted(asked, due_us), wall_us())
                if not due.is_due:
                    say(msgspec.json.encode(due).decode() if as_json else f"not due: {due.why}")
                    raise typer.Exit
                progress.say(f"starting: {due.why}")
            yield Given(bus.request, bus.tools(api, timeout_s, progress), calls)


def wanted(asked: Request, due_us: int) -> Wanted:
    """Return what to run; a topic covers everything, even with skipped keys."""
    source = IdSource.FILE if asked.ids is None else asked.ids.source
    must_cover_all = asked.covers_all and source is IdSource.FILE
    return Wanted(asked.kind, source, must_cover_all, may_reconcile=asked.covers_all, every_us=due_us)


@contextmanager
def resumable(progress: Progress, folder: Path) -> Iterator[None]:
    """Turn the errors of a run into messages for the operator."""
    try:
        yield
    except KeyboardInterrupt:
        progress.say(f"interrupted; {_TO_RESUME}")
        raise typer.Exit(_INTERRUPTED) from None
    except SystemExit:
        progress.say(f"terminated; {_TO_RESUME}")
        raise
    except OSError as error:
        raise UnusableFileError(error.filename or folder, error) from error


def finish(given: Given, *, as_json: bool) -> None:
    """Carry a run out, and print the report."""
    report = run_batch(given.request, given.tools)
    if as_json:
        _say_json(report.as_json(given.calls))
        return
    say(*report.lines())
    asked = ", ".join(f"{count} {method}" for method, count in sorted(given.calls.items()))
    say(f"  requests to X: {asked or 'none'}")


def submit(given: Given, options: str, *, as_json: bool) -> None:
    """Upload the ids, and print the id of the run, and how to fetch its results with these `options`."""
    run_id = submit_batch(given.request, given.tools).run_id
    if as_json:
        _say_json({"run_id": run_id, "type": given.request.kind.value, "state": "submitted"})
    else:
        say(f"run {run_id} is submitted; for its results: connector batch fetch {run_id} {options}")


def abandon(given: Given, *, as_json: bool) -> None:
    """Discard a run, and report it."""
    abandon_batch(given.request, given.tools)
    run_id = given.request.run_id
    if as_json:
        _say_json({"run_id": run_id, "state": "discarded"})
    else:
        say(f"run {run_id} is discarded")


def cancel_job(job_id: str, folder: Path, settings: Settings, *, publish: bool, as_json: bool) -> None:
    """Cancel a job, and report it. Raises `UnusableRunError` if X does not know it."""
    with BatchApi(settings.x) as api:
        calls = Calls(Tools(api, Pace(_HOUR_S), Progress()))
        if not job_id.isdecimal() or calls.find(job_id) is None:
            raise unknown_run(job_id, folder, publish=publish)
        calls.cancel(job_id)
    if as_json:
        _say_json({"job_id": job_id, "state": "ended"})
    else:
        say(f"job {shown(job_id)} is cancelled, or had already ended")


def unfinished(folder: Path, settings: Settings, *, publish: bool) -> dict[str, RunState]:
    """Return the unfinished runs by id: those on the bus, or those in the folder."""
    with resumable(Progress(), folder):
        return {state.run_id: state for state in unfinished_runs(folder, settings if publish else None)}


def find(run_id: str, folder: Path, settings: Settings, *, publish: bool) -> RunState:
    """Return an unfinished run. Raises `UnusableRunError` for any other."""
    state = unfinished(folder, settings, publish=publish).get(run_id)
    if state is None:
        raise unknown_run(run_id, folder, publish=publish)
    return state


def unknown_run(run_id: str, folder: Path, *, publish: bool) -> UnusableRunError:
    """Return the error for a missing run or job."""
    where = "Kafka" if publish else f"{folder}, without --publish,"
    option = " --publish" if publish else ""
    return UnusableRunError(f"{where} holds no unfinished run {shown(run_id)}; see: connector batch status{option}")


def show_status(run_id: str | None, folder: Path, settings: Settings, *, publish: bool, as_json: bool) -> None:
    """Print a run, or all. Raises `UnusableRunError` if there is no such run."""
    runs = unfinished(folder, settings, publish=publish)
    others = _other_records(settings, runs) if publish else []
    with BatchApi(settings.x) as api:
        found = list(runs_shown(run_id, runs.values(), others, Jobs(api)))
    if not found and run_id is not None:
        raise unknown_run(run_id, folder, publish=publish)
    if as_json:
        _say_json([each.as_json() for each in found])
    else:
        lines = [line for each in found for line in each.lines()]
        say(*(lines or ["no runs" if publish else f"no unfinished runs in {folder}"]))


def _other_records(settings: Settings, known: dict[str, RunState]) -> list[dict[str, object]]:
    """Return the records of the runs that are not among those known, by start."""
    with RegistryClient(settings.schema_registry) as registry:
        return [run for run in read_runs(settings.kafka, registry) if run["run_id"] not in known]


def show_jobs(kind: str, settings: Settings, *, as_json: bool) -> None:
    """Print the jobs that X knows, oldest first."""
    with BatchApi(settings.x) as api:
        found = sorted(Jobs(api).all(JobType(kind)), key=lambda job: job.created_us or 0)
    if as_json:
        _say_json([job_json(job) for job in found])
    else:
        say(*([_line(job) for job in found] or [f"no {kind} jobs"]))


def _line(job: Job) -> str:
    made = "" if job.created_us is None else format_us(job.created_us)
    return f"{job.id:<20} {shown(job.status, 20):<12} {made:<28} {shown(job.name or '-', 64)}"


def _say_json(value: object) -> None:
    say(msgspec.json.encode(value).decode())
