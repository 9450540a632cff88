"""docs/batch.md: its commands work as printed, and its tables are those of the code."""

import io
import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from connector.batch.calls import Tools
from connector.batch.command import Report, Request, run_batch
from connector.batch.ids import FileIds
from connector.batch.pace import Pace
from connector.batch.results import DeadReason, Finding
from connector.batch.run import MOST_ATTEMPTS
from connector.batch.state import Outcome
from connector.cli import app
from connector.configuration import describe_settings
from connector.console import Progress
from connector.settings import BatchSettings, XSettings, variable_name
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.faults import BatchUrl, Transfer, Url
from connector.x.batch_api import BatchApi, JobType
from connector.x.transfers import TransferNotAllowedError

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[3]
_PAGE = (_ROOT / "docs/batch.md").read_text(encoding="utf-8")
_GROUP = typer.main.get_group(app).commands["batch"]
_RUN = _GROUP.commands["run"]  # type: ignore[attr-defined] # a group has commands
_PORT = "8400"
_TOKEN = SimulatorConfig().token
_NAMES = re.compile(r"\b(run|job) [0-9a-f]+\b")
_CHANGING = {"redacted_at", "checked_at", "run_id", "job_id"}


def _section(heading: str) -> str:
    return _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _block(heading: str, language: str = "console") -> str:
    """Return the first block of a section."""
    found = re.search(rf"^```{language}\n(.*?)^```$", _section(heading), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def _commands(heading: str) -> list[str]:
    return [line.removeprefix("$ ") for line in _block(heading).splitlines() if line.startswith("$ ")]


def _shown(heading: str) -> str:
    """Return what the page shows behind the first command with output."""
    return "".join(line for line in _block(heading).splitlines(keepends=True) if not line.startswith("$ "))


def _first_column(heading: str, header: str) -> list[str]:
    """Return the first cells of the table whose header begins so."""
    table = _section(heading).partition(f"\n| {header} |")[2].partition("\n\n")[0]
    return [row.split("|")[1].strip().strip("`") for row in table.splitlines()[2:]]


def _without_names(text: str) -> str:
    """Return a text without the ids of runs and jobs, which differ each time."""
    return _NAMES.sub(r"\1", text)


def _unchanging(line: str) -> dict[str, Any]:
    """Return a JSON object, with null in place of what differs each time."""
    values: dict[str, Any] = json.loads(line)
    return values | dict.fromkeys(_CHANGING & values.keys())


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which the command `connector` is the code under test, without settings."""
    program = tmp_path / "bin" / "connector"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={_ROOT} exec {shlex.quote(sys.executable)} -m connector "$@"\n')
    program.chmod(0o755)
    others = {name: value for name, value in os.environ.items() if not name.startswith("CONNECTOR_")}
    return others | {"PATH": f"{program.parent}:{os.environ['PATH']}"}


def _pasted(lines: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Return what a shell prints, with both outputs in one, for lines that start a simulator first."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    start, *others = (line.replace(f":{_PORT}", f":{port}") for line in lines)
    assert start.startswith("connector simulate ")
    with subprocess.Popen(  # noqa: S603 - what the page says
        ["bash", "-c", "\n".join([start.replace("simulate", f"simulate --port {port}"), *others, "kill %1"])],  # noqa: S607 - any
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            return shell.communicate(timeout=60)[0]
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)


def test_quick_start_prints_what_the_page_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    """Five lines as printed, on another port; the result that the page explains is among the results."""
    assert len(_commands("Quick start")) == 5
    output = _pasted(_commands("Quick start"), tmp_path, environment)
    assert _without_names(output).endswith(_without_names(_shown("Quick start")))
    results = (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    assert _unchanging(_block("What to do with the results", "json")) in map(_unchanging, results)
    assert stat.S_IMODE((tmp_path / "results.jsonl").stat().st_mode) == 0o600


def test_job_by_hand_is_answered_as_the_page_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    """By curl alone, in the shell of the quick start."""
    beginning = [line for line in _commands("Quick start") if not line.startswith("connector batch")]
    output = _pasted([*beginning, *_commands("By hand")], tmp_path, environment)
    *_, status, result = output.splitlines()
    expected_status, expected_result = _shown("By hand").splitlines()
    assert status.endswith(expected_status)
    assert _unchanging(result) == _unchanging(expected_result)


def test_invalid_lines_are_reported_as_the_page_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    """With their numbers, and X is not asked."""
    [command] = _commands("Input")
    (tmp_path / "export.csv").write_text("id\n1001216387764453744,deleted\n1.00121638776445E+18\n")
    given = environment | {"CONNECTOR_X__BASE_URL": "http://127.0.0.1:9", "CONNECTOR_X__BEARER_TOKEN": _TOKEN}
    ended = subprocess.run(  # noqa: S603 - what the page says
        shlex.split(command), cwd=tmp_path, env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (65, "", _shown("Input"))


@pytest.fixture(name="sim")
def _sim() -> Iterator[Simulator]:
    """Give a simulated X whose jobs take an hour, with events behind it."""
    with Simulator(SimulatorConfig(batch_job_s=3600.0)) as sim:
        sim.emit(200)
        yield sim


def _ids(sim: Simulator) -> str:
    return "".join(f"{id_}\n" for id_ in sim.population.ids("tweets"))


def test_run_that_is_interrupted_is_resumed_by_the_same_command(
    sim: Simulator, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Without a second job; until then its folder is the user's own, and holds neither a URL nor the token."""
    (tmp_path / "ids.txt").write_text(_ids(sim))
    command = shlex.split(_commands("Quick start")[-1])
    given = environment | {"CONNECTOR_X__BASE_URL": sim.base_url, "CONNECTOR_X__BEARER_TOKEN": _TOKEN}
    with subprocess.Popen(command, cwd=tmp_path, env=given, stderr=subprocess.PIPE, text=True) as run:  # noqa: S603
        assert run.stderr is not None
        assert any("is in_progress" in line for line in iter(run.stderr.readline, ""))
        run.send_signal(signal.SIGINT)
        last = run.stderr.read()
    assert (run.returncode, last) == (130, "interrupted; run the same command again to resume\n")
    _check_private(tmp_path / ".connector-batch/tweets")
    sim.clock.advance(3600)
    ended = subprocess.run(  # noqa: S603 - what the page says
        command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stderr.startswith("resuming run ")) == (0, True)
    assert (len(sim.jobs.snapshot()), (tmp_path / ".connector-batch/tweets").exists()) == (1, False)


def _check_private(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    assert kept
    assert not [secret for secret in (_TOKEN.encode(), b"http", b"token=") if secret in kept]


@pytest.mark.parametrize("transfer", get_args(Transfer))
@pytest.mark.parametrize("how", get_args(Url))
def test_transfer_url_that_is_not_allowed_gets_no_token(tmp_path: Path, how: Url, transfer: Transfer) -> None:
    """And no ids: nothing is sent there, and the run ends with an error that does not show the URL."""
    with Simulator(SimulatorConfig(batch_job_s=0.0)) as sim:
        sim.emit(50)
        sim.inject(BatchUrl(how=how, transfer=transfer, times=None))
        request = Request(
            kind=JobType.TWEETS,
            ids=FileIds(io.BytesIO(_ids(sim).encode()), skip_invalid=False),
            results=tmp_path / "results.jsonl",
            folder=tmp_path / "run",
        )
        settings = XSettings.model_validate({"base_url": sim.base_url, "bearer_token": _TOKEN})
        with BatchApi(settings) as api, pytest.raises(TransferNotAllowedError) as refused:
            run_batch(request, Tools(api, Pace(0), Progress(io.StringIO())))
        assert sim.fired["batch-url"]
        asked = {request.origin for request in sim.requests}
    assert asked == {"api"}
    assert refused.value.exit_code == 78
    assert "token=" not in str(refused.value)
    assert not (tmp_path / "results.jsonl").exists()


def test_tables_have_every_word_of_the_code() -> None:
    """Reasons, fields and exit codes, and no others."""
    results = "What to do with the results"
    assert sorted(_first_column(results, "reason")) == sorted(DeadReason)
    fields = {name for cell in _first_column(results, "field") for name in re.findall(r"\w+", cell)}
    assert fields == {*Finding.__dataclass_fields__, "checked_at", "run_id", "job_id"}
    _, _, codes = (_RUN.help or "").partition("Exit codes: ")
    assert re.findall(r"\d+", " ".join(_first_column("Exit codes", "code"))) == re.findall(r"\b\d+\b", codes)


def test_names_on_the_page_are_those_of_the_code() -> None:
    """Settings, options, and members of the report in JSON."""
    settings = {variable_name(path) for path, _ in describe_settings(BatchSettings)}
    named = set(re.findall(r"CONNECTOR_[A-Z_0-9]+", _PAGE))
    assert named
    assert named <= settings
    options = {name for option in _RUN.params for name in option.opts}
    assert set(re.findall(r"`(--?[a-z-]+)(?: [0-9a-z]+)?`", _PAGE)) <= options
    commands = set(re.findall(r"connector batch ([a-z]+)", _PAGE)) | {"status"}
    assert commands == _GROUP.commands.keys()  # type: ignore[attr-defined] # a group has commands
    outcome = Outcome("1", 0, "", 0, 0, 0, 0, 0, 0, [])
    members = Report("r", JobType.TWEETS, 0, 0, 0, outcome, None, None).as_json({}).keys()
    [named_members] = re.findall(r"With `--output json` it is one JSON object: (.*?)\.\n", _PAGE, re.DOTALL)
    assert re.findall(r"`([a-z_]+)`", named_members) == [*members]


def test_figures_on_the_page_are_those_of_the_code() -> None:
    """Where the code has names for them."""
    assert MOST_ATTEMPTS == 3
    assert "up to three jobs" in _PAGE
    [origin] = XSettings.model_fields["transfer_origins"].default
    assert f"`{origin}`" in _section("Where the token goes")
