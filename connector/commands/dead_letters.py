"""Commands about dead letters: list and show them, replay those that now decode."""

import base64
import json
import os
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.commands.consent import DryRunOption, YesOption, await_consent
from connector.commands.options import FromOption, Output, OutputOption, ToOption, time_range
from connector.console import ConfigFile, configure, in_columns, say, say_foreign
from connector.events.identity import ID_BYTES
from connector.events.times import format_us
from connector.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.operations.dead_letters import Letter, LetterKey, Mark, Wanted

_HEAD = ("RECEIVED", "ID", "FROM", "BYTES", "OFFSETS", "REPLAYED AS", "REASON: DETAIL")
_HEX_DIGITS = 2 * ID_BYTES
_EXAMPLES = 3

dead_letters = typer.Typer(invoke_without_command=True)


def _reasons() -> list[str]:
    from connector.batch.results import DeadReason
    from connector.events.decode import Reason

    return sorted({*Reason, *DeadReason})


ReasonOption = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help="Only those with this reason, such as unknown-type.",
        autocompletion=_reasons,
    ),
]
IdsOption = Annotated[
    list[str] | None, typer.Option("--id", metavar="ID", help="Only the one with this event id; may be repeated.")
]


@dead_letters.callback()
def _dead_letters(  # noqa: PLR0913 - one for each option
    context: typer.Context,
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: ToOption = None,
    reason: ReasonOption = None,
    ids: IdsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """List, show or replay lines from X that could not be understood; lists them by default.

    The list is in the order of receipt, of all that are kept unless a range is given, and includes those of batch runs.
    Exit codes: 0; 64 invalid range or id; 69 Kafka does not answer; 78 a setting, topic or permission is wrong or
    missing.
    """
    if context.invoked_subcommand is None:
        _list(config, start, end, reason, ids, output)
    elif config or start or end or reason or ids or output is not Output.TABLE:
        raise typer.BadParameter(f"give the options after `{context.invoked_subcommand}`")


@dead_letters.command(name="list")
def list_(  # noqa: PLR0913 - one for each option
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: ToOption = None,
    reason: ReasonOption = None,
    ids: IdsOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print the dead letters, as `connector dead-letters` does, with the same options and exit codes."""
    _list(config, start, end, reason, ids, output)


@dead_letters.command()
def show(
    id_text: Annotated[str, typer.Argument(metavar="ID", help="The event id of a dead letter, as `list` prints it.")],
    *,
    config: ConfigFile = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes of the line alone, as they are.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Print a dead letter: where it came from, why it is one, and its bytes.

    Exit codes: 0; 64 invalid id; 65 there is no such dead letter; 69 Kafka does not answer; 78 a setting, topic or
    permission is wrong or missing.
    """
    event_id = _id(id_text)
    if raw and output is Output.JSON:
        raise typer.BadParameter("cannot be combined with --output json", param_hint="--raw")
    from connector.operations.dead_letters import read_lines

    found = read_lines(configure(Settings, config).kafka, event_id)
    if not found:
        say(f"no such dead letter (it may have expired): {event_id.hex()}", err=True)
        raise typer.Exit(os.EX_DATAERR)
    if raw:
        sys.stdout.buffer.write(found[0].line)
    elif output is Output.JSON:
        say(
            json.dumps(
                [_as_json(each.letter, each.mark) | {"line": base64.b64encode(each.line).decode()} for each in found]
            )
        )
    else:
        for each in found:
            for name, value in _as_json(each.letter, each.mark).items():
                if value is not None:
                    say(f"{name:<16} {value}")
            say("", each.line.decode(errors="backslashreplace"))


@dead_letters.command()
def replay(  # noqa: PLR0913 - one for each option
    *,
    config: ConfigFile = None,
    start: FromOption = None,
    end: ToOption = None,
    reason: ReasonOption = None,
    ids: IdsOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> None:
    """Publish dead letters that this release can now decode, each exactly once.

    Prints what would be published, and asks first. Each event gets the next sequence number of its stream partition and
    delivered_by `dead-letter`, and is marked on the dead-letter topic. The owner of the stream partition may keep
    running: it restarts from its ledger, which takes some seconds. All other dead letters stay as they are.
    Exit codes: 0; 64 invalid range or id, the answer was not yes, or there was no terminal to ask on and no --yes; 65 a
    dead letter given by --id, or one that now decodes, could not be published; 69 Kafka or the registry does not
    answer, or another writer kept committing; 70 a ledger cannot be trusted; 78 a setting, topic or permission is wrong
    or missing.
    """
    wanted = _wanted(start, end, reason, ids)
    from connector.operations.replay import Replay, survey

    settings = configure(Settings, config)
    found = survey(settings, wanted)
    say_foreign(found.foreign)
    _say_refused(found.refused)
    if found.replayed:
        say(f"{found.replayed:,} were replayed before", err=True)
    unknown = wanted.ids - found.ids
    for event_id in sorted(unknown):
        say(f"no such dead letter (it may have expired): {event_id.hex()}", err=True)
    is_failed = bool(unknown) or bool(wanted.ids and found.refused)
    for (partition, name), count in found.counts().items():
        say(f"{partition!s:<8} {name:<26} {count:>8,} to publish")
    if not found.types:
        say("nothing to replay")
    elif not dry_run:
        await_consent(f"Publish {len(found.types):,} dead letters as events?", yes=yes)
        with Replay(settings, found) as replaying:
            try:
                replaying.run()
            finally:
                say(f"published {replaying.published:,}")
                if replaying.replayed_meanwhile:
                    say(f"{replaying.replayed_meanwhile:,} were replayed meanwhile", err=True)
                _say_refused(replaying.refused)
        is_failed = is_failed or bool(replaying.refused)
    if is_failed:
        raise typer.Exit(os.EX_DATAERR)


def _list(  # noqa: PLR0913, PLR0917 - one for each option
    config: ConfigFile,
    start: str | None,
    end: str | None,
    reason: str | None,
    ids: list[str] | None,
    output: Output,
) -> None:
    wanted = _wanted(start, end, reason, ids)
    from connector.operations.dead_letters import Wanted, in_order, read_letters

    letters = read_letters(configure(Settings, config).kafka)
    say_foreign(letters.foreign)
    found = in_order(letters.chosen(wanted))
    if output is Output.JSON:
        say(json.dumps([_as_json(letter, letters.marks.get(letter.key)) for letter in found]))
        return
    if found:
        say(*in_columns([_HEAD, *(_as_row(letter, letters.marks.get(letter.key)) for letter in found)]))
    else:
        say("no dead letters" if wanted == Wanted() else "no dead letters match")


def _wanted(start: str | None, end: str | None, reason: str | None, ids: list[str] | None) -> "Wanted":
    """Return which dead letters were requested. Raises `typer.BadParameter`."""
    from connector.operations.dead_letters import Wanted

    if reason is not None and reason not in (reasons := _reasons()):
        raise typer.BadParameter(f"{reason}: give one of {', '.join(reasons)}", param_hint="--reason")
    wanted = Wanted(reason=reason, ids=frozenset(map(_id, ids or ())))
    if start is None and end is None:
        return wanted
    asked = time_range(start or "1970-01-01", end, default_us=0)
    return Wanted(asked.start_us, asked.end_us, wanted.reason, wanted.ids)


def _id(text: str) -> bytes:
    try:
        event_id = bytes.fromhex(text)
    except ValueError:
        event_id = b""
    if len(event_id) != ID_BYTES or len(text) != _HEX_DIGITS:
        raise typer.BadParameter(f"{text}: an event id has {_HEX_DIGITS} hexadecimal digits")
    return event_id


def _as_json(letter: "Letter", mark: "Mark | None") -> dict[str, Any]:
    return {
        "event_id": letter.key.id.hex(),
        "stream": letter.key.origin.stream,
        "stream_partition": None if letter.key.is_of_batch else letter.key.origin.number,
        "run_id": letter.run_id,
        "job_id": letter.job_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "length": letter.length,
        "kept": letter.kept,
        "received_at": format_us(letter.received_us),
        "first_offset": letter.first_offset,
        "last_offset": letter.last_offset,
        "records": letter.records,
        "replayed_at": None if mark is None else format_us(mark.replayed_us),
        "sequence": None if mark is None else mark.sequence,
    }


def _as_row(letter: "Letter", mark: "Mark | None") -> tuple[str, ...]:
    origin = f"{letter.key.origin.stream} run {letter.run_id}" if letter.key.is_of_batch else str(letter.key.origin)
    offsets = str(letter.first_offset)
    if letter.records > 1:
        offsets = f"{letter.first_offset} to {letter.last_offset} ({letter.records} records)"
    replayed = "" if mark is None else f"sequence {mark.sequence}"
    received, size, why = format_us(letter.received_us), f"{letter.length:,}", f"{letter.reason}: {letter.detail}"
    return received, letter.key.id.hex(), origin, size, offsets, replayed, why


def _say_refused(refused: "Mapping[LetterKey, str]") -> None:
    """Print on stderr what is not replayed and why: how many for each reason, and the first ids."""
    by_why: dict[str, list[str]] = defaultdict(list)
    for key, why in refused.items():
        by_why[why].append(key.id.hex())
    for why, found in by_why.items():
        more = f" and {len(found) - _EXAMPLES:,} more" if len(found) > _EXAMPLES else ""
        say(f"{', '.join(found[:_EXAMPLES])}{more} not replayed: {why}", err=True)
