"""The output of the demo: a live table on a terminal, plain lines anywhere else. Data in, text to stdout."""

import sys
import time
from collections.abc import Callable, Collection
from os.path import commonprefix
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from connector.demo.landing import Row
from connector.terminal import visible

_LINE_EVERY_S = 3.0
_SAMPLE_CHARACTERS = 60


class View(Protocol):
    """Shows the demo between `with` and its end."""

    def say(self, *lines: str) -> None:
        """Show `lines` for good."""

    def show(self, rows: Collection[Row], progress: str) -> None:
        """Show what has landed by now, and the progress of the demo in a few words."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def make_view(output: TextIO | None = None) -> View:
    """Return the view that fits `output`, by default stdout."""
    console = Console(file=output, highlight=False)
    is_terminal = (output or sys.stdout).isatty() and not console.is_dumb_terminal
    return TableView(console) if is_terminal else LinesView(output)


class TableView:
    """A table that is redrawn in place; what is said scrolls by above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def say(self, *lines: str) -> None:
        """Show `lines` for good."""
        for line in lines:
            self._live.console.print(Text(visible(line)))

    def show(self, rows: Collection[Row], progress: str) -> None:
        """Draw the table again, with the progress below it."""
        table = Table(
            caption=progress,
            caption_justify="left",
            box=None,
            expand=True,
            padding=(0, 1, 0, 0),
            header_style="bold",
        )
        prefix = commonprefix([row.topic for row in rows])  # noqa: RUF071 - names, not paths
        table.add_column(f"{prefix}...", no_wrap=True)
        table.add_column("records", no_wrap=True, justify="right")
        table.add_column("last key", no_wrap=True, max_width=20)
        table.add_column("last record", no_wrap=True, ratio=1)
        for row in rows:
            cells = (row.topic.removeprefix(prefix), f"{row.count:,}", row.last_key, row.sample)
            table.add_row(*(Text(visible(cell)) for cell in cells), style="" if row.count else "dim")
        self._live.update(table, refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()


class LinesView:
    """Prints the first record of each topic, the total every few seconds, and at the end the counts."""

    def __init__(self, output: TextIO | None = None, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._monotonic_s = monotonic_s
        self._began = monotonic_s()
        self._due = self._began
        self._seen: set[str] = set()
        self._rows: Collection[Row] = ()

    def say(self, *lines: str) -> None:
        """Print `lines`."""
        for line in lines:
            print(visible(line), file=self._output, flush=True)

    def show(self, rows: Collection[Row], progress: str) -> None:
        """Print what is new, the counts only when it is time."""
        self._rows = rows
        for row in rows:
            if row.count and row.topic not in self._seen:
                self._seen.add(row.topic)
                self.say(f"       {row.topic}  {row.last_key}  {_shorten(row.sample)}")
        now = self._monotonic_s()
        if now >= self._due:
            self._due = now + _LINE_EVERY_S
            total, topics = sum(row.count for row in rows), sum(row.count > 0 for row in rows)
            self.say(f"{now - self._began:4.0f} s  {total:,} records on {topics} of {len(rows)} topics; {progress}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.say("")
            for row in self._rows:
                self.say(f"{row.topic:<40}{row.count:>8,}")


def _shorten(text: str) -> str:
    return text if len(text) <= _SAMPLE_CHARACTERS else f"{text[: _SAMPLE_CHARACTERS - 3]}..."
