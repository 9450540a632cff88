"""Rules and dashboard come out of the chart as they stand in `helm/monitoring`, and Prometheus takes the rules."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.chart import CHART, kinds, only, render

_RULES = (CHART / "monitoring/rules.yaml").read_text(encoding="utf-8")
_RUNBOOK = "docs/runbook.md"


def _rules(**values: object) -> Any:  # noqa: ANN401 - a manifest's part
    return only(render("defaults", {"prometheusRule": {"enabled": True, **values}}), "PrometheusRule")["spec"]


def test_rules_are_those_of_the_file() -> None:
    """Nothing in them is taken for a template of Helm's."""
    assert _rules() == yaml.safe_load(_RULES)


def test_runbook_of_ones_own_takes_the_place_of_ours() -> None:
    """In every alert that has one, with the anchor kept."""
    assert _RUNBOOK in _RULES
    moved = yaml.safe_load(_RULES.replace(_RUNBOOK, "https://example.com/runbook"))
    assert _rules(runbookUrl="https://example.com/runbook") == moved


@pytest.mark.parametrize("address", ["Runbook: in the wiki", "{{ wiki }}", "[a]", 'it\'s "here" # and there'])
def test_runbook_that_is_not_a_url_is_taken_as_it_is(address: str) -> None:
    """It takes no alert away, whatever it would mean in YAML."""
    rules = [rule for group in _rules(runbookUrl=address)["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(rules) == len(_ALERTS)
    assert all(rule["annotations"]["runbook_url"].startswith(f"{address}#") for rule in rules)


def test_hours_of_ones_own_take_the_place_of_ours_in_their_two_alerts() -> None:
    """Whatever they are, even each other's; no other alert changes."""
    usual = _rules()
    for ticket, page in ((11, 22), (20, 12), (6, 6)):
        moved = _rules(consumerTicketHours=ticket, consumerPageHours=page)
        changed = {
            rule["alert"]: rule["expr"].split(" > ")[1].split("#")[0].strip()
            for ours, theirs in zip(usual["groups"], moved["groups"], strict=True)
            for before, rule in zip(ours["rules"], theirs["rules"], strict=True)
            if before != rule
        }
        assert changed == {
            "ComplianceConsumerBehind": f"3600 * {ticket}",
            "ComplianceConsumerDeadlineNear": f"3600 * {page}",
        }


_ALERTS = [rule["alert"] for group in yaml.safe_load(_RULES)["groups"] for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize(
    "disabled", [[], ["ComplianceDrift"], ["ComplianceNoReplica", "ComplianceReplicaDown"], _ALERTS]
)
def test_disabled_alerts_are_left_out_and_nothing_else(disabled: list[str]) -> None:
    """Recording rules stay, since the dashboard reads them, and no group is empty."""
    groups = _rules(disabledAlerts=disabled)["groups"]
    kept = [rule for group in yaml.safe_load(_RULES)["groups"] for rule in group["rules"]]
    assert [rule for group in groups for rule in group["rules"]] == [
        rule for rule in kept if rule.get("alert") not in disabled
    ]
    assert all(group["rules"] for group in groups)


@pytest.mark.parametrize(
    ("disabled", "record"),
    [
        ("ComplianceKafkaUnavailable", "partition:compliance_connector_kafka_trouble:group"),
        ("ComplianceConnectionsFlapping", "partition:compliance_connector_flapping:group"),
        ("ComplianceOwnCorruption", "partition:compliance_connector_stopped:group"),
        ("ComplianceTopicsChanged", "partition:compliance_connector_stopped:group"),
    ],
)
def test_alerts_are_not_silent_for_one_that_is_left_out(disabled: str, record: str, tmp_path: Path) -> None:
    """Otherwise unread stream partitions would raise no alert; only the exception is dropped."""
    rules = _rules(disabledAlerts=[disabled])
    left = {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    before = {rule["alert"]: rule["expr"] for group in _rules()["groups"] for rule in group["rules"] if "alert" in rule}
    silent = {name for name, expression in before.items() if record in expression and name != disabled}
    assert "ComplianceCoverageOld" in silent
    assert not any(record in expression for expression in left.values())
    assert left == {
        name: re.sub(rf"\s+unless on \([a-z, ]+\)\s+[^\n]*{record}.*", "", expression)
        for name, expression in before.items()
        if name != disabled
    }
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules), encoding="utf-8")
    subprocess.run(["promtool", "check", "rules", path], check=True, capture_output=True)  # noqa: S603, S607 - from the PATH


@pytest.mark.parametrize("names", [_ALERTS[:1], _ALERTS], ids=["one", "all"])
def test_time_and_severity_of_an_alert_can_be_set_one_by_one(names: list[str]) -> None:
    """Of any alert, also one that has no time of its own; no other changes."""
    minutes = {name: f"{number}m" for number, name in enumerate(names, start=1)}
    severities = {name: f"severity-{number}" for number, name in enumerate(names, start=1)}
    wanted = yaml.safe_load(_RULES)
    for rule in (rule for group in wanted["groups"] for rule in group["rules"] if rule.get("alert") in names):
        rule["for"], rule["labels"]["severity"] = minutes[rule["alert"]], severities[rule["alert"]]
    assert _rules(alertFor=minutes, alertSeverity=severities) == wanted


_LIMITED = [
    rule["alert"]
    for group in yaml.safe_load(_RULES)["groups"]
    for rule in group["rules"]
    if "# threshold" in rule["expr"]
]


@pytest.mark.parametrize("names", [_LIMITED[:1], _LIMITED], ids=["one", "all"])
def test_threshold_of_an_alert_can_be_set(names: list[str]) -> None:
    """In each place of its expression that is marked; nothing else changes."""
    limits = {name: number + 0.5 for number, name in enumerate(names, start=1)}
    wanted = yaml.safe_load(_RULES)
    for rule in (rule for group in wanted["groups"] for rule in group["rules"] if rule.get("alert") in names):
        rule["expr"] = re.sub(r"\S+(?=  # threshold)", str(limits[rule["alert"]]), rule["expr"])
    assert _rules(alertThresholds=limits) == wanted != yaml.safe_load(_RULES)


@pytest.mark.parametrize("values", [{}, {"alertThresholds": dict.fromkeys(_LIMITED, 10_000_000)}], ids=["ours", "own"])
def test_rendered_rules_pass_promtool(values: dict[str, object], tmp_path: Path) -> None:
    """With all its lints, and with thresholds of one's own, too."""
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(_rules(**values)), encoding="utf-8")
    command = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file)]
    done = subprocess.run(  # noqa: S603 - our own arguments
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboard_is_the_file_under_a_name_of_the_release() -> None:
    """Grafana's sidecar finds it by its label, and two releases do not write one file."""
    manifests = render("everything")
    [dashboard] = [manifest for manifest in manifests if manifest["metadata"]["name"].endswith("-dashboard")]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"]["grafana_folder"] == "compliance"
    [(name, text)] = dashboard["data"].items()
    assert name == "demo-compliance.json"
    assert json.loads(text) == json.loads((CHART / "monitoring/dashboard.json").read_text(encoding="utf-8"))


def test_neither_is_there_unless_asked_for() -> None:
    """The Operator's kinds may not exist in the cluster."""
    assert "PrometheusRule" not in kinds(render("defaults"))
    assert "ConfigMap" not in kinds(render("defaults"))
