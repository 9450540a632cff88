"""`make image` and `make base`: which digest the image is built on, and what the builder is given."""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT

_DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
[_BASE] = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", _DOCKERFILE, re.MULTILINE)
_DIGEST = f"sha256:{'0123456789abcdef' * 4}"
_COMMIT_S = 1_767_225_600
_RECORD = '#!/bin/sh\nprintf "%s\\n" "$@" >>"$0.arguments"\n'


class Tree:
    """A clone with the scripts, and a folder of programs, which is all that is on the path besides the system's own."""

    def __init__(self, folder: Path) -> None:
        self.root, self._programs = folder / "clone", folder / "programs"
        self._programs.mkdir()
        for name in ("Dockerfile", "Makefile", "connector/__init__.py", "scripts/lock-base", "scripts/build-image"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        (self.root / "requirements").mkdir()
        for name in ("sh", "cat", "sed", "grep", "dirname", "date", "git", "make", "mkdir", "tr"):
            (self._programs / name).symlink_to(str(shutil.which(name)))
        self.git("init", "--quiet")
        self.git("add", ".")
        self.git("commit", "--quiet", "--message=Start")
        self.commit = self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """Run git."""
        who = {f"GIT_{role}_{what}": "test" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {f"GIT_{role}_DATE": f"{_COMMIT_S} +0000" for role in ("AUTHOR", "COMMITTER")}
        return subprocess.run(  # noqa: S603 - our own arguments
            [str(shutil.which("git")), *arguments],
            cwd=self.root,
            env={**os.environ, **who, **when},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    @property
    def lock(self) -> Path:
        """Where the digest is locked."""
        return self.root / "requirements/base.digest"

    def add_program(self, name: str, script: str = _RECORD) -> None:
        """Put a program on the path; by default it records its arguments."""
        program = self._programs / name
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)

    def arguments(self, name: str) -> list[str]:
        """Return the arguments that a program got."""
        return (self._programs / f"{name}.arguments").read_text(encoding="utf-8").splitlines()

    def make(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run make with nothing but these programs, and these variables in its environment."""
        return subprocess.run(  # noqa: S603 - our own arguments
            [self._programs / "make", *arguments],
            cwd=self.root,
            env={"PATH": str(self._programs), **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def _given(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == option]


def test_image_is_built_on_the_locked_digest(tree: Tree) -> None:
    """With the commit, its time, and the labels that are given."""
    tree.lock.write_text(f"{_BASE}@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("docker")
    done = tree.make("image", "SOURCE=https://forge.example/c", "VENDOR=An Example", "IMAGE=r.example/c:1")
    assert done.returncode == 0, done.stderr
    arguments = tree.arguments("docker")[2:]  # after `buildx version`
    assert arguments[:3] == ["buildx", "build", "--load"]
    assert arguments[-1] == "."
    assert _given(arguments, "--tag") == ["r.example/c:1"]
    assert _given(arguments, "--build-arg") == [
        f"PYTHON_DIGEST={_DIGEST}",
        f"SOURCE_DATE_EPOCH={_COMMIT_S}",
        f"REVISION={tree.commit}",
        "CREATED=2026-01-01T00:00:00Z",
        "SOURCE=https://forge.example/c",
        "VENDOR=An Example",
    ]


def test_every_build_argument_is_one_of_the_dockerfile() -> None:
    """A builder only warns of one that is not."""
    script = (ROOT / "scripts/build-image").read_text(encoding="utf-8")
    [optional] = re.findall(r"^for name in (.+); do$", script, re.MULTILINE)
    given = {*optional.split(), *re.findall(r'--build-arg "([A-Z_]+)=', script)}
    assert given == set(re.findall(r"^ARG (\w+)", _DOCKERFILE, re.MULTILINE))


def test_image_for_several_platforms_is_pushed_with_attestations(tree: Tree) -> None:
    """And with the times of its files rewritten, so that two builds have the same layers."""
    tree.lock.write_text(f"{_BASE}@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("docker")
    done = tree.make("image", "PLATFORMS=linux/amd64,linux/arm64", "PUSH=1")
    assert done.returncode == 0, done.stderr
    arguments = tree.arguments("docker")
    assert _given(arguments, "--output") == ["type=image,push=true,rewrite-timestamp=true"]
    assert _given(arguments, "--platform") == ["linux/amd64,linux/arm64"]
    assert {"--provenance=mode=max", "--sbom=true"} < set(arguments)


_BUILDX = f"""#!/bin/sh
echo "$@" >>"$0.arguments"
[ "$2" != build ] || printf "%s\\n" '{{"containerimage.digest": "{_DIGEST}",' '"image.name": "x"}}' >dist/image.json
"""
"""What writes the metadata of an image as buildx does."""


def test_pushed_image_is_started_and_signed_by_its_digest(tree: Tree) -> None:
    """By the name that a registry takes, whatever the forge's is."""
    tree.lock.write_text(f"{_BASE}@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("docker", _BUILDX)
    tree.add_program("cosign")
    for target in ("image-push", "image-start", "image-sbom", "image-sign"):
        done = tree.make(target, REPOSITORY="r.example/An-Example/C", PLATFORMS="linux/amd64")
        assert done.returncode == 0, done.stderr
    image = f"r.example/an-example/c@{_DIGEST}"
    assert tree.make("image-digest").stdout == f"digest={_DIGEST}\n"
    built, started, read = (line for line in tree.arguments("docker") if line != "buildx version")
    assert " --tag r.example/an-example/c:" in built
    assert started.endswith(f" {image} --version")
    assert read.endswith(f" {image} /opt/connector/sbom.cdx.json")
    assert tree.arguments("cosign").count(image) == 2


def test_docker_without_buildx_is_passed_over(tree: Tree) -> None:
    """For buildah, where that is there."""
    tree.lock.write_text(f"{_BASE}@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("docker", "#!/bin/sh\nexit 1\n")
    done = tree.make("image")
    assert done.returncode != 0
    assert "To build the image, docker (with buildx) or buildah is needed." in done.stderr
    tree.add_program("buildah")
    done = tree.make("image")
    assert done.returncode == 0, done.stderr
    assert tree.arguments("buildah")[:3] == ["build", "--format", "docker"]


def test_image_without_a_locked_digest_looks_it_up_once(tree: Tree) -> None:
    """By the tag in the Dockerfile; what was found stays."""
    tree.add_program("skopeo", f'#!/bin/sh\necho "$@" >>"$0.arguments"\necho {_DIGEST}\n')
    tree.add_program("buildah")
    for _ in range(2):
        done = tree.make("image")
        assert done.returncode == 0, done.stderr
    assert tree.arguments("skopeo") == [f"inspect --format {{{{.Digest}}}} docker://{_BASE}"]
    assert tree.lock.read_text(encoding="utf-8") == f"{_BASE}@{_DIGEST}\n"
    assert f"PYTHON_DIGEST={_DIGEST}" in tree.arguments("buildah")


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (None, "docker (with buildx) or skopeo is needed"),
        ("#!/bin/sh\necho no route >&2\nexit 1\n", "could not be looked up; is its registry within reach?"),
        ("#!/bin/sh\necho latest\n", "could not be looked up"),
    ],
)
def test_image_is_refused_where_the_digest_is_not_known(tree: Tree, program: str | None, told: str) -> None:
    """Nothing is built, and nothing locked."""
    tree.add_program("buildah")
    if program:
        tree.add_program("skopeo", program)
    done = tree.make("image")
    assert done.returncode != 0
    assert told in done.stderr
    assert not tree.lock.exists()


def test_image_is_refused_on_the_digest_of_another_tag(tree: Tree) -> None:
    """As after a change of the Dockerfile."""
    tree.lock.write_text(f"docker.io/library/python:3.9@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("buildah")
    done = tree.make("image")
    assert done.returncode != 0
    assert f"requirements/base.digest is of docker.io/library/python:3.9, not of {_BASE}: run make base." in done.stderr


@pytest.mark.parametrize("text", ["", "\n", f"{_BASE}\n", f"{_BASE}@sha256:abc\n"])
def test_image_is_refused_where_the_lock_holds_no_digest(tree: Tree, text: str) -> None:
    """As after a disk that was full; without a message, the cause would be unknown."""
    tree.lock.write_text(text, encoding="utf-8")
    tree.add_program("buildah")
    done = tree.make("image")
    assert done.returncode != 0
    assert "requirements/base.digest holds no digest: run make base." in done.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("PUSH=0", "PUSH=1 pushes; without PUSH nothing is pushed. It is 0."),
        ("PUSH=no", "It is no."),
        ("BUILDER=podman", "BUILDER is docker or buildah, not podman."),
    ],
)
def test_image_is_neither_built_nor_pushed_where_a_variable_is_wrong(tree: Tree, wrong: str, told: str) -> None:
    """Nothing is taken for what it does not say."""
    tree.lock.write_text(f"{_BASE}@{_DIGEST}\n", encoding="utf-8")
    tree.add_program("docker", '#!/bin/sh\n[ "$2" = version ] || echo "$@" >"$0.arguments"\n')
    done = tree.make("image", wrong)
    assert done.returncode != 0
    assert told in done.stderr
    with pytest.raises(FileNotFoundError):
        tree.arguments("docker")


def test_image_without_a_digest_has_to_be_asked_for(tree: Tree) -> None:
    """By an empty one."""
    tree.add_program("buildah")
    done = tree.make("image", "PYTHON_DIGEST=")
    assert done.returncode == 0, done.stderr
    assert "PYTHON_DIGEST=" in tree.arguments("buildah")
    assert not tree.lock.exists()


def test_locked_digest_is_of_the_base_in_the_dockerfile() -> None:
    """Where there is one."""
    lock = ROOT / "requirements/base.digest"
    if lock.exists():
        assert re.fullmatch(f"{re.escape(_BASE)}@sha256:[0-9a-f]{{64}}\n", lock.read_text(encoding="utf-8"))
