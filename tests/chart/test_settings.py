"""What the pods are given is what the settings know: variables, files and the YAML file, read by the real code."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from connector.cli import app
from connector.configuration import describe_settings, load_settings
from connector.settings import ENV_PREFIX, RunSettings, Settings, variable_name
from tests.rig.certificates import write_certificates
from tests.rig.chart import VALUES_FILES, Manifest, Manifests, config_text, nested, pods, render

_PATHS = dict(describe_settings(RunSettings))
_SECRETS = {path for path in _PATHS if (*path[:-1], f"{path[-1]}_file") in _PATHS}
_PEMS = {"ca.crt": "ca.pem", "tls.crt": "client.pem", "tls.key": "client.key"}
"""What clients read when they are made, by the file of the Secret."""
_CONTAINERS = {
    "StatefulSet": RunSettings,
    "Job": Settings,
    "CronJob tweets": RunSettings,
    "CronJob users": RunSettings,
    "Pod": RunSettings,
}
"""The kind of settings that the first container of each pod reads."""
_BATCH_RUNS = {"everything": {"CronJob tweets", "CronJob users"}, "existing-secrets": {"CronJob tweets"}}
"""The pods of batch runs, by the values file that switches them on."""


_PODS = [
    (name, kind)
    for name in VALUES_FILES
    for kind in _CONTAINERS
    if (name, kind) != ("no-provisioning", "Job")
    and (not kind.startswith("CronJob") or kind in _BATCH_RUNS.get(name, set()))
]
EACH_POD = pytest.mark.parametrize(("name", "kind"), _PODS)


def _first_container(name: str, kind: str) -> tuple[Manifest, Manifest]:
    """Return the pod's spec and its first container."""
    spec = pods(render(name))[kind]["spec"]
    return spec, spec["containers"][0]


def _mounted_files(spec: Manifest, container: Manifest, manifests: Manifests) -> dict[str, str]:
    """Return every file that the pod's volumes hold, with its content; a Secret's content is made up."""
    files = {}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in spec["volumes"]:
        folder = mounts.get(volume["name"])
        if "downwardAPI" in volume:
            files[f"{folder}/config.yaml"] = config_text(manifests)
        for source in volume.get("projected", {}).get("sources", []):
            [items] = [kind["items"] for kind in source.values()]
            files |= {f"{folder}/{item['path']}": f"content-of-{item['path']}\n" for item in items}
    return files


@contextmanager
def _as_in_the_pod(name: str, kind: str, root: Path) -> Iterator[list[str]]:
    """Put the pod's files below `root` and its variables into the environment; give the arguments."""
    spec, container = _first_container(name, kind)
    for path, content in _mounted_files(spec, container, render(name)).items():
        file = root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content.replace("/etc/connector", f"{root}/etc/connector"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
            patch.delenv(variable)
        for entry in container.get("env", []):
            value = entry.get("value", "demo-x-compliance-connector-0")
            patch.setenv(entry["name"], value.replace("/etc/connector", f"{root}/etc/connector"))
        yield [argument.replace("/etc/connector", f"{root}/etc/connector") for argument in container["args"]]


@EACH_POD
def test_settings_of_each_pod_are_loaded_and_every_secret_can_be_read(name: str, kind: str, tmp_path: Path) -> None:
    """The real code takes the file and the variables, and finds each file that they name."""
    with _as_in_the_pod(name, kind, tmp_path) as arguments:
        config = Path(arguments[-1].removeprefix("--config="))
        settings = load_settings(_CONTAINERS[kind], config)
        files = {_value(settings, path) for path in _PATHS if path[-1].endswith("_file") and _concerns(kind, path)}
    secrets = tmp_path / "etc/connector/secrets"
    for file in files - {None}:
        assert file.read_text(encoding="utf-8") == f"content-of-{file.relative_to(secrets)}\n"


def _concerns(kind: str, path: tuple[str, ...]) -> bool:
    """Tell whether the pod of `kind` uses the setting at `path`: provisioning does not speak to X."""
    return kind != "Job" or path[0] != "x"


def _value(settings: Settings, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any setting
    value: Any = settings
    for name in path:
        value = getattr(value, name)
    return value


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with an authority and a client's certificate and key."""
    folder = tmp_path_factory.mktemp("certificates") / "made"
    write_certificates(folder, ["client"])
    return folder


@EACH_POD
def test_command_of_each_pod_is_one_of_the_connectors(name: str, kind: str, tmp_path: Path, certificates: Path) -> None:
    """The command takes the arguments, and the settings are right for it, and for Kafka's clients too."""
    with _as_in_the_pod(name, kind, tmp_path) as arguments:
        for file in (tmp_path / "etc/connector/secrets").rglob("*"):
            if pem := _PEMS.get(file.name):
                file.write_bytes((certificates / pem).read_bytes())
            elif file.name == "properties.json":
                file.write_text('{"ssl.keystore.password": "hush"}', encoding="utf-8")
        *command, config = arguments
        assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0
        if kind != "Job":
            assert CliRunner().invoke(app, ["check", config]).exit_code == 0


@EACH_POD
def test_every_variable_is_a_setting(name: str, kind: str) -> None:
    """No pod has a variable of ours that the service would not know, and no secret in any."""
    _, container = _first_container(name, kind)
    ours = {entry["name"] for entry in container.get("env", []) if entry["name"].startswith(ENV_PREFIX)}
    assert ours <= {variable_name(path) for path in _PATHS}
    assert ours.isdisjoint({variable_name(path) for path in _SECRETS})


@EACH_POD
def test_no_file_is_mounted_by_sub_path(name: str, kind: str) -> None:
    """A mount by subPath never changes, so a rotated token would not arrive."""
    spec, _ = _first_container(name, kind)
    assert not [mount for one in spec["containers"] for mount in one.get("volumeMounts", []) if "subPath" in mount]


@pytest.mark.parametrize("name", VALUES_FILES)
def test_provisioning_is_given_no_access_to_x(name: str) -> None:
    """It needs none."""
    if job := pods(render(name)).get("Job"):
        sources = [
            source for volume in job["spec"]["volumes"] for source in volume.get("projected", {}).get("sources", [])
        ]
        paths = [item["path"] for source in sources for kind in source.values() for item in kind["items"]]
        assert [path for path in paths if path.startswith("x/")] == []


def test_replica_has_the_pods_name_as_its_group_instance_id() -> None:
    """Only the service is a member of the group; no other pod must take its place."""
    variable = variable_name(("kafka", "group_instance_id"))
    found = {}
    for kind, pod in pods(render("everything")).items():
        found[kind] = [entry for entry in pod["spec"]["containers"][0].get("env", []) if entry["name"] == variable]
    fields = {"apiVersion": "v1", "fieldPath": "metadata.name"}
    assert found.pop("StatefulSet") == [{"name": variable, "valueFrom": {"fieldRef": fields}}]
    assert [*found.values()] == [[], [], [], []]


_SAMPLES: dict[str, object] = {
    "x.base_url": "https://x.example.com",
    "x.streams": ["like"],
    "kafka.security_protocol": "SASL_PLAINTEXT",
    "kafka.sasl.mechanism": "OAUTHBEARER",
    "kafka.properties": {"client.id": "one"},
    "kafka.watched_groups": ["deletes"],
    "kafka.min_insync_replicas": 3,
    "schema_registry.url": "http://other",
    "kafka.compression": "gzip",
    "pipeline.idle_commit_interval_s": 2,
    "log.level": "error",
    "log.format": "console",
    "pipeline.commit_max_events": 4000,
}
"""Values that are right and not the default, where adding one or a letter would not make such."""
_OWNED = {("kafka", "group_instance_id"), ("http", "host"), ("http", "port")}
"""What the chart sets itself."""


def _sample(path: tuple[str, ...]) -> object:
    default = _PATHS[path].default
    if (name := ".".join(path)) in _SAMPLES:
        return _SAMPLES[name]
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int | float) else "text"


@pytest.mark.parametrize("path", [path for path in _PATHS if path not in _SECRETS | _OWNED], ids=".".join)
def test_every_other_setting_is_reached_by_config(path: tuple[str, ...]) -> None:
    """What has no value of its own in the chart is set under `config`, and comes out in the file."""
    wanted = nested(".".join(path), value := _sample(path))
    registry = {"username": "one", "existingSecret": "registry"}
    sasl = {"mechanism": "PLAIN", "username": "one", "existingSecret": "kafka"}
    kafka = {"securityProtocol": "SASL_SSL", "sasl": sasl}
    values = {"config": wanted, "kafka": kafka, "schemaRegistry": registry}
    config = yaml.safe_load(config_text(render("defaults", values)))
    for name in path:
        config = config[name]
    assert config == value


def test_every_secret_is_reached_by_a_file() -> None:
    """Each secret of the settings comes from a mounted file in one of the values files."""
    variables = {entry["name"] for name, kind in _PODS for entry in _first_container(name, kind)[1].get("env", [])}
    assert {f"{variable_name(path)}_FILE" for path in _SECRETS} <= variables


def test_service_listens_where_probes_and_service_look(tmp_path: Path) -> None:
    """One value moves the port everywhere."""
    with _as_in_the_pod("everything", "StatefulSet", tmp_path) as arguments:
        port = load_settings(RunSettings, Path(arguments[-1].removeprefix("--config="))).http.port
    _, container = _first_container("everything", "StatefulSet")
    assert [port] == [entry["containerPort"] for entry in container["ports"]] == [9090]


@pytest.mark.parametrize("name", VALUES_FILES)
def test_each_pod_that_is_rendered_is_looked_at_above(name: str) -> None:
    """None is left out of the tests of this file."""
    assert {kind for file, kind in _PODS if file == name} == pods(render(name)).keys()
