"""The text of a scrape, written ahead of time by its own thread.

Writing it takes many milliseconds of Python, which under full load compete with the threads that read and commit. A
scrape finds it written and does not wait.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
INTERVAL_S = 2.0
"""How old the numbers of a scrape may be, give or take the writing."""
STALE_S = 10.0
"""Stale metrics are worse than none."""


class Exposition:
    """Writes the contents of `registry` every `interval_s`, inside a `with`; reports a failure to `on_trouble`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        on_trouble: Callable[[Exception], None],
        monotonic: Callable[[], float] = time.monotonic,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._interval_s = interval_s
        self._registry = registry
        self._on_trouble = on_trouble
        self._monotonic = monotonic
        self._text = b""
        self._written_at = float("-inf")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="exposition", daemon=True)

    def text(self) -> bytes | None:
        """Return the latest text, or None if it is too old."""
        return self._text if self._monotonic() - self._written_at <= STALE_S else None

    def write(self) -> None:
        """Write the current text."""
        at = self._monotonic()
        try:
            self._text = generate_latest(self._registry)
        except Exception as error:  # noqa: BLE001 - numbers that cannot be shown are no reason to stop
            self._on_trouble(error)
        else:
            self._written_at = at

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.write()

    def __enter__(self) -> Self:
        self.write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
