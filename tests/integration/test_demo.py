"""The demo as a newcomer runs it: a process of its own, piped or on a terminal, ended early, or unable to start."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from connector.demo import run
from connector.demo.landing import read_back
from connector.demo.run import TROUBLES, run_demo
from connector.demo.verdict import Landed
from connector.settings import Settings

_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "connector", "demo"]
_LIMIT_S = 120
_WELL = "Every event arrived exactly once"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a demo of 6 seconds that makes its temporary files in a folder of its own."""
    (tmp_path / "temporary").mkdir()
    return {**os.environ, "DEMO_SECONDS": "6", "TMPDIR": str(tmp_path / "temporary"), "TERM": "xterm"}


@pytest.fixture(autouse=True)
def _leaves_nothing(environment: Mapping[str, str]) -> Iterator[None]:
    yield
    assert not list(Path(environment["TMPDIR"]).iterdir())


def _start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        _COMMAND, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _figures(output: str) -> dict[str, int]:
    """Return the figures of the verdict by name."""
    found = re.findall(r"^([a-z ]+?) {2,}([\d,]+)\s*$", output, re.MULTILINE)
    return {name: int(figure.replace(",", "")) for name, figure in found}


def _assert_well(output: str, dead_letters: int) -> None:
    figures = _figures(output)
    assert _WELL in output
    assert figures["emitted"] == figures["read back"] > 0
    assert figures["dead letters"] == dead_letters
    for name in ("lost", "repeated", "misrouted", "never emitted", "out of order", "sequence breaks", "gaps"):
        assert figures[name] == 0


def test_demo_in_a_pipe_tells_all_in_lines_and_ends_well(environment: dict[str, str]) -> None:
    """Every trouble is told and made, every topic counted, nothing on stderr."""
    process = _start(environment)
    output, errors = process.communicate(timeout=_LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    _assert_well(output, dead_letters=2)
    assert [line for line in output.splitlines() if line.startswith("X ")][1:] == [trouble.text for trouble in TROUBLES]
    counts = re.findall(r"^x\.compliance[.-]\S+ +([\d,]+)$", output, re.MULTILINE)
    assert sum(int(count.replace(",", "")) for count in counts) == _figures(output)["read back"]
    assert len(counts) == 18


def test_demo_on_a_terminal_shows_a_table(environment: dict[str, str]) -> None:
    """Drawn in place, with the verdict below."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(  # noqa: S603 - our own command
        _COMMAND, cwd=_ROOT, env={**environment, **size}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = _read_to_the_end(ours).decode()
    assert process.wait(_LIMIT_S) == 0
    assert "\x1b[1A" in output
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)
    assert re.search(r"x\.compliance\.\.\. +records +last key +last record", text)
    assert re.search(r"\.tweet\.delete +\d+ +\d+ +tweet/\d #\d+ ", text)
    _assert_well(text, dead_letters=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_stopped_early_ends_in_the_same_way(environment: dict[str, str], number: signal.Signals) -> None:
    """Sooner, and judged by what was emitted by then."""
    process = _start(environment | {"DEMO_SECONDS": "600"})
    assert process.stdout is not None
    shown = []
    for line in process.stdout:
        shown.append(line)
        if "tweet.delete" in line:
            break
    process.send_signal(number)
    output, errors = process.communicate(timeout=_LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    _assert_well(output, dead_letters=0)


def test_demo_whose_reader_goes_away_ends_quietly(environment: dict[str, str]) -> None:
    """As under `| head`."""
    process = _start(environment)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("Starting")
    process.stdout.close()
    assert (process.stderr.read(), process.wait(_LIMIT_S)) == ("", 1)
    process.stderr.close()


def test_demo_whose_broker_does_not_start_says_why(environment: dict[str, str], tmp_path: Path) -> None:
    """Exit code 69, what the broker said, and no traceback."""
    package = tmp_path / "packages" / "noida_db"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "noida-db").write_text("#!/bin/sh\necho this machine is too old\nexit 1\n", encoding="utf-8")
    (package / "noida-db").chmod(0o755)
    process = _start(environment | {"PYTHONPATH": str(package.parent)})
    _, errors = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 69
    assert errors == "connector: the demo's broker, noida-db, ended with 1; it said:\n  this machine is too old\n"


def test_demo_without_its_packages_names_the_extra(environment: dict[str, str], tmp_path: Path) -> None:
    """Exit code 78 and what to install."""
    (tmp_path / "noida_db.py").write_text("raise ImportError('No module named noida_db')\n", encoding="utf-8")
    process = _start(environment | {"PYTHONPATH": str(tmp_path)})
    _, errors = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 78
    assert "the extra demo is not installed" in errors


def test_demo_that_finds_a_loss_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One record less than was emitted is seen, named and answered with exit code 1."""

    def read_back_but_one(settings: Settings) -> tuple[list[Landed], int]:
        landed, gaps = read_back(settings)
        return [record for record in landed if record != max(landed, key=lambda one: one.sequence or 0)], gaps

    monkeypatch.setattr(run, "read_back", read_back_but_one)
    assert run_demo(5.0) == 1
    output = capsys.readouterr().out
    assert _figures(output)["lost"] == 1
    assert "\nlost: " in output
    assert _WELL not in output


def _read_to_the_end(terminal: int) -> bytes:
    output = b""
    while True:
        try:
            output += os.read(terminal, 65536)
        except OSError:  # Linux says EIO once nobody holds the other side
            os.close(terminal)
            return output
