"""Owns a release of the chart in a namespace with `restricted` enforced: what Helm does to it, and what is there."""

import json
from dataclasses import dataclass
from typing import Any

from tests.cluster.cluster import Cluster, Said
from tests.rig.chart import CHART, CONFIG_ANNOTATION, VALUES_FILES, Manifest
from tests.rig.process import wait_until

_LEVELS = tuple(f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn"))
_READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@dataclass(frozen=True, slots=True)
class Release:
    """One release; there may be others in its namespace."""

    cluster: Cluster
    namespace: str
    name: str = "demo"

    @property
    def full_name(self) -> str:
        """Of the StatefulSet, and what the names of all its objects begin with."""
        chart = "x-compliance-connector"
        return self.name if chart in self.name else f"{self.name}-{chart}"

    def make_namespace(self) -> None:
        """Create it, with the Pod Security Standard `restricted` enforced."""
        self.cluster.kubectl("create", "namespace", self.namespace)
        self.cluster.kubectl("label", "namespace", self.namespace, *_LEVELS)

    def install(self, values_file: str, *options: str) -> Said:
        """Install the chart with the values of a file of `helm/ci`."""
        return self._helm("install", self.name, str(CHART), f"--values={VALUES_FILES[values_file]}", *options)

    def upgrade(self, *options: str) -> Said:
        """Upgrade it, with what it has unless the options say otherwise."""
        return self._helm("upgrade", self.name, str(CHART), *(options or ("--reuse-values",)))

    def scale_by_helm(self, replicas: int) -> Said:
        """Scale it as the runbook says."""
        return self.upgrade("--reuse-values", "--set", f"replicas={replicas}")

    def rollback(self, *options: str) -> Said:
        """Go back one revision."""
        return self._helm("rollback", self.name, *options)

    def uninstall(self) -> Said:
        """Uninstall it."""
        return self._helm("uninstall", self.name)

    def manifest(self) -> str:
        """Return the manifests of its latest revision."""
        return self._helm("get", "manifest", self.name).output

    def hooks(self) -> str:
        """Return the manifest of the pod of `helm test`."""
        return self._helm("get", "hooks", self.name).output

    def status(self) -> str:
        """Return what Helm says of the release, such as `deployed` or `failed`."""
        status: str = json.loads(self._helm("status", self.name, "--output=json").output)["info"]["status"]
        return status

    def _helm(self, *arguments: str) -> Said:
        return self.cluster.helm(*arguments, "--namespace", self.namespace)

    def kubectl(self, *arguments: str, stdin: str = "") -> Said:
        """Run `kubectl` in its namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, kinds: str, *options: str) -> list[Manifest]:
        """Return the objects of the kinds that are the release's."""
        selector = f"--selector=app.kubernetes.io/instance={self.name}"
        items: list[Manifest] = json.loads(self.kubectl("get", kinds, selector, *options, "--output=json").output)[
            "items"
        ]
        return items

    def stateful_set(self) -> Any:  # noqa: ANN401 - a manifest
        """Return the StatefulSet as it is now."""
        return json.loads(self.kubectl("get", "statefulset", self.full_name, "--output=json").output)

    def revisions(self) -> int:
        """Return how many revisions the StatefulSet has had, as far as they are kept."""
        return len(self.get("controllerrevisions"))

    def replicas(self) -> dict[str, Manifest]:
        """Return the pods of the service by name, but those that are about to go."""
        pods = self.get("pods", "--selector=app.kubernetes.io/component=connector")
        return {
            pod["metadata"]["name"]: pod
            for pod in pods
            if pod["metadata"]["labels"]["app.kubernetes.io/instance"] == self.name
            and "deletionTimestamp" not in pod["metadata"]
        }

    def configurations(self) -> dict[str, str]:
        """Return the file that each replica mounts, by the number of the replica."""
        return {
            name.rpartition("-")[2]: pod["metadata"]["annotations"][CONFIG_ANNOTATION]
            for name, pod in self.replicas().items()
        }

    def wait_for_replicas(self, number: int) -> None:
        """Wait until there are exactly `number` pods of the service."""
        wait_until(lambda: len(self.replicas()) == number, f"{number} replicas of {self.name}")

    def make_ready(self, *names: str) -> None:
        """Do what a kubelet would: say of all replicas, or of these, that they run and are ready."""
        for name in names or self.replicas():
            patch = json.dumps({"status": _READY})
            self.kubectl("patch", "pod", name, "--subresource=status", f"--patch={patch}")
