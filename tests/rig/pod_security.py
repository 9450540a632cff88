"""The rules of the Pod Security Standard `restricted` (which holds `baseline`), one function a rule.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, as of Kubernetes 1.37. Each rule takes a
pod, and says whether the pod keeps it.
"""

from collections.abc import Callable, Iterator
from typing import Any

Pod = dict[str, Any]
Rule = Callable[[Pod], bool]

_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_SOFT_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def _containers(pod: Pod) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(kind, [])


def _contexts(pod: Pod) -> list[dict[str, Any]]:
    """Return the security contexts of the pod, its own first, then those of its containers."""
    return [pod["spec"].get("securityContext", {}), *(one.get("securityContext", {}) for one in _containers(pod))]


def _everywhere(pod: Pod, name: str) -> list[Any]:
    """Return what `name` is for each container: its own, else the pod's."""
    of_pod, *of_containers = _contexts(pod)
    return [context.get(name, of_pod.get(name)) for context in of_containers]


def _handlers(pod: Pod) -> Iterator[dict[str, Any]]:
    for container in _containers(pod):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            yield container.get(probe, {})
        yield from container.get("lifecycle", {}).values()


def host_process(pod: Pod) -> bool:
    """No Windows HostProcess."""
    return not any(context.get("windowsOptions", {}).get("hostProcess") for context in _contexts(pod))


def host_namespaces(pod: Pod) -> bool:
    """No namespace of the host."""
    return not any(pod["spec"].get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def privileged(pod: Pod) -> bool:
    """No privileged container."""
    return not any(context.get("privileged") for context in _contexts(pod))


def host_path(pod: Pod) -> bool:
    """No path of the host."""
    return not any("hostPath" in volume for volume in pod["spec"].get("volumes", []))


def host_ports(pod: Pod) -> bool:
    """No port of the host."""
    return not any(port.get("hostPort") for one in _containers(pod) for port in one.get("ports", []))


def host_in_probes(pod: Pod) -> bool:
    """No probe or hook that names a host."""
    return not any(handler.get(kind, {}).get("host") for handler in _handlers(pod) for kind in ("httpGet", "tcpSocket"))


def app_armor(pod: Pod) -> bool:
    """AppArmor is not switched off."""
    profiles = [context.get("appArmorProfile", {}).get("type", "RuntimeDefault") for context in _contexts(pod)]
    annotations = pod["metadata"].get("annotations", {}).items()
    old = [value for key, value in annotations if key.startswith("container.apparmor.security.beta.kubernetes.io/")]
    return set(profiles) <= {"RuntimeDefault", "Localhost"} and all(
        value == "runtime/default" or value.startswith("localhost/") for value in old
    )


def se_linux(pod: Pod) -> bool:
    """SELinux takes a container's type, and neither user nor role."""
    options = [context.get("seLinuxOptions", {}) for context in _contexts(pod)]
    return all(
        option.get("type") in _SELINUX_TYPES and not option.get("user") and not option.get("role") for option in options
    )


def proc_mount(pod: Pod) -> bool:
    """/proc is masked."""
    return {context.get("procMount", "Default") for context in _contexts(pod)} == {"Default"}


def sysctls(pod: Pod) -> bool:
    """No sysctl but the safe ones."""
    return {entry["name"] for entry in _contexts(pod)[0].get("sysctls", [])} <= _SAFE_SYSCTLS


def volume_types(pod: Pod) -> bool:
    """No volume but of the kinds that are allowed."""
    return all(volume.keys() - {"name"} <= _SOFT_VOLUMES for volume in pod["spec"].get("volumes", []))


def privilege_escalation(pod: Pod) -> bool:
    """Every container forbids it; it cannot be said for the pod."""
    return all(context.get("allowPrivilegeEscalation") is False for context in _contexts(pod)[1:])


def run_as_non_root(pod: Pod) -> bool:
    """Every container must not be root."""
    return all(value is True for value in _everywhere(pod, "runAsNonRoot"))


def run_as_user(pod: Pod) -> bool:
    """No user 0."""
    return not any(context.get("runAsUser") == 0 for context in _contexts(pod))


def seccomp(pod: Pod) -> bool:
    """Every container has a profile, and no context takes it away."""
    allowed = {"RuntimeDefault", "Localhost"}
    own = [context["seccompProfile"].get("type") for context in _contexts(pod) if "seccompProfile" in context]
    effective = [(profile or {}).get("type") for profile in _everywhere(pod, "seccompProfile")]
    return {*own, *effective} <= allowed


def capabilities_dropped(pod: Pod) -> bool:
    """Every container drops all."""
    return all("ALL" in context.get("capabilities", {}).get("drop", []) for context in _contexts(pod)[1:])


def capabilities_added(pod: Pod) -> bool:
    """None comes back but NET_BIND_SERVICE."""
    added = {name for context in _contexts(pod) for name in context.get("capabilities", {}).get("add", [])}
    return added <= {"NET_BIND_SERVICE"}


RULES: tuple[Rule, ...] = (
    host_process,
    host_namespaces,
    privileged,
    host_path,
    host_ports,
    host_in_probes,
    app_armor,
    se_linux,
    proc_mount,
    sysctls,
    volume_types,
    privilege_escalation,
    run_as_non_root,
    run_as_user,
    seccomp,
    capabilities_dropped,
    capabilities_added,
)
