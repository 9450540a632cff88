"""Owns one client's socket and HTTP/1.1 on it: requests in, answers out, a body in pieces, every kind of ending.

Knows nothing of the content of requests or answers. Errors describe the fate of the client.
"""

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl

import h11

from connector.simulator.faults import Ending

_BLOCKED_S = 0.25
_RECEIVE_BYTES = 65536
_SEND_BUFFER_BYTES = 256 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Headers = list[tuple[str, str]]

Origin = Literal["api", "storage", "foreign"]
"""Which of the simulator's ports: X's own, that of X's storage, or one that is not part of X."""

BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
"""Statuses without a body, and so without a length or chunks."""
_TEXT: Headers = [("content-type", "text/plain; charset=utf-8")]


class ClientGoneError(Exception):
    """The client closed the connection."""


class SlowClientError(Exception):
    """The client does not read its socket while too much waits for it."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; its body only once read; header names are lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    origin: Origin
    """The port it came to."""
    is_local: bool
    """Whether it comes from this machine, over its loopback address."""
    body: bytes = b""


class HttpConnection:
    """HTTP/1.1 from the server's side on an accepted socket, which it then owns."""

    def __init__(self, sock: socket.socket, origin: Origin, *, is_local: bool) -> None:
        self._socket = sock
        self._origin = origin
        self._is_local = is_local
        self._h11 = h11.Connection(h11.SERVER)
        self._has_body = True
        self._is_framed = True
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def read_head(self) -> HttpRequest | None:
        """Return the next request, None if there will be none. Anything but HTTP is answered 400."""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        if self._h11.our_state is not h11.IDLE:
            return None
        self._socket.settimeout(None)
        try:
            head = self._next_event()
        except ClientGoneError:
            return None
        if not isinstance(head, h11.Request):
            return None
        self._has_body = head.method != b"HEAD"
        path, _, query = head.target.decode("ascii").partition("?")
        return HttpRequest(
            method=head.method.decode("ascii"),
            path=path,
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
            origin=self._origin,
            is_local=self._is_local,
        )

    def body_pieces(self) -> Iterator[bytes]:
        """Yield the body of the current request as it comes. Raises `ClientGoneError` when it does not come whole."""
        if self._h11.they_are_waiting_for_100_continue:
            self._send(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        self._socket.settimeout(None)
        while isinstance(event := self._next_event(), h11.Data):
            yield event.data

    def read_body(self) -> bytes:
        """Return the whole body of the current request. Raises `ClientGoneError` when it does not come whole."""
        return b"".join(self.body_pieces())

    def _next_event(self) -> object:
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                self._h11.receive_data(self._socket.recv(_RECEIVE_BYTES))
        except h11.RemoteProtocolError as error:
            self.respond(error.error_status_hint, f"not HTTP/1.1 as we know it: {error}".encode(), _TEXT)
            raise ClientGoneError from error
        except OSError as error:
            raise ClientGoneError from error
        return event

    def respond(self, status: int, body: bytes, headers: Headers) -> None:
        """Send a whole answer; a status that goes without a body gets none. Raises `ClientGoneError`."""
        is_bodiless = status in BODILESS
        length = [] if is_bodiless else [("content-length", str(len(body)))]
        head = h11.Response(status_code=status, headers=[*headers, *length])
        data = body if self._has_body and not is_bodiless else b""
        events = (head, h11.Data(data=data), h11.EndOfMessage())
        self._send(b"".join(self._h11.send(event) or b"" for event in events))

    def begin(self, headers: Headers, status: int = 200, framing: Literal["chunked", "eof"] = "chunked") -> None:
        """Send the head of an answer whose body follows in pieces. Raises `ClientGoneError`."""
        if framing == "eof":
            # h11 gives every answer to HTTP/1.1 a length or chunks, so this one goes past it.
            self._is_framed = False
            head = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self._send(f"HTTP/1.1 {status} \r\n{head}\r\n".encode("latin-1"))
        else:
            headers = [*headers, ("transfer-encoding", "chunked")]
            self._send(self._h11.send(h11.Response(status_code=status, headers=headers)) or b"")

    def send_chunk(self, data: bytes, is_hopeless: Callable[[], bool] = lambda: False) -> None:
        """Send one piece of a body; while the socket takes nothing, `is_hopeless` is asked now and then.

        Raises `ClientGoneError`, and `SlowClientError` when it is hopeless.
        """
        self._send(self._h11.send(h11.Data(data=data)) or b"" if self._is_framed else data, is_hopeless)

    def finish(self) -> None:
        """End the body properly; one without framing ends when the socket is closed. Raises `ClientGoneError`."""
        if self._is_framed:
            self._send(self._h11.send(h11.EndOfMessage()) or b"")

    def _send(self, data: bytes, is_hopeless: Callable[[], bool] = lambda: False) -> None:
        rest = memoryview(data)
        self._socket.settimeout(_BLOCKED_S)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                if is_hopeless():
                    raise SlowClientError from None
            except OSError as error:
                raise ClientGoneError from error

    def wait(self, seconds: float) -> None:
        """Wait, watching the client. Raises `ClientGoneError` as soon as it is gone."""
        self._socket.settimeout(seconds)
        try:
            if not self._socket.recv(_RECEIVE_BYTES):
                raise ClientGoneError
        except TimeoutError:
            return
        except OSError as error:
            raise ClientGoneError from error

    def end(self, ending: Ending) -> None:
        """End the body the given way: only `close` is proper. The socket stays open for `close` and `open`."""
        if ending == "close":
            self.finish()
        elif ending == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if ending in {"drop", "reset"}:
            self._socket.close()

    def shut_down(self) -> None:
        """Wake the thread that waits on this connection, from another one: the client counts as gone."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was closed already

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
