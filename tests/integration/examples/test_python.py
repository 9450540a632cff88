"""The Python example, against real services and the vectors."""

import sys

from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "python"


def test_reader_prints_each_committed_event_once(published: Published) -> None:
    """It subscribes by pattern and leaves out what was aborted."""
    published.check(printed_events(run([sys.executable, "reader.py"], _FOLDER, published.environment)))


def test_state_is_what_the_vectors_say() -> None:
    """All cases, in all their orders."""
    assert run([sys.executable, "vectors.py", VECTORS], _FOLDER).endswith(" 0 failures\n")
