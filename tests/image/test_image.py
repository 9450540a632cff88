"""The image: what is in it and what is not, and the service in it, locked in, on a real broker and registry."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from connector import __version__
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.image.podman import BUILT_AT_S, LABELS, ROOT, Container, Podman, base_digest, base_name, build
from tests.rig.audit import audit, read_history
from tests.rig.kafka import KafkaCluster
from tests.rig.process import LOOPBACK, free_port, wait_until
from tests.rig.registry import Registry
from tests.rig.service import Probe, environment, make_config, override

pytestmark = pytest.mark.timeout(1200)  # the first of them builds the image

_EVENTS = 2_000


def test_image_says_what_it_is_and_how_it_runs(podman: Podman) -> None:
    """A numeric user that is not root, and an entry point without a shell that keeps a SIGTERM until it is handled."""
    image = podman.inspect()
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["env", "--block-signal=TERM", "connector"], ["run"])
    assert image["Healthcheck"]["Test"] == ["CMD", "connector", "health"]


def test_image_has_every_label(podman: Podman) -> None:
    """What it is, where it comes from and when; `make image` gives what the Dockerfile cannot know."""
    prefix = "org.opencontainers.image."
    labels = {
        name.removeprefix(prefix): text
        for name, text in podman.inspect()["Config"]["Labels"].items()
        if name.startswith(prefix)
    }
    revision, description = labels.pop("revision"), labels.pop("description")
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", revision)
    assert description
    assert labels == {
        "title": "x-compliance-connector",
        "version": __version__,
        "licenses": "Apache-2.0",
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(BUILT_AT_S)),
        "base.name": base_name(),
        "base.digest": base_digest(podman),
        **{name.lower(): text for name, text in LABELS.items()},
    }


def test_two_builds_have_the_same_layers(podman: Podman, tmp_path: Path) -> None:
    """Of files that differ in their times and permissions, as those of another clone do."""
    again = "localhost/x-compliance-connector:again"
    for name in ("Dockerfile", ".dockerignore", "scripts", "requirements", "schemas", "connector"):
        _copy(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        _copy(ROOT / name, tmp_path / name)
    build(podman, tmp_path, again)
    try:
        first, second = (
            podman.inspect(image)["RootFS"]["Layers"] for image in ("localhost/x-compliance-connector:test", again)
        )
    finally:
        podman.must("podman", "rmi", again)
    assert first == second


def _copy(source: Path, target: Path) -> None:
    """Copy a file or folder as if it were checked out now, under another umask."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_copy_file, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        _copy_file(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o700 if path.is_dir() or path.stat().st_mode & 0o100 else 0o600)


def _copy_file(source: str | Path, target: str | Path) -> None:
    shutil.copyfile(source, target)
    shutil.copymode(source, target)


def test_image_holds_the_version_of_the_code(podman: Podman) -> None:
    """The command answers, so all it imports is there."""
    done = podman.once("--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("a compiler", "command -v cc gcc c++ make"),
        ("a package manager's cache", "find /var/cache/apt /var/lib/apt/lists -name '*.deb' -o -name '*_Packages*'"),
        ("pip's cache", "find / -xdev -path '*/.cache/pip'"),
        ("what built it", "find /opt /src /wheels -name hatchling -o -name cyclonedx -o -name '*.whl'"),
        (
            "what installs packages",
            "find / -xdev -name pip -o -name 'pip3*' -o -name ensurepip -o -name setuptools -o -name '*.whl'",
        ),
        ("a file of ours that others may write", "find /opt/connector -not -type l -perm /022"),
        (
            "a program besides",
            "find /opt/connector -type f -perm /111 -not -path /opt/connector/bin/connector",
        ),
        (
            "a program in the path",
            "find /opt/connector/bin /usr/local/bin -mindepth 1 -not -name 'python*' -not -name connector",
        ),
    ],
)
def test_image_is_without(podman: Podman, what: str, script: str) -> None:
    """Nothing is found that only the build needs."""
    found = podman.once("-c", f"{script} 2>/dev/null", options=("--entrypoint=sh",)).stdout
    assert found == "", f"{what} is in the image"


def test_sbom_lists_what_is_installed(podman: Podman) -> None:
    """Each distribution with its version, and no other."""
    sbom = json.loads(podman.once("/opt/connector/sbom.cdx.json", options=("--entrypoint=cat",)).stdout)
    listed = {(part["name"], part["version"]) for part in sbom["components"]}
    script = (
        "import importlib.metadata as metadata, json;"
        "print(json.dumps([(each.name, each.version) for each in metadata.distributions()]))"
    )
    installed = {tuple(each) for each in json.loads(_python(podman, script))}
    assert sbom["bomFormat"] == "CycloneDX"
    assert ("x-compliance-connector", __version__) in installed
    assert listed == installed


def test_nothing_is_compiled_at_the_start(podman: Podman) -> None:
    """The bytecode of every module is there, that of Python's library included, which the official image is without."""
    script = (
        "import connector.app, connector.cli, pathlib, sys;"
        "print([name for name, module in sys.modules.items() if (at := getattr(module, '__cached__', None))"
        " and not pathlib.Path(at).exists()])"
    )
    assert _python(podman, script) == "[]\n"


def _python(podman: Podman, script: str) -> str:
    done = podman.once("-c", script, options=("--entrypoint=/opt/connector/bin/python",))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_says_that_it_is_not_in_the_image(podman: Podman) -> None:
    """And what to run instead."""
    done = podman.once("demo")
    assert done.returncode == 78
    assert "the image is without the extra demo: instead, run make demo or docker compose up" in done.stderr


@pytest.mark.parametrize("user", ["65532:65532", "1234567:0"])
def test_service_in_the_image_does_its_whole_job_and_stops_cleanly(
    podman: Podman, kafka: KafkaCluster, registry: Registry, user: str
) -> None:
    """Under any user: every event arrives once, it is healthy, process 1 and alone, and SIGTERM ends it with 0."""
    port, prefix = free_port(), f"image-{user.partition(':')[0]}"
    with Simulator(SimulatorConfig()) as simulator:
        config = override(
            make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url), http={"port": port}
        )
        variables = environment(config)
        given = tuple(f"--env={name}={text}" for name, text in variables.items())
        provision = podman.once("provision", options=(f"--user={user}", *given))
        assert provision.returncode == 0, provision.stderr
        with Container(podman, "run", variables, f"--user={user}") as connector:
            wait_until(lambda: connector.is_healthy, "the image's health check is content")
            Probe(port).await_connected(simulator)
            simulator.emit(_EVENTS)
            Probe(port).await_sequences(simulator)
            assert connector.execute("connector", "health", "--ready") == "/livez: ok\n/readyz: ok"
            assert connector.execute("id", "-u") == user.partition(":")[0]
            assert _commands(connector) == {"1": "connector"}
            assert connector.stop() == 0
            assert [entry["event"] for entry in connector.log][-1] == "stopped"
        history = read_history(kafka.bootstrap_servers, registry.url, prefix, 6)
        assert audit(history, simulator.record()) == []


def _commands(container: Container) -> dict[str, str]:
    """Return the processes inside, number to name, zombies too, but for those that list them."""
    listed = container.execute("sh", "-c", 'cd /proc; for n in [0-9]*; do echo "$n $(cat $n/comm 2>/dev/null)"; done')
    found = dict(line.split(" ", 1) for line in listed.splitlines())
    return {number: name for number, name in found.items() if name not in {"sh", "cat", ""}}


def test_health_check_without_a_service_fails(podman: Podman) -> None:
    """What is healthy above is not so by default."""
    done = podman.once("health", options=(f"--env=CONNECTOR_HTTP__PORT={free_port()}",))
    assert done.returncode == 69
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("delay_s", [0, 0.1, 0.2, 0.3, 0.4, 0.5])
def test_sigterm_while_the_service_starts_ends_it(podman: Podman, delay_s: float) -> None:
    """However early: it is neither lost nor followed by SIGKILL."""
    nowhere = make_config(f"{LOOPBACK}:{free_port()}", f"http://{LOOPBACK}:{free_port()}", "image", "https://x.invalid")
    with Container(podman, "run", environment(nowhere)) as connector:
        time.sleep(delay_s)
        assert connector.stop() in {0, 128 + signal.SIGTERM}


def test_sigterm_ends_a_command_that_is_no_service(podman: Podman) -> None:
    """`provision` at a broker that is away, as the container's first process, does not wait to be killed."""
    nowhere = make_config(f"{LOOPBACK}:{free_port()}", f"http://{LOOPBACK}:{free_port()}", "image", "https://x.invalid")
    with Container(podman, "provision", environment(nowhere)) as provision:
        wait_until(lambda: _heeds_sigterm(provision), "the command handles SIGTERM")
        assert provision.stop() == 128 + signal.SIGTERM


def _heeds_sigterm(container: Container) -> bool:
    [caught] = [line.split()[1] for line in container.execute("cat", "/proc/1/status").splitlines() if "SigCgt" in line]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_simulator_in_the_image_runs_and_stops_cleanly(podman: Podman) -> None:
    """It has what the simulator needs besides."""
    with Container(podman, "simulate", {}) as simulator:
        wait_until(lambda: simulator.output.startswith("http://127.0.0.1:"), "it says where it listens")
        assert simulator.stop() == 0
