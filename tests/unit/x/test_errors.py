"""What went wrong, in whichever shape X says it."""

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.x.backoff import Curve
from connector.x.errors import (
    MAX_RATE_LIMIT_WAIT_S,
    REASONS,
    Failure,
    http_failure,
    network_failure,
    read_rate_limit,
)

_NOW_S = 1_800_000_000.0
_TOO_MANY = (
    b'{"title":"ConnectionException","detail":"at the maximum","connection_issue":"TooManyConnections",'
    b'"type":"https://api.x.com/2/problems/streaming-connection"}'
)
_SPENT = b'{"errors":[{"code":88,"message":"Rate limit exceeded"}]}'


def _headers(remaining: int, reset_in_s: float = 300) -> dict[str, str]:
    return {
        "x-rate-limit-limit": "100",
        "x-rate-limit-remaining": str(remaining),
        "x-rate-limit-reset": str(int(_NOW_S + reset_in_s)),
    }


@pytest.mark.parametrize(
    ("status", "reason", "curve"),
    [
        (400, "http-400", Curve.CONFIGURATION),
        (401, "http-401", Curve.CONFIGURATION),
        (403, "http-403", Curve.CONFIGURATION),
        (404, "http-404", Curve.CONFIGURATION),
        (302, "http-other", Curve.CONFIGURATION),
        (418, "http-other", Curve.CONFIGURATION),
        (500, "http-5xx", Curve.HTTP),
        (503, "http-5xx", Curve.HTTP),
        (429, "rate-limited", Curve.RATE_LIMIT),
    ],
)
def test_status_without_a_body_has_its_reason_and_curve(status: int, reason: str, curve: Curve) -> None:
    """The number alone says how to wait."""
    failure = http_failure(status, {}, b"", _NOW_S, ())
    assert (failure.reason, failure.curve) == (reason, curve)
    assert failure.reason in REASONS


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"title":"Invalid Request","detail":"One or more parameters","type":"u"}', "One or more parameters"),
        (b'{"errors":[{"message":"Invalid or expired token","code":89}]}', "Invalid or expired token"),
        (b'{"code":88,"message":"Rate limit exceeded"}', "Rate limit exceeded"),
        (b'{"errors":[{"parameters":{"partition":[]},"message":"m"}],"title":"t","detail":"d"}', "d"),
        (b'{"errors":["m"],"title":"t"}', "t"),
        (b'{"detail":["no text"]}', "nothing"),
        (b"<html>", "nothing"),
        (b"[]", "nothing"),
        (b"\xff", "nothing"),
        (b"[" * 100_000, "nothing"),
        (b'{"code":' + b"1" * 10_000 + b"}", "nothing"),
    ],
)
def test_answer_in_each_shape_is_quoted(body: bytes, said: str) -> None:
    """A problem, a list of errors, a bare message, and everything that is none of them."""
    assert http_failure(403, {}, body, _NOW_S, ()).detail.endswith(f"X says: {said}")


def test_spent_budget_waits_for_the_reset() -> None:
    """By the headers or by code 88, as X's time has it."""
    for body, remaining in ((b"", 0), (_SPENT, 5), (_TOO_MANY, 0)):
        failure = http_failure(429, _headers(remaining), body, _NOW_S, ())
        assert (failure.curve, failure.reason, failure.at_least_s) == (Curve.RATE_LIMIT, "rate-limited", 300)


@pytest.mark.parametrize("reset_in_s", [-1000, 0, 59])
def test_spent_budget_waits_a_minute_at_least(reset_in_s: float) -> None:
    """Even where the reset is about to come."""
    assert http_failure(429, _headers(0, reset_in_s), b"", _NOW_S, ()).at_least_s == 60


@pytest.mark.parametrize("reset", ["1800000000000", "9" * 30])
def test_spent_budget_with_an_absurd_reset_waits_for_a_window_at_most(reset: str) -> None:
    """Milliseconds for seconds must not silence us for ages, nor overflow a clock."""
    headers = {**_headers(0), "x-rate-limit-reset": reset}
    assert http_failure(429, headers, b"", _NOW_S, ()).at_least_s == MAX_RATE_LIMIT_WAIT_S


@pytest.mark.parametrize("headers", [_headers(50), {}])
def test_too_many_connections_with_budget_left_does_not_wait_for_the_reset(headers: dict[str, str]) -> None:
    """A dead connection of ours is forgotten by X long before that."""
    failure = http_failure(429, headers, _TOO_MANY, _NOW_S, ())
    limit = read_rate_limit(headers, _NOW_S)
    expected = Failure(Curve.TOO_MANY_CONNECTIONS, "too-many-connections", "at the maximum", 0.0, limit)
    assert failure == expected


@pytest.mark.parametrize("missing", [None, "limit", "remaining", "reset"])
def test_rate_limit_is_read_from_all_three_headers_or_not_at_all(missing: str | None) -> None:
    """Half of it is of no use, nor is what is no number."""
    headers = {name: value for name, value in _headers(7).items() if missing is None or missing not in name}
    if missing is None:
        limit = read_rate_limit(headers, 0.0)
        assert limit is not None
        assert (limit.limit, limit.remaining, limit.reset_s) == (100, 7, _NOW_S + 300)
    else:
        assert read_rate_limit(headers, 0.0) is None
        assert read_rate_limit({**headers, f"x-rate-limit-{missing}": "soon"}, 0.0) is None


@given(status=st.integers(300, 599), body=st.binary(max_size=60), values=st.lists(st.text(max_size=9), max_size=3))
def test_any_answer_is_classified(status: int, body: bytes, values: list[str]) -> None:
    """Nothing that X can send raises, and the wait is never absurd."""
    names = ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset")
    failure = http_failure(status, dict(zip(names, values, strict=False)), body, _NOW_S, ())
    assert failure.reason in REASONS
    assert 0 <= failure.at_least_s <= MAX_RATE_LIMIT_WAIT_S


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadTimeout("r"), "silent"),
        (httpx.ConnectTimeout("c"), "network"),
        (httpx.RemoteProtocolError("p"), "network"),
        (httpx.DecodingError("d"), "network"),
        (ConnectionResetError("reset"), "network"),
    ],
)
def test_network_failure_says_whether_it_was_silence(error: httpx.HTTPError | OSError, reason: str) -> None:
    """Silence is X's, the rest is the way to it."""
    failure = network_failure(error, ())
    assert (failure.curve, failure.reason) == (Curve.NETWORK, reason)
    assert type(error).__name__ in failure.detail


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
def test_answer_that_refuses_says_what_is_left_too(status: int) -> None:
    """Every answer is a word on the budget, not only a granted one."""
    failure = http_failure(status, _headers(7), b"", _NOW_S, ())
    assert failure.rate_limit == read_rate_limit(_headers(7), _NOW_S)
    assert failure.is_sent


@pytest.mark.parametrize(
    ("error", "is_sent"),
    [
        (httpx.ConnectError("c"), False),
        (httpx.ConnectTimeout("c"), False),
        (httpx.ProxyError("p"), False),
        (httpx.ReadTimeout("r"), True),
        (httpx.RemoteProtocolError("p"), True),
        (httpx.WriteError("w"), True),
        (ConnectionResetError("reset"), True),
    ],
)
def test_network_failure_says_whether_x_can_have_counted_the_request(error: httpx.HTTPError, *, is_sent: bool) -> None:
    """What never left costs nothing; where that is not sure, it does."""
    assert network_failure(error, ()).is_sent is is_sent


@pytest.mark.parametrize(("limit", "remaining"), [("0", "0"), ("-1", "1"), ("100", "-3")])
def test_rate_limit_that_makes_no_sense_is_none(limit: str, remaining: str) -> None:
    """Nothing may be reckoned from it."""
    headers = {**_headers(7), "x-rate-limit-limit": limit, "x-rate-limit-remaining": remaining}
    assert read_rate_limit(headers, _NOW_S) is None


def test_network_failure_s_detail_is_short() -> None:
    """It goes into logs and the status."""
    assert len(network_failure(OSError("x" * 9999), ()).detail) == 300


def test_secret_at_the_limit_of_what_is_shown_is_not_shown_in_part() -> None:
    """It is hidden before the text is cut."""
    said = "x" * 297 + "hush"
    failure = http_failure(403, {}, msgspec.json.encode({"detail": said}), _NOW_S, ("hush",))
    assert "hu" not in failure.detail
    assert "hu" not in network_failure(OSError(said[len("OSError: ") :]), ("hush",)).detail
