"""The layer between httpx and the sockets of one attempt: merged chunks, one time limit, and an immediate end.

Uses httpcore's seam for sockets, `NetworkBackend` and `NetworkStream`. Knows nothing of X's streams.
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

SOCKETS = httpcore.SyncBackend()
"""The network of this machine."""
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
    """The connection of one attempt, from before there is a socket. `close` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_closed = False
        self._until_us: int | None = None

    def limit(self, time_s: float) -> None:
        """Limit the total time of everything done over it from now on, in however many pieces X answers."""
        self._until_us = monotonic_us() + int(time_s * US_PER_S)

    def unlimit(self) -> None:
        """Remove the limit."""
        self._until_us = None

    def within(self, timeout_s: float | None, error: type[httpcore.TimeoutException]) -> float | None:
        """Return the time for the next step, at most `timeout_s`. Raises `error` if none is left."""
        if self._until_us is None:
            return timeout_s
        left_s = (self._until_us - monotonic_us()) / US_PER_S
        if left_s <= 0:
            raise error("the attempt has taken too long")
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def close(self) -> None:
        """End any wait for X to answer or to send; if there is no socket yet, as soon as there is one."""
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
    """Sends each request over its own connections, by the `wire` in its extensions.

    No connection is kept, so each request looks up the host afresh. `release` closes the open connections of a wire,
    `close` all.
    """

    def __init__(
        self, trust: ssl.SSLContext, proxy: httpx.Proxy | None, network: httpcore.NetworkBackend = SOCKETS
    ) -> None:
        self._trust = trust
        self._proxy = proxy
        self._network = network
        self._lock = threading.Lock()
        self._open: dict[httpcore.ConnectionPool, Wire] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises `httpx.TransportError`."""
        wire = request.extensions.get("wire") or Wire()
        pool = self._pool(_Backend(wire, self._network))
        with self._lock:
            self._open[pool] = wire
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
            body = _Body(answer, lambda: self._close(pool))
            return _Answer(answer.status, headers=answer.headers, stream=body, extensions=answer.extensions)
        except BaseException:
            self._close(pool)
            raise

    def release(self, wire: Wire) -> None:
        """Close the connections of a wire, from the thread that uses them."""
        with self._lock:
            pools = [pool for pool, its in self._open.items() if its is wire]
        self._close(*pools)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            pools = list(self._open)
        self._close(*pools)

    def _close(self, *pools: httpcore.ConnectionPool) -> None:
        for pool in pools:
            with self._lock:
                self._open.pop(pool, None)
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
    def __init__(self, wire: Wire, network: httpcore.NetworkBackend) -> None:
        self._wire = wire
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        timeout, place = self._wire.within(timeout, httpcore.ConnectTimeout), _place(host, port)
        try:
            with _naming(place):
                stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        except (UnicodeError, OverflowError) as error:  # a name that DNS cannot hold, a port that cannot be
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(stream, self._wire, place)


class _Stream(httpcore.NetworkStream):
    """A connection, or TLS over one: what is read has its small chunks merged."""

    def __init__(self, stream: httpcore.NetworkStream, wire: Wire, place: str) -> None:
        self._stream = stream
        self._wire = wire
        self._place = place
        self._merger = ChunkMerger()
        wire.attach(stream.get_extra_info("socket"))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            data = self._stream.read(max_bytes, self._wire.within(timeout, httpcore.ReadTimeout))
            merged = self._merger.feed(data)
            if merged or not data:
                return merged

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._wire.within(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._wire.within(timeout, httpcore.ConnectTimeout)
        with _naming(self._place):
            stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return _Stream(stream, self._wire, self._place)

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
        """Return False: httpx would build the next request even of a redirect that it does not follow, and may fail."""
        return False


def _url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Name the unreachable place in what is raised: the proxy, if there is one."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise type(error)(f"{place}: {error}") from error


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise what httpx raises; its own transport does the same."""
    try:
        yield
    except _ERRORS as error:
        raise _AS_HTTPX[type(error)](str(error)) from error
