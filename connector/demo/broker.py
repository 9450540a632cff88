"""The demo's broker: noida-db, a Kafka-compatible binary from PyPI, as a separate process on a free loopback port.

For the demo only; it ends with the demo, and nothing of it stays.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from connector.errors import DependencyUnavailableError

NOIDA_DB = Path(str(files("noida_db").joinpath("noida-db")))

_HOST = "127.0.0.1"
_POLL_S = 0.05
_STOP_LIMIT_S = 5.0
_OUTPUT_CHARACTERS = 2000


@contextmanager
def running_broker(
    binary: Path = NOIDA_DB, start_limit_s: float = 20.0, stop_limit_s: float = _STOP_LIMIT_S
) -> Iterator[str]:
    """Run a broker and give its `host:port`.

    Raises `DependencyUnavailableError`, with what `binary` wrote, when it does not start.
    """
    port = _free_port()
    with TemporaryDirectory(prefix="connector-demo-", ignore_cleanup_errors=True) as folder:
        output = Path(folder) / "output"
        process = _start(binary, port, Path(folder) / "data", output)
        try:
            _wait_until_listening(process, port, output, start_limit_s)
            yield f"{_HOST}:{port}"
        finally:
            _stop(process, stop_limit_s)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _start(binary: Path, port: int, data: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start the broker away from the terminal, so that Ctrl-C ends the demo first and the broker last."""
    dies_with_us = [setpriv, "--pdeathsig", "KILL"] if (setpriv := shutil.which("setpriv")) else []
    command = [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data)]
    try:
        with output.open("wb") as file:
            return subprocess.Popen(  # noqa: S603 - the binary is ours to choose, the arguments are made above
                [*dies_with_us, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise DependencyUnavailableError(f"the demo's broker cannot be started: {error}") from error


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, output: Path, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not _is_listening(port):
        if process.poll() is not None:
            what = f"ended with {process.returncode}"
        elif time.monotonic() > deadline:
            what = f"does not listen on port {port} after {limit_s:g} s"
        else:
            time.sleep(_POLL_S)
            continue
        said = output.read_text(encoding="utf-8", errors="replace").strip()[-_OUTPUT_CHARACTERS:]
        lines = (f"  {line}" for line in (said or "nothing").splitlines())
        raise DependencyUnavailableError(f"the demo's broker, noida-db, {what}; it said:", *lines)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((_HOST, port)) == 0


def _stop(process: subprocess.Popen[bytes], limit_s: float) -> None:
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
