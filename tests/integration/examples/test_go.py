"""The Go example, against real services and the vectors."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "go"
_ISOLATION_LEVEL = "kgo.FetchIsolationLevel(kgo.ReadCommitted()),"


def _has_go() -> bool:
    """Return whether there is a Go that the module asks for, or one that can download it."""
    if (go := shutil.which("go")) is None:
        return False
    return subprocess.run([go, "list", "-m"], cwd=_FOLDER, capture_output=True, check=False).returncode == 0  # noqa: S603


pytestmark = pytest.mark.skipif(not _has_go(), reason="needs Go, of the version in examples/go/go.mod or newer")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example."""
    return _built(_FOLDER, tmp_path_factory.mktemp("go") / "example")


def test_reader_prints_each_committed_event_once(published: Published, program: Path) -> None:
    """It subscribes by pattern and leaves out what was aborted."""
    published.check(printed_events(run([program, "read"], _FOLDER, published.environment)))


def test_reader_without_isolation_level_prints_what_was_aborted(published: Published, tmp_path: Path) -> None:
    """The client's default is read_uncommitted, which is why the example sets it."""
    folder = tmp_path / "go"
    shutil.copytree(_FOLDER, folder)
    source = (folder / "read.go").read_text()
    assert source.count(_ISOLATION_LEVEL) == 1
    (folder / "read.go").write_text(source.replace(_ISOLATION_LEVEL, ""))
    program = _built(folder, tmp_path / "uncommitted")
    printed = printed_events(run([program, "read"], folder, published.environment))
    published.check_uncommitted(printed)


def test_state_is_what_the_vectors_say(program: Path) -> None:
    """All cases, in all their orders."""
    assert run([program, "vectors", VECTORS], _FOLDER).endswith(" 0 failures\n")


def test_source_is_formatted_and_vetted() -> None:
    """What Go's own tools ask for."""
    assert run(["gofmt", "-l", "."], _FOLDER) == ""
    assert run(["go", "vet", "./..."], _FOLDER) == ""


def _built(folder: Path, program: Path) -> Path:
    run(["go", "build", "-o", program, "."], folder)
    return program
