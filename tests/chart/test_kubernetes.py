"""What is rendered is valid: by Kubernetes' own schemas, oldest and newest, and by the Prometheus Operator's."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.rig.chart import CHART, VALUES_FILES, Manifest, only, render

_CRDS = {path.stem: path for path in (Path(__file__).parent / "crds").glob("*.json")}
_VERSIONS = ("1.29", "1.37")


@pytest.mark.parametrize("version", _VERSIONS)
@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_object_is_valid_for_kubernetes(name: str, version: str) -> None:
    """Strictly: an unknown field is an error, and so is an unknown kind that no operator defines."""
    for manifest in render(name):
        if manifest["kind"] not in _CRDS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_oldest_version_is_the_one_that_the_chart_declares() -> None:
    """The version given to Helm is one that was tried."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={_VERSIONS[0]}.0-0"


@cache
def _crd(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(_CRDS[kind].read_text(encoding="utf-8"))
    return schema


def _of_operator(manifest: Manifest) -> None:
    assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
    jsonschema.Draft202012Validator(_crd(manifest["kind"])).validate(manifest)


@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_object_is_valid_for_the_prometheus_operator(name: str) -> None:
    """Strictly, too."""
    for manifest in render(name):
        if manifest["kind"] in _CRDS:
            _of_operator(manifest)


def test_pod_monitor_is_valid_for_the_prometheus_operator() -> None:
    """The other way to be scraped, with all that can be set."""
    monitor = {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "interval": "30s",
        "scrapeTimeout": "10s",
        "relabelings": [{"targetLabel": "a", "replacement": "b"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
    }
    _of_operator(only(render("defaults", {"podMonitor": monitor}), "PodMonitor"))


@pytest.mark.parametrize("kind", _CRDS)
def test_schemas_of_the_operator_refuse_an_unknown_field(kind: str) -> None:
    """The check above can fail."""
    specs = {
        "PodMonitor": {"selector": {}, "podMetricsEndpoints": [{"port": "http", "unknown": 1}]},
        "PrometheusRule": {"groups": [{"name": "a", "rules": [{"expr": "1", "unknown": 1}]}]},
        "ServiceMonitor": {"selector": {}, "endpoints": [{"port": "http", "unknown": 1}]},
    }
    manifest = {"apiVersion": "monitoring.coreos.com/v1", "kind": kind, "metadata": {}, "spec": specs[kind]}
    with pytest.raises(jsonschema.ValidationError, match="'unknown' was unexpected"):
        _of_operator(manifest)


def test_strict_validation_refuses_an_unknown_field() -> None:
    """The check above can fail."""
    service = only(render("defaults"), "Service")
    with pytest.raises(kubernetes_validate.ValidationError, match="unknown"):
        kubernetes_validate.validate({**service, "unknown": 1}, _VERSIONS[0], strict=True)
