"""`connector batch …`: the commands for X's batch compliance jobs.

They import what they need when they are called, so they start fast.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from connector.commands.consent import DryRunOption
from connector.commands.options import Output, OutputOption, duration_s, duration_us, help_or_subcommand
from connector.console import ConfigFile

_FOLDER = Path(".connector-batch")
_ABANDON_S = 3600.0
"""How long `cancel` tries, in seconds."""

batch = typer.Typer(
    help="Batch compliance: ask X which of the ids you hold to delete, fetch again or strip of location.",
    invoke_without_command=True,
    callback=help_or_subcommand,
)


Kind = Annotated[Literal["tweets", "users"], typer.Argument(metavar="tweets|users", help="What the ids identify.")]
Source = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE", help="Ids, one a line, plain or gzip; - or nothing reads stdin.", show_default=False
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The id of an unfinished run.")]
FromTopic = Annotated[
    bool, typer.Option("--from-topic", help="Read the ids from the topic PREFIX-holdings instead of a file.")
]
CoversAll = Annotated[
    bool,
    typer.Option("--covers-all", help="Declare that the file has every id you hold, so that gaps can be reconciled."),
]
Results = Annotated[
    Path | None, typer.Option("-r", "--results", help="File for the results, as JSON lines; replaced if it exists.")
]
Publish = Annotated[bool, typer.Option("--publish", help="Publish the results to Kafka, exactly once.")]
OnBus = Annotated[bool, typer.Option("--publish", help="Look for runs that publish: their state is in Kafka.")]
Folder = Annotated[
    Path, typer.Option("--folder", help="Folder for what a run needs to resume; about twice the size of the ids.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard an unfinished run and start a new one.")]
SkipInvalid = Annotated[bool, typer.Option("--skip-invalid", help="Skip and count lines or keys without a valid id.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="Stop after this long; the run can be resumed.")
]


def _check_output(output: Output, *, dry_run: bool) -> None:
    if dry_run and output is Output.JSON:
        raise typer.BadParameter("--dry-run prints no JSON: omit --output")


@batch.command()
def run(  # noqa: PLR0913 - one for each option
    kind: Kind,
    source: Source = None,
    *,
    results: Results = None,
    publish: Publish = False,
    from_topic: FromTopic = False,
    covers_all: CoversAll = False,
    due: Annotated[
        int | None,
        typer.Option(
            "--due",
            metavar="DURATION",
            parser=duration_us,
            help="Skip the run if one that began within this time is done and no gap was recorded since.",
        ),
    ] = None,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    fresh: Fresh = False,
    skip_invalid: SkipInvalid = False,
    timeout: Timeout = "48h",
    output: OutputOption = Output.TABLE,
    dry_run: DryRunOption = False,
) -> None:
    """Check the ids, upload them to X, wait, and write the results; the same command resumes a run however it ended.

    With -r it needs a bearer token, or API key and secret, and neither Kafka nor a registry. With --dry-run it reads
    the ids and prints what it would ask X and publish, without asking X anything. Exit codes: 0 every id is
    accounted for, or no run is due; 64 an option or argument is wrong; 65 the input holds invalid lines; 69 X failed
    every job, or delivered no whole results, or Kafka or the registry does not answer; 70 the results do not add up; 75
    another run is under way, or the time limit has passed; 78 settings are wrong, a file cannot be read or written, the
    folder holds a run of other ids, X refuses the token or the request, or names a transfer URL that is not allowed;
    130 and 143 SIGINT and SIGTERM.
    """
    from connector.batch import dry_run as dry
    from connector.batch import session

    timeout_s = duration_s(timeout, "--timeout")
    session.check_goal(results, publish=publish)
    session.check_files(source, results)
    _check_output(output, dry_run=dry_run)
    if due is not None and not publish:
        raise typer.BadParameter("--due needs --publish: past runs are recorded in Kafka")
    session.check_ids(source, from_topic=from_topic, covers_all=covers_all, publish=publish)
    settings, as_json = session.configured(config, publish=publish or from_topic), output is Output.JSON
    with session.ids(kind, source, settings, from_topic=from_topic, skip_invalid=skip_invalid) as ids:
        request = session.request(kind, ids, results, folder, publish=publish, covers_all=covers_all, fresh=fresh)
        if dry_run:
            dry.show_run(request, settings, folder, publish=publish, due_us=due)
            return
        with session.opened(request, settings, timeout_s, publish=publish, due_us=due, as_json=as_json) as given:
            session.finish(given, as_json=as_json)


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
    timeout: Timeout = "48h",
    output: OutputOption = Output.TABLE,
    dry_run: DryRunOption = False,
) -> None:
    """Check the ids and upload them to X without waiting: `connector batch fetch` finishes the run later.

    With --dry-run it reads the ids and prints what it would ask X, without asking X anything.

    Exit codes as for `connector batch run`; 0: X has the ids, or those of the first shard.
    """
    from connector.batch import dry_run as dry
    from connector.batch import session

    timeout_s = duration_s(timeout, "--timeout")
    _check_output(output, dry_run=dry_run)
    session.check_ids(source, from_topic=from_topic, covers_all=covers_all, publish=publish)
    settings = session.configured(config, publish=publish or from_topic)
    options = ("--publish" if publish else "-r FILE") + ("" if folder == _FOLDER else f" --folder {folder}")
    with session.ids(kind, source, settings, from_topic=from_topic, skip_invalid=skip_invalid) as ids:
        request = session.request(kind, ids, None, folder, publish=publish, covers_all=covers_all, fresh=fresh)
        if dry_run:
            dry.show_run(request, settings, folder, publish=publish)
            return
        with session.opened(request, settings, timeout_s, publish=publish) as given:
            session.submit(given, options, as_json=output is Output.JSON)


@batch.command()
def fetch(  # noqa: PLR0913 - one for each option
    run_id: RunId,
    *,
    results: Results = None,
    publish: Publish = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    timeout: Timeout = "48h",
    output: OutputOption = Output.TABLE,
    dry_run: DryRunOption = False,
) -> None:
    """Finish a run that was submitted or interrupted: wait for X, and write the results.

    With --dry-run it asks X for the status of its jobs, prints which are ready, and fetches nothing.

    Needs the folder of the run. Exit codes as for `connector batch run`; 78 also if there is no such run.
    """
    from connector.batch import dry_run as dry
    from connector.batch import session

    timeout_s = duration_s(timeout, "--timeout")
    _check_output(output, dry_run=dry_run)
    session.check_goal(results, publish=publish)
    settings = session.configured(config, publish=publish)
    state = session.find(run_id, folder, settings, publish=publish)
    request = session.request(state.kind, None, results, folder, publish=publish, run_id=run_id)
    if dry_run:
        dry.show_fetch(request, state, settings)
        return
    with session.opened(request, settings, timeout_s, publish=publish) as given:
        session.finish(given, as_json=output is Output.JSON)


@batch.command()
def status(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN", help="The id of a run.", show_default=False)] = None,
    *,
    publish: OnBus = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show unfinished runs and the status of their jobs at X; with --publish also how the other runs ended.

    Asks X about the job of each unfinished run, and changes nothing.
    """
    from connector.batch import session

    settings = session.configured(config, publish=publish)
    session.show_status(run_id, folder, settings, publish=publish, as_json=output is Output.JSON)


@batch.command("list")
def list_jobs(kind: Kind, *, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """List the jobs that X knows, oldest first: id, status, time of creation, name."""
    from connector.batch import session

    settings = session.configured(config, publish=False)
    session.show_jobs(kind, settings, as_json=output is Output.JSON)


@batch.command()
def cancel(  # noqa: PLR0913 - one for each option
    target: Annotated[str, typer.Argument(metavar="RUN|JOB", help="The id of an unfinished run, or of a job at X.")],
    *,
    publish: OnBus = False,
    config: ConfigFile = None,
    folder: Folder = _FOLDER,
    output: OutputOption = Output.TABLE,
    dry_run: DryRunOption = False,
) -> None:
    """Discard an unfinished run and cancel its job; or cancel a job, whatever created it. The results are lost.

    With --dry-run it asks X for the job, prints what it would discard and cancel, and does neither.
    """
    from connector.batch import dry_run as dry
    from connector.batch import session

    _check_output(output, dry_run=dry_run)
    settings, as_json = session.configured(config, publish=publish), output is Output.JSON
    state = session.unfinished(folder, settings, publish=publish).get(target)
    if dry_run:
        dry.show_cancel(target, state, folder, settings, publish=publish)
        return
    if state is None:
        session.cancel_job(target, folder, settings, publish=publish, as_json=as_json)
        return
    request = session.request(state.kind, None, None, folder, publish=publish, run_id=target)
    with session.opened(request, settings, _ABANDON_S, publish=publish) as given:
        session.abandon(given, as_json=as_json)
