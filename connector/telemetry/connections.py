"""The connections to the HTTP port, and bounds on what clients may cost. Must not know what the port serves.

One thread serves all of them, and buffers no more than a request head of each: bytes are read only when needed, and an
answer is sent from a copy that all share.
"""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import h11

_METHODS = (b"GET", b"HEAD")
_ALLOW = ("Allow", "GET, HEAD")
_ACCEPT_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds on what clients may cost.

    A request has `request_s` from its connect, or from its first byte on a connection that is kept, until its answer is
    sent. A kept connection is idle for at most `idle_s`, longer than the usual minute between two scrapes.
    """

    connections: int = 100
    head_bytes: int = 8 * 1024
    request_s: float = 5.0
    idle_s: float = 75.0
    backlog: int = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to send; `headers` are in addition to those of every answer."""

    status: HTTPStatus
    content: bytes
    content_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


def listen(host: str, port: int, bounds: Bounds) -> socket.socket:
    """Return a socket that listens; port 0 takes any free one. Raises `OSError` when the port cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these. Two bound what the kernel buffers of what we, or the clients, do not read.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bounds.head_bytes)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(bounds.request_s * 1000))
        listener.bind((host, port))
        listener.listen(bounds.backlog)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError:
        listener.close()
        raise
    return listener


class _Place(NamedTuple):
    address: str
    task: asyncio.Task[None]


class Connections:
    """Answers requests through `listener`: `answer` receives the path, and must return at once.

    At the limit of connections a new one replaces another, which is closed at once: of the address with the most
    connections, the one that is oldest by its connect or its latest answer. So a flood from one address displaces no
    other address; and a client that sends its request right away, as probes do, has its answer before it is displaced.
    """

    def __init__(self, listener: socket.socket, answer: Callable[[str], Answer], bounds: Bounds) -> None:
        self._listener = listener
        self._answer = answer
        self._bounds = bounds
        self._open: dict[socket.socket, _Place] = {}

    def run(self) -> None:
        """Serve until the listener is shut down."""
        asyncio.run(self._accept())

    async def _accept(self) -> None:
        while (accepted := await self._next()) is not None:
            self._begin(*accepted)
            await asyncio.sleep(0)  # a flood of connects does not keep those before from being served

    async def _next(self) -> tuple[socket.socket, str] | None:
        """Return the next connection and its address, or None after shutdown."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, (address, *_) = await loop.sock_accept(self._listener)
            except OSError as error:
                if error.errno == errno.EINVAL:  # shut down
                    return None
                await asyncio.sleep(_ACCEPT_PAUSE_S)  # out of descriptors, which passes
            else:
                return client, address

    def _begin(self, client: socket.socket, address: str) -> None:
        if len(self._open) >= self._bounds.connections:
            self._open.pop(self._dispensable()).task.cancel()
        task = asyncio.create_task(self._serve(client))
        self._open[client] = _Place(address, task)
        task.add_done_callback(lambda _: self._open.pop(client, None))

    def _dispensable(self) -> socket.socket:
        [(crowded, _)] = Counter(place.address for place in self._open.values()).most_common(1)
        return next(client for client, place in self._open.items() if place.address == crowded)

    async def _serve(self, client: socket.socket) -> None:
        """Answer requests until the client is gone or too slow."""
        loop, bounds = asyncio.get_running_loop(), self._bounds
        http = h11.Connection(h11.SERVER)
        with client, suppress(OSError):
            async with asyncio.timeout(bounds.request_s) as deadline:
                while await self._exchange(client, http):
                    self._open[client] = self._open.pop(client)
                    deadline.reschedule(loop.time() + bounds.idle_s)
                    http.receive_data(await loop.sock_recv(client, bounds.head_bytes))
                    deadline.reschedule(loop.time() + bounds.request_s)

    async def _exchange(self, client: socket.socket, http: h11.Connection) -> bool:
        """Answer a request; return whether there may be another."""
        try:
            request = await self._read(client, http)
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
            await _send(client, http, Answer(status, f"{status.phrase}\n".encode()))
            return False
        if request is None:
            return False
        await _send(client, http, self._answer_to(request), has_content=request.method != b"HEAD")
        if http.our_state is not h11.DONE:
            return False
        http.start_next_cycle()
        return True

    async def _read(self, client: socket.socket, http: h11.Connection) -> h11.Request | None:
        """Return the next head, or None if the client is gone. A body is not read.

        Raises `h11.RemoteProtocolError` for a head that is not HTTP, or too long.
        """
        loop = asyncio.get_running_loop()
        left = self._bounds.head_bytes - len(http.trailing_data[0])
        while (event := http.next_event()) is h11.NEED_DATA:
            if not left:
                raise h11.RemoteProtocolError("the head is too long", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            await asyncio.sleep(0)  # a client that sends without a pause does not keep the others waiting
            data = await loop.sock_recv(client, left)
            left -= len(data)
            http.receive_data(data)
        if not isinstance(event, h11.Request):
            return None
        http.next_event()  # its end, or what has come of a body
        return event

    def _answer_to(self, request: h11.Request) -> Answer:
        if request.method not in _METHODS:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", headers=(_ALLOW,))
        return self._answer(request.target.partition(b"?")[0].decode("ascii"))


async def _send(client: socket.socket, http: h11.Connection, answer: Answer, *, has_content: bool = True) -> None:
    loop = asyncio.get_running_loop()
    headers = [
        ("Date", formatdate(usegmt=True)),
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.content))),
        *answer.headers,
    ]
    if http.their_state is not h11.DONE or http.trailing_data[0]:  # a body, or requests that wait for no answer
        headers.append(("Connection", "close"))
    status = answer.status
    head = http.send(h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()))
    await loop.sock_sendall(client, head or b"")
    if has_content:
        await loop.sock_sendall(client, http.send(h11.Data(data=answer.content)) or b"")
    http.send(h11.EndOfMessage())
