"""The demo as a newcomer runs it: a process of its own, piped or on a terminal, ended early, or unable to start."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from connector.demo import run
from connector.demo.landing import ReadBack, read_back
from connector.demo.run import NEXT, run_demo
from connector.demo.stage import LOSS, TROUBLES

_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-m", "connector", "demo"]
_LIMIT_S = 120
_WELL = "Every event arrived exactly once"
_FAULTS = (
    "lost",
    "repeated",
    "misrouted",
    "never emitted",
    "out of order",
    "sequence breaks",
    "wrong batch results",
)


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


def _assert_well(output: str, *, has_all: bool) -> None:
    """Check the verdict of a demo that went all the way, or of one that was ended before anything went wrong."""
    figures = _figures(output)
    not_delivered = figures["made up for by batch runs"] + figures["remaining in gaps"]
    assert figures["emitted"] == figures["read back"] + not_delivered > 0
    assert {name for name in _FAULTS if figures[name]} == set()
    if not has_all:
        assert _WELL in output
        assert (not_delivered, figures["gaps"], figures["dead letters"]) == (0, 0, 0)
        assert " is done; " not in output
        return
    assert (figures["gaps"], figures["dead letters"]) == (len(LOSS.partitions), 2)
    assert min(figures["made up for by batch runs"], figures["remaining in gaps"]) > 0
    assert not_delivered == LOSS.events * len(LOSS.partitions)
    assert f"{figures['read back'] - 2:,} events arrived exactly once; " in output
    assert _WELL not in output
    runs = re.findall(r"run [0-9a-f]+ is done; (\w+) checked: [\d,]+, all accounted for\s*\n", output)
    assert runs == ["tweets", "users"]
    for partition, runs_that_answer in zip(LOSS.partitions, (1, 2), strict=True):
        assert output.count(f"  partly reconciled: gap of {partition} from ") == runs_that_answer


def test_demo_in_a_pipe_tells_all_in_lines_and_ends_well(environment: dict[str, str]) -> None:
    """Every fault is announced and caused, every topic counted, nothing on stderr."""
    process = _start(environment)
    output, errors = process.communicate(timeout=_LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    _assert_well(output, has_all=True)
    assert re.search(r"^ +\d+ s  [\d,]+ records on \d+ of 18 topics; \d s left$", output, re.MULTILINE)
    assert output.splitlines()[-len(NEXT) :] == list(NEXT)
    said = [*(trouble.text for trouble in TROUBLES), LOSS.text]
    assert [line for line in output.splitlines() if line.startswith("X ")][1:] == said
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
    assert re.search(r"\d s left", text)
    assert re.search(r"\.tweet\.delete +\d+ +\d+ +tweet/\d #\d+ ", text)
    _assert_well(text, has_all=True)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_demo_stopped_early_ends_in_the_same_way(environment: dict[str, str], number: signal.Signals) -> None:
    """Sooner, and judged by what was emitted by then."""
    process = _start(environment | {"DEMO_SECONDS": "600"})
    _read_up_to(process, "tweet.delete")
    process.send_signal(number)
    output, errors = process.communicate(timeout=_LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    _assert_well(output, has_all=False)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(LOSS.text, id="lost", marks=pytest.mark.long),
        pytest.param("A store holds all", id="made-up-for", marks=pytest.mark.long),
    ],
)
def test_demo_stopped_while_a_stretch_is_lost_or_made_up_for_goes_through_with_it(
    environment: dict[str, str], said: str
) -> None:
    """What has been lost on purpose is accounted for."""
    process = _start(environment)
    shown = _read_up_to(process, said)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=_LIMIT_S)
    assert (process.returncode, errors) == (0, "")
    _assert_well(shown + output, has_all=True)


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


def _without_an_event(found: ReadBack) -> ReadBack:
    """Leave out the newest event of a stream partition, which is in no gap."""
    newest = max(found.landed, key=lambda record: record.sequence or 0)
    return replace(found, landed=[record for record in found.landed if record != newest])


def _without_a_result(found: ReadBack) -> ReadBack:
    return replace(found, results=found.results[:-1])


def _without_the_gaps(found: ReadBack) -> ReadBack:
    return replace(found, gaps=[])


@pytest.mark.parametrize(
    ("spoil", "wrong"),
    [
        pytest.param(_without_an_event, {"lost"}, id="event", marks=pytest.mark.long),
        pytest.param(_without_a_result, {"lost", "wrong batch results"}, id="result"),
        pytest.param(_without_the_gaps, {"lost"}, id="gaps", marks=pytest.mark.long),
    ],
)
def test_demo_that_finds_a_loss_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[ReadBack], ReadBack],
    wrong: set[str],
) -> None:
    """What is missing is seen, named and answered with exit code 1."""
    monkeypatch.setattr(run, "read_back", lambda settings: spoil(read_back(settings)))
    assert run_demo(5.0) == 1
    output = capsys.readouterr().out
    figures = _figures(output)
    assert {name for name in _FAULTS if figures[name]} == wrong
    assert "\nlost: " in output
    assert "arrived exactly once" not in output


def _read_up_to(process: subprocess.Popen[str], text: str) -> str:
    """Return what a demo says up to the line with this text."""
    assert process.stdout is not None
    shown = ""
    for line in process.stdout:
        shown += line
        if text in line:
            break
    return shown


def _read_to_the_end(terminal: int) -> bytes:
    output = b""
    while True:
        try:
            output += os.read(terminal, 65536)
        except OSError:  # Linux says EIO once the other side is closed
            os.close(terminal)
            return output
