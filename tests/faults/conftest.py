"""Owns what the scenarios share: servers that may be hurt, seeds, and a stage for each.

`SEED` is the number from which the seeds of all scenarios follow; `ROUNDS` is how often each is played, the long
ones included: without it each of the short ones is played once.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.stage import Stage
from tests.rig.kafka import KafkaCluster
from tests.rig.process import free_port
from tests.rig.proxy import KafkaProxy
from tests.rig.registry import Registry

_ROUNDS = int(os.environ.get("ROUNDS") or 0)


@dataclass(frozen=True)
class Servers:
    """One broker; who comes through the proxy finds it at `proxy_port` only."""

    kafka: KafkaCluster
    proxy_port: int


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of a scenario that only runs in rounds."""
    config.addinivalue_line("markers", "long: played only when ROUNDS is given")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play each scenario `ROUNDS` times."""
    if "round_number" in metafunc.fixturenames:
        metafunc.parametrize("round_number", range(max(1, _ROUNDS)), ids="round{}".format)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the long scenarios to runs in rounds."""
    if not _ROUNDS:
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: played with ROUNDS= only"))


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """Start a registry for all scenarios."""
    with Registry() as server:
        yield server


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Start one broker; nobody hurts it."""
    proxy_port = free_port()
    with KafkaCluster(proxy_port=proxy_port) as kafka:
        yield Servers(kafka, proxy_port)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[KafkaProxy]:
    """Put a proxy in front of the broker."""
    with KafkaProxy(servers.proxy_port, servers.kafka.addresses["PROXIED"]) as proxy:
        yield proxy


@pytest.fixture
def trio() -> Iterator[KafkaCluster]:
    """Start three brokers."""
    with KafkaCluster(3) as kafka:
        yield kafka


@pytest.fixture
def scenario_seed(seed: int, request: pytest.FixtureRequest, round_number: int) -> int:
    """Give the scenario's own seed: the same for the same session's seed, scenario and round."""
    return zlib.crc32(f"{seed} {request.node.originalname} {round_number}".encode())


@pytest.fixture
def make_stage(tmp_path: Path, scenario_seed: int, registry: Registry) -> Iterator[Callable[..., Stage]]:
    """Give a maker of stages on given bootstrap servers."""
    with ExitStack() as stack:

        def make(bootstrap_servers: str, replication: int = 1) -> Stage:
            return stack.enter_context(Stage(bootstrap_servers, registry.url, tmp_path, scenario_seed, replication))

        yield make


@pytest.fixture
def stage(servers: Servers, make_stage: Callable[..., Stage]) -> Stage:
    """Give a stage on the one broker."""
    return make_stage(servers.kafka.bootstrap_servers)
