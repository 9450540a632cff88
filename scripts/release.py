"""`make release VERSION=X.Y.Z`: writes the version everywhere, dates the changelog, commits and tags. Never pushes.

The version is written down in `connector/__init__.py`; the package takes it from there. Image, chart and the commands
in docs name it, too: `tests/deploy/test_agreement.py` holds them against it. What can be generated is generated.
"""

import argparse
import datetime as dt
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

BRANCH = "main"
GENERATORS = ("tests.unit.state.snapshot", "tests.unit.docs.tables", "tests.chart.generate")
"""Modules that write what follows from the version."""
_NUMBER = r"(?:0|[1-9]\d*)"
_SEMVER = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_CODE = Path("connector/__init__.py")
_CHANGELOG = Path("CHANGELOG.md")
_PLACES = (
    (_CODE, '__version__ = "{}"'),
    (Path("Dockerfile"), 'image.version="{}"'),
    (Path("helm/Chart.yaml"), "\nversion: {}\n"),
    (Path("helm/Chart.yaml"), "\nappVersion: {}\n"),
)
_BASE = Path("requirements/base.digest")
_NAMES = ("x-compliance-connector:{}", ": v{}")
"""How compose, the Dockerfile and the docs name the image, and the examples of the docs a tag."""
_UNRELEASED = "## [Unreleased]\n"


class RefusedError(Exception):
    """The release is not made; the message says what to do."""


def written_version(root: Path) -> str:
    """Return the version that is written in the code."""
    [found] = re.findall(r'^__version__ = "(.+)"$', (root / _CODE).read_text(encoding="utf-8"), re.MULTILINE)
    return str(found)


def check(root: Path, version: str) -> None:
    """Raise `RefusedError` unless `version` can be released from what is checked out."""
    if not version:
        raise RefusedError("name the version: make release VERSION=X.Y.Z")
    if not _SEMVER.fullmatch(version):
        raise RefusedError(f"{version} is not a version X.Y.Z of Semantic Versioning, without a leading v or zeros")
    if _git(root, "status", "--porcelain"):
        raise RefusedError("the working tree has changes: commit or stash them first")
    if (branch := _git(root, "branch", "--show-current")) != BRANCH:
        raise RefusedError(f"releases are made from {BRANCH}, not from {branch or 'a detached HEAD'}")
    tags = _git(root, "tag", "--list", "v*").split()
    if f"v{version}" in tags:
        raise RefusedError(f"the tag v{version} exists already")
    released = [_ordered(tag.removeprefix("v")) for tag in tags if _SEMVER.fullmatch(tag.removeprefix("v"))]
    written = written_version(root)
    if _ordered(version) < _ordered(written) or (released and _ordered(version) <= max(released)):
        newest = max([_ordered(written), *released])
        raise RefusedError(f"{version} is not after {'.'.join(map(str, newest))}")
    if not _unreleased(root).strip():
        raise RefusedError(f"{_CHANGELOG} has nothing under [Unreleased]: say what users will notice")
    if not (root / _BASE).exists():
        raise RefusedError(f"{_BASE} is missing, so the tag would not say what the image is built on: run make base")


def write(root: Path, version: str, today: dt.date) -> None:
    """Write the version everywhere by hand, and date the changelog."""
    before = written_version(root)
    for path, pattern in _PLACES:
        _replace(root / path, pattern.format(before), pattern.format(version))
    for pattern in _NAMES:
        for name in _git(root, "grep", "--files-with-matches", "--fixed-strings", pattern.format(before)).splitlines():
            _replace(root / name, pattern.format(before), pattern.format(version))
    _replace(root / _CHANGELOG, _UNRELEASED, f"{_UNRELEASED}\n## [{version}] - {today.isoformat()}\n")


def generate(root: Path) -> None:
    """Write what follows from the version, and check that all places agree."""
    for module in GENERATORS:
        _run(root, sys.executable, "-m", module)
    _run(root, sys.executable, "-m", "pytest", "--quiet", "tests/deploy/test_agreement.py", "tests/unit/state")


def commit(root: Path, version: str) -> None:
    """Commit everything and tag it."""
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", f"Release {version}")
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")


def release(root: Path, version: str, today: dt.date, derive: Callable[[Path], None] = generate) -> None:
    """Make a release. Raises `RefusedError`, before or after files have changed; then it says how to take that back."""
    check(root, version)
    before = _git(root, "rev-parse", "HEAD")
    try:
        write(root, version, today)
        derive(root)
        commit(root, version)
    except (RefusedError, subprocess.CalledProcessError) as error:
        what = f"{' '.join(error.cmd)} failed" if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise RefusedError(f"{what}; to take all changes back: git reset --hard {before} && git clean -fd") from error


def check_tag(root: Path, tag: str) -> None:
    """Raise `RefusedError` unless `tag` is that of the version in the code."""
    if tag != f"v{written_version(root)}":
        raise RefusedError(f"the tag {tag} is not v{written_version(root)}, the version of the code")


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__.split("\n")[0])
    parser.add_argument("version", nargs="?", default="", help="the version to release, X.Y.Z")
    parser.add_argument("--check-tag", metavar="TAG", help="only check that TAG is that of the version in the code")
    given = parser.parse_args(arguments)
    try:
        if given.check_tag is not None:
            check_tag(root, given.check_tag)
            return 0
        release(root, given.version, dt.datetime.now(dt.UTC).date())
    except RefusedError as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    print(f"released here as v{given.version}; to publish: git push --atomic origin {BRANCH} v{given.version}")
    return 0


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _unreleased(root: Path) -> str:
    """Return the lines of the changelog under [Unreleased], without headings."""
    text = (root / _CHANGELOG).read_text(encoding="utf-8")
    if text.count(_UNRELEASED) != 1:
        raise RefusedError(f"{_CHANGELOG} must have one heading [Unreleased]")
    section = re.split(r"^## ", text.split(_UNRELEASED)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^#.*$", "", section, flags=re.MULTILINE)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise RefusedError(f"{path} does not have {old.strip()}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def _git(root: Path, *arguments: str) -> str:
    return _run(root, "git", *arguments).rstrip("\n")


def _run(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - ours


if __name__ == "__main__":
    sys.exit(main())
