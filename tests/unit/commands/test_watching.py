"""`--watch`: one look after another, also over an outage."""

import io
from types import TracebackType
from typing import Self

import pytest

from connector.commands.watching import watch
from connector.console import Screen
from connector.errors import DependencyUnavailableError, NotProvisionedError


class _InterruptedError(Exception):
    """Ctrl-C."""


class _Reader:
    """Finds one thing after another; opened again, it goes on with the next."""

    def __init__(self, *found: int | Exception) -> None:
        self._found = iter(found)
        self.opened = self.closed = 0

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed += 1

    def read(self) -> int:
        """Return the next thing, or raise it."""
        found = next(self._found, _InterruptedError())
        if isinstance(found, Exception):
            raise found
        return found


def test_watch_shows_one_look_after_another_and_outages_between_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Every two seconds; after an outage the reader is opened again."""
    reader, output, pauses = _Reader(1, 2, DependencyUnavailableError("away"), 3), io.StringIO(), list[float]()
    with pytest.raises(_InterruptedError):
        watch(lambda: reader, lambda found: [f"found {found}", "and more"], Screen(output), pauses.append)
    assert output.getvalue() == "found 1\nand more\nfound 2\nand more\nfound 3\nand more\n"
    assert capsys.readouterr().err.endswith("Z: away\n")
    assert pauses == [2.0] * 4
    assert (reader.opened, reader.closed) == (2, 2)


def test_watch_ends_with_what_waiting_cannot_help() -> None:
    """A right that is missing, for example."""
    reader = _Reader(1, NotProvisionedError("no right"))
    with pytest.raises(NotProvisionedError):
        watch(lambda: reader, lambda _: [], Screen(io.StringIO()), lambda _: None)
    assert reader.closed == 1
