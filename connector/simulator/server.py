"""Owns the ports and the threads: one for each port that accepts, one that emits, one for each connection.

    with Simulator(SimulatorConfig(rate=100.0)) as sim:
        sim.inject(Drop(stream="tweet", partition=1))

X as the simulator plays it: X API v2 reference, compliance streams, label stream and batch compliance (OpenAPI 2.168).
"""

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from connector.network import is_loopback
from connector.simulator.config import SimulatorConfig
from connector.simulator.http import ClientGoneError, HttpConnection, Origin
from connector.simulator.routes import answer
from connector.simulator.world import World

_ACCEPT_PAUSE_S = 0.05
_LOOPBACK = "127.0.0.1"


class Simulator(World):
    """A simulated X that listens on `base_url` between `start` and `stop`, or inside a `with`."""

    def __init__(self, config: SimulatorConfig | None = None, is_local: Callable[[str], bool] = is_loopback) -> None:
        """`is_local` says whether the address of a client is this machine's."""
        super().__init__(config or SimulatorConfig())
        self._is_local = is_local
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[HttpConnection, threading.Thread] = {}
        self._threads: list[threading.Thread] = []
        self._listeners: dict[Origin, socket.socket] = {}
        self.base_url = ""

    def start(self) -> Self:
        """Listen and begin to emit. Raises `OSError` when a port cannot be had."""
        self._listen()
        self.base_url = self.origins["api"]
        self._threads = [
            threading.Thread(target=self._accept, args=each, name=f"simulator-accept-{each[0]}", daemon=True)
            for each in self._listeners.items()
        ]
        self._threads.append(
            threading.Thread(target=self.emission.run, args=(self._stop,), name="simulator-emit", daemon=True)
        )
        for thread in self._threads:
            thread.start()
        return self

    def _listen(self) -> None:
        config = self.config
        addresses: dict[Origin, tuple[str, int]] = {"api": (config.host, config.port), "foreign": (_LOOPBACK, 0)}
        if config.batch_transfers == "presigned":
            addresses["storage"] = (config.host, config.storage_port)
        try:
            for origin, address in addresses.items():
                listener = self._listeners[origin] = socket.create_server(address)
                host, port = listener.getsockname()[:2]
                self.origins[origin] = f"http://{host}:{port}"
        except OSError:
            self._close_listeners()
            raise

    def _close_listeners(self) -> None:
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def stop(self) -> None:
        """Close every connection and all ports; what is on record stays readable."""
        self._stop.set()
        for listener in self._listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._close_listeners()
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

    def _accept(self, origin: Origin, listener: socket.socket) -> None:
        while not self._stop.is_set():
            try:
                client, address = listener.accept()
            except OSError:  # shut down by `stop`; or out of descriptors, which passes
                self._stop.wait(_ACCEPT_PAUSE_S)
                continue
            self._begin_serving(HttpConnection(client, origin, is_local=self._is_local(address[0])))

    def _begin_serving(self, http: HttpConnection) -> None:
        thread = threading.Thread(target=self._serve, args=(http,), name="simulator-serve", daemon=True)
        with self._lock:
            self._open[http] = thread
        thread.start()

    def _serve(self, http: HttpConnection) -> None:
        try:
            while (request := http.read_head()) is not None:
                answer(self, http, request)
        except ClientGoneError:
            return
        finally:
            http.close()
            with self._lock:
                del self._open[http]
