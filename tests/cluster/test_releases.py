"""Releases on a real API server: installed, scaled, upgraded, rolled back and uninstalled as docs/deploy.md says."""

import json
import re
from functools import partial

import pytest
import yaml

from tests.cluster.cluster import CommandError
from tests.cluster.release import Release
from tests.rig.chart import CONFIG_ANNOTATION, ROOT, VALUES_FILES
from tests.rig.process import wait_until

_OTHER = ("--reuse-values", "--set", "kafka.topicPrefix=other")
"""Options of an upgrade to another configuration."""


def _prefixes(release: Release) -> dict[str, str]:
    """Return the topic prefix that each replica is configured with."""
    return {
        number: yaml.safe_load(text)["kafka"]["topic_prefix"]
        for number, text in sorted(release.configurations().items())
    }


def _has_pod(release: Release, selector: str) -> bool:
    return release.kubectl("get", "pods", selector, "--output=name").output != ""


def _installed(release: Release, *options: str) -> Release:
    """Return the release with two replicas that are ready."""
    release.install("defaults", *options)
    release.wait_for_replicas(2)
    release.make_ready()
    return release


@pytest.mark.parametrize("name", VALUES_FILES)
def test_each_values_file_is_admitted_without_a_warning(release: Release, name: str) -> None:
    """All pods too, which the controllers make of what Helm applied; and the same once more changes nothing."""
    release = Release(release.cluster, release.namespace, "demo-x-compliance-connector")
    options = ("--set", "nameOverride=")
    assert release.install(name, *options).error == ""
    wanted = yaml.safe_load(VALUES_FILES[name].read_text(encoding="utf-8")).get("replicas", 2)
    release.wait_for_replicas(wanted)
    scheduled = [cron_job["metadata"]["name"] for cron_job in release.get("cronjobs")]
    for cron_job in scheduled:
        release.kubectl("create", "job", f"--from=cronjob/{cron_job}", f"by-hand-{cron_job[-6:]}")
    jobs = json.loads(release.kubectl("get", "jobs", "--output=json").output)["items"]
    assert len(jobs) >= len(scheduled)
    for job in jobs:
        selector = f"--selector=batch.kubernetes.io/job-name={job['metadata']['name']}"
        wait_until(partial(_has_pod, release, selector), f"a pod of {job['metadata']['name']}")
    assert "pod/" in release.kubectl("apply", "--dry-run=server", "--filename=-", stdin=release.hooks()).output
    assert release.upgrade("--reuse-values").error == ""
    assert release.revisions() == 1


@pytest.mark.parametrize("name", [name for name in VALUES_FILES if name != "defaults"])
def test_release_is_upgraded_to_any_values_and_back(release: Release, name: str) -> None:
    """No field that cannot change is in the way, whatever is switched on or off."""
    release = Release(release.cluster, release.namespace, "demo-x-compliance-connector")
    release.install("defaults")
    values = ("--reset-values", f"--values={VALUES_FILES[name]}", "--set", "nameOverride=")
    assert release.upgrade(*values).error == ""
    assert release.rollback().error == ""
    assert [job["metadata"]["name"] for job in release.get("jobs")] == [
        job["metadata"]["name"] for job in yaml.safe_load_all(release.manifest()) if job["kind"] == "Job"
    ]


def test_scaling_by_helm_changes_no_pod_and_never_conflicts(release: Release) -> None:
    """The runbook's way, up and down; the next upgrade keeps the number."""
    _installed(release)
    before = release.replicas()
    release.scale_by_helm(4)
    release.wait_for_replicas(4)
    assert {name: release.replicas()[name]["metadata"]["uid"] for name in before} == {
        name: pod["metadata"]["uid"] for name, pod in before.items()
    }
    release.make_ready()
    release.upgrade(*_OTHER)
    assert release.stateful_set()["spec"]["replicas"] == 4
    release.scale_by_helm(2)
    release.wait_for_replicas(2)


_SCALED = 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'


def _conflicting(release: Release) -> Release:
    """Return a release that was scaled to 3 by kubectl, and whose upgrade to another configuration failed for it."""
    _installed(release)
    release.kubectl("scale", "statefulset", release.full_name, "--replicas=3")
    release.wait_for_replicas(3)
    release.make_ready()
    with pytest.raises(CommandError, match=re.escape(_SCALED)):
        release.upgrade(*_OTHER)
    assert release.status() == "failed"
    return release


def test_upgrade_that_fails_on_a_conflict_leaves_pods_and_their_configuration(release: Release) -> None:
    """A pod that is made again has what it had; what else Helm applies is new, the provisioning Job above all."""
    _conflicting(release)
    assert release.revisions() == 1
    uid = release.replicas()[f"{release.full_name}-0"]["metadata"]["uid"]
    release.kubectl("delete", "pod", f"{release.full_name}-0")
    wait_until(
        lambda: release.replicas().get(f"{release.full_name}-0", {}).get("metadata", {}).get("uid", uid) != uid,
        "the pod is made again",
    )
    assert _prefixes(release) == {"0": "x.compliance", "1": "x.compliance", "2": "x.compliance"}
    assert len(release.get("jobs")) == 2


@pytest.mark.parametrize(
    ("options", "replicas"),
    [
        ((*_OTHER, "--force-conflicts"), 2),
        ((*_OTHER, "--force-conflicts", "--set", "replicas=3"), 3),
        ((*_OTHER, "--set", "replicas=3"), 3),
        ((*_OTHER, "--set", "replicas=null"), 3),
    ],
    ids=["forced", "forced-with-their-number", "with-their-number", "given-up"],
)
def test_conflict_is_left_by_a_repeated_upgrade(release: Release, options: tuple[str, ...], replicas: int) -> None:
    """Each of the ways that the page names; afterwards upgrades work, and one provisioning Job is there."""
    _conflicting(release)
    release.upgrade(*options)
    spec = release.stateful_set()["spec"]
    assert spec["replicas"] == replicas
    assert "topic_prefix: other" in spec["template"]["metadata"]["annotations"][CONFIG_ANNOTATION]
    assert len(release.get("jobs")) == 1
    release.upgrade()
    assert release.stateful_set()["spec"]["replicas"] == replicas


@pytest.mark.parametrize("option", ["--reuse-values", "--reset-then-reuse-values"])
def test_reused_values_are_those_of_the_revision_before_the_failed_one(release: Release, option: str) -> None:
    """As docs/deploy.md warns: the upgrade succeeds, and goes back."""
    _conflicting(release)
    release.upgrade(option, "--force-conflicts")
    assert release.status() == "deployed"
    assert (
        "topic_prefix: x.compliance"
        in release.stateful_set()["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION]
    )


def test_conflict_is_left_by_a_rollback(release: Release) -> None:
    """If it is forced; the Job of the failed upgrade goes, too."""
    _conflicting(release)
    release.rollback("1", "--force-conflicts")
    assert release.stateful_set()["spec"]["replicas"] == 2
    assert release.revisions() == 1
    assert len(release.get("jobs")) == 1


def test_rollback_conflicts_as_an_upgrade_does_and_helm_then_forgets_the_job(release: Release) -> None:
    """It is in no manifest that Helm compares any more, and is deleted by hand."""
    _conflicting(release)
    with pytest.raises(CommandError, match=re.escape(_SCALED)):
        release.rollback("1")
    release.rollback("1", "--force-conflicts")
    kept = [job["metadata"]["name"] for job in yaml.safe_load_all(release.manifest()) if job["kind"] == "Job"]
    [left] = {job["metadata"]["name"] for job in release.get("jobs")} - {*kept}
    release.kubectl("delete", "job", left)
    assert release.upgrade().error == ""


def test_rollback_on_failure_meets_the_same_conflict(release: Release) -> None:
    """Pods keep what they have; the Job of the failed upgrade is left, as after any rollback that conflicts."""
    _installed(release)
    release.kubectl("scale", "statefulset", release.full_name, "--replicas=3")
    with pytest.raises(CommandError, match=rf"error occurred while rolling back.*{re.escape(_SCALED)}"):
        release.upgrade(*_OTHER, "--rollback-on-failure", "--timeout=5s")
    assert release.revisions() == 1
    assert len(release.get("jobs")) == 2


def test_rollback_on_failure_takes_a_stalled_rollout_back(release: Release) -> None:
    """It does what it is for where nothing conflicts: the new pod never became ready."""
    _installed(release)
    with pytest.raises(CommandError, match="not ready"):
        release.upgrade(*_OTHER, "--rollback-on-failure", "--timeout=5s")
    wait_until(lambda: _prefixes(release) == {"0": "x.compliance", "1": "x.compliance"}, "all have what they had")
    assert len(release.get("jobs")) == 1


def test_image_that_kubectl_set_conflicts_and_a_restart_by_kubectl_does_not(release: Release) -> None:
    """Only a field that the manifests hold can conflict."""
    _installed(release)
    release.kubectl("rollout", "restart", f"statefulset/{release.full_name}")
    release.upgrade(*_OTHER)
    release.kubectl("set", "image", f"statefulset/{release.full_name}", "connector=example.com/other:1")
    with pytest.raises(CommandError, match=r'conflict with "kubectl-set".*\.image'):
        release.upgrade("--reuse-values", "--set-string", "image.tag=2")
    release.upgrade("--reuse-values", "--set-string", "image.tag=2", "--force-conflicts")
    [container] = release.stateful_set()["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(":2")


def test_number_of_replicas_that_is_null_is_left_to_others(release: Release) -> None:
    """Once another has set it; without that Kubernetes takes its default of 1."""
    _installed(release)
    release.upgrade("--reuse-values", "--set", "replicas=null")
    assert release.stateful_set()["spec"]["replicas"] == 1
    for number in (3, 4):
        release.kubectl("scale", "statefulset", release.full_name, f"--replicas={number}")
        release.upgrade()
        assert release.stateful_set()["spec"]["replicas"] == number


def test_command_of_the_page_shows_what_a_pod_is_configured_with(release: Release) -> None:
    """As the connector reads it."""
    _installed(release)
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    [path] = re.findall(r"""^\$ kubectl get pod "\$NAME-0" -o jsonpath='(.*)'$""", page, re.MULTILINE)
    shown = release.kubectl("get", "pod", f"{release.full_name}-0", f"--output=jsonpath={path}").output
    assert yaml.safe_load(shown)["kafka"]["bootstrap_servers"] == "kafka-bootstrap:9092"


@pytest.mark.parametrize(
    ("partition", "prefix"), [(0, "other"), (1, "x.compliance")], ids=["all-are-due", "first-is-not-due"]
)
def test_pod_that_is_made_again_in_a_stalled_rollout_has_the_configuration_of_its_revision(
    release: Release, partition: int, prefix: str
) -> None:
    """Whichever Kubernetes gives it; the pod that is not touched keeps its own, and a rollback takes all back."""
    _installed(release, "--set", f"updateStrategy.rollingUpdate.partition={partition}")
    release.upgrade(*_OTHER)
    wait_until(
        lambda: _prefixes(release) == {"0": "x.compliance", "1": "other"}, "the rollout has come to its first pod"
    )
    release.kubectl("delete", "pod", f"{release.full_name}-0")
    wait_until(lambda: _prefixes(release) == {"0": prefix, "1": "other"}, "the pod is made again")
    templates = {
        revision["metadata"]["name"]: revision["data"]["spec"]["template"]["metadata"]["annotations"]
        for revision in release.get("controllerrevisions")
    }
    for pod in release.replicas().values():
        named = templates[pod["metadata"]["labels"]["controller-revision-hash"]]
        assert pod["metadata"]["annotations"][CONFIG_ANNOTATION] == named[CONFIG_ANNOTATION]
    release.rollback()
    wait_until(lambda: _prefixes(release).get("1") == "x.compliance", "the rollout is taken back")
    release.make_ready(f"{release.full_name}-1")
    wait_until(lambda: _prefixes(release) == {"0": "x.compliance", "1": "x.compliance"}, "all have what they had")


def test_rollout_reaches_each_pod_as_they_become_ready(release: Release) -> None:
    """From the last to the first."""
    _installed(release)
    release.upgrade(*_OTHER)
    wait_until(lambda: _prefixes(release) == {"0": "x.compliance", "1": "other"}, "the last pod is replaced")
    release.make_ready(f"{release.full_name}-1")
    wait_until(lambda: _prefixes(release) == {"0": "other", "1": "other"}, "all are replaced")


def test_copy_of_a_pod_that_keeps_its_annotations_has_the_configuration(release: Release) -> None:
    """As the runbook makes one to run a command in; it is admitted where `restricted` is enforced."""
    _installed(release)
    source = f"{release.full_name}-0"
    options = ("--copy-to=verify", "--profile=restricted", "--keep-annotations", "--container=connector")
    said = release.kubectl("debug", source, *options, "--", "connector", "ledger", "verify")
    assert "Warning" not in said.error
    copy = json.loads(release.kubectl("get", "pod", "verify", "--output=json").output)
    original = release.replicas()[source]
    assert copy["metadata"]["annotations"] == original["metadata"]["annotations"]
    assert copy["spec"]["volumes"] == original["spec"]["volumes"]
    release.kubectl("delete", "pod", "verify")


def test_key_that_is_emptied_stays_so_in_an_upgrade_with_reused_values(release: Release) -> None:
    """Such as a user id that the platform chooses, a limit that is not wanted, and a list without items."""
    _installed(
        release,
        "--set",
        "podSecurityContext.runAsUser=null,resources.limits=null,startupProbe.periodSeconds=3,extraEnv=null",
    )
    before = release.stateful_set()["spec"]
    assert "runAsUser" not in before["template"]["spec"]["securityContext"]
    release.upgrade("--reuse-values", "--set", "replicas=3")
    assert release.stateful_set()["spec"] == {**before, "replicas": 3}


@pytest.mark.parametrize(
    ("option", "revisions"),
    [("x.apiKey=another", 1), ("kafka.sasl.password=another", 2), ("schemaRegistry.password=another", 2)],
)
def test_new_secret_replaces_pods_only_where_it_is_not_read_again(
    release: Release, option: str, revisions: int
) -> None:
    """The Secret keeps its name, so that a token reaches running pods."""
    release.install("sasl-tls")
    before = {secret["metadata"]["name"]: secret["data"] for secret in release.get("secrets")}
    release.upgrade("--reuse-values", "--set", option)
    after = {secret["metadata"]["name"]: secret["data"] for secret in release.get("secrets")}
    assert before.keys() == after.keys()
    assert sum(before[name] != after[name] for name in before) == 1
    wait_until(lambda: release.revisions() == revisions, f"{revisions} revisions")


def test_two_releases_in_a_namespace_leave_each_other_alone(release: Release) -> None:
    """Selectors, names and what an uninstall removes."""
    other = Release(release.cluster, release.namespace, "other")
    for one in (release, other):
        _installed(one, "--set", f"kafka.topicPrefix={one.name}")
    assert set(_prefixes(release).values()) == {"demo"}
    [service] = other.get("services")
    chosen = ",".join(f"{name}={value}" for name, value in service["spec"]["selector"].items())
    found = release.kubectl("get", "pods", f"--selector={chosen}", "--output=name").output.split()
    assert sorted(found) == [f"pod/{name}" for name in sorted(other.replicas())]
    release.uninstall()
    wait_until(lambda: not release.replicas(), "the pods of the uninstalled release are gone")
    assert len(other.replicas()) == 2
    assert other.upgrade().error == ""


def test_uninstall_leaves_nothing_of_the_release(release: Release) -> None:
    """After upgrades, too: no configuration of an old revision, no Secret; what others made stays."""
    release.kubectl("create", "secret", "generic", "x-credentials", "--from-literal=bearer-token=made-up")
    release.install("everything")
    release.upgrade(*_OTHER)
    release.uninstall()
    kinds = release.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").output.split()
    wait_until(lambda: not release.get(",".join(kinds)), "all objects of the release are gone")
    names = release.kubectl("get", "secrets", "--output=name").output.split()
    assert names == ["secret/x-credentials"]
