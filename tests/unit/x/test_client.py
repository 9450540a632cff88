"""Requests to X and the bodies that answer them, against the simulator and a server that takes notes."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.coverage.plan import Live, Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.faults import AcceptAndClose, Close, Drop, Refuse, Truncate
from connector.x import client as connection_module
from connector.x.client import Connection, XClient
from connector.x.errors import ConnectFailedError, FailureReason, PlanRefusedError, RateLimit
from tests.rig.certificates import write_certificates
from tests.unit.x.fakes import NOW_US

_TWEET_1 = StreamPartition("tweet", 1)
_DEADLINE_S = 30.0


@contextmanager
def _client(base_url: str, **given: Any) -> Iterator[XClient]:  # noqa: ANN401 - any setting
    settings = {"base_url": base_url, "bearer_token": "simulator-token", "silence_timeout_s": 22}
    client = XClient(XSettings.model_validate(settings | given))
    try:
        yield client
    finally:
        client.close()


class _Notes(BaseHTTPRequestHandler):
    """Answers every GET with what the server says, and notes the request."""

    def do_GET(self) -> None:
        self.server.notes.append((self.path, dict(self.headers)))  # type: ignore[attr-defined] # set by `_noting`
        self.send_response_only(200)
        for name, value in self.server.answer_headers:  # type: ignore[attr-defined] # set by `_noting`
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _noting(*answer_headers: tuple[str, str]) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Notes)
    notes: list[tuple[str, dict[str, str]]] = []
    server.notes, server.answer_headers = notes, answer_headers  # type: ignore[attr-defined] # for `_Notes`
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", notes
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("partition", "plan", "path", "query"),
    [
        (_TWEET_1, Live(0), "/2/tweets/compliance/stream", {"partition": ["1"]}),
        (
            StreamPartition("user", 4),
            Live(5),
            "/2/users/compliance/stream",
            {"partition": ["4"], "backfill_minutes": ["5"]},
        ),
        (StreamPartition("like", 1), Live(1), "/2/likes/compliance/stream", {"backfill_minutes": ["1"]}),
        (
            StreamPartition("label", 1),
            Replay(1_656_373_781 * US_PER_S, 1_656_374_681 * US_PER_S),
            "/2/tweets/label/stream",
            {"start_time": ["2022-06-27T23:49:41Z"], "end_time": ["2022-06-28T00:04:41Z"]},
        ),
    ],
)
def test_request_asks_for_the_plan(
    partition: StreamPartition, plan: Plan, path: str, query: dict[str, list[str]]
) -> None:
    """Path, partition where there is one, and what the plan says; no more."""
    with _noting() as (base_url, notes), _client(base_url) as client, client.open(partition, plan):
        [(target, _)] = notes
    assert (urlsplit(target).path, parse_qs(urlsplit(target).query)) == (path, query)


@pytest.mark.parametrize(("is_gzip", "encoding"), [(True, "gzip"), (False, "identity")])
def test_request_says_who_asks_and_how(is_gzip: bool, encoding: str) -> None:  # noqa: FBT001 - parametrized
    """User agent with name and version, token and encoding."""
    with _noting() as (base_url, notes), _client(base_url, gzip=is_gzip) as client, client.open(_TWEET_1, Live(0)):
        [(_, headers)] = notes
    lowered = {name.lower(): value for name, value in headers.items()}
    assert lowered["user-agent"].startswith("x-compliance-connector/")
    assert lowered["authorization"] == "Bearer simulator-token"
    assert lowered["accept-encoding"] == encoding


@pytest.mark.parametrize("is_gzip", [True, False])
def test_replay_is_never_compressed(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """Its end is all that says it is whole, and a compressed body may be cut where no one notices."""
    plan = Replay(NOW_US - 900 * US_PER_S, NOW_US)
    with _noting() as (base_url, notes), _client(base_url, gzip=is_gzip) as client, client.open(_TWEET_1, plan):
        [(_, headers)] = notes
    encodings = [value for name, value in headers.items() if name.lower() == "accept-encoding"]
    assert encodings == ["identity"]


@pytest.mark.parametrize("date", ["", "soon", "Mon, 01 Jan 2024 00:00:00 +9999", None])
def test_answer_with_an_unreadable_date_has_none(date: str | None) -> None:
    """The wall clock is not X's time."""
    headers = [] if date is None else [("Date", date)]
    with (
        _noting(*headers) as (base_url, _),
        _client(base_url) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        assert connection.date_us is None


def test_answer_s_date_and_rate_limit_are_read() -> None:
    """X's time to the second, and what is left of the budget."""
    headers = (
        ("Date", "Mon, 27 Jun 2022 23:49:41 GMT"),
        ("x-rate-limit-limit", "100"),
        ("x-rate-limit-remaining", "99"),
        ("x-rate-limit-reset", "1656374000000"),
    )
    with (
        _noting(*headers) as (base_url, _),
        _client(base_url) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        assert connection.date_us == 1_656_373_781 * US_PER_S
        assert connection.rate_limit == RateLimit(100, 99, 1_656_374_000, 1_656_373_781)


@pytest.mark.parametrize("is_gzip", [True, False])
def test_body_arrives_as_it_is_sent_plain_or_compressed(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """The lines of the simulator's record, in order, and a proper end."""
    with Simulator(SimulatorConfig(chunking="random")) as sim, _client(sim.base_url, gzip=is_gzip) as client:
        sim.inject(Close(stream="tweet", partition=1, after_lines=50))
        with client.open(_TWEET_1, Live(0)) as connection:
            sim.emit(50, _TWEET_1)
            body = b"".join(connection.chunks())
        log = sim.emission.logs[_TWEET_1]
        emitted = [emitted.line for emitted in log.read(log.first, log.end)]
    assert [line for line in body.split(b"\r\n") if line] == emitted
    assert len(emitted) == 50
    assert gzip.compress(b"")[:2] not in body


@pytest.mark.parametrize("is_gzip", [True, False])
def test_event_arrives_when_it_is_sent_though_the_body_goes_on(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """Nothing waits for a compressed block to fill: one event after the other, with nothing behind it."""
    with (
        Simulator() as sim,
        _client(sim.base_url, gzip=is_gzip) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        chunks = connection.chunks()
        for _ in range(3):
            sim.emit(1, _TWEET_1)
            assert next(chunks) == sim.record()[-1].line + b"\r\n"


@pytest.mark.parametrize("fault", [Drop(), Drop(reset=True), Truncate(), Truncate(ending="reset")])
def test_body_that_is_cut_off_is_a_network_failure(fault: Drop | Truncate) -> None:
    """Only X's proper end is a whole body."""
    with Simulator() as sim, _client(sim.base_url) as client:
        sim.inject(fault)
        with client.open(_TWEET_1, Live(0)) as connection:
            sim.emit(1, _TWEET_1)
            with pytest.raises(ConnectFailedError) as caught:
                list(connection.chunks())
        assert sim.faults.fired[fault.kind] == 1
    assert caught.value.failure.reason == "network"


def test_empty_body_with_a_proper_end_is_whole() -> None:
    """As of a replay in which nothing happened."""
    with Simulator() as sim, _client(sim.base_url) as client:
        sim.inject(AcceptAndClose())
        with client.open(_TWEET_1, Live(0)) as connection:
            assert b"".join(connection.chunks()).strip() == b""


_DELIMITED = (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n")


@contextmanager
def _answering(answer: bytes) -> Iterator[str]:
    """Serve one connection with the bytes of `answer`, and close it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(_DEADLINE_S)


@pytest.mark.parametrize("header", [*_DELIMITED, b"", b"Connection: close\r\n"])
def test_body_without_a_mark_of_its_end_is_never_whole(header: bytes) -> None:
    """All that it brought is handed on, but a cut would look the same."""
    body = b"5\r\n{}\r\n\n\r\n0\r\n\r\n" if header.startswith(b"Transfer") else b"{}\r\n\n"
    with (
        _answering(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n" + body) as base_url,
        _client(base_url) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        outcome: list[object] = []
        _read(connection, outcome)
    chunks = [part for part in outcome if isinstance(part, bytes)]
    assert b"".join(chunks) == b"{}\r\n\n"
    failures = [error.failure.reason for error in outcome if isinstance(error, ConnectFailedError)]
    assert failures == ([] if header in _DELIMITED else ["network"])


def _read(connection: Connection, outcome: list[object]) -> None:
    try:
        outcome.extend(connection.chunks())
    except ConnectFailedError as error:
        outcome.append(error)


def test_close_from_another_thread_ends_a_read_at_once() -> None:
    """A read that waits for X does not wait for the silence limit."""
    with Simulator() as sim, _client(sim.base_url) as client, client.open(_TWEET_1, Live(0)) as connection:
        outcome: list[object] = []
        thread = threading.Thread(target=_read, args=(connection, outcome))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        connection.close()
        thread.join(_DEADLINE_S)
        assert not thread.is_alive()
        assert isinstance(outcome[-1], ConnectFailedError)
        connection.close()


def test_close_of_a_connection_that_is_over_does_nothing() -> None:
    """Whoever stops a reader need not know where it stands."""
    with Simulator() as sim, _client(sim.base_url) as client:
        with client.open(_TWEET_1, Live(0)) as connection:
            pass
        connection.close()


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, PlanRefusedError, "http-400"),
        (401, ConnectFailedError, "http-401"),
        (403, PlanRefusedError, "http-403"),
        (404, ConnectFailedError, "http-404"),
        (429, ConnectFailedError, "rate-limited"),
        (503, ConnectFailedError, "http-5xx"),
    ],
)
def test_refusal_is_classified(status: int, kind: type[ConnectFailedError], reason: str) -> None:
    """Only what may be for the parameters' sake asks for another plan."""
    with Simulator() as sim, _client(sim.base_url) as client:
        sim.inject(Refuse(status=status))
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0))
        assert sim.faults.fired["refuse"] == 1
    assert type(caught.value) is kind
    assert caught.value.failure.reason == reason


def test_answers_are_told_with_what_they_say_of_the_rate_limit() -> None:
    """Granted or refused; a request that is not answered is none."""
    told: list[tuple[str, int, int | None]] = []

    def note(stream: str, status_code: int, rate_limit: RateLimit | None) -> None:
        told.append((stream, status_code, None if rate_limit is None else rate_limit.remaining))

    settings = {"bearer_token": "simulator-token"}
    with Simulator() as sim:
        client = XClient(XSettings.model_validate({**settings, "base_url": sim.base_url}), note)
        with client.open(StreamPartition("user", 1), Live(0)) as connection:
            assert connection.rate_limit is not None
            sim.inject(Refuse(status=503))
            with pytest.raises(ConnectFailedError):
                client.open(_TWEET_1, Live(0))
    with pytest.raises(ConnectFailedError):
        client.open(_TWEET_1, Live(0))
    client.close()
    assert [(stream, status_code) for stream, status_code, _ in told] == [("user", 200), ("tweet", 503)]
    assert told[0][2] == connection.rate_limit.remaining


def test_second_connection_to_a_partition_is_one_too_many() -> None:
    """X counts them, and says so with budget left."""
    with (
        Simulator() as sim,
        _client(sim.base_url) as client,
        client.open(_TWEET_1, Live(0)),
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(_TWEET_1, Live(0))
    assert caught.value.failure.reason == "too-many-connections"


def test_wrong_token_is_told_apart_and_never_shown() -> None:
    """The error says what to check, not what was sent."""
    with (
        Simulator() as sim,
        _client(sim.base_url, bearer_token="hush") as client,
        pytest.raises(ConnectFailedError, match="rejects the token") as caught,
    ):
        client.open(_TWEET_1, Live(0))
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
        _answering(answer) as base_url,
        _client(base_url, bearer_token="hush%2Fhush") as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(_TWEET_1, Live(0))
    assert "hush" not in repr(caught.value) + str(caught.value) + repr(caught.value.failure)


_PROBLEM = b'{"title":"t","detail":"d","type":"https://api.x.com/2/problems/invalid-request"}'
_REFUSALS = {
    200: (b"<html>", FailureReason.NOT_A_STREAM),
    302: (b"", FailureReason.HTTP_OTHER),
    400: (_PROBLEM, FailureReason.HTTP_400),
    401: (b"", FailureReason.HTTP_401),
    403: (b"<html>", FailureReason.FOREIGN_ANSWER),
    404: (b"", FailureReason.HTTP_404),
    408: (b"", FailureReason.HTTP_408),
    429: (b"", FailureReason.RATE_LIMITED),
    503: (b"", FailureReason.HTTP_5XX),
}


@pytest.mark.parametrize("status", _REFUSALS)
@pytest.mark.parametrize(
    ("date", "date_us"), [(b"Mon, 27 Jun 2022 23:49:41 GMT", 1_656_373_781 * US_PER_S), (b"soon", None), (b"", None)]
)
def test_every_answer_that_is_no_stream_is_dated(status: int, date: bytes, date_us: int | None) -> None:
    """A refusal for the future's sake sets the clock right, too."""
    body, reason = _REFUSALS[status]
    head = b"HTTP/1.1 %d No\r\nDate: %b\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    with (
        _answering(head % (status, date, len(body)) + body) as base_url,
        _client(base_url) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(_TWEET_1, Live(0))
    assert (caught.value.failure.reason, caught.value.failure.date_us) == (reason, date_us)
    assert isinstance(caught.value, PlanRefusedError) is (status == 400)


_PARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 403 No", b"HTTP/1.0 200 OK", b"\r\n", b"\n", b"Transfer-Encoding: chunked\r\n",
     b"Content-Encoding: gzip\r\n", b"Content-Length: 9\r\n", b"Content-Type: text/html\r\n", b"Date: soon\r\n",
     b"5\r\nhush!\r\n", b"0\r\n\r\n", b"hush", gzip.compress(b"hush")]
)  # fmt: skip


@settings(deadline=None)
@given(parts=st.lists(_PARTS | st.binary(max_size=5), max_size=12))
def test_any_bytes_for_an_answer_are_a_stream_or_a_failure_without_secrets(parts: list[bytes]) -> None:
    """Nothing else comes out of the client, whatever stands at the other end."""
    details = []
    with _answering(b"".join(parts)) as base_url, _client(base_url, bearer_token="hush") as client:
        try:
            with client.open(_TWEET_1, Live(0)) as connection:
                outcome: list[object] = []
                _read(connection, outcome)
                details += [error.failure.detail for error in outcome if isinstance(error, ConnectFailedError)]
        except ConnectFailedError as error:
            details.append(error.failure.detail)
    assert "hush" not in "".join(details)


_MANY = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 900) for number in range(50))


_NUMBERS = [b"Retry-After", b"Date", *(b"x-rate-limit-" + name for name in (b"limit", b"remaining", b"reset"))]


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
        _answering(b"HTTP/1.1 %d No\r\n%b%b\r\n<html>hush" % (status, content, header)) as base_url,
        _client(base_url, bearer_token="hush") as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(_TWEET_1, Live(0))
    assert "hush" not in repr(caught.value.failure)
    assert len(caught.value.failure.detail) < 600
    assert caught.value.failure.detail.isprintable()


def test_stream_whose_reset_has_hundreds_of_digits_is_one_all_the_same() -> None:
    """Such a rate limit says nothing."""
    limit = b"x-rate-limit-limit: 9\r\nx-rate-limit-remaining: 7\r\nx-rate-limit-reset: " + b"9" * 400
    with (
        _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\n\r\n\r\n" % limit) as base_url,
        _client(base_url) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        assert (connection.rate_limit, b"".join(connection.chunks())) == (None, b"\r\n")


@pytest.mark.parametrize(
    "location", [b"https://[::", b"//" + b"x" * 70_000, b"\xff\xfe://\xc3\xa9", b"http://x:99999", b""]
)
def test_redirect_to_what_is_no_url_is_one_all_the_same(location: bytes) -> None:
    """Its status is X's answer, whatever it points to."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: %b\r\n\r\n" % location
    with _answering(answer) as base_url, _client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(_TWEET_1, Live(0))
    assert caught.value.failure.reason == "http-other"


def test_access_is_there_where_x_itself_objects_to_the_request() -> None:
    """And no connection is made for it."""
    with Simulator() as sim, _client(sim.base_url) as client:
        client.check_access("tweet")
        assert not sim.connections


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>", "not-a-stream"),
        (200, b"", "http-other"),
        (400, b"<html>", "foreign-answer"),
        (400, b'{"title":"t","type":"t","connection_issue":"ProvisioningSubscription"}', "http-400"),
        (401, b"", "http-401"),
        (403, _PROBLEM, "http-403"),
        (404, b"", "http-404"),
        (503, b"", "http-5xx"),
    ],
)
def test_access_is_not_proven_by_any_other_answer(status: int, body: bytes, reason: str) -> None:
    """An intermediary objects to requests, too."""
    kind = b"text/html" if body.startswith(b"<") else b"application/json"
    answer = b"HTTP/1.1 %d No\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (status, kind, len(body), body)
    with _answering(answer) as base_url, _client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.check_access("tweet")
    assert caught.value.failure.reason == reason


def test_redirect_is_shown_by_its_host_alone_and_not_followed() -> None:
    """Path, query and credentials may be secret."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: https://me:word@elsewhere.invalid/path?query\r\n\r\n"
    with _answering(answer) as base_url, _client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(_TWEET_1, Live(0))
    assert caught.value.failure.reason == "http-other"
    assert "a redirect to elsewhere.invalid; X says: nothing" in caught.value.failure.detail


def test_body_and_words_of_x_s_that_repeat_the_token_are_shown_without_it() -> None:
    """A chunk that is none ends up in the HTTP library's error, a message of the stream's in the log."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhush\r\n"
    with (
        _answering(answer) as base_url,
        _client(base_url, bearer_token="hush") as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        outcome: list[object] = []
        _read(connection, outcome)
        assert connection.quoted("no hush") == "no [secret]"
    assert "hush" not in repr(outcome[-1]) + str(outcome[-1])


def test_exchanged_token_that_x_invalidates_is_exchanged_again() -> None:
    """The attempt after a rejection gets a new one."""
    keys = {"bearer_token": None, "api_key": "simulator-key", "api_key_secret": "simulator-secret"}
    with Simulator() as sim, _client(sim.base_url, **keys) as client:
        client.open(_TWEET_1, Live(0)).__exit__(None, None, None)
        sim.tokens.invalidate()
        with pytest.raises(ConnectFailedError) as caught:
            client.open(StreamPartition("tweet", 2), Live(0))
        assert caught.value.failure.reason == "http-401"
        client.open(StreamPartition("tweet", 2), Live(0)).__exit__(None, None, None)


@pytest.mark.parametrize("token", ["hush\x01", "hush-é"])
def test_exchanged_token_that_fits_no_header_is_a_failure_without_it(token: str) -> None:
    """Neither an exception of the HTTP library nor its words about the header come out."""
    keys = {"bearer_token": None, "api_key": "simulator-key", "api_key_secret": "simulator-secret"}
    with (
        Simulator(SimulatorConfig(token=token)) as sim,
        _client(sim.base_url, **keys) as client,
        pytest.raises(ConnectFailedError) as caught,
    ):
        client.open(_TWEET_1, Live(0))
    assert caught.value.failure.reason == "no-token"
    assert "hush" not in repr(caught.value) + str(caught.value)


def test_nobody_listening_is_a_network_failure() -> None:
    """Refused, at once."""
    with _noting() as (base_url, _):
        pass
    with _client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(_TWEET_1, Live(0))
    assert caught.value.failure.reason == "network"


@contextmanager
def _sending_small_chunks(lines: list[bytes], folder: Path | None) -> Iterator[str]:
    """Answer one request with a chunk for each line, all at once; over TLS with a certificate of `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            if folder is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(folder / "broker.pem")
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.recv(65536)
                chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"{'https' if folder else 'http'}://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("is_tls", [False, True])
def test_lines_in_chunks_of_their_own_come_in_large_pieces(tmp_path: Path, is_tls: bool) -> None:  # noqa: FBT001 - parametrized
    """The client does not go through each chunk by itself, over plain TCP or TLS, and the body is whole."""
    folder = tmp_path / "certificates"
    write_certificates(folder, [])
    lines = [b'{"data": %d}\r\n' % number for number in range(2000)]
    given = {"ca_file": folder / "ca.pem"} if is_tls else {}
    with (
        _sending_small_chunks(lines, folder if is_tls else None) as url,
        _client(url, **given) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        pieces = list(connection.chunks())
    assert b"".join(pieces) == b"".join(lines)
    assert len(pieces) < len(lines) / 20


@pytest.mark.parametrize(("line_bytes", "pauses"), [(100, 1), (20_000, 0)])
def test_little_is_followed_by_a_pause_and_much_is_not(
    monkeypatch: pytest.MonkeyPatch, line_bytes: int, pauses: int
) -> None:
    """A trickle is read in fewer, larger pieces; a flood as fast as it comes."""
    slept: list[float] = []
    monkeypatch.setattr(connection_module, "time", SimpleNamespace(sleep=slept.append))
    with (
        _sending_small_chunks([b"x" * line_bytes], None) as url,
        _client(url) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        assert [len(piece) for piece in connection.chunks()] == [line_bytes]
    assert len(slept) == pauses
