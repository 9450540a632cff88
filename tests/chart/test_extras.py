"""What users add: placement, annotations, monitors, network policy."""

import pytest
from typer.testing import CliRunner

from connector.cli import app
from tests.chart.rendered import BATCH, FILES, cron_jobs
from tests.rig.chart import (
    Manifest,
    Manifests,
    only,
    pods,
    render,
    service_pod,
)


def test_spread_constraint_without_a_selector_is_given_the_replicas_own() -> None:
    """One that has its own keeps it."""
    manifests = render("defaults")
    ours = only(manifests, "StatefulSet")["spec"]["selector"]
    constraints = service_pod(manifests)["topologySpreadConstraints"]
    assert [constraint["labelSelector"] for constraint in constraints] == [ours, ours]
    [kept] = service_pod(render("everything"))["topologySpreadConstraints"]
    assert kept["labelSelector"] == {"matchLabels": {"team": "trust"}}


def test_placement_concerns_all_pods_and_affinity_the_service() -> None:
    """The provisioning Job must be schedulable where the service is."""
    for pod in pods(render("everything")).values():
        spec = pod["spec"]
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert spec["tolerations"][0]["key"] == "dedicated"
        assert spec["priorityClassName"] == "important"
        assert spec["imagePullSecrets"] == [{"name": "registry"}]
        assert spec["hostAliases"] == [{"ip": "192.0.2.1", "hostnames": ["kafka-1"]}]
        assert (spec["dnsPolicy"], spec["dnsConfig"]["options"][0]["name"]) == ("ClusterFirst", "ndots")
    assert "affinity" in service_pod(render("everything"))


def test_extras_are_added() -> None:
    """Variables, volumes, mounts, containers and manifests, the latter with templates filled in."""
    manifests = render("everything")
    pod = service_pod(manifests)
    assert [container["name"] for container in pod["containers"]] == ["connector", "sidecar"]
    assert [container["name"] for container in pod["initContainers"]] == ["wait"]
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["/usr/bin/env", "true"]
    for made in pods(manifests).values():
        container = made["spec"]["containers"][0]
        assert {"name": "scratch", "emptyDir": {}} in made["spec"]["volumes"]
        assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"]  # noqa: S108 - in the pod
        assert {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"} in container["env"]
        assert container["envFrom"] == [{"configMapRef": {"name": "proxy"}}]
    extra = {manifest["metadata"]["name"]: manifest["data"] for manifest in manifests if "data" in manifest}
    assert extra["demo-compliance-extra"] == {"release": "demo"}
    assert extra["demo-text"] == {"replicas": "3"}


def test_annotations_of_users_are_on_objects_and_pods() -> None:
    """Common ones everywhere, the others where they say."""
    manifests = render("everything")
    assert only(manifests, "ServiceAccount")["metadata"]["annotations"] == {
        "example.com/owner": "trust",
        "example.com/role": "reader",
    }
    annotations = pods(manifests)["StatefulSet"]["metadata"]["annotations"]
    assert (annotations["example.com/owner"], annotations["example.com/scrape"]) == ("trust", "true")
    assert only(manifests, "StatefulSet")["metadata"]["annotations"]["example.com/reload"] == "true"
    assert "example.com/reload" not in annotations
    assert only(manifests, "Job")["metadata"]["annotations"]["example.com/kind"] == "provisioning"


def test_pods_that_end_take_annotations_and_labels_of_their_own() -> None:
    """So a mesh's sidecar, which would keep them from ending, can be kept off them alone."""
    made = pods(render("everything"))
    off = "sidecar.istio.io/inject"
    assert {kind for kind, pod in made.items() if pod["metadata"]["annotations"].get(off) == "false"} == {
        "Job",
        "CronJob tweets",
        "CronJob users",
        "Pod",
    }
    assert {kind: pod["metadata"]["labels"].get("pods") for kind, pod in made.items()} == {
        "StatefulSet": None,
        "Job": "provisioning",
        "CronJob tweets": "batch",
        "CronJob users": "batch",
        "Pod": "test",
    }


@pytest.mark.parametrize("section", ["provisioning", "batch", "tests"])
def test_annotations_of_such_pods_do_not_replace_ours(section: str) -> None:
    """Least of all what makes the test a test."""
    values = {"podAnnotations": {"helm.sh/hook": "pre-install"}}
    made = pods(render("defaults", {**BATCH, section: {**BATCH.get(section, {}), **values}}))
    assert made["Pod"]["metadata"]["annotations"]["helm.sh/hook"] == "test"


@pytest.mark.parametrize(
    ("kind", "switch", "endpoints"),
    [("ServiceMonitor", "serviceMonitor", "endpoints"), ("PodMonitor", "podMonitor", "podMetricsEndpoints")],
)
def test_monitor_scrapes_the_port_of_the_service(kind: str, switch: str, endpoints: str) -> None:
    """One or the other, by the same selector and the same named port."""
    manifests = render("defaults", {switch: {"enabled": True, "labels": {"release": "prometheus"}}})
    monitor = only(manifests, kind)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"] == only(manifests, "Service")["spec"]["selector"]
    assert monitor["spec"][endpoints] == [{"port": "http", "path": "/metrics"}]


def _ports(rules: list[Manifest]) -> list[list[int]]:
    return [sorted(port["port"] for port in rule["ports"]) for rule in rules]


def _network_policies(manifests: Manifests) -> tuple[Manifest, Manifest]:
    """Return the specs of the policy of all pods, and of the one that opens the service."""
    every, service = (manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    return every, service


def _chosen(selector: Manifest, manifests: Manifests) -> list[str]:
    """Return the pods that the selector chooses."""
    wanted = selector["matchLabels"].items()
    return [kind for kind, pod in pods(manifests).items() if wanted <= pod["metadata"]["labels"].items()]


def test_network_policy_opens_what_the_settings_need() -> None:
    """Metrics in; DNS, the brokers' ports, the registry's, X's and the test's out. Nothing else."""
    every, service = _network_policies(render("sasl-tls", {"networkPolicy": {"enabled": True}}))
    assert (every["policyTypes"], service["policyTypes"]) == (["Ingress", "Egress"], ["Ingress"])
    assert _ports(service["ingress"]) == [[8080]]
    assert _ports(every["egress"]) == [[53, 53], [9093], [8443], [443], [8080]]
    assert [rule.get("to") for rule in every["egress"]][1:4] == [None, None, None]


def test_network_policy_follows_what_config_says() -> None:
    """It wins over the values that the ports are else taken from; batch runs go to one origin more."""
    config: Manifest = {
        "kafka": {"bootstrap_servers": "one:9192,two"},
        "schema_registry": {"url": "https://registry"},
        "x": {"base_url": "https://x.example.com:8443", "transfer_origins": ["https://files.example.com:9443"]},
    }
    policy = {"networkPolicy": {"enabled": True}}
    every, _ = _network_policies(render("sasl-tls", {**policy, "config": config}))
    assert _ports(every["egress"]) == [[53, 53], [9092, 9192], [443], [8443], [8080]]
    every, _ = _network_policies(render("sasl-tls", {**policy, **BATCH, "config": config}))
    assert _ports(every["egress"])[3] == [8443, 9443]
    del config["x"]["transfer_origins"]
    every, _ = _network_policies(render("sasl-tls", {**policy, **BATCH, "config": config}))
    assert _ports(every["egress"])[3] == [443, 8443]


def test_network_policy_concerns_every_pod_and_opens_the_service_alone() -> None:
    """All pods need the same ways out, and only the service listens."""
    manifests = render("everything")
    every, service = _network_policies(manifests)
    assert "ingress" not in every
    assert _chosen(every["podSelector"], manifests) == list(pods(manifests))
    assert _chosen(service["podSelector"], manifests) == ["StatefulSet"]


def test_network_policy_takes_who_and_where() -> None:
    """What the values name is all that is open, and the test can still ask for readiness."""
    policy, service = _network_policies(render("everything"))
    sources = service["ingress"][0]["from"]
    assert service["ingress"][1:] == [{"from": [{"podSelector": {}}]}]
    assert sources[0] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert sources[1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert policy["egress"][1]["to"] == [{"podSelector": {"matchLabels": {"app": "kafka"}}}]
    assert _ports(policy["egress"]) == [[53, 53], [9092, 9094], [80], [443], [9090], [3128]]


def test_test_asks_the_service_for_readiness() -> None:
    """By the name and the port that the release's Service has."""
    manifests = render("everything")
    [_, ready] = pods(manifests)["Pod"]["spec"]["containers"]
    service = only(manifests, "Service")
    address = [f"--host={service['metadata']['name']}", f"--port={service['spec']['ports'][0]['port']}"]
    assert ready["args"] == ["health", "--ready", *address]
    assert CliRunner().invoke(app, [*ready["args"], "--help"]).exit_code == 0


def test_long_names_leave_room_for_what_kubernetes_adds() -> None:
    """Names of pods and Jobs become labels of at most 63 characters, and CronJobs leave 11 of them to their Jobs."""
    manifests = render("defaults", {"nameOverride": "a" * 40, **BATCH})
    job, replicas = only(manifests, "Job"), only(manifests, "StatefulSet")
    assert len(job["metadata"]["name"]) <= 63
    assert len(replicas["metadata"]["name"] + "-" + "0123456789") <= 63
    assert max(len(cron_job["metadata"]["name"]) for cron_job in cron_jobs(manifests)) == 52


@FILES
def test_upgrade_from_the_defaults_changes_no_immutable_field(name: str) -> None:
    """Whatever is switched on later; only another name makes another release of it."""
    before, after = render("defaults"), render(name, {"nameOverride": "", "fullnameOverride": ""})
    mutable = {"replicas", "template", "updateStrategy", "minReadySeconds"}
    old, new = (only(manifests, "StatefulSet") for manifests in (before, after))
    assert old["metadata"]["name"] == new["metadata"]["name"]
    assert [key for key in {*old["spec"], *new["spec"]} - mutable if old["spec"].get(key) != new["spec"].get(key)] == []
    assert only(before, "Service")["spec"]["clusterIP"] == only(after, "Service")["spec"]["clusterIP"]
    jobs = {manifest["metadata"]["name"]: manifest["spec"] for manifest in before if manifest["kind"] == "Job"}
    for manifest in after:
        if manifest["kind"] == "Job":
            assert jobs.get(manifest["metadata"]["name"], manifest["spec"]) == manifest["spec"]
