"""Renders the chart with the real Helm, each combination of values once for a session."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
VALUES_FILES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
"""The files of values in `helm/ci`, by the part before `-values.yaml`."""
RELEASE = "demo"
NAMESPACE = "streams"

Manifest = dict[str, Any]
Manifests = tuple[Manifest, ...]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


def helm(*arguments: str, values: str = "{}") -> str:
    """Return what Helm prints; `--values=-` stands for `values`, as JSON.

    Raises `HelmError` with its complaint, or when `make` has not built it yet.
    """
    program = os.environ.get("HELM", str(ROOT / ".work/tools/helm"))
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [program, *arguments], input=values, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        raise HelmError(f"{program} is not there: run `make chart` once, it builds it") from None
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout


def render(name: str, values: Manifest | None = None) -> Manifests:
    """Return the objects that `values` over the values file `name` of `helm/ci` give.

    Raises `HelmError` where they are refused.
    """
    return tuple(document for document in yaml.load_all(render_text(name, values), yaml.CSafeLoader) if document)


def render_text(name: str, values: Manifest | None = None) -> str:
    """Return the text that `values` over the values file `name` of `helm/ci` give; raises as `render` does."""
    return _render(VALUES_FILES[name], json.dumps(values or {}))


@cache
def _render(values_file: Path, values: str) -> str:
    arguments = (RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", str(values_file), "--values=-")
    return helm("template", *arguments, values=values)


def kinds(manifests: Manifests) -> list[str]:
    """Return the kinds of the objects, sorted."""
    return sorted(manifest["kind"] for manifest in manifests)


def only(manifests: Manifests, kind: str) -> Manifest:
    """Return the one object of `kind`."""
    [found] = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pods(manifests: Manifests) -> dict[str, Manifest]:
    """Return metadata and spec of the pods, by the kind of the object that makes them: StatefulSet, Job, Pod.

    Those of CronJobs are `CronJob tweets` and `CronJob users`.
    """
    made = {kind["kind"]: kind["spec"]["template"] for kind in manifests if kind["kind"] in {"StatefulSet", "Job"}}
    scheduled = {
        f"CronJob {manifest['metadata']['name'].rpartition('-')[2]}": job_spec(manifest)["template"]
        for manifest in manifests
        if manifest["kind"] == "CronJob"
    }
    return made | scheduled | {"Pod": only(manifests, "Pod")}


def job_spec(cron_job: Manifest) -> Manifest:
    """Return the spec of the Jobs that a CronJob makes."""
    spec: Manifest = cron_job["spec"]["jobTemplate"]["spec"]
    return spec


def service_pod(manifests: Manifests) -> Manifest:
    """Return the spec of the service's pods."""
    spec: Manifest = pods(manifests)["StatefulSet"]["spec"]
    return spec


def service_container(manifests: Manifests) -> Manifest:
    """Return the container of the service."""
    container: Manifest = service_pod(manifests)["containers"][0]
    return container


CONFIG_ANNOTATION = "x-compliance-connector/config.yaml"
"""The annotation of each pod that holds the connector's YAML file."""


def config_text(manifests: Manifests) -> str:
    """Return the connector's YAML file, which is the same in all pods."""
    [text] = {str(pod["metadata"]["annotations"][CONFIG_ANNOTATION]) for pod in pods(manifests).values()}
    return text


def nested(path: str, value: object) -> Manifest:
    """Return `value` at the dotted `path`: `("x.auth", 1)` is `{"x": {"auth": 1}}`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merged(one: Any, other: Any) -> Any:  # noqa: ANN401 - JSON
    """Return both in one, as far as they are maps; of lists, which have one item each, the items."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: merged(one.get(key), value) for key, value in other.items()}}
    if isinstance(one, list) and isinstance(other, list) and one and other:
        return [merged(one[0], other[0])]
    return other
