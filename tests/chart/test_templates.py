"""What each template gives, switch by switch."""

from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from connector import __version__
from connector.cli import app
from tests.chart.chart import (
    CHART,
    CONFIG_ANNOTATION,
    VALUES_FILES,
    Manifest,
    Manifests,
    config_text,
    job_spec,
    kinds,
    only,
    pods,
    render,
    service_container,
    service_pod,
)

FILES = pytest.mark.parametrize("name", VALUES_FILES)
_NAME = "demo-x-compliance-connector"
_BATCH: Manifest = {"batch": {"tweets": {"enabled": True}, "users": {"enabled": True}}}
"""Values that switch all batch runs on."""


def _provision_job(values: Manifest | None = None) -> Manifest:
    return only(render("defaults", values), "Job")


def _sources(manifests: Manifests, kind: str = "StatefulSet") -> dict[str, str]:
    """Return where each mounted credential of a pod comes from, by its path: `SECRET/KEY`."""
    [volume] = [volume for volume in pods(manifests)[kind]["spec"]["volumes"] if volume["name"] == "secrets"]
    return {
        item["path"]: f"{source['name']}/{item['key']}"
        for entry in volume["projected"]["sources"]
        for source in entry.values()
        for item in source["items"]
    }


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


def test_service_listens_on_ipv6_where_it_is_told_to() -> None:
    """On a cluster without IPv4 the default address leads nowhere."""
    assert "host: 0.0.0.0" in config_text(render("defaults"))
    assert "host: '::'" in config_text(render("defaults", {"http": {"host": "::"}}))


def test_probes_ask_the_named_port_for_life_and_readiness() -> None:
    """Readiness never restarts a container, and life never looks outward."""
    container = service_container(render("defaults"))
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    live, ready = {"path": "/livez", "port": "http"}, {"path": "/readyz", "port": "http"}
    assert asked == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "connector"}, f"connector:{__version__}"),
        ({"repository": "connector", "tag": "2"}, "connector:2"),
        (
            {"repository": "team/connector", "registry": "example.com:5000"},
            f"example.com:5000/team/connector:{__version__}",
        ),
        ({"repository": "c", "tag": "2", "digest": "sha256:" + "0" * 64}, "c@sha256:" + "0" * 64),
    ],
)
def test_image_is_put_together(image: Manifest, reference: str) -> None:
    """In all pods."""
    manifests = render("defaults", {"image": image, **_BATCH})
    made = {pod["spec"]["containers"][0]["image"] for pod in pods(manifests).values()}
    assert made == {reference}


def test_change_of_configuration_restarts_the_pods_and_makes_a_new_job() -> None:
    """A change of anything else does neither."""

    def marks(values: Manifest) -> tuple[str, str]:
        manifests = render("defaults", values)
        return str(pods(manifests)["StatefulSet"]), only(manifests, "Job")["metadata"]["name"]

    before = marks({})
    assert marks({"replicas": 5, "serviceMonitor": {"enabled": True}}) == before
    after = marks({"kafka": {"topicPrefix": "other"}})
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_configuration_is_part_of_each_pod_and_mounted_from_it() -> None:
    """So a pod keeps what its revision was made with, and nothing is left over of old ones."""
    for kind, pod in pods(render("everything")).items():
        [volume] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "config"]
        [item] = volume["downwardAPI"]["items"]
        assert (item["path"], item["fieldRef"]["fieldPath"]) == (
            "config.yaml",
            f"metadata.annotations['{CONFIG_ANNOTATION}']",
        ), kind
        assert yaml.safe_load(pod["metadata"]["annotations"][CONFIG_ANNOTATION])["kafka"]["topic_prefix"] == "trust.x"


def test_new_kafka_password_restarts_the_pods_and_a_new_token_does_not() -> None:
    """A token is read from its file again; clients of Kafka keep the password they began with."""

    def annotations(values: Manifest) -> Any:  # noqa: ANN401 - a manifest's part
        return pods(render("sasl-tls", values))["StatefulSet"]["metadata"]["annotations"]

    assert annotations({"x": {"apiKey": "another"}}) == annotations({})
    assert annotations({"kafka": {"sasl": {"password": "another"}}}) != annotations({})


def test_values_that_are_secrets_are_in_secrets_alone() -> None:
    """Each in one of its own, and in nothing else that is rendered."""
    manifests = render("sasl-tls")
    assert {
        manifest["metadata"]["name"]: manifest["stringData"] for manifest in manifests if manifest["kind"] == "Secret"
    } == {
        f"{_NAME}-x": {"api-key": "made-up-key", "api-key-secret": "made-up-key-secret"},
        f"{_NAME}-kafka": {"password": "made-up-password"},
        f"{_NAME}-schema-registry": {"password": "made-up-registry-password"},
    }
    assert "made-up" not in str([manifest for manifest in manifests if manifest["kind"] != "Secret"])


def test_credentials_of_values_are_mounted_from_the_secrets_made_for_them() -> None:
    """Name and key of source and mount agree."""
    assert _sources(render("sasl-tls")) == {
        "x/api-key": f"{_NAME}-x/api-key",
        "x/api-key-secret": f"{_NAME}-x/api-key-secret",
        "x/ca.crt": "proxy-ca/ca.crt",
        "kafka/password": f"{_NAME}-kafka/password",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": f"{_NAME}-schema-registry/password",
        "schema-registry/ca.crt": "registry-ca/ca.pem",
    }


def test_existing_secrets_are_mounted_and_none_is_made() -> None:
    """By the names and keys that the values give."""
    manifests = render("existing-secrets")
    assert "Secret" not in kinds(manifests)
    assert _sources(manifests) == {
        "x/api-key": "x-credentials/key",
        "x/api-key-secret": "x-credentials/secret",
        "kafka/password": "kafka-connector/password",
        "kafka/tls.crt": "kafka-connector-tls/tls.crt",
        "kafka/tls.key": "kafka-connector-tls/tls.key",
        "kafka/tls-key-password": "kafka-connector-tls/password",
        "kafka/properties.json": "kafka-properties/properties.json",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": "registry-connector/password",
    }


def test_provisioning_has_credentials_of_its_own_where_they_are_given() -> None:
    """Creating topics needs rights that the service need not have."""
    manifests = render("existing-secrets")
    assert _sources(manifests, "Job") == {
        "kafka/password": "kafka-provisioner/password",
        "kafka/tls.crt": "kafka-provisioner-tls/tls.crt",
        "kafka/tls.key": "kafka-provisioner-tls/tls.key",
        "kafka/properties.json": "kafka-properties/properties.json",
        "kafka/ca.crt": "kafka-ca/ca.crt",
        "schema-registry/password": "registry-provisioner/password",
    }
    variables = {entry["name"]: entry["value"] for entry in pods(manifests)["Job"]["spec"]["containers"][0]["env"]}
    assert variables["CONNECTOR_KAFKA__SASL__USERNAME"] == "provisioner"
    assert variables["CONNECTOR_SCHEMA_REGISTRY__USERNAME"] == "provisioner"


def test_token_file_of_ones_own_needs_no_secret() -> None:
    """A file that a sidecar or a CSI driver brings is named under `config`."""
    config = {"x": {"bearer_token_file": "/vault/token"}}
    manifests = render("defaults", {"x": {"existingSecret": ""}, "config": config})
    assert "CONNECTOR_X__BEARER_TOKEN_FILE" not in str(manifests)
    assert "bearer_token_file: /vault/token" in config_text(manifests)


def test_config_wins_over_the_values_above_it() -> None:
    """It is merged in, not put in place of the rest."""
    text = config_text(render("defaults", {"config": {"log": {"level": "error"}, "kafka": {"headers": False}}}))
    assert "level: error" in text
    assert "format: json" in text
    assert "headers: false" in text
    assert "bootstrap_servers: kafka-bootstrap:9092" in text


def test_provisioning_is_a_plain_job_that_gives_up_where_trying_again_is_useless() -> None:
    """No hook, so the service waits beside it; exit code 78 ends it."""
    job = _provision_job()
    assert "annotations" not in job["metadata"]
    rule = job["spec"]["podFailurePolicy"]["rules"][0]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [78])
    assert rule["onExitCodes"]["containerName"] == job["spec"]["template"]["spec"]["containers"][0]["name"]
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert _provision_job({"provisioning": {"ttlSecondsAfterFinished": 0}})["spec"]["ttlSecondsAfterFinished"] == 0


def test_provisioning_pod_that_a_drained_node_takes_along_counts_as_no_failure() -> None:
    """Else a cluster that replaces its nodes uses up the tries."""
    rule = _provision_job()["spec"]["podFailurePolicy"]["rules"][1]
    assert rule == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_provisioning_that_is_off_leaves_no_job() -> None:
    """Topics then come from elsewhere."""
    assert "Job" not in kinds(render("no-provisioning"))


def _cron_jobs(manifests: Manifests) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == "CronJob"]


@pytest.mark.parametrize(
    ("enabled", "names"),
    [([], []), (["tweets"], ["batch-tweets"]), (["users"], ["batch-users"])],
    ids=["none", "tweets", "users"],
)
def test_batch_runs_are_switched_on_one_by_one(enabled: list[str], names: list[str]) -> None:
    """Off by default; a CronJob for each type that is on."""
    manifests = render("defaults", {"batch": {kind: {"enabled": True} for kind in enabled}})
    assert [cron_job["metadata"]["name"] for cron_job in _cron_jobs(manifests)] == [f"{_NAME}-{name}" for name in names]


@pytest.mark.parametrize("kind", ["tweets", "users"])
def test_batch_run_publishes_results_about_what_stores_hold_when_it_is_due(kind: str) -> None:
    """The command and its arguments, with the values for the times."""
    containers = pods(render("defaults", _BATCH))[f"CronJob {kind}"]["spec"]["containers"]
    config = "--config=/etc/connector/config/config.yaml"
    times = ["--due=12h", "--timeout=20"]
    command = ["batch", "run", kind, "--from-topic", "--publish", *times, "--folder=/spool", config]
    assert [container["args"] for container in containers] == [command]
    other = render("defaults", {"batch": {kind: {"enabled": True, "due": "48h", "timeoutHours": 40}}})
    assert {"--due=48h", "--timeout=40"} < {*pods(other)[f"CronJob {kind}"]["spec"]["containers"][0]["args"]}


def test_batch_runs_are_looked_at_every_hour_and_never_two_of_a_type_at_once() -> None:
    """At different minutes, off the hour; X allows one job of each type."""
    specs = [cron_job["spec"] for cron_job in _cron_jobs(render("defaults", _BATCH))]
    assert [spec["schedule"] for spec in specs] == ["17 * * * *", "47 * * * *"]
    assert {spec["concurrencyPolicy"] for spec in specs} == {"Forbid"}


def test_batch_run_has_a_limited_folder_that_outlives_its_container() -> None:
    """The container starts again in the same pod, and finds what it needs to resume."""
    for kind, size in (("tweets", "2Gi"), ("users", "20Gi")):
        spec = pods(render("everything"))[f"CronJob {kind}"]["spec"]
        assert spec["restartPolicy"] == "OnFailure"
        [volume] = [volume for volume in spec["volumes"] if volume["name"] == "spool"]
        assert volume["emptyDir"] == {"sizeLimit": size}
        [container] = spec["containers"]
        [folder] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "spool"]
        assert f"--folder={folder}" in container["args"]


def test_batch_run_ends_by_itself_before_kubernetes_ends_it() -> None:
    """By half an hour, in which a last wait or transfer ends."""
    for cron_job in _cron_jobs(render("everything")):
        job = job_spec(cron_job)
        [container] = job["template"]["spec"]["containers"]
        [hours] = [int(text.removeprefix("--timeout=")) for text in container["args"] if text.startswith("--timeout=")]
        assert job["activeDeadlineSeconds"] == hours * 3600 + 1800


def test_batch_run_is_like_the_service_but_for_ports_and_probes() -> None:
    """Image, security, variables and what is mounted are the same; it listens on nothing."""
    manifests = render("sasl-tls", _BATCH)
    service = service_pod(manifests)
    variables = [entry for entry in service["containers"][0]["env"] if "valueFrom" not in entry]
    for kind in ("tweets", "users"):
        spec = pods(manifests)[f"CronJob {kind}"]["spec"]
        [container] = spec["containers"]
        assert container["env"] == variables
        assert _sources(manifests, f"CronJob {kind}") == _sources(manifests)
        for member in ("image", "imagePullPolicy", "securityContext"):
            assert container[member] == service["containers"][0][member]
        for member in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
            assert spec[member] == service[member]
        assert container.keys().isdisjoint({"ports", "startupProbe", "livenessProbe", "readinessProbe"})


def test_batch_run_has_a_kafka_user_of_its_own_where_one_is_given() -> None:
    """Its rights are others than the service's; X and the registry see the same user."""
    manifests = render("existing-secrets")
    own = {
        "kafka/password": "kafka-batch/password",
        "kafka/tls.crt": "kafka-batch-tls/tls.crt",
        "kafka/tls.key": "kafka-batch-tls/tls.key",
    }
    others = {path: source for path, source in _sources(manifests).items() if path != "kafka/tls-key-password"}
    assert _sources(manifests, "CronJob tweets") == others | own
    [container] = pods(manifests)["CronJob tweets"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["CONNECTOR_KAFKA__SASL__USERNAME"] == "batch"
    assert "CONNECTOR_SCHEMA_REGISTRY__USERNAME" not in variables


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
    made = pods(render("defaults", {**_BATCH, section: {**_BATCH.get(section, {}), **values}}))
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
    every, _ = _network_policies(render("sasl-tls", {**policy, **_BATCH, "config": config}))
    assert _ports(every["egress"])[3] == [8443, 9443]
    del config["x"]["transfer_origins"]
    every, _ = _network_policies(render("sasl-tls", {**policy, **_BATCH, "config": config}))
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
    manifests = render("defaults", {"nameOverride": "a" * 40, **_BATCH})
    job, replicas = only(manifests, "Job"), only(manifests, "StatefulSet")
    assert len(job["metadata"]["name"]) <= 63
    assert len(replicas["metadata"]["name"] + "-" + "0123456789") <= 63
    assert max(len(cron_job["metadata"]["name"]) for cron_job in _cron_jobs(manifests)) == 52


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
