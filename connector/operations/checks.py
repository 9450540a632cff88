"""The checks of `connector check`: each dependency of `run`, and the result."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connector.configuration import risks
from connector.errors import ConnectorError
from connector.kafka.clients import try_properties
from connector.pages import words
from connector.settings import RunSettings
from connector.x.auth import try_secrets
from connector.x.client import try_client


class Result(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `details` are lines of text, and `exit_code` is that of its failure, or 0."""

    name: str
    result: Result
    details: tuple[str, ...] = ()
    exit_code: int = os.EX_OK

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"name": self.name, "result": self.result.value, "details": list(self.details)}

    def lines(self) -> Iterator[str]:
        """Yield it as text: a line, and another for each further detail."""
        first, *more = self.details or ("",)
        yield f"{self.result}: {self.name}{f': {first}' if first else ''}"
        yield from more


def all_checks(settings: RunSettings, online: Iterable[tuple[str, Callable[[], str]]] = ()) -> Iterator[Check]:
    """Yield the result of each check, the last of them those of `online`, which contact what is outside this machine.

    Raises `SettingsError` if the settings do not give a client: then nothing else can be checked.
    """
    try_secrets(settings.x)
    try_client(settings.x)
    try_properties(settings.kafka, settings.pipeline.session_timeout_ms)
    for risk in risks(settings):
        yield Check("settings", Result.WARNING, (risk,))
    yield Check("settings", Result.OK)
    for name, do_check in online:
        try:
            yield Check(name, Result.OK, (do_check(),))
        except ConnectorError as error:
            yield Check(name, Result.FAILED, error.lines, error.exit_code)


def failed(error: ConnectorError) -> Check:
    """Return the failed check of the settings, after which nothing else can be checked."""
    return Check("settings", Result.FAILED, error.lines, error.exit_code)


def summary(checks: Sequence[Check]) -> str:
    """Return the number of checks by result."""
    counts = {result: sum(each.result is result for each in checks) for result in Result}
    results = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
    return f"{words.counted(len(checks), 'check')}: {results}"
