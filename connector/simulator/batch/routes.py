"""Owns the handling of a batch compliance request: its body, its faults, its action.

Knows nothing of threads or ports.
"""

from collections.abc import Callable
from dataclasses import replace

from connector.simulator.batch.answers import Reply
from connector.simulator.batch.calls import act_on_call, type_wanted
from connector.simulator.batch.exchange import Exchange, Route
from connector.simulator.batch.faults import JOB_TYPES, BatchCut, Call, JobType
from connector.simulator.batch.transfers import act_on_download, act_on_upload, is_too_large
from connector.simulator.http import ClientGoneError, HttpConnection, HttpRequest
from connector.simulator.world import World

_ACTS: dict[Call, Callable[[Exchange], Reply]] = {
    "create": act_on_call,
    "get": act_on_call,
    "list": act_on_call,
    "cancel": act_on_call,
    "upload": act_on_upload,
    "download": act_on_download,
}


def answer_batch(world: World, http: HttpConnection, request: HttpRequest, route: Route) -> None:
    """Answer one request, whose body is still to be read. Raises `ClientGoneError`."""
    try:
        exchange, reply = _decide(world, http, request, route)
    except ClientGoneError:
        world.log_request(request, 0)
        raise
    if reply is not None:
        exchange.send(reply)


def _decide(world: World, http: HttpConnection, request: HttpRequest, route: Route) -> tuple[Exchange, Reply | None]:
    """Return what is sent; None when it is nothing."""
    is_upload = route.call == "upload"
    if not is_upload:
        request = replace(request, body=http.read_body())
    job = world.jobs.find(route.job_id or "")
    job_type = job.job_type if job else _type_named(request, route.call)
    exchange = Exchange(world, http, request, route.call, job, job_type)
    if cut := exchange.take(BatchCut, lambda fault: fault.at == "request"):
        if is_upload:
            _read_half(exchange)
        exchange.cut(cut)
        return exchange, None
    if is_upload:
        exchange = replace(exchange, request=replace(request, body=_read_ids(exchange)))
    return exchange, exchange.decide(_ACTS[route.call])


def _type_named(request: HttpRequest, call: Call) -> JobType | None:
    """Return the type of job that a request is about though it names no job."""
    match call:
        case "create":
            return type_wanted(request.body)
        case "list":
            return next((job_type for job_type in JOB_TYPES if job_type == request.query.get("type")), None)
    return None


def _read_half(exchange: Exchange) -> None:
    left = int(exchange.request.headers.get("content-length", "0")) // 2
    for piece in exchange.body_pieces():
        left -= len(piece)
        if left <= 0:
            return


def _read_ids(exchange: Exchange) -> bytes:
    """Return the ids that arrive; none are kept when they are too many."""
    is_kept = not is_too_large(exchange)
    return b"".join(piece for piece in exchange.body_pieces() if is_kept)
