"""Rows: what becomes of an attempt before X has answered."""

import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import httpcore

from tests.connections.row import NETWORK_S, Row, failed, good
from tests.connections.x import Bare, Simulated
from tests.fakes.network import Failing
from tests.rig.certificates import write_certificates
from tests.rig.peer import (
    Peer,
    dripping,
    greeting,
    over_tls,
    sending,
    then_reset,
    then_silent,
)


def _unknown_once() -> Failing:
    """Return a network that does not know the host at first."""
    return Failing(httpcore.ConnectError("[Errno -2] Name or service not known"))


class _Deaf(Bare):
    """A host that answers no SYN before the second attempt, since its queue of connections is full."""

    def __init__(self) -> None:
        peer = Peer(good(1), is_listening=False)
        super().__init__(peer, events=1)
        self._port = peer.port
        self._server = peer.server
        self._waiting = ExitStack()

    def __enter__(self) -> Self:
        super().__enter__()
        self._server.listen(0)
        for _ in range(3):
            sock = self._waiting.enter_context(socket.socket())
            sock.setblocking(False)  # noqa: FBT003 - of the standard library
            sock.connect_ex(("127.0.0.1", self._port))
        return self

    def before_attempt(self, number: int) -> None:
        """Take connections again."""
        if number == 2:
            self._waiting.close()
            self._peer.listen()


class _Secure(Bare):
    """A peer whose scripts are made for a folder with certificates; the client trusts those in `ca.pem`."""

    def __init__(self, make: Callable[[Path], Peer]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.certificates = Path(self._folder.name) / "good"
        write_certificates(self.certificates, [])
        super().__init__(make(self.certificates), events=1, scheme="https")
        self._exits.callback(self._folder.cleanup)
        self.settings = {"ca_file": self.certificates / "ca.pem"}


def _of_strangers(folder: Path) -> Path:
    write_certificates(folder.parent / "strangers", [])
    return folder.parent / "strangers"


_SILENCE = {"silence_timeout_s": 0.6}
_ATTEMPT = {"connect_timeout_s": 0.3, "silence_timeout_s": 0.3}
_FAILED = (failed("network"),)

WAY = (
    Row(
        "dns",
        "its name cannot be looked up",
        "250 ms more each time, up to 16 s; the name is looked up at each attempt",
        Simulated,
        (NETWORK_S,),
        _FAILED,
        network=_unknown_once,
    ),
    Row(
        "refused",
        "nothing listens on its address",
        "the same",
        lambda: Bare(Peer(good(1), is_listening=False), events=1, good=2),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "no-answer-to-syn",
        "no answer to the attempt to connect",
        "give up after `CONNECTOR_X__CONNECT_TIMEOUT_S`; then the same",
        _Deaf,
        (NETWORK_S,),
        _FAILED,
        settings={"connect_timeout_s": 0.3},
    ),
    Row(
        "no-tls",
        "it does not speak TLS",
        "the same",
        lambda: _Secure(lambda folder: Peer(greeting(b"220 mail.invalid ESMTP\r\n"), over_tls(folder, good(1)))),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "not-trusted",
        "its certificate is not trusted",
        "the same; the token is not sent",
        lambda: _Secure(lambda folder: Peer(over_tls(_of_strangers(folder), good(9)), over_tls(folder, good(1)))),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "closed-unanswered",
        "the connection is closed before an answer",
        "the same; X may have counted the request, so it counts against the budget",
        lambda: Bare(Peer(sending(), good(1)), events=1),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "reset-unanswered",
        "the connection is reset before an answer",
        "the same",
        lambda: Bare(Peer(then_reset(sending()), good(1)), events=1),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "not-http",
        "the answer is not HTTP",
        "the same",
        lambda: Bare(Peer(sending(b"220 mail.invalid ESMTP\r\n"), good(1)), events=1),
        (NETWORK_S,),
        _FAILED,
    ),
    Row(
        "unanswered",
        "the request is taken and not answered",
        "close after `CONNECTOR_X__SILENCE_TIMEOUT_S`; then the same",
        lambda: Bare(Peer(then_silent(sending()), good(1)), events=1),
        (NETWORK_S,),
        (failed("silent"),),
        settings=_SILENCE,
    ),
    *(
        Row(
            name,
            does,
            we,
            lambda first=first, drip=drip: Bare(  # type: ignore[misc] # a default binds the loop's value
                Peer(dripping(first, drip, pause_s=0.1), good(1)), events=1
            ),
            (NETWORK_S,),
            (failed("silent"),),
            settings=_ATTEMPT,
        )
        for name, does, we, first, drip in (
            (
                "dripping-head",
                "the answer's head comes byte by byte, without end",
                "close when the attempt has taken that and `CONNECTOR_X__CONNECT_TIMEOUT_S`; then the same",
                b"HTTP/1.1 200 OK\r\nX: ",
                b"x",
            ),
            (
                "interim-answers",
                "only interim answers (1xx) come, without end",
                "close at that time anyway",
                b"",
                b"HTTP/1.1 102 Processing\r\n\r\n",
            ),
        )
    ),
)
