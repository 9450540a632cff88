"""What went wrong, in whichever shape X or someone else says it, and what that asks of the caller."""

import json

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.quoting import keep_secret
from connector.x.backoff import Curve
from connector.x.decoders import CorruptGzipError
from connector.x.errors import ConnectFailedError, FailureReason, PlanRefusedError, RateLimit
from connector.x.failures import HttpFailure, network_failure, not_a_stream, refusal
from connector.x.head import MAX_WAIT_S, Head, read_head
from tests.fakes.x import NOW_US

_NOW_S = NOW_US // 1_000_000
_PROBLEMS = "https://api.x.com/2/problems"
_TOO_MANY = json.dumps(
    {"title": "t", "detail": "at the maximum", "connection_issue": "TooManyConnections", "type": f"{_PROBLEMS}/s"}
).encode()
_SPENT = b'{"errors":[{"code":88,"message":"Rate limit exceeded"}]}'
_HTML = b"<!DOCTYPE html>\r\n<html><title>Attention Required!</title>"


def _head(status: int, **headers: object) -> Head:
    given = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return read_head(status, httpx.Headers(given), NOW_US)


def _refusal(status: int, body: bytes = b"", **headers: object) -> ConnectFailedError:
    return refusal(_head(status, **headers), body)


def _limits(remaining: int, reset_in_s: float = 300) -> dict[str, object]:
    values = {"limit": 100, "remaining": remaining, "reset": int(_NOW_S + reset_in_s)}
    return {f"x-rate-limit-{name}": value for name, value in values.items()}


def _problem(kind: str, **more: object) -> bytes:
    return json.dumps({"type": kind, "title": "as X words it", "detail": "d", **more}).encode()


@pytest.mark.parametrize(
    ("status", "reason", "curve"),
    [
        (204, "http-other", Curve.CONFIGURATION),
        (302, "http-other", Curve.CONFIGURATION),
        (400, "foreign-answer", Curve.HTTP),
        (401, "http-401", Curve.CONFIGURATION),
        (403, "foreign-answer", Curve.HTTP),
        (404, "http-404", Curve.CONFIGURATION),
        (408, "http-408", Curve.HTTP),
        (418, "http-other", Curve.CONFIGURATION),
        (425, "http-other", Curve.HTTP),
        (429, "rate-limited", Curve.RATE_LIMIT),
        (500, "http-5xx", Curve.HTTP),
        (503, "http-5xx", Curve.HTTP),
        (999, "http-5xx", Curve.HTTP),
    ],
)
def test_status_without_a_body_has_its_reason_and_curve(status: int, reason: str, curve: Curve) -> None:
    """An objection of X's always says more than its status."""
    error = _refusal(status)
    assert (error.failure.reason, error.failure.curve) == (reason, curve)
    assert type(error) is ConnectFailedError


_FOREIGN_BODIES = [
    _HTML,
    b"Forbidden",
    b"\x1f\x8b\x08",
    b'{"message":"Forbidden"}',
    b'{"error":{"message":"no","code":"x"}}',
    b"[]",
    b'"no"',
    b'{"type":',
    b"\xff",
    b"[" * 100_000,
    b'{"code":' + b"1" * 10_000 + b"}",
]


@pytest.mark.parametrize("body", _FOREIGN_BODIES)
@pytest.mark.parametrize("status", [400, 403, 404, 409, 451])
def test_answer_that_is_not_in_x_s_words_is_foreign_and_asked_again(status: int, body: bytes) -> None:
    """An intermediary speaks neither for X nor of the contract."""
    error = _refusal(status, body, content_type="text/html")
    assert type(error) is ConnectFailedError
    assert (error.failure.reason, error.failure.curve) == ("foreign-answer", Curve.HTTP)
    assert error.failure.detail.startswith(f"HTTP {status}, not in X's format: Content-Type text/html, ")


@pytest.mark.parametrize(
    "body",
    [
        _problem(f"{_PROBLEMS}/invalid-request"),
        _problem("https://api.twitter.com/2/problems/client-forbidden", reason="client-not-enrolled"),
        _problem(f"{_PROBLEMS}/not-authorized-for-resource/"),
        _problem("about:blank", title="Forbidden"),
        b'{"errors":[{"parameters":{"backfill_minutes":["5"]},"message":"m"}]}',
        json.dumps({"errors": [{"type": f"{_PROBLEMS}/invalid-request", "title": "t"}]}).encode(),
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_problem_of_x_s_about_the_request_or_the_contract_refuses_the_plan(status: int, body: bytes) -> None:
    """Wrapped or bare, by the last segment of its type or by the parameters it names."""
    error = _refusal(status, body)
    assert type(error) is PlanRefusedError
    assert (error.failure.reason, error.failure.curve) == (f"http-{status}", Curve.CONFIGURATION)


@pytest.mark.parametrize(
    "body",
    [
        _problem(f"{_PROBLEMS}/streaming-connection", connection_issue="ProvisioningSubscription"),
        _problem(f"{_PROBLEMS}/client-forbidden", connection_issue="ProvisioningSubscription"),
        _problem(f"{_PROBLEMS}/internal-error"),
        b'{"code":131,"message":"Internal error","parameters":{}}',
        b'{"errors":["as X words it"]}',
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_words_of_x_s_that_pass_do_not_refuse_the_plan(status: int, body: bytes) -> None:
    """The same is asked again."""
    error = _refusal(status, body)
    assert type(error) is ConnectFailedError
    assert (error.failure.reason, error.failure.curve) == (f"http-{status}", Curve.HTTP)


@pytest.mark.parametrize("status", [401, 404, 409])
def test_objection_to_anything_else_never_refuses_the_plan(status: int) -> None:
    """A token or an address is wrong for every plan."""
    error = _refusal(status, _problem(f"{_PROBLEMS}/invalid-request"))
    assert type(error) is ConnectFailedError
    assert error.failure.curve is Curve.CONFIGURATION


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"title":"Invalid Request","detail":"One or more parameters","type":"u"}', "One or more parameters"),
        (b'{"errors":[{"message":"Invalid or expired token","code":89}]}', "Invalid or expired token"),
        (b'{"code":88,"message":"Rate limit exceeded"}', "Rate limit exceeded"),
        (b'{"errors":[{"parameters":{"partition":[]},"message":"m"}],"title":"t","detail":"d"}', "d"),
        (b'{"errors":["m"],"title":"t"}', "t"),
        (b'{"detail":["no text"],"title":7,"errors":[]}', "nothing"),
        (b"<html>", "<html>"),
        (b"", "nothing"),
    ],
)
def test_answer_in_each_shape_is_quoted(body: bytes, said: str) -> None:
    """A problem, a list of errors, a bare message, and the beginning of anything else."""
    assert _refusal(401, body).failure.detail.endswith(f"X says: {said}")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 520])
@pytest.mark.parametrize(("asked", "wait_s"), [(120, 120), (99_999, MAX_WAIT_S), (-1, 0), ("soon", 0)])
def test_retry_after_is_honoured_where_waiting_helps(status: int, asked: object, wait_s: float) -> None:
    """In bounds; garbage asks for nothing."""
    least_s = 60 if status == 429 else 0
    assert _refusal(status, retry_after=asked).failure.at_least_s == max(least_s, wait_s)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418])
def test_retry_after_of_any_other_answer_is_not(status: int) -> None:
    """It has a curve of its own, and no intermediary decides on it."""
    assert _refusal(status, retry_after=120).failure.at_least_s == 0


def test_spent_budget_waits_for_the_reset() -> None:
    """By the headers or by code 88, as X's time has it."""
    for body, remaining in ((b"", 0), (_SPENT, 5), (_TOO_MANY, 0)):
        failure = _refusal(429, body, **_limits(remaining)).failure
        assert (failure.curve, failure.reason, failure.at_least_s) == (Curve.RATE_LIMIT, "rate-limited", 300)


@pytest.mark.parametrize("reset_in_s", [-50_000, -10, 5, 10_000_000, (_NOW_S + 300) * 999])
def test_spent_budget_with_a_reset_that_is_near_or_no_time_waits_a_minute(reset_in_s: float) -> None:
    """In the past, a year ahead, or soon; where it is in milliseconds it counts."""
    expected = 300 if reset_in_s > 1e10 else 60
    assert _refusal(429, b"", **_limits(0, reset_in_s)).failure.at_least_s == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("limits", [_limits(50), {}])
@pytest.mark.parametrize("status", [403, 429])
def test_too_many_connections_with_budget_left_does_not_wait_for_the_reset(
    status: int, limits: dict[str, object]
) -> None:
    """A dead connection of ours is forgotten by X long before that."""
    failure = _refusal(status, _TOO_MANY, **limits).failure
    assert (failure.curve, failure.reason) == (Curve.TOO_MANY_CONNECTIONS, "too-many-connections")
    assert (failure.detail, failure.at_least_s) == ("at the maximum", 0)


@pytest.mark.slow
@given(
    status=st.integers(201, 999),
    body=st.binary(max_size=60) | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "title", "detail", "errors", "code", "connection_issue", "parameters"]), inner
        ),
    ).map(msgspec.json.encode),
    retry_after=st.text("0123456789-. GMT", max_size=9),
)  # fmt: skip
def test_any_answer_is_classified(status: int, body: bytes, retry_after: str) -> None:
    """Nothing that X can send raises, and the wait is never absurd."""
    failure = _refusal(status, body, retry_after=retry_after).failure
    assert failure.reason in set(FailureReason)
    assert 0 <= failure.at_least_s <= MAX_WAIT_S
    assert len(failure.detail) < 600


def test_page_in_place_of_a_stream_is_described_in_bounds_and_without_secrets() -> None:
    """Its type, its encoding and how it begins; on the curve of a server that has a fault."""
    keep_secret("a kind", "hush")
    head = _head(200, content_type="text/html; hush" + "x" * 500, content_encoding="br")
    failure = not_a_stream(head, _HTML + b"\x1b[2J hush" + b"x" * 5000)
    assert (failure.reason, failure.curve) == ("not-a-stream", Curve.HTTP)
    assert "Content-Type text/html; [secret]x" in failure.detail
    assert (
        "Content-Encoding br, begins: <!DOCTYPE html> <html><title>Attention Required!</title> [2J [" in failure.detail
    )
    assert failure.detail.isprintable()
    assert len(failure.detail) < 600


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ReadTimeout("r"), "silent"),
        (httpx.ConnectTimeout("c"), "network"),
        (httpx.RemoteProtocolError("p"), "network"),
        (httpx.DecodingError("d"), "network"),
        (ConnectionResetError("reset"), "network"),
        (CorruptGzipError("the compressed body is corrupt"), "network"),
    ],
)
def test_network_failure_says_whether_it_was_silence(error: HttpFailure, reason: str) -> None:
    """Silence is X's, the rest is the way to it."""
    failure = network_failure(error)
    assert (failure.curve, failure.reason) == (Curve.NETWORK, reason)
    assert type(error).__name__ in failure.detail


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 429, 503])
def test_answer_that_refuses_says_what_is_left_too(status: int) -> None:
    """Every answer is a word on the budget and on the time, not only a granted one."""
    failure = _refusal(status, b"", **_limits(7), date="Fri, 15 Jan 2027 08:00:00 GMT").failure
    assert failure.rate_limit == RateLimit(100, 7, _NOW_S + 300, _NOW_S)
    assert failure.date_us == NOW_US
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
def test_network_failure_says_whether_x_can_have_counted_the_request(error: HttpFailure, *, is_sent: bool) -> None:
    """What never left costs nothing; where that is not sure, it does."""
    assert network_failure(error).is_sent is is_sent


def test_words_of_an_exception_are_short_and_without_secrets() -> None:
    """They go into logs and the status."""
    keep_secret("a kind", "hush")
    detail = network_failure(OSError("hush" + "x" * 9999)).detail
    assert detail.startswith("OSError: [secret]xxx")
    assert len(detail) == 300
