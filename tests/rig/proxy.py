"""Proxies in front of servers: one can play dead, the other hold a request to Kafka back or lose its answer.

Of Kafka it knows the frame (length, then API key, version and correlation id in a request, correlation id in an
answer) and nothing of what is in it. A rule catches one request, and says when it has.
"""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from tests.rig.process import LOOPBACK

PRODUCE = 0
"""The API key of the request that brings records."""
END_TXN = 26
"""The API key of the request that commits or aborts a transaction."""

_CATCH_TIMEOUT_S = 60.0
_MOST_BYTES = 64 * 1024


class Rule:
    """Catches one request of an API whose bytes hold all of some texts."""

    def __init__(self, api_key: int, texts: Sequence[str]) -> None:
        self._api_key = api_key
        self._texts = [text.encode() for text in texts]
        self._is_used = False
        self._caught = threading.Event()
        self._released = threading.Event()
        self._answered = threading.Event()
        self._client: socket.socket | None = None

    def claims(self, frame: bytes) -> bool:
        """Tell whether this request is the one; only once."""
        (api_key,) = struct.unpack_from(">h", frame)
        if self._is_used or api_key != self._api_key or not all(text in frame for text in self._texts):
            return False
        self._is_used = True
        return True

    def catch(self, client: socket.socket) -> None:
        """Take note of whose request it was."""
        self._client = client
        self._caught.set()

    def answered(self) -> None:
        """Take note that the broker answered."""
        self._answered.set()

    def hold(self) -> None:
        """Wait until the request may go on."""
        self._released.wait()

    @property
    def is_caught(self) -> bool:
        """Whether a request, or the answer to it, is caught."""
        return self._caught.is_set()

    def await_caught(self) -> None:
        """Wait until a request is caught."""
        assert self._caught.wait(_CATCH_TIMEOUT_S), f"no request {self._api_key} with {self._texts} was caught"

    def cut(self) -> None:
        """Break the client's connection; the broker does not notice."""
        assert self._client is not None
        _shut_down(self._client)

    def let_go(self) -> None:
        """Let a held request go on."""
        self._released.set()

    def release(self) -> None:
        """Let a held request go on to the broker, and wait for the broker's answer if it has been caught."""
        self.let_go()
        if self._caught.is_set():
            assert self._answered.wait(_CATCH_TIMEOUT_S), "the broker did not answer the request that was held"


class TcpProxy:
    """Listens on `port` and passes bytes on to `target` and back, or plays dead; a context manager."""

    def __init__(self, port: int, target: str) -> None:
        host, _, target_port = target.rpartition(":")
        self._target = (host, int(target_port))
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._is_closing = False
        self._door = threading.Lock()
        self._is_away = False
        self.address = f"{LOOPBACK}:{port}"

    def go_away(self) -> None:
        """Break all connections and take no new ones, as if there were no server."""
        with self._door:
            self._is_away = True
            for each in self._sockets:
                _shut_down(each)

    def come_back(self) -> None:
        """Take connections again, but none that was made while away: they are taken in the order of making."""
        if not self._is_away:
            return
        with socket.create_connection((LOOPBACK, self._port)) as last:
            assert not last.recv(1)
        self._is_away = False

    def __enter__(self) -> Self:
        """Listen."""
        listener = self._listener = socket.create_server((LOOPBACK, self._port))
        self._begin(lambda: self._accept(listener))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        assert self._listener is not None
        self._is_closing = True
        _shut_down(self._listener)
        self._let_go()
        for each in self._sockets:
            _shut_down(each)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()

    def _let_go(self) -> None:
        """Let nothing keep a connection's thread from its end."""

    def _pumps(self, client: socket.socket, server: socket.socket) -> tuple[Callable[[], None], Callable[[], None]]:
        """Return what passes a connection's bytes on, and what passes them back."""
        return lambda: _pass_bytes(client, server), lambda: _pass_bytes(server, client)

    def _accept(self, listener: socket.socket) -> None:
        while not self._is_closing:
            try:
                client, _ = listener.accept()
            except OSError:  # shut down
                return
            with self._door:
                self._sockets.append(client)
                server = None if self._is_away else self._connect()
                if server is None:
                    _shut_down(client)
                    continue
                self._sockets.append(server)
            for pump in self._pumps(client, server):
                self._begin(pump)

    def _connect(self) -> socket.socket | None:
        try:
            return socket.create_connection(self._target)
        except OSError:
            return None

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()


class KafkaProxy(TcpProxy):
    """A proxy in front of a broker: passes everything on but for what a rule catches."""

    def __init__(self, port: int, target: str) -> None:
        super().__init__(port, target)
        self._lock = threading.Lock()
        self._held: list[Rule] = []
        self._lost: list[Rule] = []

    def hold(self, api_key: int, *texts: str) -> Rule:
        """Hold a request back until its rule is released."""
        rule = Rule(api_key, texts)
        with self._lock:
            self._held.append(rule)
        return rule

    def lose_answer(self, api_key: int, *texts: str) -> Rule:
        """Let a request through, and keep the broker's answer to it from the client."""
        rule = Rule(api_key, texts)
        with self._lock:
            self._lost.append(rule)
        return rule

    def claim(self, frame: bytes) -> tuple[Rule | None, Rule | None]:
        """Return the rule that holds this request, and the one that loses its answer."""
        with self._lock:
            return (
                next((rule for rule in self._held if rule.claims(frame)), None),
                next((rule for rule in self._lost if rule.claims(frame)), None),
            )

    def _let_go(self) -> None:
        for rule in self._held:
            rule.let_go()

    def _pumps(self, client: socket.socket, server: socket.socket) -> tuple[Callable[[], None], Callable[[], None]]:
        link = _Link(self, client, server)
        return link.pass_requests, link.pass_answers


class _Link:
    """One client's connection and the one to the broker that belongs to it."""

    def __init__(self, proxy: KafkaProxy, client: socket.socket, broker: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._broker = broker
        self._held: dict[int, Rule] = {}
        self._lost: dict[int, Rule] = {}

    def pass_requests(self) -> None:
        """Pass requests on until the client is gone, those held before included."""
        for frame in _frames(self._client):
            held, lost = self._proxy.claim(frame)
            (correlation_id,) = struct.unpack_from(">i", frame, 4)
            if lost is not None:
                self._lost[correlation_id] = lost
            if held is not None:
                self._held[correlation_id] = held
                held.catch(self._client)
                held.hold()
            if not _send(self._broker, frame):
                break
        if not self._held:
            _shut_down(self._broker)

    def pass_answers(self) -> None:
        """Pass answers back until the broker ends the connection."""
        for frame in _frames(self._broker):
            (correlation_id,) = struct.unpack_from(">i", frame)
            if (held := self._held.pop(correlation_id, None)) is not None:
                held.answered()
            if (lost := self._lost.pop(correlation_id, None)) is not None:
                lost.answered()
                lost.catch(self._client)
            else:
                _send(self._client, frame)
        _shut_down(self._client)


def _pass_bytes(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(_MOST_BYTES):
            target.sendall(part)
    except OSError:  # one of them is gone, and so is the other
        pass
    _shut_down(target)


def _frames(source: socket.socket) -> Iterator[bytes]:
    """Yield frames without their length, until the connection ends."""
    while (head := _receive(source, 4)) and (frame := _receive(source, *struct.unpack(">i", head))):
        yield frame


def _receive(source: socket.socket, size: int) -> bytes:
    """Return that many bytes, or none when the connection ends first."""
    parts = bytearray()
    while len(parts) < size:
        try:
            part = source.recv(size - len(parts))
        except OSError:
            return b""
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _send(target: socket.socket, frame: bytes) -> bool:
    try:
        target.sendall(struct.pack(">i", len(frame)) + frame)
    except OSError:
        return False
    return True


def _shut_down(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
