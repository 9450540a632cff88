"""Clients of the HTTP port who mean ill, many at once."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.rig.process import LOOPBACK

_PAUSE_S = 0.05
_ATTACKERS = 10
_SOURCE = "127.0.0.2"


class Stranger:
    """One connection after the other, none of which is given up by this side."""

    def __init__(self, port: int, first: bytes, then: bytes = b"", receive_bytes: int | None = None) -> None:
        self._port, self._first, self._then, self._receive_bytes = port, first, then, receive_bytes
        self._connection: socket.socket | None = None

    def act(self) -> None:
        """Connect where it is not, else send more; what cannot be sent now is not."""
        if self._connection is None:
            self._connection = self._connect()
        else:
            try:
                self._connection.send(self._then)
            except BlockingIOError:
                return
            except OSError:
                self.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket()
        if self._receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        connection.bind((_SOURCE, 0))
        connection.settimeout(_PAUSE_S)
        with suppress(OSError):
            connection.connect((LOOPBACK, self._port))
            connection.send(self._first)
        connection.setblocking(False)  # noqa: FBT003 - the standard library's signature
        return connection

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@contextmanager
def attack(strangers: list[Stranger]) -> Iterator[None]:
    """Have the strangers act again and again, in threads."""
    stop = threading.Event()

    def act(some: list[Stranger]) -> None:
        while not stop.wait(_PAUSE_S):
            for stranger in some:
                stranger.act()

    threads = [threading.Thread(target=act, args=(strangers[n::_ATTACKERS],)) for n in range(_ATTACKERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for stranger in strangers:
            stranger.close()
