"""Logs: one renderer for ours, the standard library's, httpx's and librdkafka's; UTC; always on stderr."""

import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
from structlog.types import Processor

from connector.settings import LogSettings

_SHARED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)

# Local variables may hold secrets, so tracebacks are shown without them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_NUMBERS = re.compile(r"\d+")
_ONE_LINE_A_REQUEST = ("httpx", "httpx2", "httpcore", "httpcore2")


class OncePerInterval(logging.Filter):
    """Lets a message through once in `interval_s`, however often it comes: librdkafka repeats itself by the hundred.

    What differs only in its numbers is the same message.
    """

    def __init__(self, interval_s: float = 10.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._shown: dict[str, float] = {}
        self._held_back: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to show the message, with a count of those held back since the last one like it."""
        text, now = record.getMessage(), self._monotonic()
        key = _NUMBERS.sub("", text)
        if now - self._shown.get(key, -self._interval_s) < self._interval_s:
            self._held_back[key] += 1
            return False
        self._shown = {known: at for known, at in self._shown.items() if now - at < self._interval_s} | {key: now}
        if held_back := self._held_back.pop(key, 0):
            record.msg, record.args = f"{text} ({held_back} more like this before)", ()
        return True


def configure_logs(settings: LogSettings) -> None:
    """Send all logs to stderr, as JSON or readable."""
    is_console = settings.format == "console" or (settings.format is None and sys.stderr.isatty())
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if is_console
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.getLogger("librdkafka").filters[:] = [OncePerInterval()]
    for name in _ONE_LINE_A_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)
