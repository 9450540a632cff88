"""`connector batch …`: the commands for X's batch compliance jobs.

They import what they need when they are called, so that every command starts fast.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Literal

import msgspec
import typer

from connector.console import ConfigFile, Progress, configure, say
from connector.errors import SettingsError
from connector.events.times import US_PER_S, format_us
from connector.quoting import shown
from connector.settings import BatchSettings, RunSettings, Settings

if TYPE_CHECKING:
    from connector.batch.calls import Tools
    from connector.batch.command import Report, Request
    from connector.batch.due import Wanted
    from connector.batch.ids import Ids
    from connector.batch.state import RunState
    from connector.x.batch_api import Job

_FOLDER = Path(".connector-batch")
_HOUR_S = 3600.0
_INTERRUPTED = 130
_DURATION = re.compile("([0-9]{1,6})([mhd])")
_S_PER_UNIT = {"m": 60, "h": 3600, "d": 86_400}

batch = typer.Typer(
    help="Batch compliance: ask X which of the ids you hold to delete, fetch again or strip of location.",
    no_args_is_help=True,
)


def _duration_us(text: str) -> int:
    """Return a duration such as `24h`, in microseconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise typer.BadParameter("give a number and m, h or d: 90m, 24h, 7d")
    return int(found[1]) * _S_PER_UNIT[found[2]] * US_PER_S


Kind = Annotated[Literal["tweets", "users"], typer.Argument(help="What the ids identify.")]
Source = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]", help="Ids, one a line, plain or gzip; - or nothing reads stdin.", show_default=False
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of an unfinished run.")]
FromTopic = Annotated[
    bool, typer.Option("--from-topic", help="Take the ids that the topic PREFIX-holdings says you hold, not a file.")
]
CoversAll = Annotated[
    bool,
    typer.Option("--covers-all", help="State that the file holds every id you hold, so that gaps can be reconciled."),
]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="File for the results, as JSON lines; replaced if it exists.")
]
Publish = Annotated[bool, typer.Option("--publish", help="Publish the results to Kafka, exactly once.")]
OnBus = Annotated[bool, typer.Option("--publish", help="Look for runs that publish: their state is in Kafka.")]
Folder = Annotated[
    Path, typer.Option("--folder", help="Keeps what a run needs to resume; about twice the size of the ids.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run and start a new one.")]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Skip and count lines or keys without a valid id.")]
TimeoutHours = Annotated[
    float, typer.Option("--timeout", min=0, help="Stop after this many hours; the run can be resumed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")]


@batch.command()
def run(  # noqa: PLR0913 - one for each option
    kind: Kind,
    source: Source = None,
    *,
    output: Output = None,
    publish: Publish = False,
    from_topic: FromTopic = False,
    covers_all: CoversAll = False,
    due: Annotated[
        int | None,
        typer.Option(
            "--due",
            metavar="24h",
            parser=_duration_us,
            help="Do nothing if such a run finished within this time, unless a gap was recorded since.",
        ),
    ] = None,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    fresh: Fresh = False,
    skip_invalid: SkipInvalid = False,
    timeout_h: TimeoutHours = 48.0,
    as_json: AsJson = False,
) -> None:
    """Check the ids, upload them to X, wait, and write the results; the same command resumes a run however it ended.

    With -o it needs a bearer token, or API key and secret, and neither Kafka nor a registry. Exit codes: 0 every id is
    accounted for, or no run is due; 64 an option or argument is wrong; 65 the input holds invalid lines; 69 X failed
    every job, or delivered no whole results, or Kafka or the registry does not answer; 70 the results do not add up; 75
    another run is under way, or the time limit has passed; 78 settings are wrong, a file cannot be read or written, the
    folder holds a run of other ids, X refuses the token or the request, or names a transfer URL that is not allowed;
    130 and 143 SIGINT and SIGTERM.
    """
    from connector.batch.command import run_batch  # noqa: PLC0415 - see the module's docstring

    _check_one(output, publish=publish)
    if due is not None and not publish:
        raise typer.BadParameter("--due needs --publish: when a run finished is in Kafka")
    with _ids(kind, source, config, from_topic=from_topic, skip_invalid=skip_invalid, publish=publish) as (
        settings,
        ids,
    ):
        request = _request(kind, ids, output, folder, covers_all=covers_all, publish=publish, fresh=fresh)
        wanted = None if due is None else _wanted(request, due)
        with _tools(request, settings, timeout_h, publish=publish, wanted=wanted, as_json=as_json) as found:
            request, tools, calls = found
            report = run_batch(request, tools)
    _show(report, calls, as_json=as_json)


@batch.command()
def submit(  # noqa: PLR0913 - one for each option
    kind: Kind,
    source: Source = None,
    *,
    publish: Publish = False,
    from_topic: FromTopic = False,
    covers_all: CoversAll = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    fresh: Fresh = False,
    skip_invalid: SkipInvalid = False,
    timeout_h: TimeoutHours = 48.0,
) -> None:
    """Check the ids and upload them to X, and do not wait: `connector batch fetch` finishes the run later.

    Exit codes as those of `connector batch run`; 0: X has the ids, or those of the first part.
    """
    from connector.batch.command import submit_batch  # noqa: PLC0415 - see the module's docstring

    with _ids(kind, source, config, from_topic=from_topic, skip_invalid=skip_invalid, publish=publish) as (
        settings,
        ids,
    ):
        request = _request(kind, ids, None, folder, covers_all=covers_all, publish=publish, fresh=fresh)
        with _tools(request, settings, timeout_h, publish=publish) as (request, tools, _):
            state = submit_batch(request, tools)
    say(f"run {state.run_id} is submitted; for its results: connector batch fetch {state.run_id} {_goal(publish)}")


@batch.command()
def fetch(  # noqa: PLR0913 - one for each option
    run_id: RunId,
    *,
    output: Output = None,
    publish: Publish = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    timeout_h: TimeoutHours = 48.0,
    as_json: AsJson = False,
) -> None:
    """Finish a run that was submitted or interrupted: wait for X, and write the results.

    Needs the folder of the run. Exit codes as those of `connector batch run`; 78 also if there is no such run.
    """
    from connector.batch.command import run_batch  # noqa: PLC0415 - see the module's docstring

    _check_one(output, publish=publish)
    settings = configure(RunSettings if publish else BatchSettings, config)
    with _resumable(Progress(), folder):
        state = _find(run_id, folder, settings, publish=publish)
    request = _request(state.kind, None, output, folder, run_id=run_id)
    with _tools(request, settings, timeout_h, publish=publish) as (request, tools, calls):
        report = run_batch(request, tools)
    _show(report, calls, as_json=as_json)


@batch.command()
def status(
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN]", help="The id of a run.", show_default=False)] = None,
    *,
    publish: OnBus = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
) -> None:
    """Show unfinished runs, with what X says of their jobs; with --publish also what became of the others.

    Asks X about the job of each unfinished run, and changes nothing.
    """
    from connector.batch.overview import status_lines, unfinished_runs  # noqa: PLC0415 - see the module's docstring
    from connector.batch.state import UnusableRunError  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import BatchApi  # noqa: PLC0415 - see the module's docstring
    from connector.x.jobs import Jobs  # noqa: PLC0415 - see the module's docstring

    settings = configure(RunSettings if publish else BatchSettings, config)
    with _resumable(Progress(), folder), BatchApi(settings.x) as api:
        runs = list(unfinished_runs(folder, settings.kafka if publish else None))
        others = _others(settings, {state.run_id for state in runs}) if isinstance(settings, RunSettings) else []
        lines = list(status_lines(run_id, runs, others, Jobs(api)))
    if not lines and run_id is not None:
        raise UnusableRunError(f"{'Kafka' if publish else folder} holds no run {shown(run_id)}")
    say(*(lines or ["no runs" if publish else f"no unfinished runs in {folder}"]))


@batch.command("list")
def list_jobs(kind: Kind, *, config: ConfigFile = None) -> None:
    """List the jobs that X knows, oldest first: id, status, time of creation, name."""
    from connector.x.batch_api import BatchApi, JobType  # noqa: PLC0415 - see the module's docstring
    from connector.x.jobs import Jobs  # noqa: PLC0415 - see the module's docstring

    with BatchApi(configure(BatchSettings, config).x) as api:
        jobs = Jobs(api).all(JobType(kind))
    for job in sorted(jobs, key=lambda job: job.created_us or 0):
        say(_line(job))
    if not jobs:
        say(f"no {kind} jobs")


@batch.command()
def cancel(
    target: Annotated[str, typer.Argument(metavar="RUN|JOB", help="The id of an unfinished run, or of a job of X's.")],
    *,
    publish: OnBus = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
) -> None:
    """Discard an unfinished run and cancel its job; or cancel a job, whatever created it. The results are lost."""
    from connector.batch.calls import Calls, Tools  # noqa: PLC0415 - see the module's docstring
    from connector.batch.command import abandon_batch  # noqa: PLC0415 - see the module's docstring
    from connector.batch.overview import unfinished_runs  # noqa: PLC0415 - see the module's docstring
    from connector.batch.pace import Pace  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import BatchApi  # noqa: PLC0415 - see the module's docstring

    settings = configure(RunSettings if publish else BatchSettings, config)
    with _resumable(Progress(), folder):
        runs = {state.run_id: state for state in unfinished_runs(folder, settings.kafka if publish else None)}
    if target in runs:
        request = _request(runs[target].kind, None, None, folder, run_id=target)
        with _tools(request, settings, 1.0, publish=publish) as (request, tools, _):
            abandon_batch(request, tools)
        say(f"run {target} is discarded")
        return
    with BatchApi(settings.x) as api:
        Calls(Tools(api, Pace(_HOUR_S), Progress())).cancel(target)
    say(f"job {shown(target)} is cancelled, or had already ended")


# --- what the commands share


def _check_one(output: Path | None, *, publish: bool) -> None:
    if (output is None) != publish:
        raise typer.BadParameter("give -o FILE or --publish, one of them")


@contextmanager
def _ids(  # noqa: PLR0913 - what the options say of the ids
    kind: str, source: str | None, config: Path | None, *, from_topic: bool, skip_invalid: bool, publish: bool
) -> Iterator[tuple[Settings, "Ids"]]:
    """Give the settings, and the ids that the options name."""
    from connector.batch.ids import FileIds  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import JobType  # noqa: PLC0415 - see the module's docstring

    if from_topic and source is not None:
        raise typer.BadParameter("give FILE or --from-topic, one of them")
    settings: Settings = configure(RunSettings if publish or from_topic else BatchSettings, config)
    if from_topic:
        from connector.batch.holdings import HeldIds  # noqa: PLC0415 - see the module's docstring

        yield settings, HeldIds(settings.kafka, JobType(kind), skip_invalid=skip_invalid)
    else:
        with _opened(source or "-") as file:
            yield settings, FileIds(file, skip_invalid=skip_invalid)


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise SettingsError([f"{source}: {error.strerror or error}"]) from error
    with file:
        yield file


def _request(  # noqa: PLR0913 - what the options say of the run
    kind: str,
    ids: "Ids | None",
    output: Path | None,
    folder: Path,
    *,
    run_id: str | None = None,
    covers_all: bool = False,
    publish: bool = False,
    fresh: bool = False,
) -> "Request":
    from connector.batch.command import Request  # noqa: PLC0415 - see the module's docstring
    from connector.batch.ids import IdSource  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import JobType  # noqa: PLC0415 - see the module's docstring

    if covers_all and not publish:
        raise typer.BadParameter("--covers-all needs --publish: gaps are in Kafka")
    is_all = covers_all or (ids is not None and ids.source is IdSource.TOPIC)
    return Request(
        kind=JobType(kind),
        ids=ids,
        output=output,
        folder=folder / kind,
        run_id=run_id,
        covers_all=is_all,
        is_fresh=fresh,
    )


def _wanted(request: "Request", every_us: int) -> "Wanted":
    from connector.batch.due import Wanted  # noqa: PLC0415 - see the module's docstring
    from connector.batch.ids import IdSource  # noqa: PLC0415 - see the module's docstring

    source = IdSource.FILE if request.ids is None else request.ids.source
    return Wanted(request.kind, source, request.covers_all, every_us)


@contextmanager
def _tools(  # noqa: PLR0913 - what the options say of the run
    request: "Request",
    settings: Settings,
    timeout_h: float,
    *,
    publish: bool,
    wanted: "Wanted | None" = None,
    as_json: bool = False,
) -> Iterator[tuple["Request", "Tools", Counter[str]]]:
    """Give the request and what it takes to carry it out, and the count of calls to X; end here if no run is due."""
    from connector.batch.calls import Tools  # noqa: PLC0415 - see the module's docstring
    from connector.batch.ids import IdSource  # noqa: PLC0415 - see the module's docstring
    from connector.batch.pace import Pace  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import BatchApi  # noqa: PLC0415 - see the module's docstring
    from connector.x.clock import wall_us  # noqa: PLC0415 - see the module's docstring

    progress, calls, time_s = Progress(), Counter[str](), timeout_h * _HOUR_S
    with _resumable(progress, request.folder), BatchApi(settings.x, lambda method, _: calls.update([method])) as api:
        if request.ids is not None and request.ids.source is IdSource.TOPIC:
            from connector.kafka.cluster import Cluster  # noqa: PLC0415 - see the module's docstring
            from connector.kafka.verify import verify_holdings  # noqa: PLC0415 - see the module's docstring

            verify_holdings(settings.kafka, Cluster(settings.kafka))
        if not publish or not isinstance(settings, RunSettings):
            yield request, Tools(api, Pace(time_s), progress), calls
            return
        from connector.batch.publish import publishing  # noqa: PLC0415 - see the module's docstring

        with publishing(request, settings, progress) as bus:
            if wanted is not None:
                due = bus.due(wanted, wall_us())
                if not due.is_due:
                    say(msgspec.json.encode(due).decode() if as_json else f"not due: {due.why}")
                    raise typer.Exit
                progress.say(f"due: {due.why}")
            yield bus.request, bus.tools(api, time_s, progress), calls


@contextmanager
def _resumable(progress: Progress, folder: Path) -> Iterator[None]:
    """Turn what ends a run into what an operator can use."""
    try:
        yield
    except KeyboardInterrupt:
        progress.say("interrupted; run the same command again to resume")
        raise typer.Exit(_INTERRUPTED) from None
    except OSError as error:
        raise SettingsError([f"{error.filename or folder}: {error.strerror or error}"]) from error


def _find(run_id: str, folder: Path, settings: Settings, *, publish: bool) -> "RunState":
    from connector.batch.overview import find_run  # noqa: PLC0415 - see the module's docstring

    return find_run(run_id, folder, settings.kafka if publish else None)


def _others(settings: RunSettings, known: set[str]) -> list[dict[str, object]]:
    """Return the records of the runs that are not among those known, by start."""
    from connector.batch.due import read_runs  # noqa: PLC0415 - see the module's docstring
    from connector.kafka.registry import RegistryClient  # noqa: PLC0415 - see the module's docstring

    with RegistryClient(settings.schema_registry) as registry:
        return [run for run in read_runs(settings.kafka, registry) if run["run_id"] not in known]


def _goal(publish: bool) -> str:  # noqa: FBT001 - of an option
    return "--publish" if publish else "-o FILE"


def _show(report: "Report", calls: Counter[str], *, as_json: bool) -> None:
    if as_json:
        say(msgspec.json.encode(report, enc_hook=str).decode())
        return
    say(*report.lines())
    asked = ", ".join(f"{count} {method}" for method, count in sorted(calls.items()))
    say(f"  requests to X: {asked or 'none'}")


def _line(job: "Job") -> str:
    made = "" if job.created_us is None else format_us(job.created_us)
    return f"{job.id:<20} {shown(job.status, 20):<12} {made:<28} {shown(job.name or '-', 64)}"
