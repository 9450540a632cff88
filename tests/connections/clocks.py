"""Rows: what X's answers say of the time, and what they say wrong."""

import json
from collections.abc import Callable
from email.utils import formatdate

from tests.connections.row import NETWORK_S, Row, answered, ended, events, failed, good, problem
from tests.connections.timed import Timed
from tests.connections.x import Bare, Time, X
from tests.rig.peer import Peer, Script, cutting, head, sending, then_silent

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_CHUNKED = ("Transfer-Encoding", "chunked")


def _date(off_s: float = 0.0) -> str:
    return formatdate(Time().x_us() / 1_000_000 + off_s, usegmt=True)


def _dated(date: str | None, *numbers: int) -> Script:
    """Return the script of an X with which all is well but its `Date`."""
    return then_silent(sending(head("200 OK", _CHUNKED, date=date), events(*numbers)))


def _refusing_the_future() -> Script:
    body = json.dumps(problem("invalid-request", 400)).encode()
    return sending(head("400 Bad Request", ("Content-Length", str(len(body))), date=_date()) + body)


def _ahead_at_first(off_s: float) -> Callable[[], X]:
    return lambda: Bare(Peer(_dated(_date(off_s), 1), _refusing_the_future(), good(2)), events=1)


def _behind_at_first() -> X:
    scripts = Timed()
    first = scripts.whole(scripts.at(1, ago_s=0), off_s=-_HOUR_S)
    return scripts.x(first, *[scripts.whole()] * 5, scripts.live(2), events=2)


CLOCKS = (
    Row(
        "no-date",
        "an answer without a `Date`",
        "go by the wall clock, or by what earlier answers said",
        lambda: Bare(Peer(_dated(None, 1)), events=1),
        (),
        (),
    ),
    Row(
        "garbage-date",
        "an invalid `Date`",
        "the same",
        lambda: Bare(Peer(_dated("yesterday, or so", 1)), events=1),
        (),
        (),
    ),
    Row(
        "date-odd-once",
        "a `Date` an hour off, among good ones",
        "ignore it: neither the wall clock, nor the rate limit's reset, nor another answer agrees with it",
        lambda: Bare(Peer(cutting(events(1)), _dated(_date(_HOUR_S), 2), good(3)), events=2),
        (0.0,),
        (ended("network"),),
    ),
    Row(
        "date-behind-at-first",
        "a first `Date` that is an hour behind",
        "ignore it: neither our clock nor the rate-limit reset of the same answer supports it",
        _behind_at_first,
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (*[ended("closed")] * 6,),
    ),
    *(
        Row(
            f"date-{name}-ahead-at-first",
            f"a first `Date` {name.replace('-', ' ')} ahead, and 400 to the replay into the future that it leads to",
            "take the right time from the refusal, and nothing else: the contract has not changed, and nothing is lost",
            _ahead_at_first(off_s),
            (NETWORK_S, 2 * NETWORK_S),
            (ended("replanned"), failed("http-400"), answered(400)),
        )
        for name, off_s in (("an-hour", _HOUR_S), ("two-days", 2 * _DAY_S))
    ),
)
