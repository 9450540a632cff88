"""Rows: what X answers to a request for a stream, by status."""

import json
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from connector.simulator.faults import (
    Refuse,
)
from connector.x.clock import wall_us
from tests.connections.peer import (
    Peer,
    answering,
    head,
    sending,
)
from tests.connections.row import (
    CONFIGURATION_S,
    HTTP_S,
    MINUTE_S,
    RATE_LIMIT_S,
    TOO_MANY_BODY,
    TOO_MANY_S,
    WHERE,
    Row,
    answered,
    failed,
    good,
    problem,
)
from tests.connections.x import AFTER, Bare, Simulated, X


def _refusing(status: int, *, times: int = 1, **more: Any) -> Callable[[], X]:  # noqa: ANN401 - of the fault
    return lambda: Simulated(Refuse(status=status, times=times, **WHERE, **more), good=times + 1)


def _answering(status: str, body: object = b"", *headers: tuple[str, str]) -> Callable[[], X]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: Bare(Peer(answering(status, content, *headers), good(1)), events=1)


def _spent(remaining: int, body: object, reset_s: int) -> Callable[[], X]:
    """Return an X that answers 429, with a window that ends in so many seconds."""

    def make() -> X:
        now_s = wall_us() // 1_000_000
        limits = {"limit": 100, "remaining": remaining, "reset": now_s + reset_s}
        headers = (
            ("Date", formatdate(now_s, usegmt=True)),
            *((f"x-rate-limit-{name}", str(limits[name])) for name in limits),
        )
        content = json.dumps(body).encode()
        head_ = "\r\n".join(
            [
                "HTTP/1.1 429 Too Many Requests",
                *(f"{name}: {value}" for name, value in headers),
                f"Content-Length: {len(content)}",
                "",
                "",
            ]
        )
        return Bare(Peer(sending(head_.encode() + content), good(1)), events=1)

    return make


_CODE_88 = {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}


ANSWERS = (
    Row(
        "redirect",
        "3xx: a redirect",
        "not followed, so the token goes nowhere else",
        _answering("302 Found", b"", ("Location", "https://elsewhere.invalid/")),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "other-2xx",
        "2xx that is not 200",
        "no stream: as an answer that nobody expects",
        _answering("204 No Content"),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "400-backfill",
        "400 to `backfill_minutes` (`invalid-request`, `client-forbidden`): not in the contract",
        "ask without; what backfill would have brought is a gap",
        lambda: Simulated(backfill_refusal=400, events=AFTER),
        (0.0,),
        (failed("http-400"), answered(400), 'gaps_total{cause="backfill-refused"}'),
    ),
    Row(
        "400-replay",
        "400 to `start_time` and `end_time`",
        "ask for the most backfill there is; the rest is a gap",
        lambda: Simulated(replay_refusal=400),
        (0.0,),
        (failed("http-400"), answered(400), 'gaps_total{cause="replay-refused"}'),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "400",
        "400 `invalid-request`, whatever is asked",
        "ask for less at once, then slowly for everything again; say what to check",
        _refusing(400, times=2),
        (0.0, CONFIGURATION_S),
        (failed("http-400"), failed("http-400"), answered(400), answered(400)),
    ),
    Row(
        "401",
        "401, code 89: the token is wrong or was invalidated",
        "try slowly, with the token as it then is; an exchanged one is exchanged anew",
        _refusing(401),
        (CONFIGURATION_S,),
        (failed("http-401"), answered(401)),
    ),
    Row(
        "403-replay",
        "403 to `start_time` and `end_time` (`client-forbidden`)",
        "as after 400",
        lambda: Simulated(replay_refusal=403),
        (0.0,),
        (failed("http-403"), answered(403), 'gaps_total{cause="replay-refused"}'),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "403",
        "403 `client-forbidden`, `not-authorized-for-resource`, whatever is asked: not in the contract, or no Project",
        "ask for less at once, then slowly; say what to check",
        _refusing(403, times=2),
        (0.0, CONFIGURATION_S),
        (failed("http-403"), failed("http-403"), answered(403), answered(403)),
    ),
    Row(
        "404",
        "404 `resource-not-found`: no such endpoint",
        "try slowly; say what to check",
        _refusing(404),
        (CONFIGURATION_S,),
        (failed("http-404"), answered(404)),
    ),
    Row(
        "other-4xx",
        "any other 4xx, in the short shape `{code, message}` for instance",
        "try slowly; show X's words",
        _answering("409 Conflict", {"code": 34, "message": "as X words it"}),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "429-code-88",
        "429, code 88: the connect budget is spent",
        "wait for `x-rate-limit-reset`, at least a minute; all of the endpoint's partitions wait",
        _spent(0, _CODE_88, 600),
        (600.0,),
        (failed("rate-limited"), answered(429)),
    ),
    Row(
        "429-reset-soon",
        "429 with `x-rate-limit-remaining: 0` and a reset that is near",
        "a minute at least",
        _spent(0, problem("usage-capped", 429), 3),
        (RATE_LIMIT_S,),
        (failed("rate-limited"), answered(429)),
    ),
    Row(
        "429-untold",
        "429 without a word of the budget",
        "a minute at least, doubling",
        _answering("429 Too Many Requests", problem("usage-capped", 429)),
        (RATE_LIMIT_S,),
        (failed("rate-limited"), answered(429)),
    ),
    Row(
        "429-too-many-connections",
        "429 `streaming-connection`, `TooManyConnections`, with budget left: X still counts a dead connection of ours",
        "a few seconds, doubling: the reset may be further away than a backfill reaches",
        _refusing(429, too_many_connections=True),
        (TOO_MANY_S,),
        (failed("too-many-connections"), answered(429)),
    ),
    Row(
        "429-too-many-connections-spent",
        "the same with the budget spent",
        "as for the spent budget",
        _spent(0, TOO_MANY_BODY, 600),
        (600.0,),
        (failed("rate-limited"), answered(429)),
    ),
    *(
        Row(
            f"{status}",
            f"{status}{', `internal-error` for instance' if status == 500 else ''}",
            "wait as X asks for it, 5 s and doubling",
            _refusing(status),
            (HTTP_S,),
            (failed("http-5xx"), answered(status)),
        )
        for status in (500, 502, 503, 504)
    ),
    Row(
        "other-5xx",
        "any other 5xx; a body that is a web page, or larger than 64 KiB",
        "the same: the body is read within bounds and only shown",
        _answering("520 Web Server Returned an Unknown Error", b"<html>" + b"x" * 1_000_000),
        (HTTP_S,),
        (failed("http-5xx"), answered("other")),
    ),
    Row(
        "5xx-cut-body",
        "an error whose body breaks off",
        "the status is enough",
        lambda: Bare(
            Peer(sending(head("503 Service Unavailable", ("Content-Length", "100")) + b"{"), good(1)), events=1
        ),
        (HTTP_S,),
        (failed("http-5xx"), answered(503)),
    ),
)
