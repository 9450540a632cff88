"""The end of a wait for X's answer, from another thread or by its limit in time, and what is open then."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpcore
import httpx
import pytest

from connector.coverage.plan import Live
from connector.events.catalog import StreamPartition
from connector.settings import XSettings
from connector.x.client import XClient
from connector.x.errors import ConnectFailedError, Failure
from connector.x.transport import Wire, WireTransport
from tests.fakes.network import Failing
from tests.rig.certificates import write_certificates
from tests.rig.peer import (
    CHUNKED,
    LAST_CHUNK,
    Peer,
    chunk,
    dripping,
    head,
    over_tls,
    sending,
    streaming,
    then_silent,
)

pytestmark = pytest.mark.slow

_TWEET_1 = StreamPartition("tweet", 1)
_DEADLINE_S = 5.0
_HANDSHAKE_HEAD = b"\x16\x03\x03\x3f\xff"
"""The head of a TLS record of a handshake, as long as one can be."""


@contextmanager
def _client(port: int, folder: Path | None) -> Iterator[XClient]:
    """Give a client whose own limit for silence is further away than any test's end."""
    given = {"ca_file": folder / "ca.pem"} if folder else {}
    base_url = f"{'https' if folder else 'http'}://127.0.0.1:{port}"
    client = XClient(XSettings.model_validate({"base_url": base_url, "bearer_token": "t", **given}))
    try:
        yield client
    finally:
        client.close()


def _asking(client: XClient, wire: Wire, outcome: list[str]) -> threading.Thread:
    """Return a thread that waits for an answer and records why there is none."""

    def ask() -> None:
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0), wire)
        outcome.append(caught.value.failure.reason)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


@pytest.mark.parametrize("proxied", [False, True])
def test_connection_that_is_refused_names_host_and_port(monkeypatch: pytest.MonkeyPatch, *, proxied: bool) -> None:
    """Those of the proxy, if there is one, and not its password."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    if proxied:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:hush-hush@127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
    x = "http://x.invalid:8400" if proxied else f"http://127.0.0.1:{port}"
    settings = XSettings.model_validate({"base_url": x, "bearer_token": "t", "allow_plain_http": True})
    client = XClient(settings)
    try:
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0))
    finally:
        client.close()
    assert caught.value.failure.detail == f"ConnectError: 127.0.0.1:{port}: [Errno 111] Connection refused"
    assert not caught.value.failure.is_sent


@pytest.mark.parametrize("is_tls", [False, True])
def test_close_while_x_does_not_answer_ends_the_wait_at_once(tmp_path: Path, *, is_tls: bool) -> None:
    """A stopping replica leaves no request behind that X would count as a connection of the next owner's."""
    has_asked, has_gone = threading.Event(), threading.Event()

    def play(sock: socket.socket) -> None:
        sending()(sock)
        has_asked.set()
        then_silent(lambda _: None)(sock)
        has_gone.set()

    folder = tmp_path / "certificates" if is_tls else None
    if folder:
        write_certificates(folder, [])
    with Peer(over_tls(folder, play) if folder else play) as peer, _client(peer.port, folder) as client:
        wire, outcome = Wire(), list[str]()
        thread = _asking(client, wire, outcome)
        assert has_asked.wait(_DEADLINE_S)
        wire.close()
        thread.join(_DEADLINE_S)
        assert outcome == ["network"]
        assert has_gone.wait(_DEADLINE_S)


def test_close_before_there_is_a_socket_ends_the_attempt_once_there_is_one() -> None:
    """A reader can be stopped at any point."""
    with Peer(then_silent(sending())) as peer, _client(peer.port, None) as client:
        wire, outcome = Wire(), list[str]()
        wire.close()
        _asking(client, wire, outcome).join(_DEADLINE_S)
        assert outcome == ["network"]


def test_close_of_the_client_ends_what_is_still_open() -> None:
    """As where a reader was dropped without a word."""
    has_gone = threading.Event()

    def play(sock: socket.socket) -> None:
        streaming(b"")(sock)
        has_gone.set()

    with Peer(play) as peer, _client(peer.port, None) as client:
        connection = client.open(_TWEET_1, Live(0))
        assert not has_gone.is_set()
        client.close()
        assert has_gone.wait(_DEADLINE_S)
        connection.close()


def test_handshake_that_drips_is_given_up_in_time(tmp_path: Path) -> None:
    """The limit for TCP and TLS is one of the whole handshake, not of each byte."""
    write_certificates(tmp_path / "certificates", [])
    settings = {"bearer_token": "t", "ca_file": tmp_path / "certificates" / "ca.pem", "connect_timeout_s": 0.5}

    def drip(sock: socket.socket) -> None:
        sock.sendall(_HANDSHAKE_HEAD)
        while True:
            threading.Event().wait(0.05)
            sock.sendall(b"\x00")

    with Peer(drip) as peer:
        client = XClient(XSettings.model_validate({"base_url": f"https://127.0.0.1:{peer.port}", **settings}))
        began_s = time.monotonic()
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0))
        client.close()
    assert caught.value.failure.reason == "network"
    assert not caught.value.failure.is_sent
    assert time.monotonic() - began_s < _DEADLINE_S


_STREAM = head("200 OK", *CHUNKED, date=None)
_ERROR = head("503 Service Unavailable", *CHUNKED, date=None)
_LIMIT = {"connect_timeout_s": 0.2, "silence_timeout_s": 0.3}


@contextmanager
def _limited(port: int, **given: str) -> Iterator[XClient]:
    """Give a client whose attempts may take half a second."""
    settings = XSettings.model_validate({"base_url": f"http://127.0.0.1:{port}", **(given or {"bearer_token": "t"})})
    client = XClient(settings.model_copy(update=_LIMIT))
    try:
        yield client
    finally:
        client.close()


def _failure_within(client: XClient, time_s: float) -> Failure:
    """Return how an attempt fails, within a limit in seconds."""
    began_s = time.monotonic()
    with pytest.raises(ConnectFailedError) as caught:
        client.open(_TWEET_1, Live(0))
    assert time.monotonic() - began_s < time_s
    return caught.value.failure


@pytest.mark.parametrize(
    ("first", "drip", "reason"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n", "silent"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: ", b"x", "silent"),
        (b"HTTP/1.1 200 OK\nX: ", b"x", "silent"),
        (_ERROR + b"5;", b"x", "http-5xx"),
        (_ERROR + b"0\r\nX: ", b"x", "http-5xx"),
        (_ERROR, b"1\r\nx\r\n", "http-5xx"),
    ],
)
@pytest.mark.parametrize("pause_s", [0.05, 0.0])
def test_answer_that_never_ends_is_given_up_in_time(first: bytes, drip: bytes, reason: str, pause_s: float) -> None:
    """Before its head, within it, or behind it, slowly or as fast as it can: one clock for the whole attempt."""
    with Peer(dripping(first, drip, pause_s=pause_s)) as peer, _limited(peer.port) as client:
        failure = _failure_within(client, 1.5)
    assert failure.reason in ({reason} if pause_s else {reason, "network"})


@pytest.mark.parametrize("first", [b"", _STREAM])
def test_token_that_never_ends_is_given_up_in_time(first: bytes) -> None:
    """A request for a token is a part of the attempt that needs it."""
    drip = b"HTTP/1.1 102 Processing\r\n\r\n" if not first else b"1\r\n{\r\n"
    with (
        Peer(dripping(first, drip, pause_s=0.05)) as peer,
        _limited(peer.port, api_key="k", api_key_secret="s") as client,
    ):
        failure = _failure_within(client, 1.5)
    assert (failure.reason, failure.is_sent) == ("silent", False)


def test_token_and_answer_share_the_time_of_an_attempt() -> None:
    """What the one has taken, the other does not have."""
    token = b'{"access_token": "t"}'
    slow = sending(b"", head("200 OK", ("Content-Length", str(len(token)))) + token, pause_s=0.25)
    with (
        Peer(slow, dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n", pause_s=0.05)) as peer,
        _limited(peer.port, api_key="k", api_key_secret="s") as client,
    ):
        failure = _failure_within(client, 0.7)
    assert (failure.reason, failure.is_sent) == ("silent", True)


def test_close_while_a_token_is_asked_for_ends_the_wait_at_once() -> None:
    """A stop does not wait for the token endpoint either."""
    has_asked = threading.Event()

    def play(sock: socket.socket) -> None:
        sending()(sock)
        has_asked.set()
        then_silent(lambda _: None)(sock)

    with Peer(play) as peer:
        settings = {"base_url": f"http://127.0.0.1:{peer.port}", "api_key": "k", "api_key_secret": "s"}
        client, wire, outcome = XClient(XSettings.model_validate(settings)), Wire(), list[str]()
        thread = _asking(client, wire, outcome)
        assert has_asked.wait(_DEADLINE_S)
        wire.close()
        thread.join(_DEADLINE_S)
        client.close()
    assert outcome == ["network"]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_granted_stream_outlives_the_time_of_an_attempt(line_end: bytes) -> None:
    """However the lines of its head end; only silence ends it."""
    pieces = [_STREAM.replace(b"\r\n", line_end), *[chunk(b"\r\n")] * 8]
    with (
        Peer(sending(*pieces, LAST_CHUNK, pause_s=0.1)) as peer,
        _limited(peer.port) as client,
        client.open(_TWEET_1, Live(0)) as connection,
    ):
        assert b"".join(connection.chunks()) == b"\r\n" * 8


def test_whatever_is_raised_before_a_connection_is_handed_over_leaves_nothing_open() -> None:
    """X would count the connection against the next attempt, and its socket would stay."""
    has_gone = threading.Event()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    def play(sock: socket.socket) -> None:
        try:
            streaming(b"")(sock)
        finally:
            has_gone.set()

    with Peer(play) as peer:
        settings = XSettings(base_url=f"http://127.0.0.1:{peer.port}", bearer_token="t")
        client = XClient(settings, fail)
        with pytest.raises(ZeroDivisionError):
            client.open(_TWEET_1, Live(0))
        assert has_gone.wait(_DEADLINE_S)
        client.close()


def test_every_exception_of_httpcore_becomes_one_of_httpx() -> None:
    """The rest of the connector knows those alone."""
    kinds = [kind for kind in vars(httpcore).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    concrete = [kind for kind in kinds if not kind.__subclasses__() and kind is not httpcore.ConnectionNotAvailable]
    assert len(concrete) == 11

    for kind in concrete:
        transport = WireTransport(ssl.create_default_context(), None, Failing(kind("as httpcore words it")))
        with pytest.raises(httpx.TransportError, match="as httpcore words it") as caught:
            transport.handle_request(httpx.Request("GET", "http://x.invalid"))
        assert type(caught.value).__name__ == kind.__name__
