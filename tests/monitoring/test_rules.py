"""The rules: sound by themselves, each alert told apart from its near misses, and none without what a person needs."""

import re
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from tests.rig.metric_table import ROOT, RULES, alerts, metric_rows, rules
from tests.rig.queries import labels_of

CASES = Path(__file__).parent / "rules.test.yaml"
ALERTS = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 - from the PATH
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_what_prometheus_takes() -> None:
    """`promtool check rules` has nothing to say, not even as lint."""
    _promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_cases_come_out_as_they_say() -> None:
    """`promtool test rules` plays every case, and nothing fires that a case does not expect."""
    _promtool("test", "rules", CASES)


def _cases(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    return [case for case in cases if case["name"].startswith(f"{name} ")]


def _fires(name: str, case: dict[str, Any]) -> bool:
    """Tell whether the case expects the alert where it asks which ones fire."""
    asked = [test for test in case["promql_expr_test"] if 'ALERTS{alertstate="firing"' in test["expr"]]
    assert asked, case["name"]
    return any(f'alertname="{name}"' in sample["labels"] for test in asked for sample in test["exp_samples"])


@ALERTS
def test_alert_has_a_firing_and_a_quiet_case(alert: dict[str, Any]) -> None:
    """At least one each, and each case does what its name says."""
    name = alert["alert"]
    firing = {case["name"]: _fires(name, case) for case in _cases(name)}
    assert set(firing.values()) == {True, False}
    for case, fires in firing.items():
        assert case.startswith(f"{name} fires: " if fires else f"{name} stays quiet: ")


def test_cases_are_of_alerts_that_exist() -> None:
    """No case tests what is gone."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    assert {case["name"].split()[0] for case in cases} == {alert["alert"] for alert in alerts()}


@ALERTS
def test_alert_says_what_a_person_needs(alert: dict[str, Any]) -> None:
    """A severity, what has happened in a line, what it means, and where it says what to do."""
    assert alert["labels"] in ({"severity": "page"}, {"severity": "ticket"})
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert len(alert["annotations"]["summary"]) < 120
    assert alert["annotations"]["runbook_url"] == f"docs/runbook.md#{alert['alert'].lower()}"
    assert (ROOT / "docs/runbook.md").is_file()


_RELEASE = frozenset({"namespace", "job"})
_ROWS = {row.name: row for row in metric_rows()}
_RECORDED = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def _labels(name: str) -> frozenset[str]:
    """Return the labels of a metric, with those that a scrape adds."""
    if name in _RECORDED:
        return labels_of(promql_parser.parse(_RECORDED[name]), _labels) or frozenset()
    if name == "up":
        return _RELEASE | {"instance"}
    row = _ROWS.get(name) or _ROWS[name.rpartition("_")[0]]
    return _RELEASE | {"instance"} | set(row.labels)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_keeps_releases_apart(rule: dict[str, Any]) -> None:
    """Its answer says of which release it is, unless there is none, and distinguishes replicas only to name them."""
    kept = labels_of(promql_parser.parse(rule["expr"]), _labels) or frozenset()
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule.get("annotations", {}).values())))
    assert used <= kept
    assert kept >= _RELEASE or rule["expr"].startswith("absent(")
    assert "instance" not in kept or "instance" in used
