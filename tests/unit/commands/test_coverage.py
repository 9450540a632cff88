"""`connector coverage`: its exit codes, and that no text of anyone's makes a report say what it does not."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from typer.testing import CliRunner, Result

from connector import cli
from connector.commands import coverage
from connector.operations import coverage_reading
from connector.operations.coverage_report import CoverageReport, Verdict
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings
from tests.unit.operations.coverage_values import COVERAGE, GAP, LETTER, REPORT

_HOSTILE = "x\x1b[2J\x1b]0;y\x07\u202e\r\ncomplete: x.compliance\n=cmd()"
_SETTINGS = Settings(
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:9"),
)
Run = Callable[..., Result]


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command, which finds a certain report."""
    monkeypatch.setattr(coverage, "configure", lambda *_: _SETTINGS)

    def run(report: CoverageReport, *arguments: str) -> Result:
        monkeypatch.setattr(coverage_reading, "read_coverage", lambda *_, **__: report)
        return CliRunner().invoke(cli.app, ["coverage", *arguments], color=True)

    return run


@pytest.mark.parametrize(
    ("verdict", "foreign", "exit_code"),
    [
        (Verdict.COMPLETE, (), 0),
        (Verdict.GAPS, (), 1),
        (Verdict.BEGINS_LATER, (), 1),
        (Verdict.NOT_YET, (), 1),
        (Verdict.COMPLETE, ("a record",), os.EX_SOFTWARE),
        (Verdict.NOT_YET, ("a record",), os.EX_SOFTWARE),
    ],
)
def test_exit_code_is_0_only_for_complete(run: Run, verdict: Verdict, foreign: tuple[str, ...], exit_code: int) -> None:
    """Whatever the form; what is foreign is said beside the report."""
    report = replace(REPORT, verdict=verdict, foreign=foreign)
    for output in ("table", "json", "csv"):
        result = run(report, "--output", output)
        assert result.exit_code == exit_code
        assert result.stdout
        said = "1 record was not written by the connector, such as a record\n" if foreign else ""
        assert result.stderr == said


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_report_cannot_be_made_to_say_that_all_is_complete(run: Run, output: str) -> None:
    """By the words in a gap, a dead letter, a note or the name of a replica."""
    partition = replace(
        COVERAGE,
        gaps=(replace(GAP, gap_id=_HOSTILE, state=_HOSTILE, cause=_HOSTILE, detail=_HOSTILE),),
        dead_letters=(replace(LETTER, reason=_HOSTILE, detail=_HOSTILE),),
        owners=(replace(COVERAGE.owners[0], owner=_HOSTILE),),
        notes=(_HOSTILE,),
        events={_HOSTILE: 1},
    )
    lines = run(replace(REPORT, partitions=(partition,), foreign=(_HOSTILE,)), "--output", output).output.split("\n")
    assert all(map(str.isprintable, lines))
    assert not [line for line in lines if line.startswith(("complete:", "=cmd"))]
