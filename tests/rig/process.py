"""Owns server processes on this machine: free ports, start, readiness, end, and logs. It knows no server's protocol."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.rig.java import RigError

LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.05
_RESTS = 3
"""How many times as long as a question took it rests: six workers that ask all the time leave nothing to the asked."""
_LONGEST_REST_S = 0.5
_LOG_TAIL_CHARACTERS = 4000
_WORKER, _WORKERS = (
    int(os.environ.get(name, default).removeprefix("gw"))
    for name, default in (("PYTEST_XDIST_WORKER", "gw0"), ("PYTEST_XDIST_WORKER_COUNT", "1"))
)
_PORTS = range(20_000, 32_768)[_WORKER::_WORKERS]
"""Below the ports the system hands out by itself: a stopped server's port is still free when it starts again.

Each worker of pytest-xdist has its own.
"""
_UNUSED = iter(random.SystemRandom().sample(_PORTS, k=len(_PORTS)))
"""Each port is given out once: its user binds it seconds later, and again after a stop."""

_LAUNCHER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")
"""All servers are started by this one thread: they die with it (`--pdeathsig`), and it lives as long as the process."""


def free_port() -> int:
    """Return a free TCP port of the loopback address, another one each time."""
    for port in _UNUSED:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise RigError("no free port found")


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str], timeout_s: float = 60.0) -> None:
    """Poll `condition` until it holds. Raises `RigError` naming `what` when it does not within `timeout_s`.

    A function is asked only then, so that it can tell how far things have come.
    """
    deadline = time.monotonic() + timeout_s
    asked = time.monotonic()
    while not condition():
        answered = time.monotonic()
        if answered > deadline:
            raise RigError(f"not within {timeout_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(min(max(_POLL_INTERVAL_S, _RESTS * (answered - asked)), _LONGEST_REST_S))
        asked = time.monotonic()


class Server:
    """One server process; `is_ready` is asked until it answers True, and the log is appended to over restarts."""

    def __init__(self, name: str, command: list[str], log: Path, is_ready: Callable[[], bool]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the process, without waiting for it to be ready."""
        if self._process is not None:
            raise RigError(f"{self.name} runs already")
        guard = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
        with self.log.open("ab") as log:
            self._process = _LAUNCHER.submit(
                subprocess.Popen, [*guard, *self._command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ).result()

    def wait_until_ready(self) -> None:
        """Wait until the server answers. Raises `RigError` with the end of its log if it ends first or never does."""
        try:
            wait_until(self._is_ready_or_dead, f"{self.name} is ready", _START_TIMEOUT_S)
        except RigError as error:
            raise RigError(f"{error}\n{self._log_tail()}") from error

    def _is_ready_or_dead(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise RigError(f"{self.name} ended at its start")
        return self._is_ready()

    @property
    def pid(self) -> int:
        """The id of the process. Raises `RigError` when it does not run."""
        if self._process is None:
            raise RigError(f"{self.name} does not run")
        return self._process.pid

    def stop(self) -> None:
        """Ask the process to end and wait for it; a server that runs no more is left alone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process on the spot (SIGKILL); a server that runs no more is left alone."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RigError(f"{self.name} did not end within {_STOP_TIMEOUT_S:g} s\n{self._log_tail()}") from None

    def _log_tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL_CHARACTERS:]


class Housed:
    """Servers whose data is in a folder that goes with them; a context manager. Who inherits sets `_started`."""

    _started: Sequence[Server] = ()

    def __init__(self, name: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix=f"{name}-")
        self._folder = Path(self._directory.name)

    def _prepare(self) -> None:
        """Write what the servers need to start."""

    def __enter__(self) -> Self:
        """Start all. Raises `RigError` when one does not."""
        try:
            self._prepare()
            for server in self._started:
                server.launch()
            for server in self._started:
                server.wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all, for nothing is worth saving, and remove all traces."""
        for server in self._started:
            server.kill()
        self._directory.cleanup()
