"""Owns what the tests on a real API server share: the control plane, and a namespace for each test."""

import json
from collections.abc import Iterator
from itertools import count

import pytest

from tests.cluster.cluster import PROGRAMS, Cluster
from tests.cluster.release import Release
from tests.rig.chart import ROOT

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Start a control plane that knows the Prometheus Operator's kinds; skip where it has not been built."""
    if not (PROGRAMS / "kube-apiserver").exists():
        pytest.skip("there is no API server: `make cluster-test` builds it")
    with Cluster() as started:
        for kind in ("PodMonitor", "PrometheusRule", "ServiceMonitor"):
            started.kubectl("apply", "--filename=-", stdin=json.dumps(_definition(kind)))
        started.kubectl("create", "priorityclass", "important", "--value=1")
        yield started


def _definition(kind: str) -> dict[str, object]:
    """Return a definition that takes anything: what is right for the kind, `tests/chart` asks its schema."""
    assert (ROOT / f"tests/chart/crds/{kind}.json").exists()
    name = kind.lower()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{name}s", "singular": name},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture
def release(cluster: Cluster) -> Release:
    """Give a release that is not installed, in a namespace of its own."""
    made = Release(cluster, f"streams-{next(_NUMBERS)}")
    made.make_namespace()
    return made
