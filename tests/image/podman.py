"""Owns how the tests build the connector's image and run containers from it, locked in; knows nothing of Kafka.

No image registry is needed: the base is a stand-in made by debootstrap, with Debian's Python of the same version as the
real one's, and with pip where the real one has it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/x-compliance-connector:test"

_BASE = "localhost/x-compliance-connector-test/python"
_TOOLS = ("podman", "buildah", "debootstrap", "runc")
_LOCKED_IN = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
_THIS_MACHINE = ("--network=host", "--health-interval=disable")
"""Servers on loopback are reached directly; without systemd only the test runs health checks."""
_REACHES_PACKAGES = (Path("/etc/pip.conf"), Path("/etc/ssl/certs"))
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=8192:8192", "nproc=8192:8192"]
[engine]
runtime = "runc"
"""
BUILT_AT_S = 1_767_225_600
LABELS = {
    "SOURCE": "https://forge.example/connector",
    "DOCUMENTATION": "https://forge.example/connector/docs",
    "VENDOR": "Example",
}
_BUILD_TIMEOUT_S = 900
_TIMEOUT_S = 120


class CannotRunError(Exception):
    """Containers cannot be run on this machine; the message says why."""


class Podman:
    """Podman and buildah with a configuration of our own: limits that machines without rights over them allow."""

    def __init__(self, folder: Path) -> None:
        self._config = folder / "containers.conf"
        self._config.write_text(_CONFIGURATION, encoding="utf-8")

    def run(self, *command: str | Path, timeout_s: float = _TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(  # noqa: S603 - the command is ours
            command,
            env=os.environ | {"CONTAINERS_CONF": str(self._config)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def must(self, *command: str | Path, timeout_s: float = _TIMEOUT_S) -> str:
        """Run a command that must succeed, and return its output."""
        done = self.run(*command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def once(self, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a container of the image to its end."""
        return self.run("podman", "run", "--rm", *_LOCKED_IN, *_THIS_MACHINE, *options, IMAGE, *arguments)

    def inspect(self, image: str = IMAGE) -> dict[str, Any]:
        """Return the configuration of an image, as Docker has it."""
        found: dict[str, Any] = json.loads(self.must("podman", "image", "inspect", image))[0]
        return found


def build_image(podman: Podman) -> None:
    """Build the image on the stand-in for its base. Raises `CannotRunError` where containers cannot be run."""
    if os.geteuid() != 0:
        raise CannotRunError("the tests of the image need root")
    if missing := [tool for tool in _TOOLS if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin")]:
        raise CannotRunError(f"the tests of the image need {', '.join(missing)}")
    base = _base_image(podman)
    if (trial := podman.run("podman", "run", "--rm", "--network=host", base, "true")).returncode:
        raise CannotRunError(f"podman cannot run a container here: {trial.stderr.strip()}")
    build(podman, ROOT, IMAGE)


def build(podman: Podman, context: Path, image: str) -> None:
    """Build an image of a source tree, as `make image` does, with every label."""
    podman.must("podman", "rmi", "--force", "--ignore", image)
    mounts = [f"--volume={path}:{path}:ro" for path in _REACHES_PACKAGES if path.exists()]
    variables = {
        "IMAGE": image,
        "BUILDER": "buildah",
        "PYTHON_IMAGE": base_name(),
        "PYTHON_DIGEST": base_digest(podman),
        "SOURCE_DATE_EPOCH": str(BUILT_AT_S),
        "BUILD_OPTIONS": " ".join(["--isolation=chroot", *mounts]),
        **LABELS,
    }
    given = [f"{name}={text}" for name, text in variables.items()]
    podman.must("env", *given, context / "scripts/build-image", timeout_s=_BUILD_TIMEOUT_S)


def base_name() -> str:
    """Return the name of the stand-in for the Dockerfile's base."""
    return f"{_BASE}:{_tag()}"


def base_digest(podman: Podman) -> str:
    """Return the digest of the stand-in."""
    return podman.must("podman", "image", "inspect", "--format={{.Digest}}", base_name())


def _tag() -> str:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [tag] = re.findall(r"^ARG PYTHON_IMAGE=docker\.io/library/python:(\S+-slim-\S+)$", dockerfile, re.MULTILINE)
    return str(tag)


def _base_image(podman: Podman) -> str:
    """Return the name of the stand-in for the Dockerfile's base, made where podman does not have it yet."""
    base = base_name()
    if podman.run("podman", "image", "exists", base).returncode == 0:
        return base
    with tempfile.TemporaryDirectory(prefix="image-base-") as folder:
        packages, release = "--include=ca-certificates,python3,python3-venv", _tag().rpartition("-")[2]
        podman.must(
            *("debootstrap", "--variant=minbase", packages, release, folder, _debian_mirror(podman)),
            timeout_s=_BUILD_TIMEOUT_S,
        )
        _make_like_the_real_one(Path(folder))
        archive = Path(folder).with_suffix(".tar")
        try:
            podman.must("tar", "--directory", folder, "--create", "--file", archive, ".")
            podman.must("podman", "import", archive, base)
        finally:
            archive.unlink(missing_ok=True)
    return base


def _make_like_the_real_one(root: Path) -> None:
    """Remove what apt left and what Python compiled, and install pip below /usr/local."""
    for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / leftover)
    [library] = root.glob("usr/lib/python3.*")
    for compiled in list(library.rglob("__pycache__")):
        shutil.rmtree(compiled)
    [pip] = root.glob("usr/share/python-wheels/pip-*.whl")
    shutil.unpack_archive(pip, root / "usr/local/lib" / library.name / "site-packages", "zip")
    program = root / "usr/local/bin/pip3"
    program.write_text("#!/usr/bin/python3\nfrom pip import main\nmain()\n", encoding="utf-8")
    program.chmod(0o755)


def _debian_mirror(podman: Podman) -> str:
    """Return the address that this machine's apt takes Debian from."""
    sites = podman.must("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main")
    return next(site for site in sites.splitlines() if not site.rstrip("/").endswith("security"))


class Container:
    """A container of the image in the background, locked in; removed at the end of a `with`."""

    def __init__(self, podman: Podman, command: str, environment: Mapping[str, str], *options: str) -> None:
        self._podman = podman
        given = (*_LOCKED_IN, *_THIS_MACHINE, *(f"--env={name}={value}" for name, value in environment.items()))
        self._id = podman.must("podman", "run", "--detach", *given, *options, IMAGE, command)

    def execute(self, *command: str) -> str:
        """Run a command inside that must succeed, and return its output."""
        return self._podman.must("podman", "exec", self._id, *command)

    @property
    def is_healthy(self) -> bool:
        """Tell what the image's own health check finds now."""
        return self._podman.run("podman", "healthcheck", "run", self._id).returncode == 0

    @property
    def output(self) -> str:
        """Return what it wrote to stdout so far."""
        return self._podman.run("podman", "logs", self._id).stdout

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the log entries so far; raises `ValueError` if a line is not one."""
        return [json.loads(line) for line in self._podman.run("podman", "logs", self._id).stderr.splitlines()]

    @property
    def keeps_sigterm(self) -> bool:
        """Tell whether its first process, which is runc before it is the entry point, blocks or handles SIGTERM."""
        first = Path("/proc", self._podman.must("podman", "inspect", "--format={{.State.Pid}}", self._id))
        is_entry_point = not (first / "comm").read_text(encoding="utf-8").startswith("runc")
        masks = re.findall(r"^Sig(?:Blk|Cgt):\s(\w+)$", (first / "status").read_text(encoding="ascii"), re.MULTILINE)
        return is_entry_point and any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)

    def stop(self) -> int:
        """Send SIGTERM, after 30 s SIGKILL, and return the exit code."""
        self._podman.must("podman", "stop", "--time=30", self._id)
        return int(self._podman.must("podman", "inspect", "--format={{.State.ExitCode}}", self._id))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self._podman.run("podman", "logs", self._id).stderr)  # noqa: T201 - pytest shows it with the failure
        self._podman.must("podman", "rm", "--force", "--time=0", self._id)
