"""Calls to X about jobs, repeated until X answers: transient failures are waited out, lasting ones raised."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, TypeVar

from connector.batch.pace import Pace
from connector.batch.results import Sort
from connector.batch.sorting import sorted_lines
from connector.x.batch_api import BatchApi, CallFailedError, Job, JobType
from connector.x.jobs import Jobs

_REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
"""Statuses that only a person can resolve, if they last."""
_MOST_REFUSALS = 3
"""This many in a row count as lasting; a single one may come while the token is being rotated."""
_NOTHING_TO_CANCEL = {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.CONFLICT, HTTPStatus.GONE}

T = TypeVar("T")


class Reporter(Protocol):
    """Reports the progress of a run to a person."""

    def say(self, text: str) -> None:
        """Report a change."""

    def show(self, text: str) -> None:
        """Replace the status line, which only a terminal has."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run works with."""

    api: BatchApi
    pace: Pace
    reporter: Reporter
    sort: Sort = sorted_lines


class Failures:
    """Failures in a row, of a call or of an upload."""

    def __init__(self) -> None:
        self._count = 0
        self._refusals = 0

    def add(self, error: CallFailedError) -> float:
        """Return the seconds to wait before the next try. Raises `error` if it lasts."""
        self._count += 1
        self._refusals = self._refusals + 1 if error.status in _REFUSALS else 0
        if self._refusals == _MOST_REFUSALS:
            raise error
        return Pace.retry_s(self._count, error)


class Calls:
    """Every method raises `CallFailedError` for a lasting failure, and `OutOfTimeError`."""

    def __init__(self, tools: Tools) -> None:
        self._jobs = Jobs(tools.api)
        self._pace = tools.pace
        self._reporter = tools.reporter

    def create(self, kind: JobType, name: str) -> Job | None:
        """Return a new job, or None while another one of its type is active."""
        try:
            return self._ask(lambda: self._jobs.create(kind, name), {HTTPStatus.CONFLICT})
        except CallFailedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise

    def find(self, job_id: str) -> Job | None:
        """Return the job, or None if X no longer knows it: a single 404 would cost a job of many hours."""
        try:
            return self._ask(lambda: self._known(job_id))
        except CallFailedError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def active(self, kind: JobType) -> list[Job]:
        """Return the active jobs of a type, of which X allows one."""
        return self._ask(lambda: self._jobs.active(kind))

    def cancel(self, job_id: str) -> None:
        """Cancel a job, unless there is nothing left to cancel."""
        try:
            self._ask(lambda: self._jobs.cancel(job_id), _NOTHING_TO_CANCEL)
        except CallFailedError as error:
            if error.status not in _NOTHING_TO_CANCEL:
                raise

    def _known(self, job_id: str) -> Job:
        found = self._jobs.find(job_id)
        if found is None:
            raise CallFailedError(f"X does not know job {job_id}", HTTPStatus.NOT_FOUND)
        return found

    def _ask(self, call: Callable[[], T], answers: Collection[int] = ()) -> T:
        """Call until X answers; a status among `answers` counts as an answer, and is raised at once."""
        failures = Failures()
        while True:
            try:
                return call()
            except CallFailedError as error:
                if error.status in answers:
                    raise
                delay_s = failures.add(error)
                self._reporter.say(f"a call to X failed; retrying in {delay_s:.0f} s: {error}")
                self._pace.wait(delay_s)
