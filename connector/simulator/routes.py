"""Owns routing: one request in, one answer out, JSON or a stream. Knows nothing of threads or ports."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from connector.simulator import control
from connector.simulator.access import STREAM_BY_PATH
from connector.simulator.answers import JSON, NOT_FOUND, Refusal
from connector.simulator.batch.exchange import find_route
from connector.simulator.batch.routes import answer_batch
from connector.simulator.http import HttpConnection, HttpRequest
from connector.simulator.streaming import answer_stream
from connector.simulator.world import World


def answer(world: World, http: HttpConnection, request: HttpRequest) -> None:
    """Answer one request; a stream is answered until it ends. Raises `ClientGoneError`."""
    if route := find_route(request, world.config.batch_transfers):
        answer_batch(world, http, request, route)
        return
    request = replace(request, body=http.read_body())
    if request.origin != "api":
        _refuse(world, http, request, NOT_FOUND)
    elif f"{request.path}/".startswith(control.PREFIX):
        _answer_control(world, http, request)
    elif request.method == "GET" and request.path in STREAM_BY_PATH:
        answer_stream(world, http, request)
    elif (request.method, request.path) == ("POST", "/oauth2/token"):
        _answer_token(world, http, request)
    else:
        _refuse(world, http, request, NOT_FOUND)


def _answer_control(world: World, http: HttpConnection, request: HttpRequest) -> None:
    date = ("date", world.clock.http_date())
    try:
        status, answered = 200, control.obey(world, request)
    except control.ControlError as error:
        status, answered = error.status, {"error": str(error)}
    if isinstance(answered, Iterator):
        http.begin([date, ("content-type", "application/x-ndjson")])
        for piece in answered:
            http.send_chunk(piece)
        http.finish()
    else:
        http.respond(status, msgspec.json.encode(answered), [date, JSON])


def _answer_token(world: World, http: HttpConnection, request: HttpRequest) -> None:
    token = world.tokens.issue(request)
    if isinstance(token, Refusal):
        _refuse(world, http, request, token)
        return
    world.log_request(request, 200)
    body = msgspec.json.encode({"token_type": "bearer", "access_token": token})
    http.respond(200, body, [("date", world.clock.http_date()), JSON])


def _refuse(world: World, http: HttpConnection, request: HttpRequest, refusal: Refusal) -> None:
    world.log_request(request, refusal.status)
    http.respond(refusal.status, refusal.body, [("date", world.clock.http_date()), JSON])
