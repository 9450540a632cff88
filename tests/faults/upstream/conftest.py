"""Owns the journey that each scenario of X and time makes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from connector.x.backoff import Backoff
from tests.faults.conftest import Servers
from tests.faults.stage import Stage
from tests.faults.upstream.journey import Journey
from tests.rig.session import SchemaRegistry

_DELAY_S = 0.05


@pytest.fixture
def delays_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short what a reader waits after a failure: when attempts come is for others to test."""
    monkeypatch.setattr(Backoff, "failed", lambda *_, **__: _DELAY_S)


@pytest.fixture
def embark(
    tmp_path: Path, scenario_seed: int, registry: SchemaRegistry, servers: Servers, stages: list[Stage]
) -> Iterator[Callable[..., Journey]]:
    """Give a maker of journeys over the streams named, with settings of the simulator."""
    with ExitStack() as stack:

        def make(streams: str, **simulated: object) -> Journey:
            bootstrap_servers = servers.kafka.bootstrap_servers
            journey = Journey(
                bootstrap_servers, registry.url, tmp_path, scenario_seed, streams=streams, simulated=simulated
            )
            stages.append(journey)
            return stack.enter_context(journey)

        yield make
