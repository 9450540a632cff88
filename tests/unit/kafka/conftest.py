"""What the tests of the group commit share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.unit.kafka.group import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Give a group at work."""
    with ExitStack() as exits:
        yield Bench(exits)
