"""What is between httpx and the socket of one request: merged chunks, a bounded wait for the head, and an end at once.

Sits on httpcore's seam for sockets, `NetworkBackend` and `NetworkStream`. Knows nothing of streams of X's.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from connector.events.times import US_PER_S
from connector.x.chunks import ChunkMerger
from connector.x.clock import monotonic_us

_SOON_S = 0.001
_SOCKETS = httpcore.SyncBackend()
_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
_AS_HTTPX: Mapping[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadError: httpx.ReadError,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteError: httpx.WriteError,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
}


class Wire:
    """The way to X of one attempt, from before there is a socket. `close` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_closed = False

    def close(self) -> None:
        """End what waits for X to answer or to send; where there is no socket yet, as soon as there is one."""
        with self._lock:
            self._is_closed = True
            self._shut_down()

    def attach(self, raw: socket.socket) -> None:
        """Take over the end of a socket that was just connected, or wrapped in TLS."""
        with self._lock:
            self._socket = raw
            if self._is_closed:
                self._shut_down()

    def _shut_down(self) -> None:
        """End reads and writes, but leave the file descriptor to its owner; of TLS, too, the socket beneath."""
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:  # over already, or being wrapped in TLS, which is bounded and followed by `attach`
                return


class WireTransport(httpx.BaseTransport):
    """Sends each request over connections of its own, by the `wire` in its extensions.

    No connection is kept, so each request looks up the host afresh. The head of an answer must come within
    `answer_time_s` of connecting. `close` ends what is still open.
    """

    def __init__(self, trust: ssl.SSLContext, proxy: httpx.Proxy | None, answer_time_s: float) -> None:
        self._trust = trust
        self._proxy = proxy
        self._answer_time_us = int(answer_time_s * US_PER_S)
        self._lock = threading.Lock()
        self._open: set[httpcore.ConnectionPool] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises `httpx.TransportError`."""
        pool = self._pool(_Backend(request.extensions.get("wire") or Wire(), self._answer_time_us))
        with self._lock:
            self._open.add(pool)
        try:
            with _errors_of_httpx():
                answer = pool.handle_request(
                    httpcore.Request(
                        request.method,
                        _url(request.url),
                        headers=request.headers.raw,
                        content=request.stream,
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            self._release(pool)
            raise
        body = _Body(answer, lambda: self._release(pool))
        return _Answer(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pools = list(self._open)
        for pool in pools:
            self._release(pool)

    def _release(self, pool: httpcore.ConnectionPool) -> None:
        with self._lock:
            self._open.discard(pool)
        pool.close()

    def _pool(self, backend: httpcore.NetworkBackend) -> httpcore.ConnectionPool:
        if self._proxy is None:
            return httpcore.ConnectionPool(self._trust, max_keepalive_connections=0, network_backend=backend)
        return httpcore.HTTPProxy(
            _url(self._proxy.url),
            proxy_auth=self._proxy.raw_auth,
            ssl_context=self._trust,
            max_keepalive_connections=0,
            network_backend=backend,
        )


class _Backend(httpcore.NetworkBackend):
    def __init__(self, wire: Wire, answer_time_us: int) -> None:
        self._wire = wire
        self._answer_time_us = answer_time_us

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            stream = _SOCKETS.connect_tcp(host, port, timeout, local_address, socket_options)
        except (UnicodeError, OverflowError) as error:  # a name that DNS cannot hold, a port that cannot be
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(stream, self._wire, self._answer_time_us)


class _Stream(httpcore.NetworkStream):
    """A connection, or TLS over one: what is read has its small chunks merged."""

    def __init__(self, stream: httpcore.NetworkStream, wire: Wire, answer_time_us: int) -> None:
        self._stream = stream
        self._wire = wire
        self._answer_time_us = answer_time_us
        self._answer_until_us = monotonic_us() + answer_time_us
        self._merger = ChunkMerger()
        wire.attach(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read with no wait beyond an instant for a head that comes byte by byte."""
        while True:
            if timeout is not None and self._merger.is_in_head:
                timeout = min(timeout, max(_SOON_S, (self._answer_until_us - monotonic_us()) / US_PER_S))
            data = self._stream.read(max_bytes, timeout)
            merged = self._merger.feed(data)
            if merged or not data:
                return merged

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._wire, self._answer_time_us)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - of httpcore
        return self._stream.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response, on_close: Callable[[], None]) -> None:
        self._answer = answer
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        try:
            with _errors_of_httpx():
                self._answer.close()
        finally:
            self._on_close()


class _Answer(httpx.Response):
    @property
    def has_redirect_location(self) -> bool:
        """No: httpx would build the next request even of a redirect that it does not follow, and may fail at that."""
        return False


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise what httpx raises; its own transport does the same."""
    try:
        yield
    except _ERRORS as error:
        raise _AS_HTTPX[type(error)](str(error)) from error
