"""Owns the port and the threads: one that accepts, one that emits, one for each connection.

    with Simulator(SimulatorConfig(rate=100.0)) as sim:
        sim.inject(Drop(stream="tweet", partition=1))

X as the simulator plays it: X API v2 reference, compliance streams and label stream (OpenAPI 2.167).
"""

import socket
import threading
from types import TracebackType
from typing import Self

from connector.simulator.config import SimulatorConfig
from connector.simulator.http import ClientGoneError, HttpConnection
from connector.simulator.routes import answer
from connector.simulator.world import World

_ACCEPT_PAUSE_S = 0.05


class Simulator(World):
    """A simulated X that listens on `base_url` between `start` and `stop`, or inside a `with`."""

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        super().__init__(config or SimulatorConfig())
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[HttpConnection, threading.Thread] = {}
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self.base_url = ""

    def start(self) -> Self:
        """Listen and begin to emit. Raises `OSError` when the port cannot be had."""
        listener = self._listener = socket.create_server((self.config.host, self.config.port))
        host, port = listener.getsockname()[:2]
        self.base_url = f"http://{host}:{port}"
        self._threads = [
            threading.Thread(target=self._accept, args=(listener,), name="simulator-accept", daemon=True),
            threading.Thread(target=self.emission.run, args=(self._stop,), name="simulator-emit", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and the port; what is on record stays readable."""
        self._stop.set()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        with self._lock:
            serving = dict(self._open)
        for http, thread in serving.items():
            http.shut_down()
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            try:
                client, address = listener.accept()
            except OSError:  # shut down by `stop`; or out of descriptors, which passes
                self._stop.wait(_ACCEPT_PAUSE_S)
                continue
            self._begin_serving(HttpConnection(client, address[0]))

    def _begin_serving(self, http: HttpConnection) -> None:
        thread = threading.Thread(target=self._serve, args=(http,), name="simulator-serve", daemon=True)
        with self._lock:
            self._open[http] = thread
        thread.start()

    def _serve(self, http: HttpConnection) -> None:
        try:
            while (request := http.read_request()) is not None:
                answer(self, http, request)
        except ClientGoneError:
            return
        finally:
            http.close()
            with self._lock:
                del self._open[http]
