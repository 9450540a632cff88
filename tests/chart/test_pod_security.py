"""Every rendered pod keeps every rule of the Pod Security Standard `restricted`."""

import copy
from typing import Any

import pytest

from tests.rig import pod_security
from tests.rig.chart import VALUES_FILES, pods, render
from tests.rig.pod_security import RULES, Rule

_BREAKS: dict[str, tuple[str, Any]] = {
    "host_process": ("securityContext", {"windowsOptions": {"hostProcess": True}}),
    "host_namespaces": ("hostNetwork", True),
    "privileged": ("containers.securityContext.privileged", True),
    "host_path": ("volumes", [{"name": "root", "hostPath": {"path": "/"}}]),
    "host_ports": ("containers.ports", [{"containerPort": 1, "hostPort": 1}]),
    "host_in_probes": ("containers.livenessProbe", {"httpGet": {"host": "example.com", "port": 1}}),
    "app_armor": ("containers.securityContext.appArmorProfile", {"type": "Unconfined"}),
    "se_linux": ("securityContext.seLinuxOptions", {"type": "spc_t"}),
    "proc_mount": ("containers.securityContext.procMount", "Unmasked"),
    "sysctls": ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    "volume_types": ("volumes", [{"name": "disk", "nfs": {"server": "example.com", "path": "/"}}]),
    "privilege_escalation": ("containers.securityContext.allowPrivilegeEscalation", None),
    "run_as_non_root": ("securityContext.runAsNonRoot", None),
    "run_as_user": ("containers.securityContext.runAsUser", 0),
    "seccomp": ("securityContext.seccompProfile", None),
    "capabilities_dropped": ("containers.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    "capabilities_added": ("containers.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_TIME"]}),
}
"""For each rule, what in a pod's spec breaks it; None takes away what is there."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_pod_keeps_the_rule(name: str, rule: Rule) -> None:
    """The service, the Jobs and the test, whatever the values."""
    assert [kind for kind, pod in pods(render(name)).items() if not rule(pod)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_sees_a_pod_that_breaks_it(rule: Rule) -> None:
    """Of the service's pod, changed in one place, this rule no longer holds."""
    pod = copy.deepcopy(pods(render("defaults"))["StatefulSet"])
    path, value = _BREAKS[rule.__name__]
    *way, last = path.split(".")
    node = pod["spec"]
    for name in way:
        node = node[name][0] if name == "containers" else node[name]
    if value is None:
        del node[last]
    else:
        node[last] = value
    assert not rule(pod)


def test_every_rule_is_among_those_that_are_tried() -> None:
    """None that is written down is forgotten in the list."""
    public = {
        name for name, thing in vars(pod_security).items() if callable(thing) and name.islower() and name[0] != "_"
    }
    assert public == {rule.__name__ for rule in RULES} == _BREAKS.keys()


@pytest.mark.parametrize("name", VALUES_FILES)
def test_no_pod_has_a_service_account_token_or_a_writable_root(name: str) -> None:
    """Beyond the standard: nothing in a pod can speak to Kubernetes or change its own image."""
    for pod in pods(render(name)).values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        ours = [one for one in pod["spec"]["containers"] if one["name"] != "sidecar"]
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in ours)
