"""What a row of the tables in `docs/x-connection.md` is, and what rows are made of.

Facts about X: X API v2, "Consuming streaming data", "Handling disconnections", "Response codes & errors".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpcore

from connector.events.times import US_PER_S
from connector.source.stall import TICK_S
from connector.x.clock import wall_us
from tests.connections.x import X
from tests.fakes.partition import PARTITION, line
from tests.rig.peer import (
    LAST_CHUNK,
    Script,
    chunk,
    cutting,
    in_lines,
    streaming,
)

MINUTE_S = 60.0
PROBLEMS = "https://api.x.com/2/problems"
WHERE: dict[str, Any] = {"stream": PARTITION.stream, "partition": PARTITION.number}
HTTP_S, RATE_LIMIT_S, TOO_MANY_S, NETWORK_S, CONFIGURATION_S = 5.0, 60.0, 4.0, 0.25, 60.0
"""The first delays of the curves."""


@dataclass(frozen=True)
class Row:
    """A thing that X does.

    `delays_s` are what passes before each attempt that follows from it; none where the connection stays.
    The stall watch ticks every `tick_s`; `settings` are X's, also such as no operator may set, so that no test waits.
    """

    name: str
    does: str
    we: str
    make: Callable[[], X]
    delays_s: tuple[float, ...]
    counted: tuple[str, ...]
    away_s: float = 30.0
    tick_s: float = TICK_S
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: Callable[[], httpcore.NetworkBackend] = httpcore.SyncBackend


def failed(reason: str) -> str:
    """Return the name of the counter of failed attempts."""
    return f'connect_failures_total{{reason="{reason}"}}'


def answered(code: int | str) -> str:
    """Return the name of the counter of answers."""
    return f'http_responses_total{{code="{code}"}}'


def refused_twice(kind: str) -> list[str]:
    """Return the names of the counters of a plan that is refused, asked for again, and refused again."""
    return [f'plans_refused_total{{plan="{kind}",outcome="{outcome}"}}' for outcome in ("retried", "believed")]


def gap(cause: str, state: str = "lost") -> str:
    """Return the name of the counter of gaps."""
    return f'gaps_total{{state="{state}",cause="{cause}"}}'


def ended(reason: str) -> str:
    """Return the name of the counter of connections that ended."""
    return f'disconnects_total{{reason="{reason}"}}'


def event(number: int) -> bytes:
    """Return the line of an event that has just happened."""
    return line(number, wall_us())


def events(*numbers: int) -> bytes:
    """Return a chunk with the lines of such events."""
    return chunk(in_lines(*map(event, numbers)))


def good(*numbers: int) -> Script:
    """Return the script of an X with which all is well."""
    return streaming(events(*numbers))


def slice_lines() -> list[bytes]:
    """Return the lines of two events that happened a quarter of an hour ago."""
    return [line(number, wall_us() - int(15 * MINUTE_S) * US_PER_S) for number in (1, 2)]


def replayed() -> tuple[Script, Script]:
    """Return the scripts of two slices of a replay that are whole; the first one brings two events."""
    return cutting(chunk(in_lines(*slice_lines())), LAST_CHUNK), cutting(chunk(in_lines(b"")), LAST_CHUNK)


WHOLE_SLICE = 'replay_slices_total{verdict="whole"}'
TOO_MANY_BODY = {
    "title": "ConnectionException",
    "detail": "This stream is currently at the maximum allowed connection limit.",
    "connection_issue": "TooManyConnections",
    "type": f"{PROBLEMS}/streaming-connection",
}


def problem(name: str, status: int) -> dict[str, object]:
    """Return a problem as X words it."""
    return {"type": f"{PROBLEMS}/{name}", "title": name, "detail": "as X words it", "status": status}
