"""The commands about recorded gaps: print them, or withdraw one that proved false."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from connector.commands.consent import DryRunOption, YesOption, await_consent
from connector.commands.options import FromOption, Output, OutputOption, TimeRange, ToOption, time_range
from connector.console import ConfigFile, configure, say, say_foreign
from connector.coverage.gap import GapState
from connector.coverage.reconciliation import reconcilable
from connector.events.batch import BATCH_TYPES
from connector.events.times import format_us, parse_ns
from connector.settings import Settings
from connector.x.clock import wall_us

gaps = typer.Typer(invoke_without_command=True)

_HEAD = f"{'PARTITION':<9} {'FROM':<27}  {'TO':<27}  STATE  CAUSE: DETAIL"

States = Annotated[list[GapState] | None, typer.Option("--state", help="Only gaps with this state; may be repeated.")]


@gaps.callback()
def _gaps(  # noqa: PLR0913 - one for each option
    context: typer.Context,
    *,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
    start: FromOption = None,
    end: ToOption = None,
    state: States = None,
) -> None:
    """Print the recorded gaps, or withdraw one that proved false.

    Events of these ranges may be missing, unless the gap is withdrawn. --from and --to choose the gaps that overlap the
    given range. JSON is an array. Exit codes: 0, gaps or not; 64 an option is wrong; 69 Kafka or the registry does
    not answer; 78 a setting, topic or permission is wrong or missing.
    """
    if context.invoked_subcommand is None:
        _print(config, output, start, end, state)
    elif config or start or end or state or output is not Output.TABLE:
        raise typer.BadParameter(f"give the options after `{context.invoked_subcommand}`")


@gaps.command("list")
def list_gaps(
    *,
    config: ConfigFile = None,
    output: OutputOption = Output.TABLE,
    start: FromOption = None,
    end: ToOption = None,
    state: States = None,
) -> None:
    """Print the recorded gaps, as `connector gaps` does, with the same options and exit codes."""
    _print(config, output, start, end, state)


@gaps.command()
def withdraw(
    gap_id: Annotated[str, typer.Argument(metavar="GAP_ID", help="The gap's id, as `gaps` prints it.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="What shows that nothing is missing; kept with the gap.")],
    config: ConfigFile = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Withdraw a gap that proved false: its record stays, with the state `withdrawn` and the reason.

    Batch runs no longer make up for it. Prints the gap, and asks first. Exit codes: 0; 64 there is no such gap, it is
    withdrawn already, the reason is empty, over 500 characters or not a line of text, the answer was not yes, or there
    was no terminal to ask on and no --yes; 69 Kafka or the registry does not answer; 78 a setting, topic or permission
    is wrong or missing.
    """
    from connector.operations.withdrawal import Withdrawal

    withdrawal = Withdrawal(configure(Settings, config), gap_id, reason)
    say(_HEAD, *_lines(_readable(withdrawal.look_up())))
    if dry_run:
        say("this gap would be withdrawn", err=True)
        return
    await_consent("Withdraw this gap for everyone who reads the topic?", yes=yes)
    withdrawal.carry_out()
    say(f"withdrawn: {gap_id}")


def _print(
    config: ConfigFile, output: Output, start: str | None, end: str | None, states: list[GapState] | None
) -> None:
    from connector.operations.history import read_gaps

    asked = None if start is None and end is None else time_range(start, end, default_us=wall_us())
    found, foreign = read_gaps(configure(Settings, config))
    show(found, foreign, output, asked, states)


def show(
    found: Sequence[Mapping[str, Any]],
    foreign: Sequence[str],
    output: Output,
    asked: TimeRange | None = None,
    states: list[GapState] | None = None,
) -> None:
    """Print the gaps that have one of the states, if any, and overlap the range, if any; say which are foreign."""
    say_foreign(foreign)
    wanted = [gap for gap in found if is_wanted(gap, asked, states)]
    if output is Output.JSON:
        say(json.dumps(wanted))
        return
    if wanted:
        say(_HEAD)
    for gap in wanted:
        say(*_lines(gap))
    if not wanted:
        say("no gaps match" if found else "no gaps")


def is_wanted(gap: Mapping[str, Any], asked: TimeRange | None, states: list[GapState] | None) -> bool:
    """Return whether a gap, times as RFC 3339 text, has one of the states, if any, and overlaps the range, if any."""
    if states and gap["state"] not in states:
        return False
    if asked is None:
        return True
    try:
        start_us, end_us = (parse_ns(gap[name]) // 1000 for name in ("gap_start", "gap_end"))
    except (TypeError, ValueError):  # another program's record: better shown than missed
        return True
    return start_us < asked.end_us and end_us > asked.start_us


def _lines(gap: Mapping[str, Any]) -> list[str]:
    """Return a gap as lines of a table, the first with its bounds."""
    place = f"{gap['stream']}/{gap['stream_partition']}"
    more = [f"id: {gap['gap_id']}"]
    if gap.get("remaining") is not None:
        more.append(f"reconciled by: {', '.join(gap['reconciled_by'] or ())}")
        more.append(f"remaining: {', '.join(gap['remaining']) or 'nothing'}")
    more.extend(
        f"a batch run about all {batch_type.job_type} makes up for: {', '.join(answered)}"
        for batch_type in BATCH_TYPES
        if (answered := reconcilable(gap, batch_type))
    )
    if gap.get("withdrawn_because") is not None:
        more.append(f"withdrawn at {gap['withdrawn_at']}: {gap['withdrawn_because']}")
    first = f"{place:<9} {gap['gap_start']}  {gap['gap_end']}  {gap['state']}  {gap['cause']}: {gap['detail']}"
    return [first, *(f"{'':<9} {line}" for line in more)]


def _readable(gap: Mapping[str, Any]) -> dict[str, Any]:
    """Return a gap with its bounds as RFC 3339 text."""
    return {**gap, **{name: format_us(gap[name] * 1000) for name in ("gap_start", "gap_end")}}
