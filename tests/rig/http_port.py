"""The HTTP port in a process of its own, with few descriptors: what strangers cost it can be measured.

`python -m tests.rig.http_port` prints the port, and serves until its input ends.
"""

import resource
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from connector.pages.service_page import ServicePage
from connector.settings import HttpSettings
from connector.telemetry.http import HttpServer, Pages
from connector.x.clock import wall_us
from tests.rig.crowded import crowded_status
from tests.rig.process import LOOPBACK

METRICS = b"x" * 256 * 1024
"""As long as those of a service, which has some 160 KiB at its start."""
_DESCRIPTORS = 256
_END_TIMEOUT_S = 30.0


class HttpPortProcess:
    """Serves pages inside a `with`; tells what its process takes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.http_port"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=_END_TIMEOUT_S)

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._status("Threads")

    @property
    def peak_mib(self) -> float:
        """The most memory that was resident so far, in MiB."""
        return self._status("VmHWM") / 1024

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Serve."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    page = ServicePage(crowded_status(wall_us()))
    pages = Pages(lambda: METRICS, lambda: True, lambda: True, dict, page.answer, lambda _: None)
    with HttpServer(HttpSettings(host=LOOPBACK, port=0), pages) as server:
        print(server.port, flush=True)  # noqa: T201 - the answer
        sys.stdin.read()


if __name__ == "__main__":
    main()
