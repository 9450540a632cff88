"""Rows: how X says that there were too many requests or connections, and when to ask again."""

import json
from collections.abc import Callable
from email.utils import formatdate

from connector.x.clock import wall_us
from tests.connections.refusals import answering_once, refusing
from tests.connections.row import RATE_LIMIT_S, TOO_MANY_BODY, TOO_MANY_S, Row, answered, failed, good, problem
from tests.connections.x import Bare, X
from tests.rig.peer import Peer, sending

_CODE_88 = {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}


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


RATE_LIMITS = (
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
        answering_once("429 Too Many Requests", problem("usage-capped", 429)),
        (RATE_LIMIT_S,),
        (failed("rate-limited"), answered(429)),
    ),
    Row(
        "429-too-many-connections",
        "429 `streaming-connection`, `TooManyConnections`, with budget left: X still counts a dead connection of ours",
        "a few seconds, doubling: the reset may be further away than a backfill reaches",
        refusing(429, too_many_connections=True),
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
)
