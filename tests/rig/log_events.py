"""Every log event, read off the connector's source: its name, its level, its fields and what it means.

An event belongs to the one function that logs it, and that function's docstring says what has happened.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2] / "connector"
LEVELS = ("error", "warning", "info", "debug")
_LOGGERS = ("self._log", "structlog.get_logger()")
_PARTITIONS = "partition.py"
"""Where the logger is bound to a stream partition."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event as the source has it; `fields` are the names it comes with."""

    name: str
    level: str
    fields: tuple[str, ...]
    meaning: str


class NamelessEventError(Exception):
    """A line is logged whose event is not a constant: it could not be searched for."""


def log_events(root: Path = ROOT) -> list[LogEvent]:
    """Return all events below `root`, the worst first. Raises `NamelessEventError`."""
    found = [event for path in sorted(root.rglob("*.py")) for event in _events_of(path)]
    return sorted(found, key=lambda event: (LEVELS.index(event.level), event.name))


def _events_of(path: Path) -> Iterator[LogEvent]:
    bound = ("stream", "partition") if path.name == _PARTITIONS else ()
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and _logs(call.func):
                    yield _event(path, function, call, bound)


def _logs(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and called.attr in LEVELS and ast.unparse(called.value) in _LOGGERS


def _event(path: Path, function: ast.FunctionDef, call: ast.Call, bound: tuple[str, ...]) -> LogEvent:
    assert isinstance(call.func, ast.Attribute)
    if not (call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
        raise NamelessEventError(f"{path}:{call.lineno}")
    names = ["exception" if each.arg == "exc_info" else each.arg or "" for each in call.keywords]
    meaning = " ".join((ast.get_docstring(function) or "").split("\n\n")[0].split())
    return LogEvent(call.args[0].value, call.func.attr, (*bound, *names), meaning)
