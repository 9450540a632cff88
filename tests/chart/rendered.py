"""Owns what several tests read off rendered manifests."""

import pytest

from tests.rig.chart import (
    VALUES_FILES,
    Manifest,
    Manifests,
    pods,
)

FILES = pytest.mark.parametrize("name", VALUES_FILES)
NAME = "demo-x-compliance-connector"
BATCH: Manifest = {"batch": {"tweets": {"enabled": True}, "users": {"enabled": True}}}
"""Values that switch all batch runs on."""


def sources(manifests: Manifests, kind: str = "StatefulSet") -> dict[str, str]:
    """Return where each mounted credential of a pod comes from, by its path: `SECRET/KEY`."""
    [volume] = [volume for volume in pods(manifests)[kind]["spec"]["volumes"] if volume["name"] == "secrets"]
    return {
        item["path"]: f"{source['name']}/{item['key']}"
        for entry in volume["projected"]["sources"]
        for source in entry.values()
        for item in source["items"]
    }


def cron_jobs(manifests: Manifests) -> list[Manifest]:
    """Return the CronJobs."""
    return [manifest for manifest in manifests if manifest["kind"] == "CronJob"]
