"""The command that shows all stream partitions of all replicas."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from connector.commands.options import Output, OutputOption
from connector.commands.watching import WatchOption
from connector.commands.watching import watch as refresh
from connector.console import ConfigFile, Screen, configure, in_columns, say, say_foreign
from connector.events.times import format_to_the_second
from connector.settings import Settings

if TYPE_CHECKING:
    from connector.operations.status import FleetStatus

_HEAD = ("PARTITION", "MODE", "BEHIND", "GAPS", "NOTE", "COMPLETE UNTIL", "OWNER")


def status(
    *,
    config: ConfigFile = None,
    watch: WatchOption = False,
    output: OutputOption = Output.TABLE,
    url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Replica to ask for errors and connects left, http://HOST:8080; may be repeated."
        ),
    ] = None,
) -> None:
    """Show all stream partitions of all replicas, from the consumer group, the coverage topic and the gap topic.

    Exit codes: 0 every enabled stream partition has an owner, was updated in the last minute and is less than 4 minutes
    behind (2 minutes while not connected); 1 some stream partition is not, or its record is dated over 5 minutes
    ahead; 64 an option is wrong; 69 Kafka or the registry does not answer; 78 a setting, topic or permission is wrong
    or missing.
    """
    from connector.operations.status import FleetReader

    urls = [_checked(each) for each in url or ()]
    settings = configure(Settings, config)
    if watch:
        refresh(lambda: FleetReader(settings, urls), lambda found: _lines(found, output), Screen())
    else:
        with FleetReader(settings, urls) as reader:
            found = reader.read()
        say_foreign(found.foreign)
        say(*_lines(found, output))
        if not found.is_well:
            raise typer.Exit(1)


def _checked(url: str) -> str:
    """Return the address of a replica. Raises `typer.BadParameter`."""
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError as error:
        raise typer.BadParameter(f"{url}: {error}", param_hint="--url") from error
    if parts.scheme != "http" or not parts.hostname or not has_port or parts.username or parts.path.strip("/"):
        raise typer.BadParameter(f"{url}: give http://HOST:PORT", param_hint="--url")
    return url


def _lines(found: "FleetStatus", output: Output) -> Iterator[str]:
    """Yield what is printed."""
    if output is Output.JSON:
        yield found.as_json()
    else:
        yield from _table(found)


def _table(found: "FleetStatus") -> Iterator[str]:
    from connector.pages.words import counted, duration

    troubled, count = sum(bool(each.trouble) for each in found.partitions), len(found.partitions)
    verdict = f"{troubled} of {count} need attention" if troubled else f"all {count} are owned and up to date"
    yield f"stream partitions: {verdict}; {counted(len(found.members), 'replica')} in the group"
    yield f"at {format_to_the_second(found.at_us)}"
    rows = [_HEAD]
    for each in found.partitions:
        complete = "not known" if each.complete_until_us is None else format_to_the_second(each.complete_until_us)
        behind = "not known" if each.behind_us is None else duration(each.behind_us)
        rows.append(
            (
                str(each.partition),
                each.mode or "not known",
                behind,
                str(each.open_gaps),
                each.trouble or "",
                complete,
                each.owner or "none",
            )
        )
    yield from in_columns(rows)
    yield from (f"{each.partition}: {each.details}" for each in found.partitions if each.details)
    for url, left in found.connects_left.items():
        words = ", ".join(f"{stream} {count}" for stream, count in left.items())
        yield f"connects left, by {url}: {words or 'not known'}"
    yield from (f"not reached: {replica}" for replica in found.unreachable)
