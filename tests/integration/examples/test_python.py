"""The Python examples, against real services and the vectors."""

import sys
from pathlib import Path

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "python"
_ISOLATION_LEVEL = 'isolation_level="read_committed",'


def test_reader_prints_each_committed_event_once(published: Published) -> None:
    """It subscribes by pattern and leaves out what was aborted."""
    published.check(printed_events(run([sys.executable, "reader.py"], _FOLDER, published.environment)))


def test_aiokafka_reader_prints_each_committed_event_once(published: Published) -> None:
    """It says that it wants what is committed."""
    published.check(printed_events(run([sys.executable, "aiokafka_reader.py"], _FOLDER, published.environment)))


def test_aiokafka_reader_without_isolation_level_prints_what_was_aborted(published: Published, tmp_path: Path) -> None:
    """The client's default is read_uncommitted, which is why the example sets it."""
    source = (_FOLDER / "aiokafka_reader.py").read_text()
    assert source.count(_ISOLATION_LEVEL) == 1
    (tmp_path / "reader.py").write_text(source.replace(_ISOLATION_LEVEL, ""))
    published.check_uncommitted(printed_events(run([sys.executable, "reader.py"], tmp_path, published.environment)))


def test_state_is_what_the_vectors_say() -> None:
    """All cases, in all their orders."""
    assert run([sys.executable, "vectors.py", VECTORS], _FOLDER).endswith(" 0 failures\n")
