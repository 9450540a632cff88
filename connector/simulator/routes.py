"""Owns who answers what: one request in, one answer out, be it JSON or a stream. Knows nothing of threads or ports."""

import random
from dataclasses import replace

import msgspec

from connector.simulator import control
from connector.simulator.access import STREAM_BY_PATH, Budget, StreamRequest, admit
from connector.simulator.answers import NOT_FOUND, RATE_LIMIT_EXCEEDED, TOO_MANY_CONNECTIONS, Refusal, plain
from connector.simulator.connections import Slot
from connector.simulator.delivery import Delivery
from connector.simulator.encoding import BodyEncoder
from connector.simulator.faults import HoldAnswer, Mode, Refuse
from connector.simulator.http import Headers, HttpConnection, HttpRequest
from connector.simulator.world import LoggedRequest, World

_JSON = ("content-type", "application/json; charset=utf-8")


def answer(world: World, http: HttpConnection, request: HttpRequest) -> None:
    """Answer one request; a stream is answered until it ends. Raises `ClientGoneError`."""
    if request.path.startswith(control.PREFIX):
        _answer_control(world, http, request)
    elif request.method == "GET" and request.path in STREAM_BY_PATH:
        _answer_stream(world, http, request)
    elif (request.method, request.path) == ("POST", "/oauth2/token"):
        _answer_token(world, http, request)
    else:
        _refuse(world, http, request, NOT_FOUND, [])


def _answer_control(world: World, http: HttpConnection, request: HttpRequest) -> None:
    headers = [("date", world.clock.http_date())]
    if (request.method, request.path) == ("GET", f"{control.PREFIX}record"):
        http.begin([*headers, ("content-type", "application/x-ndjson")])
        for piece in control.record_lines(world):
            http.send_chunk(piece)
        http.finish()
        return
    try:
        status, body = 200, control.obey(world, request)
    except control.ControlError as error:
        status, body = 400, {"error": str(error)}
    except KeyError:
        status, body = 404, {"error": f"there is no {request.method} {request.path}"}
    http.respond(status, msgspec.json.encode(body), [*headers, _JSON])


def _answer_token(world: World, http: HttpConnection, request: HttpRequest) -> None:
    token = world.tokens.issue(request)
    if isinstance(token, Refusal):
        _refuse(world, http, request, token, [])
        return
    _log(world, request, 200)
    body = msgspec.json.encode({"token_type": "bearer", "access_token": token})
    http.respond(200, body, [("date", world.clock.http_date()), _JSON])


def _answer_stream(world: World, http: HttpConnection, request: HttpRequest) -> None:
    budget = world.limiter.spend(request.path, world.clock.now_ns())
    granted = _grant(world, http, request, budget)
    if isinstance(granted, Refusal):
        if granted is RATE_LIMIT_EXCEEDED:
            budget = replace(budget, remaining=0)
        _refuse(world, http, request, granted, budget.headers())
        return
    stream_request, slot = granted
    is_gzip = world.config.gzip and "gzip" in request.headers.get("accept-encoding", "")
    _log(world, request, 200)
    cuts = random.Random(f"{world.config.seed}/{slot.partition}/cuts")  # noqa: S311 - where chunks end
    encoder = BodyEncoder(world.config.chunking, cuts, is_gzip=is_gzip)
    headers = [
        ("date", world.clock.http_date()),
        _JSON,
        ("connection", "close"),
        *([("content-encoding", "gzip")] if is_gzip else []),
        *budget.headers(),
    ]
    ending = Delivery(world, http, encoder, stream_request, slot).run(
        headers, lambda ended: world.registry.release(slot, ended, world.clock.now_ns())
    )
    http.end(ending)


def _grant(
    world: World, http: HttpConnection, request: HttpRequest, budget: Budget
) -> tuple[StreamRequest, Slot] | Refusal:
    """Apply X's rules in X's order; what is returned with its `Slot` counts as connected."""
    if refusal := world.tokens.check(request):
        return refusal
    if budget.is_spent:
        return RATE_LIMIT_EXCEEDED
    wanted = admit(request, world.config, world.clock.now_ns())
    if isinstance(wanted, Refusal):
        return wanted
    mode: Mode = "replay" if wanted.replay else "live"
    if hold := world.faults.take(HoldAnswer, wanted.partition, mode):
        world.faults.wait(hold.seconds, http.wait)
    slot = Slot(wanted.partition, mode, wanted.backfill_minutes, world.clock.now_ns())
    if refuse := world.faults.take(Refuse, slot.partition, slot.mode):
        return TOO_MANY_CONNECTIONS if refuse.too_many_connections else plain(refuse.status)
    return (wanted, slot) if world.registry.claim(slot) else TOO_MANY_CONNECTIONS


def _refuse(world: World, http: HttpConnection, request: HttpRequest, refusal: Refusal, headers: Headers) -> None:
    _log(world, request, refusal.status)
    http.respond(refusal.status, refusal.body, [("date", world.clock.http_date()), _JSON, *headers])


def _log(world: World, request: HttpRequest, status: int) -> None:
    world.log_request(
        LoggedRequest(world.clock.now_ns(), request.method, request.path, request.query, request.headers, status)
    )
