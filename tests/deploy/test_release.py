"""The release command, in a clone of this repository: what it writes, and what it refuses."""

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import release
from tests.deploy.compose import ROOT

_OLD = release.written_version(ROOT)
_NEW = f"{int(_OLD.split('.')[0]) + 7}.8.9"
_TODAY = dt.date(2027, 1, 31)
_NEEDS_HELM = "tests.chart.generate"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-c", "advice.detachedHead=false", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone what is committed here, once, with something to release."""
    root = tmp_path_factory.mktemp("release") / "origin"
    _git(ROOT, "clone", "--quiet", "--no-tags", str(ROOT), str(root))
    _git(root, "checkout", "--quiet", "-B", release.BRANCH)
    _git(root, "config", "user.name", "A releaser")
    _git(root, "config", "user.email", "releaser@example.com")
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    changelog.write_text(text.replace("## [Unreleased]\n", "## [Unreleased]\n\n- It is new.\n"), encoding="utf-8")
    (root / "requirements/base.digest").write_text(f"example@sha256:{'0' * 64}\n", encoding="utf-8")
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", "Prepare")
    return root


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    """Give a clone of its own."""
    root = tmp_path / "clone"
    _git(origin, "clone", "--quiet", "--local", str(origin), str(root))
    for name in ("user.name", "user.email"):
        _git(root, "config", name, _git(origin, "config", name).strip())
    return root


def _generate_without_helm(root: Path) -> None:
    for module in set(release.GENERATORS) - {_NEEDS_HELM}:
        subprocess.run([sys.executable, "-m", module], cwd=root, check=True)  # noqa: S603 - ours


def test_release_writes_the_version_everywhere_commits_and_tags(clone: Path) -> None:
    """What is written down twice agrees, nothing but the changelog has the old version, and nothing is left over."""
    release.release(clone, _NEW, _TODAY, _generate_without_helm)

    assert _git(clone, "log", "-1", "--format=%s").strip() == f"Release {_NEW}"
    assert _git(clone, "cat-file", "-t", f"v{_NEW}").strip() == "tag"
    assert _git(clone, "rev-parse", f"v{_NEW}^{{commit}}") == _git(clone, "rev-parse", "HEAD")
    assert _git(clone, "status", "--porcelain") == ""
    changed = set(_git(clone, "diff", "--name-only", "HEAD~1").split())
    minor = _NEW.rpartition(".")[0]
    assert changed >= {"connector/__init__.py", "docs/asyncapi.yaml", f"tests/unit/state/released/{minor}.json"}
    with pytest.raises(subprocess.CalledProcessError):  # finds nothing
        _git(clone, "grep", "-E", rf"\bv?{re.escape(_OLD)}\b", "--", ":!CHANGELOG.md", ":!tests")
    agreement = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/deploy/test_agreement.py"]
    checked = subprocess.run(agreement, cwd=clone, check=False, capture_output=True, text=True)  # noqa: S603 - ours
    assert checked.returncode == 0, checked.stdout
    release.check_tag(clone, f"v{_NEW}")


def test_changelog_is_dated_and_begins_a_new_section(clone: Path) -> None:
    """What was unreleased is now under the version."""
    before = (clone / "CHANGELOG.md").read_text(encoding="utf-8")
    release.release(clone, _NEW, _TODAY, lambda _: None)
    after = (clone / "CHANGELOG.md").read_text(encoding="utf-8")
    assert after == before.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{_NEW}] - 2027-01-31\n")
    with pytest.raises(release.RefusedError, match=r"nothing under \[Unreleased\]"):
        release.check(clone, "99.0.0")


def test_version_that_is_written_already_can_be_the_first_release(clone: Path) -> None:
    """As long as no tag has it."""
    release.release(clone, _OLD, _TODAY, lambda _: None)
    assert f"v{_OLD}" in _git(clone, "tag").split()
    with pytest.raises(release.RefusedError, match=f"the tag v{re.escape(_OLD)} exists already"):
        release.check(clone, _OLD)


def _change_a_file(root: Path) -> None:
    (root / "README.md").write_text("", encoding="utf-8")


def _add_a_file(root: Path) -> None:
    (root / "new").touch()


def _leave_main(root: Path) -> None:
    _git(root, "checkout", "--quiet", "-b", "elsewhere")


def _detach(root: Path) -> None:
    _git(root, "checkout", "--quiet", "--detach")


def _tag_a_later_version(root: Path) -> None:
    _git(root, "tag", "v100.0.0")


def _empty_the_changelog(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n## [0.0.1]\n\n- Old.\n", "utf-8")
    _git(root, "commit", "--quiet", "--all", "--message", "Empty")


def _unlock_the_base(root: Path) -> None:
    _git(root, "rm", "--quiet", "requirements/base.digest")
    _git(root, "commit", "--quiet", "--message", "Unlock")


def _lose_the_section(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("# Changelog\n", "utf-8")
    _git(root, "commit", "--quiet", "--all", "--message", "Empty")


@pytest.mark.parametrize(
    ("prepare", "version", "fault"),
    [
        (None, "", "name the version: make release VERSION=X.Y.Z"),
        (None, "v1.2.3", "v1.2.3 is not a version X.Y.Z"),
        (None, "1.2", "1.2 is not a version X.Y.Z"),
        (None, "1.02.3", "1.02.3 is not a version X.Y.Z"),
        (None, "1.2.3-rc1", "1.2.3-rc1 is not a version X.Y.Z"),
        (None, "0.0.1", f"0.0.1 is not after {_OLD}"),
        (_change_a_file, _NEW, "the working tree has changes"),
        (_add_a_file, _NEW, "the working tree has changes"),
        (_leave_main, _NEW, "releases are made from main, not from elsewhere"),
        (_detach, _NEW, "releases are made from main, not from a detached HEAD"),
        (_tag_a_later_version, _NEW, f"{_NEW} is not after 100.0.0"),
        (_empty_the_changelog, _NEW, "CHANGELOG.md has nothing under [Unreleased]"),
        (_unlock_the_base, _NEW, "requirements/base.digest is missing"),
        (_lose_the_section, _NEW, "CHANGELOG.md must have one heading [Unreleased]"),
    ],
)
def test_release_is_refused(
    clone: Path, prepare: Callable[[Path], None] | None, version: str, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a message that says why; nothing has changed."""
    if prepare is not None:
        prepare(clone)
    before = _git(clone, "rev-parse", "HEAD"), _git(clone, "tag"), _git(clone, "status", "--porcelain")
    assert release.main([version], clone) == 1
    assert f"not released: {fault}" in capsys.readouterr().err
    assert (_git(clone, "rev-parse", "HEAD"), _git(clone, "tag"), _git(clone, "status", "--porcelain")) == before


def _fail(root: Path) -> None:
    """Write a file as a generator does, and fail as the next one does."""
    (root / "generated").touch()
    raise subprocess.CalledProcessError(1, ["python", "-m", "generate"])


def _lose_a_place(root: Path) -> None:
    (root / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    _git(root, "commit", "--quiet", "--all", "--message", "Empty")


def _refuse_tags(root: Path) -> None:
    _git(root, "config", "tag.gpgSign", "true")
    _git(root, "config", "gpg.program", "false")


def _succeed(_: Path) -> None:
    """Generate nothing."""


@pytest.mark.parametrize(
    ("prepare", "derive", "fault"),
    [
        (_succeed, _fail, "python -m generate failed"),
        (_lose_a_place, _succeed, "Dockerfile does not have image.version"),
        (_refuse_tags, _succeed, f"git tag --annotate v{_NEW} .* failed"),
    ],
    ids=["generator", "place", "tag"],
)
def test_release_that_stops_half_way_says_how_to_go_back(
    clone: Path, prepare: Callable[[Path], None], derive: Callable[[Path], None], fault: str
) -> None:
    """By commands that leave everything as it was: new files go, and so does the commit."""
    prepare(clone)
    before = _git(clone, "rev-parse", "HEAD")
    with pytest.raises(release.RefusedError, match=rf"{fault}.*; to take all changes back: ") as refused:
        release.release(clone, _NEW, _TODAY, derive)
    command = str(refused.value).partition("changes back: ")[2]
    subprocess.run(["sh", "-c", command], cwd=clone, check=True, capture_output=True)  # noqa: S603, S607 - ours
    assert _git(clone, "rev-parse", "HEAD") == before
    assert _git(clone, "status", "--porcelain") == ""
    assert _git(clone, "tag") == ""


def test_tag_of_another_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The workflow of a release asks before it builds anything."""
    assert release.main(["--check-tag", f"v{_OLD}"], ROOT) == 0
    assert release.main(["--check-tag", "v0.0.1"], ROOT) == 1
    assert f"the tag v0.0.1 is not v{_OLD}" in capsys.readouterr().err
