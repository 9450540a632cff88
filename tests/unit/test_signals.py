"""SIGTERM while `connector run` starts, also as a container's first process: one without a handler never gets it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[2]
_CONNECTOR = str(Path(sys.executable).with_name("connector"))
_ENVIRONMENT = {
    **os.environ,
    "CONNECTOR_X__BEARER_TOKEN": "hush",
    "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "CONNECTOR_SCHEMA_REGISTRY__URL": "http://127.0.0.1:9",
    "CONNECTOR_HTTP__PORT": "0",
}
_FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child")
_DELAYS_S = [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5]
_TERMINATED = 128 + signal.SIGTERM
_LIMIT_S = 10


def _can_be_first() -> bool:
    try:
        return not subprocess.run([*_FIRST_PROCESS, "true"], capture_output=True, check=False).returncode  # noqa: S603
    except FileNotFoundError:
        return False


def _start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - our own program
        command, env=_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _entry_point() -> list[str]:
    """Return how the image starts the connector, with the connector of this environment."""
    dockerfile = (_ROOT / "Dockerfile").read_text(encoding="utf-8")
    [words] = re.findall(r"^ENTRYPOINT (.+)$", dockerfile, re.MULTILINE)
    return [_CONNECTOR if word == "connector" else word for word in json.loads(words)]


def _first_process(unshare: "subprocess.Popen[str]") -> int:
    """Return the process that is the first one in its namespace, once no SIGTERM is lost on it."""
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        if (found := children.read_text(encoding="ascii").split()) and _keeps_sigterm(Path("/proc", found[0])):
            return int(found[0])
    raise AssertionError("the first process never kept a SIGTERM")


def _keeps_sigterm(process: Path) -> bool:
    """Tell whether it blocks or handles it as the entry point; `unshare` blocks it, too, for a moment before that."""
    is_entry_point = (process / "comm").read_text(encoding="utf-8") != "unshare\n"
    masks = re.findall(r"^Sig(?:Blk|Cgt):\s(\w+)$", (process / "status").read_text(encoding="ascii"), re.MULTILINE)
    return is_entry_point and any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


@pytest.mark.parametrize("delay_s", _DELAYS_S)
def test_sigterm_ends_the_start_of_the_service_at_once(delay_s: float) -> None:
    """By the kernel before there is a handler, else with the exit code of a stop; without a word in either case."""
    with _start(_CONNECTOR, "run") as process:
        time.sleep(delay_s)
        process.terminate()
        _, said = process.communicate(timeout=_LIMIT_S)
    assert process.returncode in {-signal.SIGTERM, _TERMINATED, os.EX_OK}
    assert "Traceback" not in said


@pytest.mark.skipif(not _can_be_first(), reason="no process namespaces here; make image-test does it in a container")
@pytest.mark.parametrize("delay_s", _DELAYS_S)
def test_sigterm_ends_the_first_process_of_a_container_at_once(delay_s: float) -> None:
    """However early: the image's entry point blocks it until the connector has a handler."""
    with _start(*_FIRST_PROCESS, *_entry_point(), "run") as unshare:
        first = _first_process(unshare)
        time.sleep(delay_s)
        os.kill(first, signal.SIGTERM)
        _, said = unshare.communicate(timeout=_LIMIT_S)
    assert unshare.returncode in {_TERMINATED, os.EX_OK}
    assert "Traceback" not in said
