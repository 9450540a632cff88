"""What is between httpx and the socket of one request: merged chunks, a bounded wait for the head, and an end at once.

Knows httpcore's streams and its `trace` extension; knows nothing of streams of X's.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from connector.events.times import US_PER_S
from connector.x.chunks import ChunkMerger
from connector.x.clock import monotonic_us

_CONNECTED = (".connect_tcp.complete", ".start_tls.complete")
_SOON_S = 0.001


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

    def extensions(self, answer_time_s: float) -> dict[str, Any]:
        """Return what to give httpx with the request, whose answer's head must come within a time of connecting."""

        def trace(event: str, info: Mapping[str, Any]) -> None:
            if event.endswith(_CONNECTED):
                stream = info["return_value"]
                stream.read = _read_through(stream.read, monotonic_us() + int(answer_time_s * US_PER_S))
                self._take(stream.get_extra_info("socket"))

        return {"trace": trace}

    def _take(self, raw: socket.socket) -> None:
        with self._lock:
            self._socket = raw
            if self._is_closed:
                self._shut_down()

    def _shut_down(self) -> None:
        """End reads and writes, but leave the file descriptor to its owner; of TLS, too, the socket beneath."""
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:  # over already, or being wrapped in TLS, which is bounded and followed by `_take`
                return


def _read_through(read: Callable[..., bytes], answer_until_us: int) -> Callable[..., bytes]:
    """Return `read` with small chunks merged, and no wait beyond an instant for a head that comes byte by byte."""
    merger = ChunkMerger()

    def read_merged(max_bytes: int, timeout: float | None = None) -> bytes:
        while True:
            if timeout is not None and merger.is_in_head:
                timeout = min(timeout, max(_SOON_S, (answer_until_us - monotonic_us()) / US_PER_S))
            data = read(max_bytes, timeout)
            merged = merger.feed(data)
            if merged or not data:
                return merged

    return read_merged
