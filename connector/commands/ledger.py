"""Commands about the ledger: audit it, or start a new one."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.consent import DryRunOption, YesOption, await_consent
from connector.commands.options import (
    FromOption,
    Output,
    OutputOption,
    ToOption,
    help_or_subcommand,
    instant_us,
    time_range,
)
from connector.console import ConfigFile, Progress, configure, say, say_foreign
from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.settings import Settings

if TYPE_CHECKING:
    from connector.operations.audit_report import AuditReport
    from connector.operations.reset import LedgerReset

_DAY_US = 86_400 * US_PER_S

ledger = typer.Typer(
    help="Audit the connector's ledger, or reset it.", invoke_without_command=True, callback=help_or_subcommand
)


@ledger.command()
def verify(
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: ToOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Audit the ledger against everything that it accounts for.

    Entries must be contiguous, chained and add up; events, dead letters, coverage and gaps must be the very records
    that the ledger accounts for, each in its topic, under its key, in its Kafka partition and in order, as far back as
    `kafka.retention` keeps them. The range is by Kafka's timestamps, and by default the last 24 hours. Exit codes: 0
    everything is sound; 64 an option is wrong; 69 Kafka or the registry does not answer; 70 there are discrepancies,
    which are printed; 78 a setting, topic or permission is wrong or missing.
    """
    from connector.operations.verification import verify as audit
    from connector.x.clock import wall_us

    audited = time_range(start, end, default_us=_DAY_US)
    settings = configure(Settings, config)
    progress = Progress()
    result = audit(settings, audited.start_us, audited.end_us if end else None, wall_us(), progress.show)
    progress.show("")
    show(result, output)


def show(report: "AuditReport", output: Output) -> None:
    """Print an audit. Raises `typer.Exit` unless everything is sound."""
    from connector.operations.audit_report import as_json, lines

    say(*(as_json(report) if output is Output.JSON else lines(report)))
    say_foreign(report.foreign)
    if not report.is_sound:
        raise typer.Exit(os.EX_SOFTWARE)


@ledger.command()
def reset(  # noqa: PLR0913 - one for each option
    *,
    config: ConfigFile = None,
    stream: Annotated[str, typer.Option(help="tweet, user, like or label.", autocompletion=lambda: list(STREAMS))],
    partition: Annotated[int, typer.Option(min=1, max=4, help="The stream's partition; 1 for like and label.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Reset even a sound ledger, which records a gap that does not exist.")
    ] = False,
    gap_from: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Latest possible start of the gap; needed if neither ledger nor coverage topic shows it.",
        ),
    ] = None,
) -> None:
    """Start a new ledger for one stream partition; records the gap.

    For a partition that stopped because its ledger cannot be trusted, once the cause is understood. Prints what it
    would record, and asks first. Exit codes: 0; 64 no stream partition of that name, an option is wrong, the answer was
    not yes, or there was no terminal to ask on and no --yes; 69 Kafka or the registry does not answer; 70 the owner
    kept committing; 78 the ledger is sound, the start of the gap is not known, or a setting, topic or permission is
    wrong or missing.
    """
    from connector.operations.reset import LedgerReset
    from connector.x.clock import wall_us

    chosen = StreamPartition(stream, partition)
    if chosen not in STREAM_PARTITIONS:
        raise typer.BadParameter(
            f"there is no stream partition {chosen}; there are {', '.join(map(str, STREAM_PARTITIONS))}"
        )
    now_us = wall_us()
    gap_from_us = None if gap_from is None else instant_us(gap_from, now_us)
    if gap_from_us is not None and gap_from_us >= now_us:
        raise typer.BadParameter(f"{format_us(gap_from_us)} is not in the past", param_hint="--gap-from")
    with LedgerReset(configure(Settings, config), chosen, is_forced=force, gap_from_us=gap_from_us) as planned:
        reset_with_consent(planned, chosen, dry_run=dry_run, yes=yes)


def reset_with_consent(planned: "LedgerReset", chosen: StreamPartition, *, dry_run: bool, yes: bool) -> None:
    """Print what a reset would do, and do it with consent."""
    plan = planned.plan()
    say_foreign(planned.foreign)
    say(*plan.lines())
    if dry_run:
        return
    await_consent(f"Start a new ledger for {chosen}, and stop its owner? {plan.consequence}", yes=yes)
    gap = planned.carry_out()
    say(f"{chosen}: started a new ledger")
    if gap is not None:
        say(f"{chosen}: recorded a gap from {format_us(gap.start_us)} to {format_us(gap.end_us)}")
