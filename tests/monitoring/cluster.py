"""The objects of a stand-in for a Kubernetes cluster: kept, found by name and label, and given their pods.

Validates nothing and runs nothing. What clients do in pods is recorded here; must not know how clients speak.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]

KINDS = {
    "v1": {
        "namespaces": "Namespace",
        "nodes": "Node",
        "pods": "Pod",
        "events": "Event",
        "secrets": "Secret",
        "configmaps": "ConfigMap",
        "services": "Service",
        "serviceaccounts": "ServiceAccount",
        "resourcequotas": "ResourceQuota",
    },
    "apps/v1": {"statefulsets": "StatefulSet"},
    "batch/v1": {"jobs": "Job", "cronjobs": "CronJob"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}
"""The kinds of objects, by version and by the plural that paths have."""
CLUSTER_WIDE = frozenset({"namespaces", "nodes"})
_STARTED_AT = "2026-01-01T00:00:00Z"


class NotFoundError(Exception):
    """There is no such object, or no such path."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A command that kubectl starts in a container of a pod that runs."""

    pod: str
    container: str
    command: tuple[str, ...]


@dataclass
class Cluster:
    """The objects, by their plural and name, what was done in pods, and what each log says."""

    namespace: str
    log: str
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    executed: list[Executed] = field(default_factory=list)
    created: list[Object] = field(default_factory=list)
    forwarded: list[str] = field(default_factory=list)
    puts: int = 0

    def get(self, plural: str, name: str) -> Object:
        """Return an object. Raises `NotFoundError`."""
        try:
            return self.objects[plural, name]
        except KeyError:
            raise NotFoundError(f'{plural} "{name}" not found') from None

    def find(self, plural: str, query: Mapping[str, list[str]]) -> list[Object]:
        """Return the objects that the selectors of a request select: `a=b` of labels, and a field's name."""
        labels = [pair.partition("=") for pair in _parts(query, "labelSelector")]
        names = [value for key, _, value in (pair.partition("=") for pair in _parts(query, "fieldSelector"))]
        return [
            each
            for (kind, name), each in sorted(self.objects.items())
            if kind == plural
            and all(each["metadata"].get("labels", {}).get(key) == value for key, _, value in labels)
            and (not names or name in names)
        ]

    def remove(self, plural: str, name: str) -> Object:
        """Remove an object and return it; a pod that another object owns is replaced. Raises `NotFoundError`."""
        found = self.get(plural, name)
        del self.objects[plural, name]
        if _owners(found):
            self.put(plural, copy.deepcopy(found))
        return found

    def put(self, plural: str, made: Object) -> Object:
        """Keep an object as the API would after a while: with an id, and with its pods."""
        metadata, self.puts = made["metadata"], self.puts + 1
        metadata |= {"uid": f"uid-{self.puts}", "resourceVersion": "1"}
        if plural not in CLUSTER_WIDE:
            metadata["namespace"] = self.namespace
        metadata.setdefault("creationTimestamp", _STARTED_AT)
        if plural == "statefulsets":
            metadata["generation"] = 1
            made["status"] = {"observedGeneration": 1, "readyReplicas": made["spec"].get("replicas", 1)}
        elif plural == "pods":
            made["status"] = _status(made, is_running=bool(_owners(made)))
        self.objects[plural, metadata["name"]] = made
        owner = {"kind": made["kind"], "name": metadata["name"]}
        for name in [name for (_, name), each in self.objects.items() if owner in _owners(each)]:
            del self.objects["pods", name]
        for pod in _pods_of(made):
            self.put("pods", pod)
        return made


def _owners(each: Object) -> list[Object]:
    owners: list[Object] = each["metadata"].get("ownerReferences", [])
    return owners


def _parts(query: Mapping[str, list[str]], name: str) -> list[str]:
    return [part for value in query.get(name, []) for part in value.split(",") if part]


def _pods_of(owner: Object) -> Iterator[Object]:
    """Give the pods that a controller makes of a StatefulSet or a Job."""
    name, spec = owner["metadata"]["name"], owner.get("spec", {})
    if owner["kind"] == "StatefulSet":
        names = [f"{name}-{ordinal}" for ordinal in range(spec.get("replicas", 1))]
    elif owner["kind"] == "Job":
        spec["selector"] = {"matchLabels": {"batch.kubernetes.io/job-name": name}}
        spec["template"]["metadata"].setdefault("labels", {})["batch.kubernetes.io/job-name"] = name
        names = [f"{name}-abcde"]
    else:
        names = []
    for each in names:
        template = copy.deepcopy(spec["template"])
        metadata = {**template["metadata"], "name": each, "ownerReferences": [{"kind": owner["kind"], "name": name}]}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _status(pod: Object, *, is_running: bool) -> Object:
    """Return the status of a pod that runs and has been started again, or that has done its work."""
    ended = {"terminated": {"exitCode": 0, "startedAt": _STARTED_AT, "finishedAt": _STARTED_AT}}
    containers = [
        {
            "name": container["name"],
            "ready": is_running,
            "restartCount": int(is_running),
            "state": {"running": {"startedAt": _STARTED_AT}} if is_running else ended,
            "lastState": {"terminated": {"exitCode": 78}} if is_running else {},
        }
        for container in pod["spec"]["containers"]
    ]
    conditions = [{"type": "Ready", "status": str(is_running)}]
    return {
        "phase": "Running" if is_running else "Succeeded",
        "conditions": conditions,
        "containerStatuses": containers,
    }


def merged(old: Any, new: Any) -> Any:  # noqa: ANN401 - JSON
    """Return `old` as a merge patch changes it."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    kept = {key: value for key, value in old.items() if key not in new}
    return kept | {key: merged(old.get(key), value) for key, value in new.items() if value is not None}
