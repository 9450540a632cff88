"""An X on a bare socket, for what no HTTP server can do: each connection that it takes plays the next script.

A script is given the accepted socket and need not close it. Knows HTTP as bytes only.
"""

import gzip
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Self

Script = Callable[[socket.socket], None]

_LOOPBACK = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_TCP_REPAIR = 19
_PATIENCE_S = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
CHUNKED = (("Transfer-Encoding", "chunked"),)
LAST_CHUNK = b"0\r\n\r\n"


class Peer:
    """Plays `scripts` to the connections it takes, in turn, the last one again and again; listens while in a `with`.

    Takes none before `listen`, which the `with` calls where `is_listening`; `server` is the socket that listens.
    """

    def __init__(self, *scripts: Script, is_listening: bool = True, host: str = _LOOPBACK) -> None:
        self._scripts = scripts
        self._listens_at_once = is_listening
        self._taken: list[socket.socket] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take, name="peer", daemon=True)
        self.server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.server.bind((host, 0))
        self.port: int = self.server.getsockname()[1]

    def listen(self) -> None:
        """Take connections from now on."""
        self.server.listen()
        self._thread.start()

    def _take(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            sock.settimeout(_PATIENCE_S)
            self._taken.append(sock)
            try:
                self._scripts[min(len(self._taken), len(self._scripts)) - 1](sock)
            except OSError:  # the client went away, as it may
                pass
            finally:
                sock.close()

    def __enter__(self) -> Self:
        if self._listens_at_once:
            self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for sock in (self.server, *self._taken):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        if self._thread.is_alive():
            self._thread.join(_PATIENCE_S)
        self.server.close()


def head(status: str = "200 OK", *headers: tuple[str, str], date: str | None = "") -> bytes:
    """Return the head of an answer; its time is now if `date` is empty, and it has none if that is None."""
    dates = () if date is None else (("Date", date or formatdate(usegmt=True)),)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (*dates, *headers))]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def in_lines(*lines: bytes) -> bytes:
    """Return lines as X ends them."""
    return b"".join(line + b"\r\n" for line in lines)


def _read_head(sock: socket.socket) -> bytes:
    """Return the head of the request, or as much of it as came."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = sock.recv(65536)
        if not data:
            break
        request += data
    return request


def asked(then: Script) -> Script:
    """Return a script that reads the request first, its body too."""

    def play(sock: socket.socket) -> None:
        head_, is_whole, body = _read_head(sock).partition(b"\r\n\r\n")
        length = _LENGTH.search(head_)
        left = int(length[1]) - len(body) if length else 0
        while is_whole and left > 0 and (data := sock.recv(left)):
            left -= len(data)
        if is_whole and left <= 0:
            then(sock)

    return play


def tunnelling(heads: list[bytes], port: int) -> Script:
    """Return the script of an HTTP proxy that takes every name for this host's `port`, and notes what it was asked."""

    def play(sock: socket.socket) -> None:
        heads.append(_read_head(sock))
        with socket.create_connection((_LOOPBACK, port)) as onward:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(onward, sock))
            back.start()
            _pass_on(sock, onward)
            back.join()

    return play


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and its end."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one of them went away, as it may
        return


def sending(*pieces: bytes, pause_s: float = 0.0) -> Script:
    """Return a script that sends pieces, reading the request first, and then ends the connection with a FIN."""

    def play(sock: socket.socket) -> None:
        for piece in pieces:
            sock.sendall(piece)
            threading.Event().wait(pause_s)

    return asked(play)


def greeting(data: bytes) -> Script:
    """Return a script that speaks first, and then ends the connection."""

    def play(sock: socket.socket) -> None:
        sock.sendall(data)
        sock.recv(65536)

    return play


def streaming(*pieces: bytes) -> Script:
    """Return a script that sends pieces of a stream and then says nothing until the client goes."""
    return then_silent(sending(head("200 OK", *CHUNKED), *pieces))


def cutting(*pieces: bytes) -> Script:
    """Return a script that sends pieces of a stream and then ends the connection with a FIN."""
    return sending(head("200 OK", *CHUNKED), *pieces)


def then_silent(script: Script) -> Script:
    """Return a script that keeps the connection and sends nothing more."""

    def play(sock: socket.socket) -> None:
        script(sock)
        while sock.recv(65536):
            pass

    return play


def then_reset(script: Script) -> Script:
    """Return a script that ends the connection with a RST."""

    def play(sock: socket.socket) -> None:
        script(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    return play


def dripping(first: bytes, drip: bytes, *, pause_s: float) -> Script:
    """Return a script that sends `first`, and then `drip` again and again until the client goes."""

    def play(sock: socket.socket) -> None:
        sock.sendall(first)
        while True:
            threading.Event().wait(pause_s)
            sock.sendall(drip)

    return asked(play)


def answering(status: str, body: bytes = b"", *headers: tuple[str, str]) -> Script:
    """Return a script that answers the request, and that is all."""
    return sending(head(status, ("Content-Length", str(len(body))), *headers) + body)


def over_tls(folder: Path, script: Script) -> Script:
    """Return a script that speaks TLS with the certificate in `folder`."""

    def play(sock: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "broker.pem")
        with context.wrap_socket(sock, server_side=True) as secure:
            script(secure)

    return play


def gzip_head(name: str = "gzip") -> bytes:
    """Return the head of a stream that says gzip."""
    return head("200 OK", ("Content-Encoding", name), *CHUNKED)


def compressed(body: bytes, *, share: float = 1.0) -> bytes:
    """Return a share of the compressed `body`, as one chunk."""
    data = gzip.compress(body)
    return chunk(data[: int(len(data) * share)])


def keeping_alive(*, times: int, pause_s: float, then: bytes) -> Script:
    """Return a script that sends keep-alives, one by one, and then something more."""

    def play(sock: socket.socket) -> None:
        sock.sendall(head("200 OK", *CHUNKED))
        for _ in range(times):
            threading.Event().wait(pause_s)
            sock.sendall(chunk(b"\r\n"))
        sock.sendall(then)

    return then_silent(asked(play))


def vanishing(*pieces: bytes) -> Script:
    """Return a script that sends pieces of a stream, after which this end is gone: neither FIN nor RST will come.

    As a host that loses its power. Where the system does not allow that, this end is silent, which looks the same.
    """

    def play(sock: socket.socket) -> None:
        cutting(*pieces)(sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        except OSError:
            while sock.recv(65536):
                pass

    return play
