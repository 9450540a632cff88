"""The runbook says what to do in words that are true: every alert, every query, every cause."""

import re
from enum import StrEnum

import pytest

from connector.coverage.gap import Gap, GapCause, GapState
from connector.coverage.messages import Verdict
from connector.kafka.current_writer import ReplacementCause
from connector.telemetry.metrics import RestartCause
from connector.x.errors import FailureReason
from tests.rig.log_events import log_events
from tests.rig.metric_table import ROOT, alerts, metric_rows, rules
from tests.rig.pages import code_blocks
from tests.rig.queries import selectors

PAGE = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")


def section(alert: str) -> str:
    """Return what the runbook says of an alert."""
    _, _, rest = PAGE.partition(f"\n### {alert}\n")
    return re.split(r"\n##+ ", rest, maxsplit=1)[0]


def _alerts_under(heading: str) -> list[str]:
    _, _, rest = PAGE.partition(f"\n## {heading}\n")
    return re.findall(r"^### (.+)$", rest.partition("\n## ")[0], re.MULTILINE)


@pytest.mark.parametrize(("heading", "severity"), [("Pages", "page"), ("Tickets", "ticket")])
def test_sections_are_those_of_the_alerts(heading: str, severity: str) -> None:
    """One for each, in the order of the rules, under how urgent it is."""
    assert _alerts_under(heading) == [alert["alert"] for alert in alerts() if alert["labels"]["severity"] == severity]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_section_says_what_it_means_and_what_is_at_stake(alert: dict[str, str]) -> None:
    """The person on call learns first how bad it is."""
    text = " ".join(section(alert["alert"]).split())
    assert text.startswith("**Means** ")
    assert "**At stake** " in text


@pytest.mark.parametrize("query", list(code_blocks(PAGE, "promql")))
def test_query_asks_for_metrics_that_there_are(query: str) -> None:
    """It is PromQL, and of what the service shows or a rule records."""
    known = {row.name for row in metric_rows()} | {rule.get("record") for rule in rules()}
    for selector in selectors(query):
        assert str(selector.name).removesuffix("_bucket") in known


def test_log_events_that_are_looked_for_exist() -> None:
    """Every event by which a command searches the log is one."""
    asked = set(re.findall(r'\.event == "(\w+)"', PAGE))
    for names in re.findall(r"\.event \| IN\((.*?)\)", PAGE):
        asked.update(re.findall(r'"(\w+)"', names))
    assert asked
    assert asked <= {event.name for event in log_events()}


def test_log_events_that_may_need_a_person_lead_somewhere() -> None:
    """Each error and each warning is in the table of log events."""
    _, _, table = PAGE.partition("\n## Log events\n")
    first_cells = "".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))
    known = {event.name for event in log_events() if event.level in {"error", "warning"}}
    assert set(re.findall(r"`(\w+)`", first_cells)) == known


def test_gap_causes_and_reasons_to_fail_are_all_there() -> None:
    """The tables leave no value out that the connector can give."""
    lost, suspected = section("ComplianceGapRecorded"), section("ComplianceGapSuspected")
    for cause in GapCause:
        assert f"`{cause.value}`" in (lost if Gap(0, 0, cause).state is GapState.LOST else suspected)
    failing, not_live = section("ComplianceReplayFailing"), section("CompliancePartitionNotLive")
    assert [verdict for verdict in Verdict if verdict != "whole" and f"`{verdict.value}`" not in failing] == []
    assert [reason for reason in FailureReason if f"`{reason}`" not in not_live] == []


@pytest.mark.parametrize(
    ("alert", "causes"),
    [("CompliancePartitionRestarting", RestartCause), ("ComplianceProducersReplaced", ReplacementCause)],
)
def test_causes_to_begin_again_are_all_there(alert: str, causes: type[StrEnum]) -> None:
    """The first cell of each row of the table, and no others."""
    cells = re.findall(r"^ *\| (`.+?) \|", section(alert), re.MULTILINE)
    assert {cell.split(", ")[0] for cell in cells} == {f"`{cause.value}`" for cause in causes}
