"""The Dockerfile: clean by hadolint, and what goes into the build is an allow-list."""

import subprocess
import sys
from pathlib import Path

from tests.deploy.compose import ROOT

_IGNORED = ROOT / ".dockerignore"


def _hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("hadolint")), "--failure-threshold", "info", str(dockerfile)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours


def test_dockerfile_is_clean_by_hadolint() -> None:
    """Without so much as a remark."""
    done = _hadolint(ROOT / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_dockerfile_that_runs_as_root_is_found_by_hadolint(tmp_path: Path) -> None:
    """The check above can fail."""
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python:3.13-slim-trixie\nUSER root\n", encoding="utf-8")
    assert "DL3002" in _hadolint(wrong).stdout


def test_build_sees_nothing_but_what_is_allowed() -> None:
    """Everything is ignored first; what is let in is there."""
    first, *lines = _IGNORED.read_text(encoding="utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert first == "*"
    assert lines == [*(f"!{name}" for name in allowed), "**/__pycache__"]
    assert [name for name in allowed if not (ROOT / name).exists()] == []
