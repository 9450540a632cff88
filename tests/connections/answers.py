"""Rows: what X answers to a request for a stream, by status."""

import json
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from connector.simulator.faults import (
    Refuse,
)
from connector.x.clock import wall_us
from tests.connections.row import (
    CONFIGURATION_S,
    HTTP_S,
    MINUTE_S,
    RATE_LIMIT_S,
    TOO_MANY_BODY,
    TOO_MANY_S,
    WHERE,
    WHOLE_SLICE,
    Row,
    answered,
    ended,
    event,
    events,
    failed,
    gap,
    good,
    problem,
    refused_twice,
    replayed,
)
from tests.connections.x import AFTER, Bare, Simulated, X
from tests.rig.peer import (
    CHUNKED,
    LAST_CHUNK,
    Peer,
    Script,
    answering,
    compressed,
    dripping,
    gzip_head,
    head,
    sending,
    then_silent,
)


def _refusing(status: int, *, times: int = 1, **more: Any) -> Callable[[], X]:  # noqa: ANN401 - of the fault
    return lambda: Simulated(Refuse(status=status, times=times, **WHERE, **more), good=times + 1)


def _answering(status: str, body: object = b"", *headers: tuple[str, str]) -> Callable[[], X]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda: Bare(Peer(answering(status, content, *headers), good(1)), events=1)


def _spent(remaining: int, body: object, reset_s: int, *more: tuple[str, str], units_per_s: int = 1) -> Callable[[], X]:
    """Return an X that answers 429, with a window that ends in `reset_s`."""

    def make() -> X:
        now_s = wall_us() // 1_000_000
        limits = {"limit": 100, "remaining": remaining, "reset": (now_s + reset_s) * units_per_s}
        headers = (
            ("Date", formatdate(now_s, usegmt=True)),
            *((f"x-rate-limit-{name}", str(limits[name])) for name in limits),
            *more,
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


_PAGE = b"<!DOCTYPE html>\n<html><title>Scheduled maintenance</title>\n<p>We will be back soon.</p></html>\r\n"
_TEXT_HTML = ("Content-Type", "text/html; charset=utf-8")
_503 = "503 Service Unavailable"


def _page() -> Script:
    return answering("200 OK", _PAGE, _TEXT_HTML)


_CODE_88 = {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}


ANSWERS = (
    Row(
        "redirect",
        "3xx: a redirect",
        "not followed, so the token goes nowhere else; show the host it points to",
        _answering("302 Found", b"", ("Location", "https://elsewhere.invalid/path?query")),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "other-2xx",
        "2xx that is not 200",
        "no stream: as an unexpected answer",
        _answering("204 No Content"),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    *(
        Row(
            f"date-{name}",
            f"200 {what}",
            "read it: an answer without a time is a stream all the same, and sets no clock",
            lambda date=date: Bare(  # type: ignore[misc] # a default binds the loop's value
                Peer(then_silent(sending(head("200 OK", *CHUNKED, date=date), events(1)))), events=1
            ),
            (),
            (),
        )
        for name, what, date in (
            ("garbage", "with a `Date` that cannot be read", "soon"),
            ("missing", "without a `Date`", None),
        )
    ),
    Row(
        "200-page",
        "200 with a web page: `Content-Type` is neither absent nor JSON",
        "no stream: ask for the same again, 5 s and doubling; show its type and how it begins, keep nothing of it",
        _answering("200 OK", _PAGE, _TEXT_HTML),
        (HTTP_S,),
        (failed("not-a-stream"),),
    ),
    Row(
        "200-page-to-a-replay",
        "the same to a replay, time and again",
        "that slice again, until a stream comes: nothing counts as read",
        lambda: Bare(Peer(*[_page()] * 5, *replayed(), good(3)), events=3),
        tuple(HTTP_S * 2**number for number in range(5)),
        (*[failed("not-a-stream")] * 5, *[ended("closed"), WHOLE_SLICE] * 2),
        away_s=20 * MINUTE_S,
    ),
    *(
        Row(
            f"200-{name}",
            f"200 with `Content-Encoding: {name}`, which was not asked for",
            "no stream, as above",
            _answering("200 OK", b"\x0b\x02\x80{}\r\n\x03", ("Content-Encoding", name)),
            (HTTP_S,),
            (failed("not-a-stream"),),
        )
        for name in ("br", "zstd", "deflate")
    ),
    Row(
        "200-gzip-to-a-replay",
        "a replay, for which no compression is asked, answered with gzip",
        "no stream, as above: where a compressed body ends does not prove that it is whole",
        lambda: Bare(Peer(sending(gzip_head() + compressed(event(1)) + LAST_CHUNK), *replayed(), good(3)), events=3),
        (HTTP_S,),
        (failed("not-a-stream"), *[ended("closed"), WHOLE_SLICE] * 2),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "400-backfill",
        "400 to `backfill_minutes` (`invalid-request`, `client-forbidden`): not in the contract",
        "ask for the same again, after 5 s; when refused again, ask without: what backfill would have brought is a gap",
        lambda: Simulated(backfill_refusal=400, events=AFTER, good=3),
        (HTTP_S, 0.0),
        (*[failed("http-400"), answered(400)] * 2, *refused_twice("backfill"), gap("backfill-refused")),
    ),
    Row(
        "400-replay",
        "400 to `start_time` and `end_time`",
        "ask for the same again, after 5 s; when refused again, ask for the most backfill there is: the rest is a gap",
        lambda: Simulated(replay_refusal=400, good=3),
        (HTTP_S, 0.0),
        (*[failed("http-400"), answered(400)] * 2, *refused_twice("replay"), gap("replay-refused")),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "400",
        "400 `invalid-request`, whatever is asked",
        "ask for the same again, after 5 s, then for less at once, then slowly for everything again; say what to check",
        _refusing(400, times=3),
        (HTTP_S, 0.0, CONFIGURATION_S),
        (*[failed("http-400"), answered(400)] * 3, *refused_twice("backfill")),
    ),
    Row(
        "401",
        "401, code 89: the token is wrong or was invalidated",
        "try slowly, with the token as it then is; an exchanged one is exchanged again",
        _refusing(401),
        (CONFIGURATION_S,),
        (failed("http-401"), answered(401)),
    ),
    Row(
        "403-replay",
        "403 to `start_time` and `end_time` (`client-forbidden`)",
        "as after 400",
        lambda: Simulated(replay_refusal=403, good=3),
        (HTTP_S, 0.0),
        (*[failed("http-403"), answered(403)] * 2, *refused_twice("replay"), gap("replay-refused")),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "403",
        "403 `client-forbidden`, `not-authorized-for-resource`, whatever is asked: not in the contract, or no Project",
        "ask for the same again, after 5 s, then for less at once, then slowly; say what to check",
        _refusing(403, times=3),
        (HTTP_S, 0.0, CONFIGURATION_S),
        (*[failed("http-403"), answered(403)] * 3, *refused_twice("backfill")),
    ),
    Row(
        "404",
        "404 `resource-not-found`: no such endpoint",
        "try slowly; say what to check",
        _refusing(404),
        (CONFIGURATION_S,),
        (failed("http-404"), answered(404)),
    ),
    *(
        Row(
            f"{status[:3]}-{name}",
            f"{status[:3]} {what}",
            "not X's words: ask for the same again, 5 s and doubling; show its type and how it begins",
            _answering(status, body, *headers),
            (HTTP_S,),
            (failed("foreign-answer"), answered(status[:3])),
        )
        for status, name, what, body, headers in (
            ("400 Bad Request", "page", "with a web page, from an intermediary", _PAGE, [_TEXT_HTML]),
            ("403 Forbidden", "page", "with a web page, to a request with `backfill_minutes` too", _PAGE, [_TEXT_HTML]),
            ("403 Forbidden", "gateway", "in JSON of another shape", {"message": "Forbidden"}, []),
            ("403 Forbidden", "empty", "without a body", b"", []),
            ("404 Not Found", "page", "with a web page", _PAGE, [_TEXT_HTML]),
        )
    ),
    Row(
        "403-provisioning",
        "403 `connection_issue`, `ProvisioningSubscription`: X is not ready yet",
        "ask for the same again, 5 s and doubling",
        _answering(
            "403 Forbidden",
            {**problem("streaming-connection", 403), "connection_issue": "ProvisioningSubscription"},
        ),
        (HTTP_S,),
        (failed("http-403"), answered(403)),
    ),
    Row(
        "408",
        "408: the request took too long",
        "as after 5xx",
        _answering("408 Request Timeout"),
        (HTTP_S,),
        (failed("http-408"), answered(408)),
    ),
    Row(
        "425",
        "425: too early",
        "the same",
        _answering("425 Too Early"),
        (HTTP_S,),
        (failed("http-other"), answered("other")),
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
        "429-reset-in-milliseconds",
        "429 with a reset in milliseconds",
        "recognise it, and wait for it",
        _spent(0, _CODE_88, 600, units_per_s=1000),
        (600.0,),
        (failed("rate-limited"), answered(429)),
    ),
    *(
        Row(
            f"429-reset-{name}",
            f"429 with a reset {what}",
            "a minute, doubling: a reset that cannot be right is ignored, and so is what X says is left",
            _spent(0, _CODE_88, reset_s),
            (RATE_LIMIT_S,),
            (failed("rate-limited"), answered(429)),
        )
        for name, what, reset_s in (
            ("past", "in the past", -3600),
            ("far", "a year ahead", 365 * 24 * 3600),
        )
    ),
    Row(
        "429-retry-after",
        "429 with `Retry-After` beyond the reset",
        "wait that long",
        _spent(0, _CODE_88, 300, ("Retry-After", "420")),
        (420.0,),
        (failed("rate-limited"), answered(429)),
    ),
    Row(
        "429-untold",
        "429 without budget headers",
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
    *(
        Row(
            f"{status[:3]}-retry-after{name}",
            f"{status[:3]} with `Retry-After`{what}",
            we,
            _answering(status, b"", ("Retry-After", value)),
            (delay_s,),
            (failed(reason), answered(code)),
        )
        for status, name, what, value, we, delay_s, reason, code in (
            (_503, "", " in seconds, or as a date", "120", "wait that long", 120.0, "http-5xx", 503),
            (_503, "-absurd", " of days", "999999", "wait 16 minutes at most", 960.0, "http-5xx", 503),
            (_503, "-garbage", " that is negative, past or garbage", "-120", "as without", HTTP_S, "http-5xx", 503),
            ("408 Request Timeout", "", "", "30", "wait that long", 30.0, "http-408", 408),
        )
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
    *(
        Row(
            f"5xx-dripping-{name}",
            f"an error whose body never ends: {what} comes byte by byte",
            "close when the attempt has taken its time: the status is enough",
            lambda begin=begin: Bare(  # type: ignore[misc] # a default binds the loop's value
                Peer(dripping(head(_503, *CHUNKED) + begin, b"x", pause_s=0.1), good(1)), events=1
            ),
            (HTTP_S,),
            (failed("http-5xx"), answered(503)),
            settings={"connect_timeout_s": 0.3, "silence_timeout_s": 0.3},
        )
        for name, what, begin in (
            ("chunk", "the line that gives a chunk's size", b"5;"),
            ("trailer", "what follows the last chunk", b"0\r\nX: "),
        )
    ),
)
