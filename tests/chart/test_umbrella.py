"""The chart as part of another: the parent's condition, and what `global` holds for all charts."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.rig.chart import CHART, VALUES_FILES, Manifest, Manifests, helm, pods, render

_NAME = "x-compliance-connector"


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a chart that has ours as its one dependency, under the condition that is usual."""
    folder = tmp_path_factory.mktemp("parent") / "parent"
    shutil.copytree(CHART, folder / "charts" / _NAME)
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"]
    ours = {"name": _NAME, "version": version, "condition": f"{_NAME}.enabled"}
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [ours]}
    (folder / "Chart.yaml").write_text(json.dumps(chart), encoding="utf-8")
    return folder


def _render(parent: Path, ours: Manifest, shared: Manifest | None = None) -> Manifests:
    defaults = yaml.safe_load(VALUES_FILES["defaults"].read_text(encoding="utf-8"))
    values = {_NAME: {**defaults, **ours}, "global": shared or {}}
    text = helm("template", "demo", str(parent), "--namespace=streams", "--values=-", values=json.dumps(values))
    return tuple(document for document in yaml.safe_load_all(text) if document)


def test_part_of_another_chart_renders_as_it_does_alone(parent: Path) -> None:
    """The values are only one level deeper, and what `global` holds for others is ignored."""
    shared = {"domain": "example.com", "storageClass": None, "postgresql": {"auth": {"username": "u"}}}
    made = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in render("defaults")}
    assert {(one["kind"], one["metadata"]["name"]): one for one in _render(parent, {}, shared)} == made


def test_condition_of_the_parent_switches_the_whole_chart(parent: Path) -> None:
    """By `enabled` among our values, which the chart itself does not look at."""
    assert _render(parent, {"enabled": True}) == _render(parent, {})
    assert _render(parent, {"enabled": False}) == ()


def test_null_of_the_parent_is_null_for_the_chart(parent: Path) -> None:
    """A parent may leave the number of replicas to others, too."""
    [replicas] = [one for one in _render(parent, {"replicas": None}) if one["kind"] == "StatefulSet"]
    assert "replicas" not in replicas["spec"]


@pytest.mark.parametrize(
    ("own", "image"),
    [
        ({}, "mirror.example.com/connector:1"),
        ({"registry": "own.example.com"}, "own.example.com/connector:1"),
    ],
    ids=["global", "own"],
)
def test_registry_for_all_charts_is_used_if_the_chart_has_none(own: Manifest, image: str) -> None:
    """For every container of every pod that runs the connector."""
    values = {
        "global": {"imageRegistry": "mirror.example.com"},
        "image": {"repository": "connector", "tag": "1", **own},
        "batch": {"tweets": {"enabled": True}},
    }
    made = pods(render("defaults", values)).values()
    assert {container["image"] for pod in made for container in pod["spec"]["containers"]} == {image}


def test_pull_secrets_for_all_charts_come_after_ours_and_none_twice(parent: Path) -> None:
    """As names or as objects: both are usual."""
    shared = {"imagePullSecrets": ["mirror", {"name": "registry"}, {"name": "other"}]}
    wanted = [{"name": "registry"}, {"name": "mirror"}, {"name": "other"}]
    for manifests in (
        render("defaults", {"global": shared, "imagePullSecrets": ["registry"]}),
        _render(parent, {"imagePullSecrets": [{"name": "registry"}]}, shared),
    ):
        assert [pod["spec"]["imagePullSecrets"] for pod in pods(manifests).values()] == [wanted] * 3
