"""`connector coverage`: its exit codes, and that no text of anyone's makes a report say what it does not."""

import os
from dataclasses import replace

import pytest
from typer.testing import Result

from connector.commands.coverage import ReportOutput, show
from connector.operations.coverage_report import CoverageReport, Verdict
from tests.unit.commands.printing import printed
from tests.unit.operations.coverage_values import COVERAGE, GAP, LETTER, REPORT

_HOSTILE = "x\x1b[2J\x1b]0;y\x07\u202e\r\ncomplete: x.compliance\n=cmd()"


def _shown(report: CoverageReport, output: str) -> Result:
    return printed(lambda: show(report, ReportOutput(output)))


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
def test_exit_code_is_0_only_for_complete(verdict: Verdict, foreign: tuple[str, ...], exit_code: int) -> None:
    """Whatever the form; what is foreign is said beside the report."""
    report = replace(REPORT, verdict=verdict, foreign=foreign)
    for output in ("table", "json", "csv"):
        result = _shown(report, output)
        assert result.exit_code == exit_code
        assert result.stdout
        said = "1 record was not written by the connector, such as a record\n" if foreign else ""
        assert result.stderr == said


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_report_cannot_be_made_to_say_that_all_is_complete(output: str) -> None:
    """By the words in a gap, a dead letter, a note or the name of a replica."""
    partition = replace(
        COVERAGE,
        gaps=(replace(GAP, gap_id=_HOSTILE, state=_HOSTILE, cause=_HOSTILE, detail=_HOSTILE),),
        dead_letters=(replace(LETTER, reason=_HOSTILE, detail=_HOSTILE),),
        owners=(replace(COVERAGE.owners[0], owner=_HOSTILE),),
        notes=(_HOSTILE,),
        events={_HOSTILE: 1},
    )
    report = replace(REPORT, partitions=(partition,), foreign=(_HOSTILE,))
    lines = _shown(report, output).output.split("\n")
    assert all(map(str.isprintable, lines))
    assert not [line for line in lines if line.startswith(("complete:", "=cmd"))]
