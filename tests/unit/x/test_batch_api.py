"""Calls to X about batch jobs that fail: what is said of it, how long to wait, which token is next, and no secret."""

import os
import socket
import time
from functools import partial
from pathlib import Path

import pytest

from connector.events.times import US_PER_S
from connector.x.batch_api import BatchApi, CallFailedError
from connector.x.head import MAX_WAIT_S
from connector.x.jobs import Jobs
from tests.rig.peer import Script, dripping, greeting, head, sending, then_reset, then_silent
from tests.unit.x.recorded import (
    CALLS,
    JOB_ID,
    KEYS,
    TOKEN,
    X,
    answer,
    batch_api,
    error_of,
    error_of_call,
    exchanged,
    impatient,
    problem,
    settings_for,
)

_each_call = pytest.mark.parametrize("call", ["create", "active"])

# --- refusals


_EMPTY_BODY = "X gives no reason"
_REFUSALS = [
    (400, problem(400, "Invalid Request", "type: must be tweets or users"), "type: must be tweets or users"),
    (401, problem(401, "Unauthorized", "Unauthorized", "unauthorized"), "Unauthorized"),
    (403, problem(403, "Forbidden", "your App is not enrolled", "client-not-enrolled"), "your App is not enrolled"),
    (403, {"title": "Forbidden", "type": "about:blank", "status": 403}, "Forbidden"),
    (404, b"", _EMPTY_BODY),
    (405, b"Method Not Allowed", "Method Not Allowed"),
    (409, problem(409, "Conflict", "a job of this type is active", "conflict"), "a job of this type is active"),
    (409, {"errors": [{"message": "a job is active"}]}, "a job is active"),
    (413, b"<html>\r\n<b>Too\x1b[31m Large", "<html> <b>Too [31m Large"),
    (429, problem(429, "Too Many Requests", "Too Many Requests", "usage-capped"), "Too Many Requests"),
    (500, b"", _EMPTY_BODY),
    (503, {"code": 130, "message": "Over capacity"}, "Over capacity"),
    (302, b"", _EMPTY_BODY),
]
_MUST_ACT = {400, 401, 403, 404}


@pytest.mark.slow
@_each_call
@pytest.mark.parametrize(("status", "body", "words"), _REFUSALS)
def test_refusal_says_status_and_words(call: str, status: int, body: object, words: str) -> None:
    """X's own where there are any; what only a person can resolve has an exit code of its own."""
    error = error_of_call(call, answer(status, body))
    assert (str(error), error.status) == (f"HTTP {status}: {words}", status)
    assert error.exit_code == (os.EX_CONFIG if status in _MUST_ACT else os.EX_UNAVAILABLE)


@pytest.mark.parametrize(("status", "body", "words"), _REFUSALS)
def test_job_is_unknown_where_x_says_so_and_an_error_where_it_says_anything_else(
    status: int, body: object, words: str
) -> None:
    """A job that is merely not shown must not be taken for lost."""
    with X(answer(status, body)) as x, batch_api(x) as api:
        if status == 404:
            assert Jobs(api).find(JOB_ID) is None
        else:
            assert words in str(error_of(CallFailedError, lambda: Jobs(api).find(JOB_ID)))


def test_job_that_is_gone_is_unknown() -> None:
    """As X may answer where it forgets one."""
    with X(answer(410)) as x, batch_api(x) as api:
        assert Jobs(api).find(JOB_ID) is None


@_each_call
@pytest.mark.parametrize("status", [403, 409, 413, 429, 503])
def test_refusal_whose_body_breaks_off_is_a_refusal_all_the_same(call: str, status: int) -> None:
    """Its status is what counts."""
    cut = head(f"{status} -", ("Content-Length", "999")) + b"not enrolled"
    error = error_of_call(call, cut)
    assert (str(error), error.status) == (f"HTTP {status}: not enrolled", status)


@_each_call
@pytest.mark.parametrize("status", [400, 401, 403, 503])
def test_refusal_that_repeats_the_token_is_shown_without_it(call: str, status: int) -> None:
    """In X's own shape, and as the page of an intermediary."""
    for body in (problem(status, "t", f"not valid: Bearer {TOKEN}"), f"<html>{TOKEN}".encode()):
        assert "[secret]" in str(error_of_call(call, answer(status, body)))


@_each_call
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_refusal_and_leads_nowhere(call: str, status: int) -> None:
    """What it points to sees neither a request nor the token."""
    with X(answer(200, {})) as other:
        error = error_of_call(call, answer(status, b"", ("Location", f"{other.base_url}/hush")))
    assert (error.status, other.requests) == (status, [])


def _limit(reset_s: object, *more: tuple[str, str]) -> list[tuple[str, str]]:
    values = {"limit": 150, "remaining": 0, "reset": reset_s}
    return [*((f"x-rate-limit-{name}", str(value)) for name, value in values.items()), *more]


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "most_s"),
    [
        (429, _limit("in 300 s"), 60, 60),
        (429, [], 60, 60),
        (429, [("x-rate-limit-remaining", "0")], 60, 60),
        (429, [("Retry-After", "7")], 60, 60),
        (429, [("Retry-After", "300")], 300, 300),
        (429, [("Retry-After", "999999")], MAX_WAIT_S, MAX_WAIT_S),
        (503, [("Retry-After", "7")], 7, 7),
        (503, [("Retry-After", "999999")], MAX_WAIT_S, MAX_WAIT_S),
        (503, [("Retry-After", "soon")], 0, 0),
        (503, [("Retry-After", "-9")], 0, 0),
        (503, [], 0, 0),
        (409, [("Retry-After", "30")], 30, 30),
    ],
)
def test_refusal_says_how_long_x_asks_to_wait(
    status: int, headers: list[tuple[str, str]], least_s: float, most_s: float
) -> None:
    """Bounded, and at least a minute where the limit is spent."""
    assert least_s <= error_of_call("create", answer(status, b"", *headers)).at_least_s <= most_s


@pytest.mark.parametrize(("left_s", "least_s", "most_s"), [(300, 290, 300), (5, 60, 60), (-20, 60, 60), (9999, 60, 60)])
@pytest.mark.parametrize("unit", [1, 1000])
def test_spent_limit_is_waited_out_until_its_reset(left_s: int, least_s: float, most_s: float, unit: int) -> None:
    """A moment that no window reaches says nothing."""
    headers = _limit(unit * (int(time.time()) + left_s))
    assert least_s <= error_of_call("find", answer(429, b"", *headers)).at_least_s <= most_s


def test_wait_until_a_date_is_reckoned_by_the_clock_of_x() -> None:
    """Ours may be wrong."""
    dates = ("Mon, 27 Jun 2022 23:49:41 GMT", "Mon, 27 Jun 2022 23:51:11 GMT")
    answered = head("503 -", ("Retry-After", dates[1]), ("Content-Length", "0"), date=dates[0])
    assert error_of_call("find", answered).at_least_s == 90


# --- the token


def test_exchanged_token_that_x_rejects_is_exchanged_again() -> None:
    """By the next call, and by that alone."""
    answers = (exchanged("one"), answer(401), exchanged("two"), answer(204), answer(403), answer(204))
    with X(*answers) as x, batch_api(x, **KEYS) as api:
        for status in (401, None, 403, None):
            if status is None:
                Jobs(api).cancel(JOB_ID)
            else:
                assert error_of(CallFailedError, lambda: Jobs(api).cancel(JOB_ID)).status == status
    sent = [request.headers["authorization"] for request in x.requests if request.method == "DELETE"]
    assert sent == [f"Bearer hush-exchanged-{name}-hush" for name in ("one", "two", "two", "two")]


def test_token_file_is_read_again_for_each_call(tmp_path: Path) -> None:
    """A token that was rejected may have been replaced."""
    file = tmp_path / "token"
    with X(answer(401), answer(204)) as x, batch_api(x, bearer_token=None, bearer_token_file=file) as api:
        file.write_text("hush-one-hush\n", encoding="utf-8")
        error_of(CallFailedError, lambda: Jobs(api).cancel(JOB_ID))
        file.write_text("hush-two-hush\n", encoding="utf-8")
        Jobs(api).cancel(JOB_ID)
    assert [request.headers["authorization"] for request in x.requests] == [
        f"Bearer hush-{name}-hush" for name in ("one", "two")
    ]


@pytest.mark.parametrize("content", [None, b"", b"hush two\n", b"hush\x00", b"hush\xff"])
def test_token_file_without_a_token_is_what_a_person_must_resolve(tmp_path: Path, content: bytes | None) -> None:
    """X is not asked."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with X(answer(204)) as x, batch_api(x, bearer_token=None, bearer_token_file=file) as api:
        error = error_of(CallFailedError, lambda: Jobs(api).cancel(JOB_ID))
    assert (error.status, error.exit_code, x.requests) == (401, os.EX_CONFIG, [])


@pytest.mark.parametrize(
    ("answered", "status", "at_least_s"),
    [
        (answer(403, {"errors": [{"code": 99, "message": "Unable to verify your credentials"}]}), 401, 0),
        (answer(503, b"", ("Retry-After", "30")), None, 30),
        (answer(429), None, 60),
        (answer(200, b"<html>"), None, 0),
        (greeting(b"hush-api-key-secret-hush\r\n\r\n"), None, 0),
    ],
    ids=["refused", "away", "limited", "page", "echo"],
)
def test_exchange_that_fails_is_a_call_that_fails(
    answered: bytes | Script, status: int | None, at_least_s: float
) -> None:
    """Refused for good, or for now; nothing is asked without a token."""
    error = error_of_call("create", answered, **KEYS)
    assert (error.status, error.at_least_s) == (status, at_least_s)


# --- the network


@_each_call
@pytest.mark.parametrize(
    "script",
    [
        sending(),
        then_reset(sending()),
        sending(b"HTTP/1.1 200 OK\r\nContent-"),
        sending(answer(200, {"data": {"id": JOB_ID}})[:-5]),
        then_reset(sending(answer(200, {"data": {"id": JOB_ID}})[:-5])),
        sending(head("200 OK", ("Transfer-Encoding", "chunked")), b'5\r\n{"dat'),
        greeting(TOKEN.encode() + b"\r\n\r\n"),
        greeting(b"HTTP/1.1 200 OK\r\nContent-Length: " + TOKEN.encode() + b"\r\n\r\n"),
    ],
)  # fmt: skip
def test_call_whose_answer_breaks_off_or_is_invalid_has_no_status(call: str, script: Script) -> None:
    """It is not known whether X has done what was asked."""
    error = error_of_call(call, script)
    assert (error.status, error.at_least_s, error.exit_code) == (None, 0, os.EX_UNAVAILABLE)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("base_url", ["http://127.0.0.1:{port}", f"http://{'x' * 64}.localhost"])
def test_x_that_is_not_there_is_a_call_without_an_answer(call: str, base_url: str) -> None:
    """A port without a listener, and a name that cannot exist."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with BatchApi(settings_for(base_url.format(port=port), allow_plain_http=True)) as api:
        error = error_of(CallFailedError, lambda: CALLS[call](Jobs(api)))
    assert (error.status, str(error).partition(":")[0]) == (None, "ConnectError")


@pytest.mark.slow
@_each_call
@pytest.mark.parametrize(
    "script",
    [
        then_silent(sending()),
        then_silent(sending(b"HTTP/1.1 200 OK\r\n")),
        then_silent(sending(head("200 OK", ("Content-Length", "99")))),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause_s=0.05),
        dripping(head("200 OK", ("Content-Length", "9999")), b" ", pause_s=0.05),
    ],
)
def test_call_ends_in_bounded_time_however_slow_x_is(call: str, script: Script) -> None:
    """Silent, or with a byte now and then."""
    began_s = time.monotonic()
    with X(script) as x, BatchApi(impatient(settings_for(x.base_url))) as api:
        error = error_of(CallFailedError, lambda: CALLS[call](Jobs(api)))
    assert time.monotonic() - began_s < 5
    assert (error.status, str(error).partition(":")[0]) == (None, "ReadTimeout")


# --- what is reported


def test_answers_are_counted_and_dated() -> None:
    """Each by method and status; an answer without a date leaves the time of the one before."""
    told: list[tuple[str, int]] = []
    times: list[int | None] = []
    dated = head("409 -", ("Content-Length", "0"), date="Mon, 27 Jun 2022 23:49:41 GMT")
    with (
        X(answer(503), dated, answer(503), sending()) as x,
        BatchApi(settings_for(x.base_url), lambda method, status: told.append((method, status))) as api,
    ):
        for call in ("find", "create", "cancel", "create"):
            error_of(CallFailedError, partial(CALLS[call], Jobs(api)))
            times.append(api.date_us)
        assert "hush" not in f"{api!r} {api.settings!r} {Jobs(api)!r}"
    assert times == [None] + [1_656_373_781 * US_PER_S] * 3
    assert told == [("GET", 503), ("POST", 409), ("DELETE", 503)]
