"""Provisioning and batch runs."""

import pytest

from tests.chart.rendered import BATCH, NAME, cron_jobs, sources
from tests.rig.chart import (
    Manifest,
    job_spec,
    kinds,
    only,
    pods,
    render,
    service_pod,
)


def _provision_job(values: Manifest | None = None) -> Manifest:
    return only(render("defaults", values), "Job")


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


@pytest.mark.parametrize(
    ("enabled", "names"),
    [([], []), (["tweets"], ["batch-tweets"]), (["users"], ["batch-users"])],
    ids=["none", "tweets", "users"],
)
def test_batch_runs_are_switched_on_one_by_one(enabled: list[str], names: list[str]) -> None:
    """Off by default; a CronJob for each type that is on."""
    manifests = render("defaults", {"batch": {kind: {"enabled": True} for kind in enabled}})
    assert [cron_job["metadata"]["name"] for cron_job in cron_jobs(manifests)] == [f"{NAME}-{name}" for name in names]


@pytest.mark.parametrize("kind", ["tweets", "users"])
def test_batch_run_publishes_results_about_what_stores_hold_when_it_is_due(kind: str) -> None:
    """The command and its arguments, with the values for the times."""
    containers = pods(render("defaults", BATCH))[f"CronJob {kind}"]["spec"]["containers"]
    config = "--config=/etc/connector/config/config.yaml"
    times = ["--due=12h", "--timeout=20h"]
    command = ["batch", "run", kind, "--from-topic", "--publish", *times, "--folder=/spool", config]
    assert [container["args"] for container in containers] == [command]
    other = render("defaults", {"batch": {kind: {"enabled": True, "due": "48h", "timeoutHours": 40}}})
    assert {"--due=48h", "--timeout=40h"} < {*pods(other)[f"CronJob {kind}"]["spec"]["containers"][0]["args"]}


def test_batch_runs_are_looked_at_every_hour_and_never_two_of_a_type_at_once() -> None:
    """At different minutes, off the hour; X allows one job of each type."""
    specs = [cron_job["spec"] for cron_job in cron_jobs(render("defaults", BATCH))]
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
    for cron_job in cron_jobs(render("everything")):
        job = job_spec(cron_job)
        [container] = job["template"]["spec"]["containers"]
        [hours] = [
            int(text.removeprefix("--timeout=").removesuffix("h"))
            for text in container["args"]
            if text.startswith("--timeout=")
        ]
        assert job["activeDeadlineSeconds"] == hours * 3600 + 1800


def test_batch_run_is_like_the_service_but_for_ports_and_probes() -> None:
    """Image, security, variables and what is mounted are the same; it listens on nothing."""
    manifests = render("sasl-tls", BATCH)
    service = service_pod(manifests)
    variables = [entry for entry in service["containers"][0]["env"] if "valueFrom" not in entry]
    for kind in ("tweets", "users"):
        spec = pods(manifests)[f"CronJob {kind}"]["spec"]
        [container] = spec["containers"]
        assert container["env"] == variables
        assert sources(manifests, f"CronJob {kind}") == sources(manifests)
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
    others = {path: source for path, source in sources(manifests).items() if path != "kafka/tls-key-password"}
    assert sources(manifests, "CronJob tweets") == others | own
    [container] = pods(manifests)["CronJob tweets"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert variables["CONNECTOR_KAFKA__SASL__USERNAME"] == "batch"
    assert "CONNECTOR_SCHEMA_REGISTRY__USERNAME" not in variables
