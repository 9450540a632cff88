"""The clock, pauses, threads, conditions and futures of a module that works in a thread of its own.

A model that gives threads their turns, and keeps their time, replaces them all at once.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol


class Condition(Protocol):
    """A lock, inside a `with`, that can be waited on; as `threading.Condition` has it."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def wait(self, timeout_s: float, /) -> bool:
        """Wait until notified; return whether it was."""

    def notify(self) -> None:
        """Wake one thread that waits."""


def _start(name: str, run: Callable[[], object]) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()


@dataclass(frozen=True, slots=True)
class Threads:
    """What threads need: a clock in seconds, a pause for some, a start under a name, conditions and futures."""

    monotonic_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] = time.sleep
    start: Callable[[str, Callable[[], object]], object] = _start
    condition: Callable[[], Condition] = threading.Condition
    future: Callable[[], Future[Any]] = Future


THREADS = Threads()
"""Those of this process."""
