"""A fresh simulator that emits only what a test tells it to."""

from collections.abc import Iterator

import pytest

from connector.simulator import Simulator
from tests.unit.simulator.app import App


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """Run a simulator with the defaults: every stream, no rate."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def app(sim: Simulator) -> App:
    """Give an App of that simulator."""
    return App(sim)
