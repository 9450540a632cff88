"""The image: what is in it and what is not, and the service in it, locked in, on a real broker and registry."""

import signal

import pytest

from connector import __version__
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.image.podman import Container, Podman
from tests.rig.audit import audit, read_history
from tests.rig.kafka import KafkaCluster
from tests.rig.process import LOOPBACK, free_port, wait_until
from tests.rig.registry import Registry
from tests.rig.service import Probe, environment, make_config, override

pytestmark = pytest.mark.timeout(1200)  # the first of them builds the image

_EVENTS = 2_000


def test_image_says_what_it_is_and_how_it_runs(podman: Podman) -> None:
    """A numeric user that is not root, an entry point without a shell, and labels."""
    image = podman.inspect()
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["env", "--block-signal=TERM", "connector"], ["run"])
    assert image["Healthcheck"]["Test"] == ["CMD", "connector", "health"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert (labels["title"], labels["version"]) == ("x-compliance-connector", __version__)
    assert labels.keys() >= {"base.name", "description", "licenses", "revision"}


def test_image_holds_the_version_of_the_code(podman: Podman) -> None:
    """The command answers, so all it imports is there."""
    done = podman.once("--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("a compiler", "command -v cc gcc c++ make"),
        ("a package manager's cache", "find /var/cache/apt /var/lib/apt/lists -name '*.deb' -o -name '*_Packages*'"),
        ("pip's cache", "find / -xdev -path '*/.cache/pip' 2>/dev/null"),
        ("what built it", "find /opt /src /wheels -name 'pip' -o -name 'hatchling' -o -name '*.whl' 2>/dev/null"),
        ("a file of ours that others may write", "find /opt/connector -not -type l -perm /022"),
    ],
)
def test_image_is_without(podman: Podman, what: str, script: str) -> None:
    """Nothing is found that only the build needs."""
    found = podman.once("-c", script, options=("--entrypoint=sh",)).stdout
    assert found == "", f"{what} is in the image"


def test_service_in_the_image_does_its_whole_job_and_stops_cleanly(
    podman: Podman, kafka: KafkaCluster, registry: Registry
) -> None:
    """Every event arrives once; the service is healthy, process 1 and alone, and SIGTERM ends it with 0."""
    port = free_port()
    with Simulator(SimulatorConfig()) as simulator:
        config = override(
            make_config(kafka.bootstrap_servers, registry.url, "image", simulator.base_url), http={"port": port}
        )
        variables = environment(config)
        provision = podman.once("provision", options=tuple(f"--env={name}={text}" for name, text in variables.items()))
        assert provision.returncode == 0, provision.stderr
        with Container(podman, "run", variables) as connector:
            wait_until(lambda: connector.is_healthy, "the image's health check is content")
            Probe(port).await_connected(simulator)
            simulator.emit(_EVENTS)
            Probe(port).await_sequences(simulator)
            assert connector.execute("connector", "health", "--ready") == "/livez: ok\n/readyz: ok"
            assert _commands(connector) == {"1": "connector"}
            assert connector.stop() == 0
            assert [entry["event"] for entry in connector.log][-1] == "stopped"
        history = read_history(kafka.bootstrap_servers, registry.url, "image", 6)
        assert audit(history, simulator.record()) == []


def _commands(container: Container) -> dict[str, str]:
    """Return the processes inside, number to name, zombies too, but for those that list them."""
    listed = container.execute("sh", "-c", 'cd /proc; for n in [0-9]*; do echo "$n $(cat $n/comm 2>/dev/null)"; done')
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    return {number: name for number, name in found.items() if name not in {"sh", "cat", ""}}


def test_health_check_without_a_service_finds_nobody(podman: Podman) -> None:
    """What is healthy above is not so by default."""
    done = podman.once("health", options=(f"--env=CONNECTOR_HTTP__PORT={free_port()}",))
    assert done.returncode == 69
    assert "does not answer" in done.stderr


def test_sigterm_ends_a_command_that_is_no_service(podman: Podman) -> None:
    """`provision` at a broker that is away, as the container's first process, does not wait to be killed."""
    nowhere = make_config(f"{LOOPBACK}:{free_port()}", f"http://{LOOPBACK}:{free_port()}", "image", "https://x.invalid")
    with Container(podman, "provision", environment(nowhere)) as provision:
        wait_until(lambda: _heeds_sigterm(provision), "the command heeds SIGTERM")
        assert provision.stop() == 128 + signal.SIGTERM


def _heeds_sigterm(container: Container) -> bool:
    [caught] = [line.split()[1] for line in container.execute("cat", "/proc/1/status").splitlines() if "SigCgt" in line]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_simulator_in_the_image_runs_and_stops_cleanly(podman: Podman) -> None:
    """It has what the simulator needs besides."""
    with Container(podman, "simulate", {}) as simulator:
        wait_until(lambda: simulator.output.startswith("http://127.0.0.1:"), "it says where it listens")
        assert simulator.stop() == 0
