"""A thread that runs until it is stopped, and whose failure is never lost."""

from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

from connector.errors import ConnectorError

_STOP_LIMIT_S = 15.0


class Worker:
    """Runs `work`, which receives the stop event, inside a `with`.

    The end raises `ConnectorError` when the work failed, or does not stop within `stop_limit_s`.
    """

    def __init__(self, name: str, work: Callable[[Event], None], stop_limit_s: float = _STOP_LIMIT_S) -> None:
        self._name = name
        self._work = work
        self._stop_limit_s = stop_limit_s
        self._stop = Event()
        self._failure: Exception | None = None
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def check(self) -> None:
        """Raise `ConnectorError` when the work has ended before it was stopped."""
        if not self._thread.is_alive():
            self._raise_failure()
            raise ConnectorError(f"the {self._name} ended by itself")

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except Exception as error:  # noqa: BLE001 - told by `check` or at the end
            self._failure = error

    def _raise_failure(self) -> None:
        if isinstance(self._failure, ConnectorError):
            raise self._failure
        if self._failure is not None:
            raise ConnectorError(f"the {self._name} failed: {self._failure!r}") from self._failure

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(self._stop_limit_s)
        if kind is not None:
            return
        if self._thread.is_alive():
            raise ConnectorError(f"the {self._name} did not stop within {self._stop_limit_s:g} s")
        self._raise_failure()
