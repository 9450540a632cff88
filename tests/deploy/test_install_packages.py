"""`scripts/install-packages`: nothing is installed on a machine whose owner did not ask for it."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/install-packages"


def _run(folder: Path, **environment: str) -> tuple[int, str, str]:
    """Run the script as root, as far as it can tell, where apt-get only writes down how it is called."""
    for name, body in {"apt-get": f'echo "$*" >> {folder}/calls', "id": "echo 0"}.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    ended = subprocess.run(  # noqa: S603 - our own script
        [SCRIPT, "curl"], env={"PATH": f"{folder}:/bin"} | environment, capture_output=True, text=True, check=False
    )
    calls = folder / "calls"
    return ended.returncode, ended.stderr, calls.read_text(encoding="utf-8") if calls.exists() else ""


@pytest.mark.parametrize("environment", [{}, {"INSTALL": ""}, {"INSTALL": "0", "CI": ""}])
def test_nothing_is_installed_unless_asked_for(tmp_path: Path, environment: dict[str, str]) -> None:
    """The command to run is printed instead, and the target fails."""
    code, stderr, calls = _run(tmp_path, **environment)
    assert (code, calls) == (1, "")
    assert "apt-get install -y --no-install-recommends curl" in stderr


@pytest.mark.parametrize("environment", [{"INSTALL": "1"}, {"CI": "true"}])
def test_packages_are_installed_where_asked_and_in_ci(tmp_path: Path, environment: dict[str, str]) -> None:
    """The package lists are fetched first, since a fresh machine has none."""
    code, stderr, calls = _run(tmp_path, **environment)
    assert (code, stderr) == (0, "")
    assert calls.splitlines() == ["update", "install -y --no-install-recommends curl"]
