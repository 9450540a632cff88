"""The forge's workflows: linted, pinned, with few rights, and every command is one of make's."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import ROOT

_WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
_MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
_TEXTS = "".join(path.read_text(encoding="utf-8") for path in _WORKFLOWS)
by_workflow = pytest.mark.parametrize("path", _WORKFLOWS, ids=lambda path: path.stem)


def _jobs(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return jobs


def _steps() -> list[dict[str, Any]]:
    return [step for path in _WORKFLOWS for job in _jobs(path).values() for step in job["steps"]]


def _targets() -> set[str]:
    return {
        target for names in re.findall(r"^([a-z][a-z -]*):(?!=)", _MAKEFILE, re.MULTILINE) for target in names.split()
    }


def _actionlint(folder: Path) -> str:
    """Return what actionlint complains about; `make deploy` builds it."""
    actionlint = ROOT / os.environ.get("ACTIONLINT", ".work/tools/actionlint")
    assert actionlint.exists(), "run make deploy"
    return _fails(folder, str(actionlint), "-shellcheck=", "-pyflakes=", *map(str, _in(folder)))


def _zizmor(folder: Path) -> str:
    """Return what zizmor complains about, without asking the network."""
    zizmor = str(Path(sys.executable).with_name("zizmor"))
    return _fails(folder, zizmor, "--offline", "--persona=pedantic", "--no-progress", "--quiet", ".github")


def _in(folder: Path) -> list[Path]:
    return sorted((folder / ".github/workflows").glob("*.yml"))


def _fails(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_workflows_are_clean_by_the_linters() -> None:
    """The rules of Dependabot, too."""
    assert _actionlint(ROOT) == ""
    assert _zizmor(ROOT) == ""


def test_workflows_with_faults_are_found_by_the_linters(tmp_path: Path) -> None:
    """Both do look at them."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    for path in _in(tmp_path):
        text = path.read_text(encoding="utf-8").replace("timeout-minutes", "timeout-minute")
        path.write_text(re.sub("@[0-9a-f]{40} # ", "@", text), encoding="utf-8")
    assert 'unexpected key "timeout-minute"' in _actionlint(tmp_path)
    assert "unpinned-uses" in _zizmor(tmp_path)


def test_commands_are_make_s() -> None:
    """So each can be tried on any machine; one that says what became of something says it to the forge."""
    commands = [step["run"] for step in _steps() if "run" in step]
    assert commands
    called = [re.fullmatch(r'make ([a-z-]+)(?: >>"\$GITHUB_OUTPUT")?', command) for command in commands]
    assert [command for command, match in zip(commands, called, strict=True) if match is None] == []
    assert {match[1] for match in called if match} <= _targets()


def test_actions_are_pinned_and_each_to_one_commit() -> None:
    """By the whole hash, with the version that it is beside it."""
    used = re.findall(r"uses: (.+)", _TEXTS)
    pins = [re.fullmatch(r"([\w-]+/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", each) for each in used]
    assert [each for each, pin in zip(used, pins, strict=True) if pin is None] == []
    found = {pin.groups() for pin in pins if pin}
    assert len(found) == len({action for action, *_ in found})


@by_workflow
def test_jobs_have_only_the_rights_that_they_need(path: Path) -> None:
    """None by default; what checks out keeps no credentials, and every job ends."""
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {}
    for job in _jobs(path).values():
        assert job["permissions"].get("contents") == "read"
        assert job["timeout-minutes"] <= 60
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"] for step in checkouts] == [{"persist-credentials": False}]


def test_only_a_release_may_write() -> None:
    """Attestations, packages and signatures; nothing may write to the repository."""
    may_write = {
        (path.stem, name, right)
        for path in _WORKFLOWS
        for name, job in _jobs(path).items()
        for right, level in job["permissions"].items()
        if level == "write"
    }
    rights = ("attestations", "id-token", "packages")
    assert may_write == {("release", job, right) for job in ("image", "chart") for right in rights}


def test_python_versions_are_those_of_the_package() -> None:
    """The oldest runs everything, and each runs the unit tests."""
    [jobs] = [_jobs(path) for path in _WORKFLOWS if path.stem == "ci"]
    versions = jobs["versions"]["strategy"]["matrix"]["version"]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [oldest] = re.findall(r'^requires-python = ">=(.+)"$', project, re.MULTILINE)
    assert versions[0] == oldest
    listed = re.findall(r"Programming Language :: Python :: (3\.\d+)", project)
    assert not listed or listed == versions
    assert set(re.findall(r'python-version: "(.+)"', _TEXTS)) == {oldest}
