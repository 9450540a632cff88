"""The Java example, against real services and the vectors."""

import pytest

from tests.integration.examples.java import build, java_command
from tests.integration.examples.published import EXAMPLES, VECTORS, Published, printed_events, run

_FOLDER = EXAMPLES / "java"


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build(_FOLDER)


def test_reader_prints_each_committed_event_once(published: Published) -> None:
    """It subscribes by pattern and leaves out what was aborted."""
    published.check(printed_events(run(java_command("compliance.Reader"), _FOLDER, published.environment)))


def test_state_is_what_the_vectors_say() -> None:
    """All cases, in all their orders."""
    assert run([*java_command("compliance.Vectors"), VECTORS], _FOLDER).endswith(" 0 failures\n")
