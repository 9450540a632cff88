"""Answers of any bytes, made to harm: nothing but a failure comes of them, without a secret and in little memory."""

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.coverage.plan import Live, Plan, Replay
from connector.events.times import US_PER_S
from connector.simulator import Simulator, SimulatorConfig
from connector.x.errors import ConnectFailedError, PlanRefusedError
from connector.x.framing import Framer
from connector.x.response import BODY_LIMIT
from tests.fakes.x import NOW_US
from tests.unit.x.servers import PROBLEM, TWEET_1, answering, make_client, read


def test_wrong_token_is_told_apart_and_never_shown() -> None:
    """The error says what to check, not what was sent."""
    with (
        Simulator() as sim,
        make_client(sim.base_url, bearer_token="hush") as client,
        pytest.raises(ConnectFailedError, match="rejects the token") as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert "hush" not in repr(caught.value) + str(caught.value) + repr(caught.value.failure)


_ECHO = b'{"detail": "no such token: hush%2Fhush, which is hush/hush"}'
_ECHOES = (
    b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(_ECHO), _ECHO),
    b"HTTP/1.1 200 OK\r\nauthorization Bearer hush%2Fhush\r\n\r\n",
    b"hush%2Fhush\r\n\r\n",
)


@pytest.mark.parametrize("answer", _ECHOES)
def test_answer_that_repeats_the_token_is_shown_without_it(answer: bytes) -> None:
    """An error of X's, and a server that sends back what it got; the token may have been percent-decoded."""
    with (
        answering(answer) as base_url,
        make_client(base_url, bearer_token="hush%2Fhush") as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert "hush" not in repr(caught.value) + str(caught.value) + repr(caught.value.failure)


_PARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 403 No", b"HTTP/1.0 200 OK", b"\r\n", b"\n", b"Transfer-Encoding: chunked\r\n",
     b"Content-Encoding: gzip\r\n", b"Content-Length: 9\r\n", b"Content-Type: text/html\r\n", b"Date: soon\r\n",
     b"5\r\nhush!\r\n", b"0\r\n\r\n", b"hush", gzip.compress(b"hush")]
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None)
@given(parts=st.lists(_PARTS | st.binary(max_size=5), max_size=12))
def test_any_bytes_for_an_answer_are_a_stream_or_a_failure_without_secrets(parts: list[bytes]) -> None:
    """Nothing else comes out of the client, whatever stands at the other end."""
    details = []
    with answering(b"".join(parts)) as base_url, make_client(base_url, bearer_token="hush") as client:
        try:
            with client.open(TWEET_1, Live(0)) as connection:
                outcome: list[object] = []
                read(connection, outcome)
                details += [error.failure.detail for error in outcome if isinstance(error, ConnectFailedError)]
        except ConnectFailedError as error:
            details.append(error.failure.detail)
    assert "hush" not in "".join(details)


_MANY = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 900) for number in range(50))
_NUMBERS = [b"Retry-After", b"Date", *(b"x-rate-limit-" + name for name in (b"limit", b"remaining", b"reset"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "header",
    [
        b"Location: https://[::\r\n",
        b"Location: https://hush@elsewhere.invalid/hush?hush\r\n",
        b"Location: \xff\xfe://\xc3\xa9\r\n",
        b"Location: //" + b"x" * 70_000 + b"\r\n",
        b"Set-Cookie: \xff=\xfe; Expires=soon\r\n",
        b"Content-Type: \xff\r\nContent-Type: hush\r\n",
        b"Content-Encoding: \xc3\xa9\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: " + b"9" * 400 + b"\r\n",
        b"Content-Length: " + b"9" * 9999 + b"\r\n",
        b"".join(b"%b: %b\r\n" % (name, b"9" * 400) for name in _NUMBERS),
        b"Content-Length: 5\r\nContent-Length: 7\r\n",
        b"Transfer-Encoding: hush\r\n",
        b"Date: \xff\r\nRetry-After: \xff\r\nx-rate-limit-reset: \xd9\xa1\r\n",
        b"X: " + b"x" * 200_000 + b"\r\n",
        b"\xff\xff: x\r\n",
        b": x\r\n",
        b"X: \x00\x01\r\n",
        _MANY,
        _MANY * 9,
    ],
)
@pytest.mark.parametrize("status", [200, 302, 400, 503])
def test_no_header_raises_anything_but_a_failure_without_secrets(header: bytes, status: int) -> None:
    """Bytes in no encoding, headers that contradict each other, and heads without end."""
    content = b"Content-Type: text/html\r\n" if status == 200 else b""
    with (
        answering(b"HTTP/1.1 %d No\r\n%b%b\r\n<html>hush" % (status, content, header)) as base_url,
        make_client(base_url, bearer_token="hush") as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert "hush" not in repr(caught.value.failure)
    assert len(caught.value.failure.detail) < 600
    assert caught.value.failure.detail.isprintable()


def test_redirect_is_shown_by_its_host_alone_and_not_followed() -> None:
    """Path, query and credentials may be secret."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: https://me:word@elsewhere.invalid/path?query\r\n\r\n"
    with answering(answer) as base_url, make_client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.reason == "http-other"
    assert "a redirect to elsewhere.invalid; X says: nothing" in caught.value.failure.detail


def test_body_that_repeats_the_token_is_shown_without_it() -> None:
    """A chunk that is none ends up in the HTTP library's error."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhush\r\n"
    with (
        answering(answer) as base_url,
        make_client(base_url, bearer_token="hush") as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        outcome: list[object] = []
        read(connection, outcome)
    assert "hush" not in repr(outcome[-1]) + str(outcome[-1])


@pytest.mark.parametrize("token", ["hush\x01", "hush-é"])
def test_exchanged_token_that_fits_no_header_is_a_failure_without_it(token: str) -> None:
    """Neither an exception of the HTTP library nor its words about the header come out."""
    keys = {"bearer_token": None, "api_key": "simulator-key", "api_key_secret": "simulator-secret"}
    with (
        Simulator(SimulatorConfig(token=token)) as sim,
        make_client(sim.base_url, **keys) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.reason == "no-token"
    assert "hush" not in repr(caught.value) + str(caught.value)


def _inflating(byte: bytes, mebibytes: int) -> bytes:
    """Return gzip that inflates a thousandfold."""
    member = zlib.compressobj(9, wbits=31)
    return b"".join(member.compress(byte * 1024 * 1024) for _ in range(mebibytes)) + member.flush()


def _gzip(status: int, body: bytes) -> bytes:
    head = b"HTTP/1.1 %d -\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


_REPLAY = Replay(NOW_US - 3600 * US_PER_S, NOW_US - 1800 * US_PER_S)
_KEYS = {"bearer_token": None, "api_key": "hush-key", "api_key_secret": "hush-secret"}


@contextmanager
def _peak_bytes() -> Iterator[list[int]]:
    """Give a list to which the most memory that was taken meanwhile is added at the end."""
    peaks: list[int] = []
    tracemalloc.start()
    try:
        yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 429, 503])
def test_error_body_that_inflates_a_thousandfold_takes_little_memory(status: int) -> None:
    """A hundred bytes may become a hundred thousand."""
    answer = _gzip(status, _inflating(b" ", 100))
    with (
        answering(answer) as base_url,
        make_client(base_url) as client,
        _peak_bytes() as peaks,
        pytest.raises(ConnectFailedError),
    ):
        client.open(TWEET_1, Live(0))
    assert peaks[0] < 4 * 1024 * 1024


@pytest.mark.slow
def test_stream_of_line_ends_that_inflates_a_thousandfold_takes_little_memory() -> None:
    """Each of them is a line, if an empty one."""
    answer = _gzip(200, _inflating(b"\n", 8))
    framer = Framer("tweet", 512 * 1024)
    with (
        answering(answer) as base_url,
        make_client(base_url) as client,
        client.open(TWEET_1, Live(0)) as connection,
        _peak_bytes() as peaks,
    ):
        lines = sum(len(framer.feed(chunk)) for chunk in connection.chunks())
    assert lines == 8 * 1024 * 1024
    assert peaks[0] < 8 * 1024 * 1024


@pytest.mark.parametrize(("plan", "keys"), [(_REPLAY, {}), (Live(0), {"gzip": False}), (Live(0), _KEYS)])
@pytest.mark.parametrize("status", [400, 503])
def test_error_body_in_an_encoding_that_was_not_asked_for_stays_as_it_is(
    plan: Plan, keys: dict[str, Any], status: int
) -> None:
    """Of a replay, without compression, and of the token's exchange."""
    answer = _gzip(status, gzip.compress(PROBLEM.replace(b'"d"', b'"inflated"')))
    with (
        answering(answer) as base_url,
        make_client(base_url, **keys) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, plan)
    assert "inflated" not in caught.value.failure.detail
    assert not isinstance(caught.value, PlanRefusedError)


def test_error_body_in_the_encoding_that_was_asked_for_is_read() -> None:
    """X's own words decide what is asked for next."""
    answer = _gzip(400, gzip.compress(PROBLEM))
    with answering(answer) as base_url, make_client(base_url) as client, pytest.raises(PlanRefusedError):
        client.open(TWEET_1, Live(0))


def test_error_body_that_inflates_to_nothing_is_read_no_further_than_its_limit() -> None:
    """What comes is bounded, too."""
    body = gzip.compress(b"") * (BODY_LIMIT // 20 + 1) + gzip.compress(b"words behind")
    with (
        answering(_gzip(503, body)) as base_url,
        make_client(base_url) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.detail == "HTTP 503: X gives no reason"
