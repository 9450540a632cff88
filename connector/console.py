"""What all commands share: the settings file, output that a terminal cannot obey, and progress."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO, TypeVar

import typer

from connector.configuration import load_settings
from connector.errors import ConnectorError
from connector.settings import Settings
from connector.terminal import visible

S = TypeVar("S", bound=Settings)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file with settings; CONNECTOR_ variables override it."),
]


def say(*lines: str, err: bool = False) -> None:
    """Print lines, with nothing in them that a terminal would obey."""
    for line in lines:
        typer.echo(visible(line), err=err)


def in_columns(rows: Sequence[Sequence[str]], most: int = 80) -> Iterator[str]:
    """Yield rows of a table, the first its headings, as lines; no column but the last is made wider than `most`."""
    widths = [min(most, max(map(len, column))) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def say_error(what: str, error: ConnectorError, *, err: bool = False) -> None:
    """Print what is wrong, on as many lines as the error has."""
    text, *more = error.lines
    say(f"{what}: {text}", *more, err=err)


def say_foreign(foreign: Sequence[str]) -> None:
    """Print how many records the connector cannot have written, and what is wrong with the first."""
    if foreign:
        records = "1 record was" if len(foreign) == 1 else f"{len(foreign):,} records were"
        say(f"{records} not written by the connector, such as {foreign[0]}", err=True)


def tell(error: ConnectorError) -> int:
    """Say on stderr what is wrong, and return the exit code."""
    say_error("connector", error, err=True)
    return error.exit_code


def configure(kind: type[S], config: Path | None, *, is_service: bool = False) -> S:
    """Read the settings and configure logging, librdkafka's included."""
    from connector.telemetry.logs import configure_logs  # noqa: PLC0415 - a command starts fast

    settings = load_settings(kind, config)
    configure_logs(settings.log, is_service=is_service)
    return settings


class Progress:
    """Shows on stderr how something goes: a line for each change, and on a terminal what changes all the time."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stderr
        self._shown = 0

    def say(self, text: str) -> None:
        """Print a line."""
        self._clear()
        print(visible(text), file=self._output, flush=True)

    def show(self, text: str) -> None:
        """Show a text in place of the one before, on a terminal alone."""
        if self._output.isatty():
            self._clear()
            line = visible(text)
            print(line, end="", file=self._output, flush=True)
            self._shown = len(line)

    def _clear(self) -> None:
        if self._shown:
            print(f"\r{' ' * self._shown}\r", end="", file=self._output)
            self._shown = 0


class Screen:
    """Shows lines on stdout: on a terminal in place of those before, elsewhere below them."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._shown = 0

    def show(self, lines: Sequence[str]) -> None:
        """Show lines; on a terminal they are cut to what fits, so that the next ones find their place."""
        shown = [visible(line) for line in lines]
        if self._output.isatty():
            size = shutil.get_terminal_size()
            shown = [line[: size.columns - 1] for line in shown[: size.lines - 1]]
            print(f"\x1b[{self._shown}F\x1b[J" if self._shown else "\x1b[J", end="", file=self._output)
        print(*shown, sep="\n", file=self._output, flush=True)
        self._shown = len(shown)

    def show_error(self, text: str) -> None:
        """Show what keeps the lines from being shown: on a terminal in their place, elsewhere on stderr."""
        if self._output.isatty():
            self.show([text])
        else:
            say(text, err=True)
