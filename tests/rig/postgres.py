"""Owns a real PostgreSQL in a folder of its own, for the example that keeps a store of Tweets."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

import psycopg
from psycopg.sql import SQL, Identifier

from tests.rig.java import RigError
from tests.rig.process import LOOPBACK, Housed, Server, free_port

_SUPERUSER = "postgres"
_FOLDERS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)),)
"""Debian's, the newest last."""


class Postgres(Housed):
    """PostgreSQL on a free loopback port, empty at its start; a context manager. `url` is the address of a database."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"postgresql://{_SUPERUSER}@{LOOPBACK}:{self._port}/postgres"
        super().__init__("postgres")
        self._data = self._folder / "data"
        command = [*_as_user(), str(find_postgres("postgres")), "-D", str(self._data), "-c", "fsync=off"]
        command += ["-c", f"listen_addresses={LOOPBACK}", "-c", f"port={self._port}", "-c", "unix_socket_directories="]
        self._server = Server("postgres", command, self._folder / "log", self._is_ready)
        self._started = [self._server]

    def database(self, name: str) -> str:
        """Create an empty database; return its address."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        return self.url.removesuffix("postgres") + name

    def _prepare(self) -> None:
        self._folder.chmod(0o711)
        self._data.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self._data, _SUPERUSER, _SUPERUSER)
        initdb = [
            *_as_user(),
            str(find_postgres("initdb")),
            "-D",
            str(self._data),
            "-U",
            _SUPERUSER,
            "-A",
            "trust",
            "-N",
        ]
        done = subprocess.run(initdb, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603 - ours
        if done.returncode:
            raise RigError(f"initdb: {done.stderr}")

    def _is_ready(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it in a way that leaves no shared memory behind."""
        os.kill(self._server.pid, signal.SIGQUIT)
        self._server.stop()
        super().__exit__(kind, error, trace)


def find_postgres(tool: str) -> Path:
    """Return the path of a program of the newest PostgreSQL that is installed. Raises `RigError` if there is none."""
    found = [folder / tool for folder in _FOLDERS if (folder / tool).is_file()]
    if not found and (path := shutil.which(tool)) is not None:
        found = [Path(path)]
    if not found:
        raise RigError(f"no {tool} of PostgreSQL in /usr/lib/postgresql or PATH")
    return found[-1]


def _as_user() -> list[str]:
    """Return what a command begins with: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", _SUPERUSER, "--regid", _SUPERUSER, "--clear-groups", "--pdeathsig", "KILL"]
