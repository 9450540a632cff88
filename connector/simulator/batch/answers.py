"""Owns X's answers about batch compliance: problems, and jobs as JSON. Knows nothing of when they are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec

from connector.simulator.answers import PHRASES, PROBLEMS
from connector.simulator.batch.faults import BatchDocument, Call, Transfer
from connector.simulator.batch.jobs import Job
from connector.simulator.clock import NANOS
from connector.simulator.faults import Ending, Framing

PROBLEM = ("content-type", "application/problem+json")
_XML = ("content-type", "application/xml; charset=UTF-8")

_KINDS = {400: "invalid-request", 403: "client-forbidden", 404: "resource-not-found"}
_DETAILS: dict[tuple[Call, int], str] = {
    ("create", 409): "A job of this type is active already.",
    ("upload", 403): "The upload URL has expired.",
    ("upload", 409): "The job does not wait for an upload.",
    ("download", 403): "The download URL has expired.",
    ("cancel", 409): "The job cannot be cancelled any more.",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer: `claimed` is the length that its head claims (None: the right one).

    With `framing` `eof` it has that length if it is claimed, and none otherwise.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing = "length"
    claimed: int | None = None
    ending: Ending = "close"

    @property
    def is_granted(self) -> bool:
        """Whether X did what was asked."""
        return self.status == HTTPStatus.OK


def problem(status: int, detail: str) -> Reply:
    """Return a refusal as problem+json."""
    title = PHRASES.get(status, "Unknown")
    kind = f"{PROBLEMS}/{_KINDS[status]}" if status in _KINDS else "about:blank"
    body = {"title": title, "type": kind, "status": status, "detail": detail}
    return Reply(status, msgspec.json.encode(body), (PROBLEM,))


def plain_problem(call: Call, status: int) -> Reply:
    """Return the plain refusal of a call with this status."""
    return problem(status, _DETAILS.get((call, status), PHRASES.get(status, "Unknown")))


def storage_problem(status: int, code: str) -> Reply:
    """Return a refusal of X's storage, in XML."""
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}.</Message></Error>"
    return Reply(status, body.encode(), (_XML,))


def job_document(job: Job, status: str, urls: Mapping[Transfer, str]) -> dict[str, Any]:
    """Return a job as X shows it; a job without a name has no member for it."""
    return {
        "id": job.id,
        "status": status,
        "type": job.job_type,
        **({} if job.name is None else {"name": job.name}),
        "created_at": rfc_3339(job.created_ns),
        "upload_url": urls["upload"],
        "upload_expires_at": rfc_3339(job.upload_expires_ns),
        "download_url": urls["download"],
        "download_expires_at": rfc_3339(job.download_expires_ns),
    }


def distort(document: dict[str, Any], fault: BatchDocument) -> dict[str, Any]:
    """Return the job in `document` as `fault` has it."""
    kept = {name: value for name, value in document.items() if name not in fault.without}
    kept |= dict.fromkeys(fault.null)
    if fault.status is not None:
        kept["status"] = fault.status
    if fault.number_id:
        kept["id"] = int(document["id"])
    if fault.extra:
        kept |= {"resumable": False, "progress": {"percent": 50, "stages": ["é", None]}}
    return kept


def rfc_3339(at_ns: int) -> str:
    """Return a time in ns since 1970 as X writes it, in milliseconds."""
    return datetime.fromtimestamp(at_ns / NANOS, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
