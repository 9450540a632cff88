"""What is generated from the chart is what it would be now, and Helm finds nothing to say."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from connector import __version__
from tests.chart.golden import golden_file, golden_text
from tests.rig.chart import CHART, ROOT, VALUES_FILES, helm, render_text
from tests.rig.documented import README, SCHEMA, VALUES, documented_values, readme_text, schema_text
from tests.rig.pages import code_blocks

FILES = pytest.mark.parametrize("name", VALUES_FILES)


@FILES
def test_lint_of_each_values_file_finds_nothing(name: str) -> None:
    """Helm's own linter, with its warnings as errors."""
    helm("lint", "--strict", str(CHART), "--values", str(VALUES_FILES[name]))


@FILES
def test_render_of_each_values_file_is_the_golden_one(name: str) -> None:
    """`python -m tests.chart.generate` would change nothing."""
    assert golden_file(name).read_text(encoding="utf-8") == golden_text(name)


def test_golden_renders_are_those_of_the_values_files() -> None:
    """None is left over from a file that is gone."""
    assert {path.stem for path in golden_file("any").parent.iterdir()} == set(VALUES_FILES)


def test_schema_and_readme_say_what_the_comments_of_the_values_say() -> None:
    """`python -m tests.chart.generate` would change nothing."""
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()
    assert README.read_text(encoding="utf-8") == readme_text()


def _members(node: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Return the parts of a schema by path: members after a dot, items after `[]`."""
    found = {path: node}
    for name, member in node.get("properties", {}).items():
        found |= _members(member, f"{path}.{name}")
    return found | (_members(node["items"], f"{path}[]") if "items" in node else {})


def test_every_value_is_in_the_schema_with_a_description() -> None:
    """Neither knows a value that the other lacks, and none goes unexplained."""
    members = _members(json.loads(SCHEMA.read_text(encoding="utf-8")))
    leaves = {path for path, node in members.items() if path and "description" in node and "[]" not in path}
    values = {"." + ".".join(value.path): value for value in documented_values()}
    assert {path for path in leaves if not path.startswith(".config.")} == values.keys()
    assert all(members[path]["description"] for path in leaves)
    assert all(value.description for value in values.values())


def test_schema_takes_no_unknown_name_in_our_own_objects() -> None:
    """A typing mistake is an error wherever the names are ours, and only there: `global` is for all charts."""
    members = _members(json.loads(SCHEMA.read_text(encoding="utf-8")))
    open_objects = {path for path, node in members.items() if "properties" in node and node["additionalProperties"]}
    assert open_objects == {".global"}


def test_chart_names_the_version_of_the_service() -> None:
    """Without a tag, the image of this very version is run."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__


def test_each_values_file_says_what_it_is_for() -> None:
    """The first line is a comment."""
    assert all(path.read_text(encoding="utf-8").startswith("# ") for path in [*VALUES_FILES.values(), VALUES])


def test_notes_name_the_next_commands_and_warn_of_secrets_as_values() -> None:
    """The three commands of a first install are there, and secrets in values are named but not shown."""
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values")
    plain = helm(*arguments, str(VALUES_FILES["defaults"])).partition("NOTES:")[2]
    assert all(command in plain for command in ("rollout status", "helm test", "port-forward"))
    assert "WARNING" not in plain
    notes = helm(*arguments, str(VALUES_FILES["sasl-tls"])).partition("NOTES:")[2]
    given = "x.apiKey, x.apiKeySecret, kafka.sasl.password, schemaRegistry.password"
    assert f"WARNING: secrets were given as values ({given})" in " ".join(notes.split())
    assert "made-up" not in notes


def test_notes_name_what_config_puts_in_place_of_the_values(tmp_path: Path) -> None:
    """Brokers, prefix and streams are those that the service uses."""
    values = tmp_path / "values.yaml"
    settings = {"kafka": {"bootstrap_servers": "other:9192", "topic_prefix": "own"}, "x": {"streams": ["like"]}}
    values.write_text(json.dumps({"config": settings}), encoding="utf-8")
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values", str(VALUES_FILES["defaults"]))
    notes = helm(*arguments, "--values", str(values)).partition("NOTES:")[2]
    assert "reads the streams like of X into the topics own.* of other:9192." in notes


def test_notes_name_the_secrets_that_pods_wait_for() -> None:
    """Each once, those of provisioning included; a pod without one waits and says so in its events alone."""
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values", str(VALUES_FILES["production"]))
    names = "x-credentials, kafka-x-compliance, kafka-ca, registry-x-compliance"
    said = "Its pods do not start before these Secrets are in the namespace default: "
    assert f"{said}{names}, kafka-x-compliance-provisioner\n" in helm(*arguments)
    assert f"{said}{names}\n" in helm(*arguments, "--set", "provisioning.enabled=false")
    values = ("--values", str(VALUES_FILES["defaults"]), "--set", "x.existingSecret=,x.bearerToken=made-up")
    assert said not in helm(*arguments[:-2], *values)


@pytest.mark.parametrize(
    ("given", "warns"),
    [("enabled=false", False), ("enabled=true", True), ("enabled=true,prometheusRule.runbookUrl=https://wiki", False)],
)
def test_notes_warn_of_alerts_whose_runbook_is_not_found(given: str, warns: bool) -> None:  # noqa: FBT001 - one of two
    """The default is a path in the source."""
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values", str(VALUES_FILES["defaults"]))
    notes = helm(*arguments, "--set", f"prometheusRule.{given}").partition("NOTES:")[2]
    assert ("set prometheusRule.runbookUrl" in notes) is warns


@pytest.mark.parametrize(("replicas", "warns"), [("null", False), ("10", False), ("11", True)])
def test_notes_warn_of_more_replicas_than_stream_partitions(replicas: str, warns: bool) -> None:  # noqa: FBT001 - one of two
    """Not where others choose their number."""
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values", str(VALUES_FILES["defaults"]))
    notes = helm(*arguments, "--set", f"replicas={replicas}").partition("NOTES:")[2]
    assert ("at most 10 stream partitions" in notes) is warns


def test_notes_name_the_batch_runs_that_are_on() -> None:
    """With the topic that they need, and nothing where none is on."""
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values")
    notes = helm(*arguments, str(VALUES_FILES["everything"])).partition("NOTES:")[2]
    assert "Batch runs ask X about all tweets and users on the topic trust.x-holdings" in notes
    assert "get cronjobs,jobs" in notes
    assert "Batch runs" not in helm(*arguments, str(VALUES_FILES["defaults"])).partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("policy", "is_open"),
    [
        ({"enabled": False}, True),
        ({"enabled": True}, True),
        ({"enabled": True, "metricsFrom": [{"podSelector": {}}]}, False),
    ],
)
def test_notes_say_so_where_everyone_may_reach_the_http_port(
    policy: Mapping[str, Any],
    is_open: bool,  # noqa: FBT001 - one of two
    tmp_path: Path,
) -> None:
    """Unless the network policy names those who may."""
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"networkPolicy": policy}), encoding="utf-8")
    arguments = ("install", "demo", str(CHART), "--dry-run=client", "--values", str(VALUES_FILES["defaults"]))
    notes = helm(*arguments, "--values", str(values)).partition("NOTES:")[2]
    assert ("may use the HTTP port, without a password" in notes) is is_open


def test_values_that_pages_show_are_those_that_are_rendered() -> None:
    """Those for production in the chart's README, and the least in docs/deploy.md, as `helm/ci` has them."""
    for page, name in ((README, "production"), (ROOT / "docs/deploy.md", "defaults")):
        first, *_ = code_blocks(page.read_text(encoding="utf-8"), "yaml")
        assert yaml.safe_load(first) == yaml.safe_load(VALUES_FILES[name].read_text(encoding="utf-8"))


def test_installation_is_the_same_on_all_pages() -> None:
    """`make image` pushes the image, and the values are in a file."""
    for page in (README, ROOT / "README.md", ROOT / "docs/deploy.md"):
        text = page.read_text(encoding="utf-8")
        [line] = [line for line in text.splitlines() if line.startswith("$ helm install ")]
        _, _, _, _, folder, *options = line.split()
        assert (folder, options) == (CHART.name, ["-f", "values.yaml"])
        assert re.search(f"^\\$ make image IMAGE=\\S+/x-compliance-connector:{__version__} PUSH=1$", text, re.MULTILINE)


def test_text_with_templates_of_values_is_taken_as_text() -> None:
    """A value that looks like YAML or like a template changes nothing but itself."""
    odd = "a: b # {{ .Values }} ' \" \\"
    assert json.dumps(odd) in json.dumps(
        [*yaml.safe_load_all(render_text("defaults", {"podAnnotations": {"odd": odd}}))]
    )
