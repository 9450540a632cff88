"""The command that reports how complete a time range is, and the evidence."""

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.options import FromOption, group_names, time_range
from connector.console import ConfigFile, Progress, configure, say, say_foreign
from connector.events.times import US_PER_S
from connector.settings import Settings

if TYPE_CHECKING:
    from connector.operations.coverage_report import CoverageReport

_DAY_US = 24 * 60 * 60 * US_PER_S
_LAG_US = 5 * 60 * US_PER_S
"""Coverage of a healthy stream partition is seconds old: a range that ended this long ago must be complete."""
_NOT_COMPLETE = 1


class ReportOutput(StrEnum):
    """How the report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


def coverage(
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TIME",
            help="End of the range (exclusive), written as --from. Default: 5 minutes ago.",
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A consumer group that must have processed all of the range, too; may be repeated."
        ),
    ] = None,
    output: Annotated[
        ReportOutput,
        typer.Option("--output", help="A table for people, JSON or CSV for programs, or an HTML page to keep."),
    ] = ReportOutput.TABLE,
) -> None:
    """Report whether everything that X emitted in a time range is on the topics, and the evidence.

    For each enabled stream partition: complete until when, gaps, dead letters, events by type, duplicates, owners and a
    verdict; then an overall verdict. With --group also until when these groups have processed it. Without --from and
    --to the range is the 24 hours that ended 5 minutes ago. Exit codes: 0 complete; 1 not complete; 64 the range is
    wrong; 69 Kafka or the registry does not answer; 70 a ledger cannot be read, or records were found that the
    connector did not write; 78 settings are wrong, or topics or rights are missing.
    """
    from connector.operations.coverage_reading import read_coverage
    from connector.x.clock import wall_us

    chosen = time_range(start, end, default_us=_DAY_US, lag_us=_LAG_US)
    groups = group_names(group or (), "--group")
    settings, progress = configure(Settings, config), Progress()
    try:
        report = read_coverage(
            settings, chosen.start_us, chosen.end_us, wall_us(), on_progress=progress.show, groups=groups
        )
    finally:
        progress.show("")
    show(report, output)


def show(report: "CoverageReport", output: ReportOutput) -> None:
    """Print a report. Raises `typer.Exit` with the exit code unless it is complete."""
    from connector.operations import coverage_forms as forms
    from connector.operations.coverage_report import Verdict

    if output is ReportOutput.JSON:
        say(forms.as_json(report))
    elif output is ReportOutput.CSV:
        say(*forms.as_csv(report).splitlines())
    elif output is ReportOutput.HTML:
        from connector.operations.coverage_html import render  # type: ignore[import-not-found, unused-ignore]

        say(*render(report).split("\n"))
    else:
        say(*forms.as_table(report))
    say_foreign(report.foreign)
    if report.foreign:
        raise typer.Exit(os.EX_SOFTWARE)
    if report.verdict is not Verdict.COMPLETE:
        raise typer.Exit(_NOT_COMPLETE)
