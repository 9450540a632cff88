"""The end of a wait for X's answer, from another thread, and its bounds."""

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
from connector.x.errors import ConnectFailedError
from connector.x.transport import Wire, WireTransport
from tests.connections.peer import Peer, over_tls, sending, streaming, then_silent
from tests.rig.certificates import write_certificates

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
    """Return a thread that waits for an answer and notes why there is none."""

    def ask() -> None:
        with pytest.raises(ConnectFailedError) as caught:
            client.open(_TWEET_1, Live(0), wire)
        outcome.append(caught.value.failure.reason)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


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
    """Whoever stops a reader need not know where it stands."""
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


def test_every_exception_of_httpcore_becomes_one_of_httpx() -> None:
    """The rest of the connector knows those alone."""
    kinds = [kind for kind in vars(httpcore).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    concrete = [kind for kind in kinds if not kind.__subclasses__() and kind is not httpcore.ConnectionNotAvailable]
    assert len(concrete) == 11

    for kind in concrete:

        def fail(*_: object, kind: type[Exception] = kind, **__: object) -> None:
            raise kind("as httpcore words it")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(httpcore.ConnectionPool, "handle_request", fail)
            transport = WireTransport(ssl.create_default_context(), None, 1.0)
            with pytest.raises(httpx.TransportError, match="as httpcore words it") as caught:
                transport.handle_request(httpx.Request("GET", "http://x.invalid"))
        assert type(caught.value).__name__ == kind.__name__
