"""The compose file: the real Compose takes it, each service is locked in, and our own code takes what it says."""

import re
import socket
import subprocess
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.core import TyperCommand

from connector.cli import app
from connector.configuration import describe_settings, load_settings
from connector.settings import RunSettings, Settings, variable_name
from connector.simulator.config import SimulatorConfig
from tests.deploy.compose import (
    FILE,
    PROFILES,
    ROOT,
    ComposeError,
    Service,
    every_service,
    model,
    own_services,
    services,
    settings_of,
)

SERVICES = pytest.mark.parametrize("service", every_service().values(), ids=every_service())
OWN = pytest.mark.parametrize("service", own_services().values(), ids=own_services())


@pytest.mark.parametrize("profiles", PROFILES, ids=str)
def test_file_is_taken_by_compose_without_a_warning(profiles: tuple[str, ...]) -> None:
    """With any choice of profiles, and no variable set."""
    assert model(profiles)["name"] == "x-compliance"


def test_file_with_a_misspelt_key_is_refused_by_compose(tmp_path: Path) -> None:
    """The check above can fail."""
    wrong = tmp_path / FILE.name
    wrong.write_text(FILE.read_text(encoding="utf-8").replace("depends_on:", "depend_on:", 1), encoding="utf-8")
    with pytest.raises(ComposeError, match="depend_on"):
        model(file=wrong)


def test_profiles_bring_up_what_they_say() -> None:
    """X or the simulator; Prometheus and Grafana only where asked for, or where it is for real."""
    simulated = {"kafka", "registry", "simulator", "provision", "connector", "deletes"}
    real = {"kafka", "registry", "provision-real", "connector-real", "deletes-real"}
    observability = {"prometheus", "grafana"}
    assert services().keys() == simulated
    assert services(("observability",)).keys() == simulated | observability
    assert services(("real",)).keys() == real | observability


@SERVICES
def test_service_has_no_rights_it_does_not_need(service: Service) -> None:
    """No capability, no way to gain one, nothing of the host's but read-only files, and no port but on loopback."""
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()
    assert {port["host_ip"] for port in service.get("ports", [])} <= {"127.0.0.1"}
    for mount in service.get("volumes", []):
        assert mount["type"] == "volume" or mount["read_only"]


@OWN
def test_own_service_cannot_write_to_its_image(service: Service) -> None:
    """The connector needs no place to write to."""
    assert service["read_only"]
    assert "volumes" not in service
    assert "tmpfs" not in service


@SERVICES
def test_image_is_pinned_to_a_release(service: Service) -> None:
    """Its tag begins with a full version."""
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("profiles", PROFILES[:-1], ids=str)
def test_image_is_built_once_for_all_who_run_it(profiles: tuple[str, ...]) -> None:
    """By the service that the others wait for; none pulls it from a registry."""
    own = {name: each for name, each in services(profiles).items() if name in own_services()}
    [builder] = [name for name, service in own.items() if "build" in service]
    assert builder.startswith("provision")
    assert {each["pull_policy"] for name, each in own.items() if name != builder} == {"never"}


@SERVICES
def test_start_is_ordered_by_health(service: Service) -> None:
    """What a service waits for has a health check, is a one-shot that must end well, or is waited for by itself."""
    for name, condition in service.get("depends_on", {}).items():
        awaited = every_service()[name]
        if condition["condition"] == "service_healthy":
            assert awaited["healthcheck"]["test"][0] == "CMD"
        elif condition["condition"] == "service_started":
            assert any(argument.startswith("--wait=") for argument in service["command"])
        else:
            assert condition["condition"] == "service_completed_successfully"
            assert awaited["command"][0] == "provision"
            assert awaited["restart"] == "no"


def test_health_is_checked_by_what_the_image_must_have() -> None:
    """A shell's own connect, which starts no JVM, and what Prometheus' image is for."""
    checks = {
        name: each["healthcheck"]["test"]
        for name, each in every_service().items()
        if "test" in each.get("healthcheck", {})
    }
    assert checks == {
        "kafka": ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/19092"],
        "simulator": ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/8400"],
        "prometheus": ["CMD", "promtool", "check", "ready"],
    }
    assert "INSIDE://:19092" in services()["kafka"]["environment"]["KAFKA_LISTENERS"]


@pytest.mark.parametrize("is_open", [True, False])
def test_health_check_by_the_shell_tells_an_open_port_from_a_closed_one(*, is_open: bool) -> None:
    """As the real shell takes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not is_open:
            server.close()
        command = services()["kafka"]["healthcheck"]["test"][1:]
        done = subprocess.run(  # noqa: S603 - the command is ours
            [*command[:-1], command[-1].replace("19092", f"{port}")], capture_output=True, check=False
        )
    assert (done.returncode == 0) is is_open


@SERVICES
def test_log_and_memory_are_bounded(service: Service) -> None:
    """A machine that is left alone with this does not fill up."""
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert 256 * 1024**2 <= int(service["mem_limit"]) <= 1024**3


def test_connector_that_was_killed_has_its_stream_partitions_back_at_once() -> None:
    """Its instance id is its own and stays; a topic prefix has no two of them."""
    ids = {
        name: settings_of(service).get("CONNECTOR_KAFKA__GROUP_INSTANCE_ID")
        for name, service in own_services().items()
        if service["command"] == ["run"]
    }
    assert ids == {name: name for name in ("connector", "connector-real")}


def test_reader_of_deletes_goes_on_where_it_ended() -> None:
    """A restart prints nothing again."""
    for name in ("deletes", "deletes-real"):
        assert every_service()[name]["command"][-1] == "--group=deletes"


def test_build_passes_what_the_environment_names() -> None:
    """The base, its digest, and the revision for the image's label."""
    given = {"PYTHON_IMAGE": "mirror/python", "PYTHON_DIGEST": "sha256:0", "REVISION": "abc"}
    assert model(variables=given)["services"]["provision"]["build"]["args"] == given
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert all(f"ARG {name}" in dockerfile for name in given)


def test_ports_on_the_host_are_all_different() -> None:
    """Any choice of profiles may run together."""
    ports = [port["published"] for service in every_service().values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports)) > 5


@SERVICES
def test_files_that_are_mounted_are_in_the_project(service: Service) -> None:
    """Compose would make a folder of a file that is missing."""
    for mount in service.get("volumes", []):
        if mount["type"] == "bind":
            assert Path(mount["source"]).is_file()
            assert Path(mount["source"]).is_relative_to(ROOT)


@OWN
def test_command_is_one_that_the_command_line_takes(service: Service) -> None:
    """With all its arguments and options."""
    name, *arguments = service["command"]
    _command(name).make_context(name, list(arguments))


def _command(name: str) -> TyperCommand:
    """Return the command of that name, as it is parsed."""
    group = typer.main.get_group(app)
    command = group.commands[name]
    assert isinstance(command, TyperCommand)
    return command


@OWN
def test_variables_are_settings_that_the_settings_code_takes(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each by its name, and all together are enough for the command; a file stands in for those that Compose mounts."""
    mounted = tmp_path / "mounted"
    mounted.touch()
    variables = settings_of(service)
    assert variables.keys() <= {variable_name(path) for path, _ in describe_settings(RunSettings)}
    if service["command"][0] == "simulate":
        assert not variables
        return
    for name, value in variables.items():
        monkeypatch.setenv(name, str(mounted) if name.endswith("_FILE") else value)
    load_settings(RunSettings if service["command"][0] == "run" else Settings)


def test_secrets_come_from_files_alone() -> None:
    """No service has a secret in its environment; each names the file that Compose mounts for it."""
    for service in every_service().values():
        assert not [name for name in service.get("environment", {}) if re.search(r"(TOKEN|PASSWORD|SECRET|KEY)$", name)]
        mounted = [secret["target"] for secret in service.get("secrets", [])]
        named = [value for name, value in settings_of(service).items() if name.endswith("_FILE")]
        assert mounted == named


def test_secrets_of_the_simulator_are_here_and_those_of_x_are_not() -> None:
    """The first start needs no file; the file for the real token is never committed, and has an example."""
    secrets = model()["secrets"] | model(("real",))["secrets"]
    assert Path(secrets["simulator-token"]["file"]).read_text(encoding="utf-8").strip() == SimulatorConfig().token
    real = Path(secrets["x-bearer-token"]["file"])
    assert f"{real.relative_to(ROOT)}" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert real.with_name(f"{real.name}.example").is_file()


def test_connector_asks_the_simulator_where_it_listens() -> None:
    """Its address is the simulator's name and default port, which is the published one and the one that is checked."""
    [port] = [parameter.default for parameter in _command("simulate").params if parameter.name == "port"]
    simulator = services()["simulator"]
    assert settings_of(services()["connector"])["CONNECTOR_X__BASE_URL"] == f"http://simulator:{port}"
    assert [published["target"] for published in simulator["ports"]] == [port]
    assert simulator["healthcheck"]["test"][-1].endswith(f"/{port}")


def test_control_of_the_simulator_needs_the_token_that_the_docs_name() -> None:
    """A published port is reached from another address than the container's own."""
    options = dict(part.removeprefix("--").split("=") for part in services()["simulator"]["command"][1:])
    header = f"Authorization: Bearer {options['control-token']}"
    for page in ("deploy.md", "simulator.md"):
        assert header in (ROOT / "docs" / page).read_text(encoding="utf-8")


def test_simulated_and_real_events_never_share_a_topic() -> None:
    """The simulated ones have the default prefix; whatever works on the real ones has another."""
    prefixes: dict[bool, set[str | None]] = {False: set(), True: set()}
    for service in own_services().values():
        if settings := settings_of(service):
            prefixes["real" in service["profiles"]].add(settings.get("CONNECTOR_KAFKA__TOPIC_PREFIX"))
    assert prefixes == {False: {None}, True: {"real.x.compliance"}}


def test_prometheus_scrapes_the_connectors_at_their_port() -> None:
    """By the names of the services."""
    scrape = yaml.safe_load((ROOT / "compose/prometheus.yaml").read_text(encoding="utf-8"))
    [lookup] = scrape["scrape_configs"][0]["dns_sd_configs"]
    running = {name: service for name, service in own_services().items() if service["command"] == ["run"]}
    assert set(lookup["names"]) == running.keys()
    for service in running.values():
        assert [port["target"] for port in service["ports"]] == [lookup["port"]]


def test_connector_keeps_its_name_in_prometheus_when_its_address_changes() -> None:
    """`instance` is the service's name, so that a restart begins no other series; the real promtool takes the file."""
    file = ROOT / "compose/prometheus.yaml"
    scrape = yaml.safe_load(file.read_text(encoding="utf-8"))["scrape_configs"][0]
    assert scrape["relabel_configs"] == [{"source_labels": ["__meta_dns_name"], "target_label": "instance"}]
    done = subprocess.run(  # noqa: S603 - the command is ours
        ["promtool", "check", "config", "--syntax-only", file],  # noqa: S607 - from the PATH
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
