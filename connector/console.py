"""What all commands share: the settings file, output safe for a terminal, and progress."""

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
    """Print lines, with control characters made visible."""
    for line in lines:
        typer.echo(visible(line), err=err)


def in_columns(rows: Sequence[Sequence[str]], most: int = 80) -> Iterator[str]:
    """Yield rows of a table, the first its headings, as lines; no column but the last is made wider than `most`."""
    widths = [min(most, max(map(len, column))) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def say_error(what: str, error: ConnectorError, *, err: bool = False) -> None:
    """Print an error, with all of its lines."""
    text, *more = error.lines
    say(f"{what}: {text}", *more, err=err)


def say_foreign(foreign: Sequence[str]) -> None:
    """Print the number of records that the connector cannot have written, and the problem of the first."""
    if foreign:
        records = "1 record was" if len(foreign) == 1 else f"{len(foreign):,} records were"
        say(f"{records} not written by the connector, such as {foreign[0]}", err=True)


def report(error: ConnectorError) -> int:
    """Print the error on stderr, and return its exit code."""
    say_error("connector", error, err=True)
    return error.exit_code


def configure(kind: type[S], config: Path | None, *, is_service: bool = False) -> S:
    """Read the settings and configure logging, librdkafka's included."""
    from connector.telemetry.logs import configure_logs  # noqa: PLC0415 - a command starts fast

    settings = load_settings(kind, config)
    configure_logs(settings.log, is_service=is_service)
    return settings


class Progress:
    """Shows progress on stderr: lines that stay, and on a terminal one line that is updated in place."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stderr
        self._shown = 0

    def say(self, text: str) -> None:
        """Print a line."""
        self._clear()
        print(visible(text), file=self._output, flush=True)

    def show(self, text: str) -> None:
        """Replace the text shown; on a terminal only."""
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
        """Show lines; on a terminal they are cut to fit, so that the next ones can replace them."""
        shown = [visible(line) for line in lines]
        if self._output.isatty():
            size = shutil.get_terminal_size()
            shown = [line[: size.columns - 1] for line in shown[: size.lines - 1]]
            print(f"\x1b[{self._shown}F\x1b[J" if self._shown else "\x1b[J", end="", file=self._output)
        print(*shown, sep="\n", file=self._output, flush=True)
        self._shown = len(shown)

    def show_error(self, text: str) -> None:
        """Show an error: on a terminal in place of the lines, elsewhere on stderr."""
        if self._output.isatty():
            self.show([text])
        else:
            say(text, err=True)
