"""Owns a real Kubernetes control plane on loopback ports, without nodes: objects are controlled, no pod runs."""

import json
import os
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import httpx

from tests.rig.certificates import write_certificates
from tests.rig.chart import ROOT
from tests.rig.process import LOOPBACK, Housed, Server, free_port

PROGRAMS = ROOT / ".work/cluster"
HELM = ROOT / ".work/tools/helm"
_TOKEN = "made-up"
_CONTROLLERS = ",".join(
    f"{name}-controller"
    for name in ("cronjob", "disruption", "garbage-collector", "job", "namespace", "serviceaccount", "statefulset")
)
_TIMEOUT_S = 120.0


class CommandError(Exception):
    """A command ended with an error; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed; warnings of the API server are in `error`."""

    output: str
    error: str


class Cluster(Housed):
    """etcd, API server and controllers, everything empty at the start; a context manager."""

    def __init__(self) -> None:
        super().__init__("cluster")
        store, peers, self._port, controllers = (free_port() for _ in range(4))
        self._keys = self._folder / "keys"
        self._config = self._folder / "kubeconfig"
        self._tokens = self._folder / "tokens"
        etcd = f"http://{LOOPBACK}:{store}"
        peer = f"http://{LOOPBACK}:{peers}"
        self._started = [
            self._server(
                "etcd",
                {
                    "data-dir": str(self._folder / "etcd"),
                    "unsafe-no-fsync": "true",
                    "listen-client-urls": etcd,
                    "advertise-client-urls": etcd,
                    "listen-peer-urls": peer,
                    "initial-advertise-peer-urls": peer,
                    "initial-cluster": f"default={peer}",
                },
                f"{etcd}/health",
            ),
            self._server(
                "kube-apiserver",
                {
                    "etcd-servers": etcd,
                    "bind-address": LOOPBACK,
                    "secure-port": str(self._port),
                    "cert-dir": str(self._folder / "serving"),
                    "endpoint-reconciler-type": "none",
                    "service-cluster-ip-range": "10.0.0.0/24,fd00::/112",
                    "authorization-mode": "RBAC",
                    "token-auth-file": str(self._tokens),
                    "service-account-issuer": "https://cluster.invalid",
                    "service-account-signing-key-file": str(self._keys / "accounts.key"),
                    "service-account-key-file": str(self._keys / "accounts.pem"),
                },
                f"https://{LOOPBACK}:{self._port}/readyz",
            ),
            self._server(
                "kube-controller-manager",
                {
                    "kubeconfig": str(self._config),
                    "bind-address": LOOPBACK,
                    "secure-port": str(controllers),
                    "cert-dir": str(self._folder / "controllers"),
                    "leader-elect": "false",
                    "controllers": _CONTROLLERS,
                    "service-account-private-key-file": str(self._keys / "accounts.key"),
                },
                f"https://{LOOPBACK}:{controllers}/healthz",
            ),
        ]

    def _server(self, name: str, options: dict[str, str], health: str) -> Server:
        command = [str(PROGRAMS / name), *(f"--{option}={value}" for option, value in options.items())]
        return Server(name, command, self._folder / f"{name}.log", partial(_is_healthy, health))

    def _prepare(self) -> None:
        write_certificates(self._keys, ["accounts"])
        self._tokens.write_text(f'{_TOKEN},admin,admin,"system:masters"\n', encoding="utf-8")
        address = {"server": f"https://{LOOPBACK}:{self._port}", "insecure-skip-tls-verify": True}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "cluster",
            "clusters": [{"name": "cluster", "cluster": address}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "admin"}}],
        }
        self._config.write_text(json.dumps(config), encoding="utf-8")

    def __enter__(self) -> Self:
        """Start one after the other: each gives up where the one before it does not answer yet."""
        self._prepare()
        try:
            for server in self._started:
                server.launch()
                server.wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def kubectl(self, *arguments: str, stdin: str = "") -> Said:
        """Run `kubectl`; raises `CommandError`."""
        return self._run(PROGRAMS / "kubectl", *arguments, stdin=stdin)

    def helm(self, *arguments: str, stdin: str = "") -> Said:
        """Run `helm`; raises `CommandError`."""
        return self._run(HELM, *arguments, stdin=stdin)

    def _run(self, program: Path, *arguments: str, stdin: str) -> Said:
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._config),
            "HOME": str(self._folder),
            "XDG_CACHE_HOME": str(self._folder / "cache"),
        }
        done = subprocess.run(  # noqa: S603 - our own arguments
            [program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=environment,
        )
        if done.returncode:
            raise CommandError(done.stdout + done.stderr)
        return Said(done.stdout, done.stderr)


def _is_healthy(address: str) -> bool:
    try:
        return httpx.get(address, verify=False).is_success  # noqa: S501 - its certificate is its own
    except httpx.TransportError:
        return False
