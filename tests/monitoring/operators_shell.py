"""Where an operator types: a shell with the real kubectl, Helm and Kafka tools, and a stand-in for a cluster.

Knows what the placeholders of the pages stand for.
"""

import copy
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from typer.core import TyperCommand, TyperGroup

from connector.cli import app
from connector.events.catalog import STREAM_PARTITIONS
from connector.telemetry.status import ServiceStatus, Statuses
from tests.monitoring.cluster import Cluster, Object
from tests.monitoring.kubernetes_api import serving
from tests.rig.chart import ROOT, VALUES_FILES
from tests.rig.java import find_java, java_parts
from tests.rig.log_events import log_events

NAMESPACE = "restricted"
NAME = "x-compliance-connector"
_TOOLS = {"kubectl": "KUBECTL", "helm": "HELM"}
"""Programs that make builds, by the variables that may name other ones."""
_KAFKA_TOOLS = {
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}
_PLACEHOLDERS = {
    "NAMESPACE": NAMESPACE,
    "NODE": "node-1",
    "GAP_ID": "tweet/2/1764460800000000/0123456789abcdef",
    "STREAM": "tweet",
    "N": "2",
    "ID": "0123456789abcdef0123456789abcdef",
    "BROKERS": "kafka:9092",
    "DAY": "2026-03-14",
    "NEXT_DAY": "2026-03-15",
    "TIME": "2026-03-14T09:26:53Z",
    "REVISION": "1",
}
_CHOICE = re.compile(r"\\?\|\w+|\[\w+…\]|…")
"""What a sentence leaves to the reader: all choices but the first, and arguments."""
_FILES = ("TOKEN_FILE", "KEY_FILE", "SECRET_FILE")
_TIMEOUT_S = 60


class ToolMissingError(Exception):
    """A program that the commands need is not there."""


def filled_in(line: str) -> str:
    """Return a command with a value in place of each placeholder."""
    pattern = rf"(?<![\w$/{{-])({'|'.join(_PLACEHOLDERS)})(?![\w-])"
    return re.sub(pattern, lambda match: _PLACEHOLDERS[match[1]], line)


def chosen(span: str) -> str:
    """Return a command of a sentence with the first of all choices, and without arguments that are left out."""
    return _CHOICE.sub("", span)


def parse(arguments: Sequence[str]) -> set[str]:
    """Let the connector's command line read arguments, without running anything; return the options of the command.

    Raises `typer.exceptions.TyperException` where it refuses them.
    """
    command: TyperCommand | TyperGroup = typer.main.get_group(app)
    rest = list(arguments)
    while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
        found = command.commands[rest.pop(0)]
        assert isinstance(found, TyperCommand | TyperGroup)
        command = found
    options = {option for parameter in command.params for option in parameter.opts}
    if command.name != "connector" and not {"-h", "--help"} & set(rest):
        command.make_context(command.name, rest)
    elif not set(rest) <= options | {"--install-completion", "--show-completion"} | {"-h", "--help"}:
        raise typer.BadParameter(f"no such command or option: {' '.join(rest)}")
    return options


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    output: str
    errors: str


class Shell:
    """Runs lines in a folder of its own, against a cluster whose state can be taken back."""

    def __init__(self, cluster: Cluster, folder: Path, prelude: str = "") -> None:
        self.cluster = cluster
        self.prelude = prelude
        self._folder = folder
        self._installed: dict[tuple[str, str], Object] = {}

    def run(self, line: str, *, prelude: str | None = None) -> Done:
        """Run a line as it is on a page; a failure anywhere in a pipe is its failure."""
        script = "\n".join(("set -o pipefail", self.prelude if prelude is None else prelude, filled_in(line)))
        tools = self._folder / "bin"
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(self._folder),
            "KUBECONFIG": str(self._folder / "kubeconfig"),
        }
        done = subprocess.run(  # noqa: S603 - lines of our pages
            ["/bin/bash", "-c", script],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def keep(self) -> None:
        """Make the cluster's state the one that `restore` brings back."""
        self._installed = copy.deepcopy(self.cluster.objects)

    def restore(self) -> None:
        """Bring the kept state back, and forget what was done since."""
        self.cluster.objects = copy.deepcopy(self._installed)
        for record in (self.cluster.executed, self.cluster.created, self.cluster.forwarded):
            record.clear()


@contextmanager
def opened(folder: Path) -> Iterator[Shell]:
    """Give a shell with all programs that pages name, on an empty cluster; `curl` prints what /status does.

    Raises `ToolMissingError` where `make` has not built one.
    """
    log = "\n".join(json.dumps({"event": event.name, "level": event.level}) for event in log_events())
    cluster = Cluster(NAMESPACE, log)
    cluster.put("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": _PLACEHOLDERS["NODE"]}, "spec": {}})
    tools = folder / "bin"
    tools.mkdir()
    (folder / "helm").symlink_to(ROOT / "helm")
    (folder / "values.yaml").symlink_to(VALUES_FILES["defaults"])
    for name in _FILES:
        (folder / name).write_text("secret", encoding="utf-8")
    for name, variable in _TOOLS.items():
        program = Path(os.environ.get(variable, f".work/tools/{name}"))
        if not (ROOT / program).exists():
            raise ToolMissingError(f"{program} is not there: run `make monitoring` once, it builds it")
        (tools / name).symlink_to(ROOT / program)
    for name, main_class in _KAFKA_TOOLS.items():
        java = shlex.join([str(find_java(17)), "-cp", f"{java_parts() / 'libraries'}/*", main_class])
        _script(tools / name, f"{java} \"$@\" --help 2>&1 | grep '^This tool'")  # it reads its options first
    (folder / "status.json").write_text(json.dumps(_status()), encoding="utf-8")
    _script(tools / "curl", f"cat {shlex.quote(str(folder / 'status.json'))}")
    with serving(cluster) as address:
        (folder / "kubeconfig").write_text(_kubeconfig(address), encoding="utf-8")
        yield Shell(cluster, folder)


def _status() -> Object:
    """Return what /status of a replica shows that has just started."""
    return ServiceStatus(Statuses(STREAM_PARTITIONS), 1, f"{NAME}-0", 0).as_json()


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _kubeconfig(address: str) -> str:
    """Return a configuration in JSON, which is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": address}}],
            "users": [{"name": "operator", "user": {}}],
            "contexts": [
                {"name": "here", "context": {"cluster": "stand-in", "user": "operator", "namespace": NAMESPACE}}
            ],
            "current-context": "here",
        }
    )
