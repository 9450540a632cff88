"""Rows: what X answers to a request for a stream, by status."""

from tests.connections.rate_limits import RATE_LIMITS
from tests.connections.refusals import answering_once, refusing
from tests.connections.row import (
    CONFIGURATION_S,
    HTTP_S,
    MINUTE_S,
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
from tests.connections.x import AFTER, Bare, Simulated
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

_PAGE = b"<!DOCTYPE html>\n<html><title>Scheduled maintenance</title>\n<p>We will be back soon.</p></html>\r\n"
_TEXT_HTML = ("Content-Type", "text/html; charset=utf-8")
_503 = "503 Service Unavailable"


def _page() -> Script:
    return answering("200 OK", _PAGE, _TEXT_HTML)


ANSWERS = (
    Row(
        "redirect",
        "3xx: a redirect",
        "not followed, so the token goes nowhere else; show the host it points to",
        answering_once("302 Found", b"", ("Location", "https://elsewhere.invalid/path?query")),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "other-2xx",
        "2xx that is not 200",
        "no stream: as an unexpected answer",
        answering_once("204 No Content"),
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
        "no stream: repeat the request after 5 s, doubling; log its type and beginning, keep nothing of it",
        answering_once("200 OK", _PAGE, _TEXT_HTML),
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
            answering_once("200 OK", b"\x0b\x02\x80{}\r\n\x03", ("Content-Encoding", name)),
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
        "repeat the request after 5 s; if refused again, ask without: what backfill would have brought is a gap",
        lambda: Simulated(backfill_refusal=400, events=AFTER, good=3),
        (HTTP_S, 0.0),
        (*[failed("http-400"), answered(400)] * 2, *refused_twice("backfill"), gap("backfill-refused")),
    ),
    Row(
        "400-replay",
        "400 to `start_time` and `end_time`",
        "repeat the request after 5 s; if refused again, ask for the longest backfill: the rest is a gap",
        lambda: Simulated(replay_refusal=400, good=3),
        (HTTP_S, 0.0),
        (*[failed("http-400"), answered(400)] * 2, *refused_twice("replay"), gap("replay-refused")),
        away_s=20 * MINUTE_S,
    ),
    Row(
        "400",
        "400 `invalid-request`, to any request",
        "repeat the request after 5 s, then ask for less at once, then slowly for everything again; log what to check",
        refusing(400, times=3),
        (HTTP_S, 0.0, CONFIGURATION_S),
        (*[failed("http-400"), answered(400)] * 3, *refused_twice("backfill")),
    ),
    Row(
        "401",
        "401, code 89: the token is wrong or was invalidated",
        "retry slowly, with the token as it is then; an exchanged one is exchanged again",
        refusing(401),
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
        "403 `client-forbidden`, `not-authorized-for-resource`, to any request: not in the contract, or no Project",
        "repeat the request after 5 s, then ask for less at once, then slowly; log what to check",
        refusing(403, times=3),
        (HTTP_S, 0.0, CONFIGURATION_S),
        (*[failed("http-403"), answered(403)] * 3, *refused_twice("backfill")),
    ),
    Row(
        "404",
        "404 `resource-not-found`: no such endpoint",
        "retry slowly; log what to check",
        refusing(404),
        (CONFIGURATION_S,),
        (failed("http-404"), answered(404)),
    ),
    *(
        Row(
            f"{status[:3]}-{name}",
            f"{status[:3]} {what}",
            "not from X: repeat the request after 5 s, doubling; log its type and beginning",
            answering_once(status, body, *headers),
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
        "repeat the request after 5 s, doubling",
        answering_once(
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
        answering_once("408 Request Timeout"),
        (HTTP_S,),
        (failed("http-408"), answered(408)),
    ),
    Row(
        "425",
        "425: too early",
        "the same",
        answering_once("425 Too Early"),
        (HTTP_S,),
        (failed("http-other"), answered("other")),
    ),
    Row(
        "other-4xx",
        "any other 4xx, in the short shape `{code, message}` for instance",
        "retry slowly; log what X says",
        answering_once("409 Conflict", {"code": 34, "message": "as X words it"}),
        (CONFIGURATION_S,),
        (failed("http-other"), answered("other")),
    ),
    *RATE_LIMITS,
    *(
        Row(
            f"{status}",
            f"{status}{', `internal-error` for instance' if status == 500 else ''}",
            "wait as X asks for it, 5 s and doubling",
            refusing(status),
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
            answering_once(status, b"", ("Retry-After", value)),
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
        answering_once("520 Web Server Returned an Unknown Error", b"<html>" + b"x" * 1_000_000),
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
