"""Owns one request of batch compliance: its call, its faults, its answer.

Knows nothing of what the calls do.
"""

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, TypeVar, get_args

import msgspec

from connector.simulator.batch.answers import Reply, distort, job_document, plain_problem
from connector.simulator.batch.faults import (
    BatchAnswer,
    BatchCut,
    BatchDocument,
    BatchFault,
    BatchHold,
    BatchSlow,
    BatchUrl,
    Call,
    JobType,
    Moment,
    Transfer,
)
from connector.simulator.batch.jobs import Job
from connector.simulator.batch.urls import BUCKET, JOBS, lead_astray, transfer_urls
from connector.simulator.clock import NANOS
from connector.simulator.config import Transfers
from connector.simulator.faults import Ending
from connector.simulator.http import Headers, HttpConnection, HttpRequest, Origin
from connector.simulator.world import World

F = TypeVar("F", bound=BatchFault)

_POLL_S = 0.02
_MADE_UP_JOB = "1000000000000000000"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for, and of which job."""

    call: Call
    job_id: str | None


def find_route(request: HttpRequest, generation: Transfers) -> Route | None:
    """Return which call a request is; None if it is not one."""
    origin: Origin = "api" if generation == "bearer" else "storage"
    folder = JOBS if generation == "bearer" else BUCKET
    routes: tuple[tuple[Origin, str, str, Call], ...] = (
        ("api", "POST", JOBS, "create"),
        ("api", "GET", JOBS, "list"),
        ("api", "GET", f"{JOBS}/([0-9]+)", "get"),
        ("api", "DELETE", f"{JOBS}/([0-9]+)", "cancel"),
        (origin, "PUT", f"{folder}/([0-9]+)/upload", "upload"),
        (origin, "GET", f"{folder}/([0-9]+)/download", "download"),
    )
    for where, method, path, call in routes:
        if (where, method) == (request.origin, request.method) and (match := re.fullmatch(path, request.path)):
            return Route(call, next(iter(match.groups()), None))
    return None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request for a call, and the job it is about, if any: faults are armed for the type of that."""

    world: World
    http: HttpConnection
    request: HttpRequest
    call: Call
    job: Job | None
    job_type: JobType | None

    def take(self, kind: type[F], would_act: Callable[[F], bool] = lambda _: True) -> F | None:
        """Fire the first armed fault of this kind that fits; None when there is none."""
        if self.job_type is None:
            return None
        return self.world.faults.take(
            kind,
            self.job_type,
            would_act=lambda fault: getattr(fault, "call", None) in {None, self.call} and would_act(fault),
        )

    @property
    def is_authorized(self) -> bool:
        """Whether the request has the App's token."""
        return self.world.tokens.check(self.request) is None

    def jobs_as_json(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """Return jobs as X shows them to the client, or as faults change them."""
        astray, odd = (self.take(BatchUrl), self.take(BatchDocument)) if jobs else (None, None)
        documents = []
        for job in jobs:
            urls = transfer_urls(job, self.request, self.world.origins)
            if astray:
                urls |= {each: self._lead_astray(job, urls[each], astray) for each in _transfers(astray)}
            document = job_document(job, self.world.jobs.status(job), urls)
            documents.append(distort(document, odd) if odd else document)
        return documents

    def _lead_astray(self, job: Job, url: str, fault: BatchUrl) -> str:
        others = [other.id for other in self.world.jobs.snapshot() if other.id != job.id]
        other_id = others[-1] if others else _MADE_UP_JOB
        return lead_astray(url, fault.how, job.id, other_id, self.world.origins["foreign"])

    def decide(self, act: Callable[["Exchange"], Reply]) -> Reply | None:
        """Let X `act`, unless a fault prevents it, and return the reply, None for no reply."""
        self.hold("request")
        reply = self._reply(act)
        self.hold("answer")
        cut = self.take(BatchCut, lambda fault: fault.at != "request") if reply.is_granted else None
        if cut is None:
            return reply
        if cut.at == "answer":
            self.cut(cut)
            return None
        half = reply.body[: len(reply.body) // 2]
        return replace(reply, body=half, claimed=len(reply.body), ending=_ending(cut))

    def cut(self, fault: BatchCut) -> None:
        """End the connection without an answer."""
        self.world.log_request(self.request, 0)
        self.http.end(_ending(fault))

    def hold(self, moment: Moment) -> None:
        """Wait if a fault says so."""
        if fault := self.take(BatchHold, lambda fault: fault.at == moment):
            self.world.faults.wait(fault.seconds, self.http.wait)

    def _reply(self, act: Callable[["Exchange"], Reply]) -> Reply:
        forced = self.take(BatchAnswer, lambda fault: not fault.acts)
        if forced is None:
            reply = act(self)
            forced = self.take(BatchAnswer, lambda fault: fault.acts) if reply.is_granted else None
            if forced is None:
                return reply
        return self._forced(forced)

    def _forced(self, fault: BatchAnswer) -> Reply:
        reply = plain_problem(self.call, fault.status)
        body = reply.body if fault.body is None else fault.body.encode()
        headers: Headers = [("content-type", fault.content_type)] if body else []
        if fault.status // 100 == 3:  # noqa: PLR2004 - a redirect
            headers.append(("location", fault.location or self.world.origins["foreign"] + self.request.path))
        if fault.retry_after_s is not None:
            headers.append(("retry-after", str(fault.retry_after_s)))
        if fault.status == HTTPStatus.TOO_MANY_REQUESTS and fault.has_rate_limit:
            now_ns = self.world.clock.now_ns()
            budget = replace(self.world.batch_limiter.spend(self.call, now_ns), remaining=0)
            if fault.reset_in_s is not None:
                budget = replace(budget, reset_s=now_ns // NANOS + fault.reset_in_s)
            headers += budget.headers()
        return replace(reply, body=body, headers=tuple(headers))

    def send(self, reply: Reply) -> None:
        """Send an answer as it is framed. Raises `ClientGoneError`."""
        self.world.log_request(self.request, reply.status)
        hold = self.take(BatchHold, lambda fault: fault.at == "mid-answer")
        slow = self.take(BatchSlow) if self.call == "download" and reply.body else None
        headers = [("date", self.world.clock.http_date()), *reply.headers]
        if reply.framing == "length" and reply.claimed is None and not (hold or slow):
            self.http.respond(reply.status, reply.body, headers)
            return
        length = len(reply.body) if reply.framing == "length" and reply.claimed is None else reply.claimed
        if length is not None:
            headers.append(("content-length", str(length)))
        is_chunked = length is None and reply.framing == "chunked"
        self.http.begin([*headers, ("connection", "close")], reply.status, "chunked" if is_chunked else "eof")
        half = len(reply.body) // 2
        self._send_part(reply.body[:half], slow)
        if hold:
            self.world.faults.wait(hold.seconds, self.http.wait)
        self._send_part(reply.body[half:], slow)
        self.http.end(reply.ending)

    def _send_part(self, part: bytes, slow: BatchSlow | None) -> None:
        step = len(part) if slow is None else math.ceil(slow.bytes_per_second * _POLL_S)
        for start in range(0, len(part), step or 1):
            self.http.send_chunk(part[start : start + step])
            if slow:
                self.http.wait(step / slow.bytes_per_second)

    def body_pieces(self) -> Iterator[bytes]:
        """Yield the body of the request as it comes, or as slowly as a fault has it. Raises `ClientGoneError`."""
        slow = self.take(BatchSlow)
        for piece in self.http.body_pieces():
            if slow:
                time.sleep(len(piece) / slow.bytes_per_second)
            yield piece


def data(document: object, **more: object) -> bytes:
    """Return the body of an answer that grants something."""
    return msgspec.json.encode({"data": document, **more})


def _ending(fault: BatchCut) -> Ending:
    return "reset" if fault.reset else "drop"


def _transfers(fault: BatchUrl) -> tuple[Transfer, ...]:
    return get_args(Transfer) if fault.transfer is None else (fault.transfer,)
