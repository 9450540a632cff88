"""Fixtures of the tests of runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.simulator import Simulator, SimulatorConfig
from tests.unit.batch.runs import TOKEN, Operator


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """Run a simulator that has something to say of a hundred Tweets and users."""
    with Simulator(SimulatorConfig(token=TOKEN)) as simulator:
        simulator.emit(100)
        yield simulator


@pytest.fixture
def operator(sim: Simulator, tmp_path: Path) -> Operator:
    """Give an operator who asks about Tweets."""
    return Operator(sim, tmp_path)


@pytest.fixture(params=["bearer", "presigned"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Operator]:
    """Give such an operator for each generation of transfers: over X itself, and over its storage."""
    with Simulator(SimulatorConfig(token=TOKEN, batch_transfers=request.param)) as simulator:
        simulator.emit(100)
        yield Operator(simulator, tmp_path, transfer_origins=simulator.origins.get("storage", ""))
