"""The loop of `--watch`: one look after another on one screen."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Annotated, NoReturn, Protocol, TypeVar

import typer

from connector.console import Screen
from connector.errors import DependencyUnavailableError
from connector.events.times import format_to_the_second
from connector.x.clock import wall_us

F_co = TypeVar("F_co", covariant=True)

WatchOption = Annotated[bool, typer.Option("--watch", help="Refresh every 2 s, until interrupted.")]
_LOOK_S = 2.0


class Reader(Protocol[F_co]):
    """Looks repeatedly, until a look raises `DependencyUnavailableError`."""

    def read(self) -> F_co:
        """Return what there is now."""


def watch(
    open_reader: Callable[[], AbstractContextManager[Reader[F_co]]],
    lines: Callable[[F_co], Iterable[str]],
    screen: Screen,
    pause: Callable[[float], object] = time.sleep,
) -> NoReturn:
    """Refresh until interrupted; show the error in place of the lines while a dependency does not answer.

    After an error the reader is opened again.
    """
    while True:
        try:
            with open_reader() as reader:
                while True:
                    screen.show([*lines(reader.read())])
                    pause(_LOOK_S)
        except DependencyUnavailableError as error:
            screen.show_error(f"{format_to_the_second(wall_us())}: {error}")
            pause(_LOOK_S)
