"""`connector batch …`: the commands for X's batch compliance jobs.

They import what they need when they are called, so that every command starts fast.
"""

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
from connector.events.times import format_us
from connector.quoting import shown
from connector.settings import BatchSettings, RunSettings, Settings

if TYPE_CHECKING:
    from connector.batch.command import Report
    from connector.x.batch_api import Job

_FOLDER = Path(".connector-batch")
_HOUR_S = 3600.0
_INTERRUPTED = 130

batch = typer.Typer(
    help="Batch compliance: ask X which of the ids you hold to delete, fetch again or strip of location.",
    no_args_is_help=True,
)

Kind = Annotated[Literal["tweets", "users"], typer.Argument(help="What the ids identify.")]


@batch.command()
def run(  # noqa: PLR0913 - one for each option
    kind: Kind,
    source: Annotated[str, typer.Argument(metavar="FILE", help="Ids, one a line, plain or gzip; - reads stdin.")] = "-",
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File for the results, as JSON lines; replaced if it exists.")
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Publish the results to Kafka, exactly once.")] = False,
    config: ConfigFile = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Keeps what a run needs to resume; about twice the size of the ids.")
    ] = _FOLDER,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run and start a new one.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Skip and count lines without a valid id.")
    ] = False,
    timeout_h: Annotated[
        float, typer.Option("--timeout", min=0, help="Stop after this many hours; the run can be resumed.")
    ] = 48.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Check the ids, upload them to X, wait, and write the results; the same command resumes a run however it ended.

    Needs a bearer token, or API key and secret; neither Kafka nor a registry. Exit codes: 0 every id is accounted for;
    64 an option or argument is wrong; 65 the input holds invalid lines; 69 X failed every job, or delivered no whole
    results; 70 the results do not add up; 75 another run is using the folder, or the time limit has passed; 78 settings
    are wrong, a file cannot be read or written, the folder holds a run of other ids, X refuses the token or the
    request, or names a transfer URL that is not allowed; 130 and 143 SIGINT and SIGTERM.
    """
    from connector.batch.calls import Tools  # noqa: PLC0415 - see the module's docstring
    from connector.batch.command import Request, run_batch  # noqa: PLC0415 - see the module's docstring
    from connector.batch.pace import Pace  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import BatchApi, JobType  # noqa: PLC0415 - see the module's docstring

    if (output is None) != publish:
        raise typer.BadParameter("give -o FILE or --publish, one of them")
    settings: Settings = configure(RunSettings if publish else BatchSettings, config)
    progress, calls = Progress(), Counter[str]()

    def count(method: str, _: int) -> None:
        calls[method] += 1

    try:
        with BatchApi(settings.x, count) as api, _opened(source) as ids:
            request = Request(
                kind=JobType(kind),
                source=ids,
                output=output,
                folder=folder / kind,
                is_fresh=fresh,
                skip_invalid=skip_invalid,
            )
            time_s = timeout_h * _HOUR_S
            if isinstance(settings, RunSettings):
                from connector.batch.publish import run_and_publish  # noqa: PLC0415 - see the module's docstring

                report = run_and_publish(request, settings, api, time_s, progress)
            else:
                report = run_batch(request, Tools(api, Pace(time_s), progress))
    except KeyboardInterrupt:
        progress.say("interrupted; run the same command again to resume")
        raise typer.Exit(_INTERRUPTED) from None
    except OSError as error:
        raise SettingsError([f"{error.filename or folder}: {error.strerror or error}"]) from error
    _show(report, calls, as_json=as_json)


def _show(report: "Report", calls: Counter[str], *, as_json: bool) -> None:
    if as_json:
        say(msgspec.json.encode(report, enc_hook=str).decode())
        return
    say(*report.lines())
    asked = ", ".join(f"{count} {method}" for method, count in sorted(calls.items()))
    say(f"  requests to X: {asked or 'none'}")


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
    else:
        with Path(source).open("rb") as file:
            yield file


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
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="The id of the job.")], *, config: ConfigFile = None
) -> None:
    """Cancel a job, whatever created it, so that X accepts another one; its results are lost."""
    from connector.batch.calls import Calls, Tools  # noqa: PLC0415 - see the module's docstring
    from connector.batch.pace import Pace  # noqa: PLC0415 - see the module's docstring
    from connector.x.batch_api import BatchApi  # noqa: PLC0415 - see the module's docstring

    with BatchApi(configure(BatchSettings, config).x) as api:
        Calls(Tools(api, Pace(_HOUR_S), Progress())).cancel(job_id)
    say(f"job {shown(job_id)} is cancelled, or had already ended")


def _line(job: "Job") -> str:
    made = "" if job.created_us is None else format_us(job.created_us)
    return f"{job.id:<20} {shown(job.status, 20):<12} {made:<28} {shown(job.name or '-', 64)}"
