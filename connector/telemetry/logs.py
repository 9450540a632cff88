"""Logs: one renderer for ours, the standard library's, httpx's and librdkafka's; UTC; always on stderr."""

import logging
import sys
from collections.abc import Sequence

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

_ONE_LINE_A_REQUEST = ("httpx", "httpx2", "httpcore", "httpcore2")


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
    for name in _ONE_LINE_A_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)
