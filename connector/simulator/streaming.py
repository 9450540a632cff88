"""Owns the answer to one stream request: a foreign answer, a refusal, or a stream. Knows nothing of other paths."""

import random
from dataclasses import dataclass, replace
from http import HTTPStatus

from connector.simulator.access import Budget, StreamRequest, Target, admit, refuse_future_end, target_of
from connector.simulator.answers import FOREIGN_PAGE, JSON, RATE_LIMIT_EXCEEDED, TOO_MANY_CONNECTIONS, Refusal, plain
from connector.simulator.clock import NANOS
from connector.simulator.connections import Slot
from connector.simulator.delivery import Delivery
from connector.simulator.encoding import BodyEncoder
from connector.simulator.faults import (
    Answered,
    Coding,
    ForeignAnswer,
    ForeignEncoding,
    GrantFutureEnd,
    HoldAnswer,
    Mode,
    Refuse,
    WrongDate,
)
from connector.simulator.http import BODILESS, Headers, HttpConnection, HttpRequest
from connector.simulator.world import World


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A stream request, where it came from, and what it is for."""

    world: World
    http: HttpConnection
    request: HttpRequest
    target: Target | None

    def log(self, status: int) -> None:
        """Remember how the request was answered."""
        self.world.log_request(self.request, status)

    def date_header(self, on: Answered) -> Headers:
        """Return the `Date` header of the answer; a fault that makes it wrong fires."""
        clock, target = self.world.clock, self.target
        wrong = target and self.world.faults.take(
            WrongDate, target.partition, target.mode, lambda fault: fault.on in {None, on}
        )
        if not wrong:
            return [("date", clock.http_date())]
        if wrong.offset_s is not None:
            return [("date", clock.http_date(wrong.offset_s))]
        return [("date", wrong.text)] if wrong.text is not None else []


def answer_stream(world: World, http: HttpConnection, request: HttpRequest) -> None:
    """Answer a request for one of the streams' paths until the answer ends. Raises `ClientGoneError`."""
    target = target_of(request)
    exchange = _Exchange(world, http, request, target)
    if target and (foreign := world.faults.take(ForeignAnswer, target.partition, target.mode)):
        _answer_foreign(exchange, foreign)
        return
    budget = world.limiter.spend(request.path, world.clock.now_ns())
    granted = _grant(exchange, budget)
    if isinstance(granted, Refusal):
        _refuse(exchange, granted, budget)
    else:
        _stream(exchange, *granted, budget)


def _answer_foreign(exchange: _Exchange, fault: ForeignAnswer) -> None:
    exchange.log(fault.status)
    if fault.body_bytes is not None:
        body = fault.body_bytes
    else:
        body = FOREIGN_PAGE if fault.body is None else fault.body.encode()
    own = {name.lower(): value for name, value in fault.headers.items()}
    on: Answered = "grant" if fault.status == HTTPStatus.OK else "refusal"
    headers = list((dict([*exchange.date_header(on), ("content-type", "text/html; charset=utf-8")]) | own).items())
    if fault.framing == "length" or fault.status in BODILESS:
        exchange.http.respond(fault.status, body, headers)
        return
    exchange.http.begin(headers, fault.status, fault.framing)
    exchange.http.send_chunk(body)
    exchange.http.finish()


def _refuse(exchange: _Exchange, refusal: Refusal, budget: Budget) -> None:
    exchange.log(refusal.status)
    if refusal.kind == RATE_LIMIT_EXCEEDED.kind:
        budget = replace(budget, remaining=0)
    headers = dict([*exchange.date_header("refusal"), JSON, *budget.headers(), *refusal.headers])
    exchange.http.respond(refusal.status, refusal.body, list(headers.items()))


def _grant(exchange: _Exchange, budget: Budget) -> tuple[StreamRequest, Slot] | Refusal:
    """Apply X's rules in X's order; what is returned with its `Slot` counts as connected."""
    world, request = exchange.world, exchange.request
    if refusal := world.tokens.check(request):
        return refusal
    if budget.is_spent:
        return RATE_LIMIT_EXCEEDED
    now_ns = world.clock.now_ns()
    wanted = admit(request, world.config, now_ns)
    if isinstance(wanted, Refusal):
        return wanted
    if (
        wanted.replay
        and wanted.replay.end_ns > now_ns
        and not world.faults.take(GrantFutureEnd, wanted.partition, "replay")
    ):
        return refuse_future_end(request)
    mode: Mode = "replay" if wanted.replay else "live"
    if hold := world.faults.take(HoldAnswer, wanted.partition, mode):
        world.faults.wait(hold.seconds, exchange.http.wait)
    slot = Slot(wanted.partition, mode, wanted.backfill_minutes, world.clock.now_ns())
    if refuse := world.faults.take(Refuse, slot.partition, slot.mode):
        return _forced(refuse, budget, slot.opened_at)
    return (wanted, slot) if world.registry.claim(slot) else TOO_MANY_CONNECTIONS


def _forced(fault: Refuse, budget: Budget, now_ns: int) -> Refusal:
    """Return the refusal that `fault` asks for."""
    refusal = TOO_MANY_CONNECTIONS if fault.too_many_connections else plain(fault.status)
    headers = []
    if fault.retry_after_s is not None:
        headers.append(("retry-after", str(fault.retry_after_s)))
    reset_s = budget.reset_s if fault.reset_in_s is None else now_ns // NANOS + fault.reset_in_s
    headers.append(("x-rate-limit-reset", str(reset_s * 1000 if fault.reset_unit == "ms" else reset_s)))
    body = refusal.body if fault.body is None else fault.body.encode()
    return replace(refusal, status=fault.status, body=body, headers=tuple(headers))


def _stream(exchange: _Exchange, request: StreamRequest, slot: Slot, budget: Budget) -> None:
    world, http = exchange.world, exchange.http
    exchange.log(200)
    accepted = exchange.request.headers.get("accept-encoding", "")
    coding: Coding | None = "gzip" if world.config.gzip and "gzip" in accepted else None
    foreign = world.faults.take(ForeignEncoding, slot.partition, slot.mode)
    if foreign:
        coding = foreign.encoding
    encoder = BodyEncoder(
        (foreign and foreign.chunking) or world.config.chunking,
        random.Random(f"{world.config.seed}/{slot.partition}/cuts"),  # noqa: S311 - where chunks end
        coding,
        member_per_write=foreign is not None and foreign.member_per_write,
    )
    headers = [
        *exchange.date_header("grant"),
        JSON,
        ("connection", "close"),
        *([("content-encoding", coding)] if coding else []),
        *budget.headers(),
    ]
    ending = Delivery(world, http, encoder, request, slot).run(
        headers, lambda ended: world.registry.release(slot, ended, world.clock.now_ns())
    )
    http.end(ending)
