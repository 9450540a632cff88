"""Logs: one renderer for ours, the standard library's, httpx's and librdkafka's; UTC; always on stderr.

A line of ours has a stable event name; a line with a `logger` is a library's, in its own words.
"""

import logging
import os
import sys
import threading
from collections.abc import Collection, Sequence
from typing import TextIO

import structlog
from structlog.types import EventDict, ExcInfo, Processor, WrappedLogger

from connector.quoting import without_secrets
from connector.settings import LogSettings
from connector.telemetry.repeats import Repeats
from connector.terminal import traceback_lines, visible

WARNING_INTERVAL_S = 60.0
LIBRARY_INTERVAL_S = 10.0
REPEATED = "repeated"
"""The field that says how many warnings like this one were held back before it."""

_FIRST = ("time", "level", "event")
_SHARED: Sequence[Processor] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
)

# Local variables may hold secrets, so tracebacks are shown without them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))

_ONE_LINE_A_REQUEST = ("httpx", "httpx2", "httpcore", "httpcore2")


class WarningLimit:
    """Holds back a warning of ours that was just shown: the 500th failure of an attempt is not news.

    Errors and the life cycle are always shown.
    """

    def __init__(self, repeats: Repeats) -> None:
        self._repeats = repeats

    def __call__(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        """Return the event with the count of those before it, or raise `structlog.DropEvent`."""
        if level != "warning":
            return event
        text = " ".join(f"{name}={value}" for name, value in event.items() if isinstance(value, str))
        held_back = self._repeats.held_back_before(text, event.get("partition"))
        if held_back is None:
            raise structlog.DropEvent
        return {**event, REPEATED: held_back} if held_back else event


class HiddenEvents:
    """Leaves out events of ours by their names."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Return the event, or raise `structlog.DropEvent`."""
        if event["event"] in self._names:
            raise structlog.DropEvent
        return event


class LibrdkafkaLimit(logging.Filter):
    """Limits what librdkafka repeats by the hundred, and lowers all of it to a warning at most.

    It calls being fenced by a newer producer critical. We log ourselves what is lost or needs a person.
    """

    def __init__(self, repeats: Repeats) -> None:
        super().__init__()
        self._repeats = repeats

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show the message."""
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            if not logging.getLogger(record.name).isEnabledFor(logging.WARNING):
                return False
        text = record.getMessage()
        held_back = self._repeats.held_back_before(text)
        if held_back:
            record.msg, record.args = f"{text} ({held_back} more like this before)", ()
        return held_back is not None


def _without_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Hide secrets in the messages of a library, which may quote its arguments and the answers it got."""
    return {name: value if name == "exc_info" else _hidden(value) for name, value in event.items()}


def _without_secrets_in_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: _hidden(value) if name == "exception" else value for name, value in event.items()}


def _hidden(value: object) -> object:
    """Return a JSON value with the secrets hidden in all of its strings."""
    if isinstance(value, dict):
        return {name: _hidden(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_hidden(member) for member in value]
    return without_secrets(value) if isinstance(value, str) else value


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the fields that every line has first."""
    return {**{name: event[name] for name in _FIRST}, **event}


class _Readable:
    """A value ready to be shown: the renderer uses the `repr` of anything but a string."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _visible(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Make control characters visible, in names and values; exceptions are left to `_show_exception`."""
    return {visible(name): value if name == "exc_info" else _readable(name, value) for name, value in event.items()}


def _readable(name: str, value: object) -> object:
    text = value if isinstance(value, str) else repr(value)
    if text.isprintable():
        return value
    return visible(text) if name == "event" else _Readable(f"'{visible(text)}'" if text is value else visible(text))


def _show_exception(output: TextIO, exc_info: ExcInfo) -> None:
    output.write("".join(f"\n{line}" for line in traceback_lines(exc_info[1])))


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A thread died from an unexpected exception."""
    name = failed.thread.name if failed.thread is not None else ""
    structlog.get_logger().error("thread_failed", thread=name, exc_info=failed.exc_value)


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    """An exception was raised where nothing can catch it, such as during the deletion of an object."""
    structlog.get_logger().error("unraisable_exception", exc_info=failed.exc_value)


def configure_logs(settings: LogSettings, *, hidden: Collection[str] = (), is_service: bool = True) -> None:
    """Send all logs to stderr, as JSON or readable, and what else Python would print there too.

    Readable ones are coloured on a terminal, unless `NO_COLOR` is set to anything (no-color.org).
    Our events in `hidden` are left out. In a command librdkafka logs only at level debug: the command itself reports
    what stops it.
    """
    is_console = settings.format == "console" or (settings.format is None and sys.stderr.isatty())
    renderer: list[Processor] = (
        [
            _visible,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
                exception_formatter=_show_exception,
                sort_keys=False,
                timestamp_key="time",
            ),
        ]
        if is_console
        else [_TRACEBACKS, _without_secrets_in_exception, _in_order, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            HiddenEvents(hidden),
            WarningLimit(Repeats(WARNING_INTERVAL_S)),
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED, _without_secrets],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.filters[:] = [LibrdkafkaLimit(Repeats(LIBRARY_INTERVAL_S))]
    librdkafka.disabled = not is_service and settings.level != "debug"
    for name in _ONE_LINE_A_REQUEST:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # or Python prints the arguments of a message that does not fit them
    threading.excepthook = _thread_failed
    sys.unraisablehook = _unraisable
