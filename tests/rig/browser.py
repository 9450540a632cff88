"""A headless Chromium, driven over its DevTools pipe: what a person sees of a page, and what the page broke.

Protocol: one JSON object a message, each ended by a NUL (chromedevtools.github.io, `--remote-debugging-pipe`).
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_TIMEOUT_S = 60.0
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-pipe",
)

_LAUNCH = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Starts Chromium, which reads from descriptor 3 and writes to 4."""


def _browser() -> str:
    """Return the name under which Chromium is here; hosted runners have it as Chrome."""
    return "chromium" if shutil.which("chromium") else "google-chrome"


@dataclass(frozen=True)
class Node:
    """A node of the accessibility tree, as a screen reader has it."""

    role: str
    name: str


class Browser:
    """One page at a time, inside a `with`; `problems` are errors and violations that the latest page made."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="chromium-")
        reading, self._to = os.pipe()
        self._from, writing = os.pipe()
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [
                *(sys.executable, "-c", _LAUNCH, str(reading), str(writing)),
                *(_browser(), *_ARGUMENTS, f"--user-data-dir={self._folder}", "about:blank"),
            ],
            pass_fds=(reading, writing),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reading)
        os.close(writing)
        self._count, self._rest = 0, b""
        self._session: str | None = None
        self.problems: list[str] = []
        self._events: list[dict[str, Any]] = []

    def open(self, url: str, width: int, *, dark: bool = False) -> None:
        """Open a page in a window of that width, in pixels, and wait until it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.problems.clear()
        self._events.clear()
        self._ask("Page.navigate", url=url)
        deadline = time.monotonic() + _TIMEOUT_S
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            assert time.monotonic() < deadline, f"{url} was not there in time"
            self._read()

    def run(self, expression: str) -> Any:  # noqa: ANN401 - whatever it comes to
        """Return what a JavaScript expression comes to; the policy of the page does not apply to it."""
        return self._ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    @property
    def text(self) -> str:
        """The text that a person reads."""
        return str(self.run("document.body.innerText"))

    def nodes(self) -> list[Node]:
        """Return what a screen reader finds."""
        found = self._ask("Accessibility.getFullAXTree")["nodes"]
        return [
            Node(node["role"]["value"], node.get("name", {}).get("value", "")) for node in found if not node["ignored"]
        ]

    def screenshot(self, height: int) -> bytes:
        """Return a PNG of the top of the page."""
        width = self.run("document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = self._ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        """Return the next message; events are kept, too."""
        while b"\0" not in self._rest:
            data = os.read(self._from, 1 << 16)
            assert data, "the browser ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._events.append(message)
            self._note(message["method"], message.get("params", {}))
        return message

    def _note(self, method: str, parameters: dict[str, Any]) -> None:
        if method in {"Log.entryAdded", "Runtime.exceptionThrown", "Audits.issueAdded", "Network.loadingFailed"}:
            self.problems.append(json.dumps(parameters))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            targets = self._ask("Target.getTargets")["targetInfos"]
            [page] = [target["targetId"] for target in targets if target["type"] == "page"]
            self._session = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network", "Audits", "Accessibility"):
                self._ask(f"{domain}.enable")
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._folder, ignore_errors=True)
