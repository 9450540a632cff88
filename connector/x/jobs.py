"""X's batch compliance jobs: create, find, list, cancel."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec

from connector.events.times import parse_ns
from connector.quoting import shown
from connector.x.batch_api import BatchApi, CallFailedError, Job, JobStatus, JobType, Transfer, refused, unanswered
from connector.x.failures import HTTP_FAILURES
from connector.x.head import Head
from connector.x.problem import read_problem
from connector.x.response import read_beginning, read_body
from connector.x.transport import Wire

_PATH = "/2/compliance/jobs"
_LIST_LIMIT_BYTES = 16 * 1024**2
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""X's ids are decimal; in any case an id must not alter the path that contains it."""
_UNKNOWN = "resource-not-found"
"""The type of X's problem for an unknown resource; it may come with status 200 (X API v2, "Partial errors")."""
_NS_PER_US = 1000

T = TypeVar("T")


class _Answer(msgspec.Struct):
    id: str
    type: str = ""
    status: str = ""
    name: str | None = None
    created_at: str | None = None
    upload_url: str | None = None
    upload_expires_at: str | None = None
    download_url: str | None = None
    download_expires_at: str | None = None

    def job(self) -> Job:
        """Return the job. Raises `CallFailedError` for an invalid id."""
        if not _ID.fullmatch(self.id):
            raise CallFailedError(f"X gave a job an invalid id: {shown(self.id)}")
        return Job(
            self.id,
            self.type,
            self.status,
            self.name,
            _instant_us(self.created_at),
            _transfer(self.upload_url, self.upload_expires_at),
            _transfer(self.download_url, self.download_expires_at),
        )


class _One(msgspec.Struct):
    data: _Answer


class _Many(msgspec.Struct):
    data: list[_Answer] | None = None
    errors: list[msgspec.Raw] | None = None

    def __post_init__(self) -> None:
        """Raise `ValueError` for a problem instead of a list: it does not mean an empty list."""
        if self.data is None and self.errors:
            raise ValueError("a problem")


class Jobs:
    """The jobs of one X App. Every method raises `CallFailedError`."""

    def __init__(self, api: BatchApi) -> None:
        self._api = api

    def create(self, kind: JobType, name: str) -> Job:
        """Create a job. X answers 409 while another one of its type is active."""
        return self._ask("POST", _PATH, _One, json={"type": kind.value, "name": name}).data.job()

    def find(self, job_id: str) -> Job | None:
        """Return the job, or None if X no longer knows it."""
        try:
            job = self._ask("GET", _path_of(job_id), _One).data.job()
        except CallFailedError as error:
            if error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                return None
            raise
        if job.id != job_id:
            raise CallFailedError(f"X answered with job {job.id} to a request for job {job_id}")
        return job

    def active(self, kind: JobType) -> list[Job]:
        """Return the active jobs of a type, of which X allows one."""
        active = (JobStatus.CREATED, JobStatus.IN_PROGRESS)
        return [job for job in self._unique(kind, active) if job.status in active]

    def all(self, kind: JobType) -> list[Job]:
        """Return all jobs of a type that X still knows."""
        return self._unique(kind, [None])

    def cancel(self, job_id: str) -> None:
        """Cancel a job. X answers 404, 405 or 409 if there is nothing left to cancel."""
        self._ask("DELETE", _path_of(job_id), msgspec.Raw)

    def _unique(self, kind: JobType, statuses: Iterable[JobStatus | None]) -> list[Job]:
        """Return jobs by status; if one changes between two calls and is in both answers, the later answer counts."""
        found: dict[str, _Answer] = {}
        for status in statuses:
            parameters = {"type": kind.value} | ({"status": status.value} if status else {})
            found |= {answer.id: answer for answer in self._ask("GET", _PATH, _Many, params=parameters).data or []}
        return [answer.job() for answer in found.values()]

    def _ask(self, method: str, path: str, kind: type[T], **more: Any) -> T:  # noqa: ANN401 - of httpx
        api, wire = self._api, Wire()
        try:
            with api.way.attempt(wire, api.attempt_time_s):
                request = api.way.client.build_request(
                    method, path, headers=api.bearer(wire), extensions={"wire": wire}, **more
                )
                response = api.way.client.send(request, stream=True)
                head = api.read_head(response, method)
                if not httpx.codes.is_success(head.status):
                    raise refused(head, read_beginning(response, head))
                body = read_body(response, head, _LIST_LIMIT_BYTES)
        except HTTP_FAILURES as error:
            raise unanswered(error) from None
        try:
            return msgspec.json.decode(body or b"null", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _not_as_documented(method, head, body) from None


def _path_of(job_id: str) -> str:
    """Return the path of a job. Raises `CallFailedError` as for a job that X does not know."""
    if not _ID.fullmatch(job_id):
        raise CallFailedError(f"no job has the id {shown(job_id)}", HTTPStatus.NOT_FOUND)
    return f"{_PATH}/{job_id}"


def _not_as_documented(method: str, head: Head, body: bytes) -> CallFailedError:
    """Return the error for a success without a job, with X's message if it holds a problem instead."""
    problem = read_problem(body)
    if problem is None or not problem.said:
        return CallFailedError(f"X's answer to {method} {_PATH} is not as documented", head.status)
    status = HTTPStatus.NOT_FOUND if _UNKNOWN in problem.kinds else head.status
    return CallFailedError(f"HTTP {head.status}: {shown(problem.said)}", status)


def _instant_us(text: str | None) -> int | None:
    try:
        return None if text is None else parse_ns(text) // _NS_PER_US
    except ValueError:
        return None


def _transfer(url: str | None, expires_at: str | None) -> Transfer | None:
    return None if not url else Transfer(url, _instant_us(expires_at))
