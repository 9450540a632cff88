"""docs/kubernetes.md says what the chart does: examples of values, what pods ask for, and links."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.chart import CHART, RELEASE, ROOT, Manifest, Manifests, helm, pods, render
from tests.rig.pages import code_blocks
from tests.rig.pod_security import RULES

_PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
_LINK = re.compile(r"\]\(([^)\s#]*)#?([^)\s]*)\)")


def _section(heading: str) -> str:
    return _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _documents(heading: str) -> list[Manifest]:
    """Return the YAML documents of a section."""
    [block] = code_blocks(_section(heading), "yaml")
    return list(yaml.safe_load_all(block))


def _rendered_alone(values: Manifest) -> Manifests:
    text = helm("template", RELEASE, str(CHART), "--values=-", values=json.dumps(values))
    return tuple(document for document in yaml.safe_load_all(text) if document)


def test_versions_that_the_page_names_are_those_that_make_builds() -> None:
    """Those of kubectl and Helm; kubectl's library counts from 0."""
    [kubectl] = re.findall(r"k8s.io/kubectl v0\.(\d+)\.", (ROOT / "tests/kubectl/go.mod").read_text(encoding="utf-8"))
    [helm_version] = re.findall(
        r"^HELM_VERSION := v(\d+\.\d+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert f"kubectl 1.{kubectl} and Helm {helm_version}" in " ".join(_PAGE.split())


def test_openshift_leaves_user_and_groups_to_the_cluster() -> None:
    """No pod names any, and each still keeps Pod Security."""
    [values] = _documents("OpenShift")
    batch = {"batch": {"tweets": {"enabled": True}, "users": {"enabled": True}}}
    made = pods(render("minimal", {**values, **batch}))
    assert len(made) == 5
    for pod in made.values():
        contexts = [pod["spec"]["securityContext"], *(each["securityContext"] for each in pod["spec"]["containers"])]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & {name for context in contexts for name in context}
        assert [rule.__name__ for rule in RULES if not rule({"metadata": {}, **pod})] == []


def test_values_for_quotas_limit_every_container() -> None:
    """Those of batch runs and of the test, too."""
    [values] = _documents("Quotas")
    for kind in ("tweets", "users"):
        values["batch"][kind]["enabled"] = True
    containers = [each for pod in pods(render("defaults", values)).values() for each in pod["spec"]["containers"]]
    assert len(containers) == 6
    for container in containers:
        assert container["resources"]["limits"].keys() == {"cpu", "memory"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("row", "pod"),
    [
        ("service", "StatefulSet"),
        ("Job that provisions", "Job"),
        ("`helm test`", "Pod"),
        ("batch runs", "CronJob users"),
    ],
)
def test_table_says_what_pods_ask_for(row: str, pod: str) -> None:
    """CPU and memory of each container, as they are by default."""
    [cells] = re.findall(rf"^\| {row} \|.*?\| (.*?) \| (.*?) \|$", _section("Quotas"), re.MULTILINE)
    spec = pods(render("defaults", {"batch": {"users": {"enabled": True}}}))[pod]["spec"]
    for container in spec["containers"]:
        asked = container["resources"]
        assert f"{asked['requests']['cpu']}, {asked['requests']['memory']}" in cells[0]
        assert asked["limits"].keys() == {"memory"}
        assert asked["limits"]["memory"] in cells[1]


def test_argo_cd_example_installs_the_chart() -> None:
    """Its values are all that is needed, and its name is the one that the chart selects by."""
    [application] = _documents("Argo CD")
    assert application["kind"] == "Application"
    helm_of: dict[str, Any] = application["spec"]["source"]["helm"]
    assert "releaseName" not in helm_of
    assert application["spec"]["source"]["path"] == CHART.name
    assert "StatefulSet" in {each["kind"] for each in _rendered_alone(helm_of["valuesObject"])}


def test_flux_example_installs_the_chart() -> None:
    """Its values are all that is needed, and its source is the one beside it."""
    source, release = _documents("Flux")
    assert (source["kind"], release["kind"]) == ("GitRepository", "HelmRelease")
    assert release["spec"]["chart"]["spec"]["sourceRef"] == {
        "kind": source["kind"],
        "name": source["metadata"]["name"],
    }
    assert "StatefulSet" in {each["kind"] for each in _rendered_alone(release["spec"]["values"])}


def test_chart_renders_the_same_each_time() -> None:
    """Nothing in it is random or asked of a cluster, as the page says for Argo CD; `derivePassword` is neither."""
    templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*.*"))
    assert not re.search(r"\b(lookup|rand\w+|uuidv4|now|gen[A-Z]\w+|bcrypt|htpasswd)\b ", templates)


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _anchors(page: Path) -> set[str]:
    return {_slug(line) for line in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("page", ["kubernetes", "runbook", "deploy", "image", "kafka", "upgrade", "platforms"])
def test_links_lead_to_sections(page: str) -> None:
    """Every relative link of the pages for operators, with the heading behind its `#`."""
    path = ROOT / f"docs/{page}.md"
    for target, anchor in _LINK.findall(path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            linked = path.parent / target if target else path
            assert linked.exists(), target
            assert not anchor or anchor in _anchors(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("name", re.findall(r"`(test_\w+)`", _PAGE))
def test_tests_that_the_page_names_exist(name: str) -> None:
    """What it says was tried, is."""
    files = (ROOT / "tests/faults").glob("test_*.py")
    assert any(f"def {name}(" in path.read_text(encoding="utf-8") for path in files)
