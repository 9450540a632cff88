"""The manifests: objects, labels, selectors, replicas and how they are rolled out."""

import kubernetes_validate
import pytest
import yaml

from connector import __version__
from tests.chart.rendered import FILES
from tests.rig.chart import (
    CHART,
    Manifest,
    config_text,
    kinds,
    only,
    pods,
    render,
    service_pod,
)


def test_defaults_make_what_a_service_needs_and_no_more() -> None:
    """No Secret, no monitor, no network policy unless asked for."""
    made = ["Job", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]
    assert kinds(render("defaults")) == made


def test_minimal_values_make_even_less() -> None:
    """Everything optional can be switched off."""
    assert kinds(render("minimal")) == ["Job", "Pod", "Secret", "Service", "StatefulSet"]
    pod = service_pod(render("minimal"))
    assert pod["serviceAccountName"] == "default"
    assert "topologySpreadConstraints" not in pod
    assert "resources" not in pod["containers"][0]


@FILES
def test_every_object_carries_the_recommended_labels_and_the_namespace(name: str) -> None:
    """Also those that users may add labels to."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    for manifest in render(name):
        if manifest["metadata"]["name"].endswith(("-extra", "-text")):
            continue
        labels = manifest["metadata"]["labels"]
        assert {
            f"app.kubernetes.io/{label}" for label in ("name", "instance", "version", "component", "managed-by")
        } < {*labels}
        assert labels["helm.sh/chart"] == f"{chart['name']}-{chart['version']}"
        assert manifest["metadata"]["namespace"] == "streams"


@FILES
def test_selectors_are_minimal_and_choose_the_service_alone(name: str) -> None:
    """Neither the provisioning Job's pods nor the test's are taken for replicas."""
    manifests = render(name)
    service = only(manifests, "Service")["spec"]["selector"]
    chosen = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}
    assert service.keys() == chosen
    assert only(manifests, "StatefulSet")["spec"]["selector"]["matchLabels"] == service
    for budget in (manifest for manifest in manifests if manifest["kind"] == "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"] == service
    matching = [kind for kind, pod in pods(manifests).items() if service.items() <= pod["metadata"]["labels"].items()]
    assert matching == ["StatefulSet"]


def test_labels_of_users_are_added_and_replace_none_of_ours() -> None:
    """The version is what the image is, whatever they say."""
    ours = "app.kubernetes.io/version"
    manifests = render("defaults", {"commonLabels": {ours: "other", "team": "trust"}, "podLabels": {"role": "reader"}})
    labels = pods(manifests)["StatefulSet"]["metadata"]["labels"]
    assert (labels["team"], labels["role"]) == ("trust", "reader")
    assert only(manifests, "StatefulSet")["metadata"]["labels"][ours] == __version__


@pytest.mark.parametrize(
    ("tag", "label"),
    [("a" * 62 + "-b", "a" * 62), ("a" * 61 + "._b", "a" * 61), ("_1", "1"), ("1.2.3-rc.1", "1.2.3-rc.1")],
)
def test_version_label_is_one_that_kubernetes_takes(tag: str, label: str) -> None:
    """A tag may be longer, and end or begin with what a label may not."""
    labels = only(render("defaults", {"image": {"tag": tag}}), "StatefulSet")["metadata"]["labels"]
    assert labels["app.kubernetes.io/version"] == label


def test_service_is_headless_and_governs_the_pods() -> None:
    """The StatefulSet names it, and it leads to the port that the container opens."""
    manifests = render("defaults")
    service = only(manifests, "Service")
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == only(manifests, "StatefulSet")["spec"]["serviceName"]
    assert service["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]


def test_replicas_have_no_claims_and_start_without_waiting_for_each_other() -> None:
    """State is in Kafka alone."""
    spec = only(render("defaults"), "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in spec
    assert (spec["replicas"], spec["podManagementPolicy"]) == (2, "Parallel")


@pytest.mark.parametrize("number", [0, 12])
def test_number_of_replicas_is_taken(number: int) -> None:
    """Zero is a number, too."""
    assert only(render("defaults", {"replicas": number}), "StatefulSet")["spec"]["replicas"] == number


def test_number_of_replicas_that_is_null_is_left_to_others() -> None:
    """The field is absent, since Helm 4 owns and defends what a manifest holds; all else is as ever."""
    usual, left = render("defaults"), render("defaults", {"replicas": None})
    del only(usual, "StatefulSet")["spec"]["replicas"]
    assert left == usual


def test_updates_are_rolled_out_as_the_values_say() -> None:
    """Strategy, waiting time and history; the last is absent by default, since it may be immutable."""
    spec = only(render("defaults"), "StatefulSet")["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    assert spec.keys().isdisjoint({"minReadySeconds", "revisionHistoryLimit"})
    values = {"updateStrategy": {"type": "OnDelete"}, "minReadySeconds": 10, "revisionHistoryLimit": 0}
    other = only(render("defaults", values), "StatefulSet")
    assert {name: other["spec"][name] for name in values} == values
    kubernetes_validate.validate(other, "1.29", strict=True)


@pytest.mark.parametrize(
    ("budget", "wanted"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"minAvailable": 1}, {"minAvailable": 1}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
    ],
)
def test_budget_says_who_may_be_away_or_who_must_stay(budget: Manifest, wanted: Manifest) -> None:
    """Setting one is enough: the other is then left out."""
    spec = only(render("defaults", {"podDisruptionBudget": budget}), "PodDisruptionBudget")["spec"]
    assert {name: spec[name] for name in ("minAvailable", "maxUnavailable") if name in spec} == wanted


def test_budget_of_replicas_that_others_count_may_have_any_minimum() -> None:
    """How many there are is not known here; none at all is a stop."""
    for replicas in (None, 0):
        assert render("defaults", {"replicas": replicas, "podDisruptionBudget": {"minAvailable": 2}})


def test_service_takes_annotations_and_address_families() -> None:
    """Both are absent by default."""
    service = only(render("everything"), "Service")
    assert service["metadata"]["annotations"]["example.com/topology"] == "auto"
    assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    assert "ipFamilyPolicy" not in only(render("defaults"), "Service")["spec"]


def test_service_waits_five_minutes_for_what_provisioning_makes() -> None:
    """An image that is slow to pull holds the Job up; `config` still wins."""
    assert "start_deadline_s: 300" in config_text(render("defaults"))
    assert "start_deadline_s: 600" in config_text(render("defaults", {"startDeadlineSeconds": 600}))
    own = {"config": {"pipeline": {"start_deadline_s": 60}}}
    assert "start_deadline_s: 60\n" in config_text(render("defaults", own))


def test_service_listens_on_ipv6_if_set_to() -> None:
    """On a cluster without IPv4 the default address leads nowhere."""
    assert "host: 0.0.0.0" in config_text(render("defaults"))
    assert "host: '::'" in config_text(render("defaults", {"http": {"host": "::"}}))
