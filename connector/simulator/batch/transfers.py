"""Owns X's rules when the ids of a job arrive, or its results are fetched: who may, when, and what is transferred."""

import random
from collections.abc import Callable
from http import HTTPStatus

from connector.simulator.answers import JSON
from connector.simulator.batch.answers import Reply, problem, storage_problem
from connector.simulator.batch.distortions import distort_download, distort_lines, has_enough_lines
from connector.simulator.batch.exchange import Exchange, data
from connector.simulator.batch.faults import BatchDownload, BatchLines, Transfer
from connector.simulator.batch.jobs import Job
from connector.simulator.batch.results import result_lines
from connector.simulator.batch.urls import secret_of

_OK = int(HTTPStatus.OK)
_PLAIN_TEXT = "text/plain"


def is_too_large(exchange: Exchange) -> bool:
    """Return whether the ids that arrive, or are about to, are more than a job takes."""
    length = exchange.request.headers.get("content-length", "0")
    return int(length) > exchange.world.config.batch_limit_bytes


def act_on_upload(exchange: Exchange) -> Reply:
    """Apply X's rules and take the ids; they are looked up at once, whenever the job is complete."""
    return _act(exchange, "upload", _upload)


def act_on_download(exchange: Exchange) -> Reply:
    """Apply X's rules and return the results."""
    return _act(exchange, "download", _download)


def _act(exchange: Exchange, transfer: Transfer, grant: Callable[[Exchange, Job], Reply]) -> Reply:
    job = exchange.job
    is_signed = exchange.request.origin == "storage"
    refusal = _refuse_signed(exchange, transfer) if is_signed else _refuse_bearer(exchange, transfer)
    if refusal is not None or job is None:
        return refusal or _refuse(exchange, 404, "NoSuchKey", "There is no such job.")
    expires_ns = job.upload_expires_ns if transfer == "upload" else job.download_expires_ns
    if exchange.world.clock.now_ns() >= expires_ns:
        return _refuse(exchange, 400 if is_signed else 403, "ExpiredToken", f"The {transfer} URL has expired.")
    return grant(exchange, job)


def _refuse_bearer(exchange: Exchange, transfer: Transfer) -> Reply | None:
    """Return the refusal of a request without the App's token, or without the URL's own."""
    if not exchange.is_authorized:
        return problem(401, "The bearer token is missing or not valid.")
    if exchange.job is None:
        return None
    secret = secret_of(exchange.request)
    if secret == exchange.job.tokens[transfer]:
        return None
    if secret in exchange.job.tokens.values():
        return problem(403, "The URL is for another purpose.")
    return problem(401, "The token in the URL is not valid.")


def _refuse_signed(exchange: Exchange, transfer: Transfer) -> Reply | None:
    """Return the refusal of a request that also has a token, or is not what was signed."""
    headers = exchange.request.headers
    if "authorization" in headers:
        return storage_problem(400, "InvalidArgument")
    if exchange.job is None:
        return None
    is_signed = secret_of(exchange.request) == exchange.job.tokens[transfer]
    if is_signed and (transfer == "download" or headers.get("content-type") == _PLAIN_TEXT):
        return None
    return storage_problem(403, "SignatureDoesNotMatch")


def _refuse(exchange: Exchange, status: int, code: str, detail: str) -> Reply:
    """Return a refusal in the format of its port."""
    return storage_problem(status, code) if exchange.request.origin == "storage" else problem(status, detail)


def _upload(exchange: Exchange, job: Job) -> Reply:
    world, request = exchange.world, exchange.request
    if "content-length" not in request.headers or request.headers.get("content-type") != _PLAIN_TEXT:
        detail = "The ids must come as `Content-Type: text/plain` with their `Content-Length`."
        return _refuse(exchange, 400, "InvalidArgument", detail)
    if is_too_large(exchange):
        return _refuse(exchange, 413, "EntityTooLarge", "The ids are too many.")
    ids, results = result_lines(request.body, world.population.findings(job.job_type))
    if not world.jobs.accept(job, ids, results):
        return _refuse(exchange, 409, "Conflict", "The job does not wait for an upload.")
    if request.origin == "storage":
        return Reply(_OK, b"")
    (document,) = exchange.jobs_as_json([job])
    return Reply(_OK, data(document), (JSON,))


def _download(exchange: Exchange, job: Job) -> Reply:
    world = exchange.world
    if world.jobs.status(job) != "complete":
        return _refuse(exchange, 404, "NoSuchKey", "There are no results yet.")
    before = world.jobs.count_download(job)
    results = job.results

    def would_act(fault: BatchLines | BatchDownload) -> bool:
        return before >= fault.after and has_enough_lines(results, fault)

    if lines := exchange.take(BatchLines, would_act):
        rng = random.Random(f"{world.config.seed}/{job.id}/{before}")  # noqa: S311 - which lines are wrong
        results = distort_lines(results, lines, rng, job.id)
    kind = "application/octet-stream" if exchange.request.origin == "storage" else "application/x-ndjson"
    reply = Reply(_OK, results, (("content-type", kind),))
    fault = exchange.take(BatchDownload, would_act)
    return distort_download(reply, fault.how) if fault else reply
