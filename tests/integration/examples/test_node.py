"""The Node example, against real services and the vectors."""

import shutil
from pathlib import Path

import pytest

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "node"
_ONCE = "if (seen.isNew(event.event_id)) "

pytestmark = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node and npm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the example, outside the checkout."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(_FOLDER, folder, ignore=shutil.ignore_patterns("node_modules"))
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], folder)
    return folder


def test_reader_prints_each_committed_event_once(published: Published, folder: Path) -> None:
    """It subscribes by pattern, and leaves out what was aborted or comes again."""
    published.check(printed_events(run(["node", "reader.js"], folder, published.environment)))


def test_client_shows_some_of_what_was_aborted(published: Published, folder: Path) -> None:
    """A transaction that began before another and was aborted after it shows, which is why the example has a memory."""
    source = (folder / "reader.js").read_text()
    assert source.count(_ONCE) == 1
    (folder / "forgetful.js").write_text(source.replace(_ONCE, ""))
    printed = printed_events(run(["node", "forgetful.js"], folder, published.environment))
    assert len(published.events) < len(printed) < len(published.events) + len(published.aborted)
    assert {event["event_id"] for event in printed} == published.events.keys()


def test_state_is_what_the_vectors_say(folder: Path) -> None:
    """All cases, in all their orders."""
    assert run(["node", "vectors.js", VECTORS], folder).endswith(" 0 failures\n")
