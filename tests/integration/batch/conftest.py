"""Fixtures of the tests of publishing runs: a real Kafka behind a proxy, and runners in a hurry."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.integration.batch import hasty_connector as hasty
from tests.integration.batch.stage import BatchStage
from tests.rig.kafka import KafkaCluster
from tests.rig.process import free_port
from tests.rig.proxy import KafkaProxy, TcpProxy
from tests.rig.service import make_config, override, provisioned
from tests.rig.session import Kafka, SchemaRegistry

_TOKEN = "AAAAAAAAAAAAAAAAAAAAAHushHushHush-bearer-token-of-the-tests"
_EVENTS = 800


@dataclass(frozen=True)
class Servers:
    """A broker; who comes through the proxy finds it at `proxy_port` only."""

    kafka: KafkaCluster
    proxy_port: int


@dataclass(frozen=True)
class Ways:
    """Kafka and the registry as they are, and where the runners find them: behind the proxies."""

    kafka: Kafka
    registry: SchemaRegistry
    bootstrap_servers: str
    registry_url: str


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Start a broker that the tests of publishing runs share."""
    proxy_port = free_port()
    with KafkaCluster(proxy_port=proxy_port) as kafka:
        yield Servers(kafka, proxy_port)


@pytest.fixture
def proxy(servers: Servers) -> Iterator[KafkaProxy]:
    """Put a proxy in front of the broker."""
    with KafkaProxy(servers.proxy_port, servers.kafka.addresses["PROXIED"]) as proxy:
        yield proxy


@pytest.fixture
def door(registry: SchemaRegistry) -> Iterator[TcpProxy]:
    """Put a proxy in front of the registry."""
    with TcpProxy(free_port(), _address(registry)) as door:
        yield door


def _address(registry: SchemaRegistry) -> str:
    return registry.url.split("/")[2]


@pytest.fixture
def ways(servers: Servers, registry: SchemaRegistry, proxy: KafkaProxy, door: TcpProxy) -> Ways:
    """Give the addresses by which tests and runners reach Kafka and the registry."""
    url = registry.url.replace(_address(registry), door.address)
    return Ways(Kafka(servers.kafka.bootstrap_servers), registry, proxy.address, url)


@pytest.fixture
def stage(ways: Ways, seed: int, tmp_path: Path) -> Iterator[BatchStage]:
    """Give a stage whose runners reach Kafka and the registry through the proxies; X's jobs take no time."""
    kafka, registry, prefix = ways.kafka, ways.registry, f"test-{os.urandom(6).hex()}"
    with (
        Simulator(SimulatorConfig(seed=seed, token=_TOKEN, batch_job_s=0)) as x,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)) as config,
    ):
        x.emit(_EVENTS)
        ids = tmp_path / "ids"
        ids.write_text("\n".join(x.population.ids("tweets")) + "\n", encoding="utf-8")
        through = override(
            config,
            x={"bearer_token": _TOKEN},
            kafka={"bootstrap_servers": ways.bootstrap_servers, "compression": "none"},
            schema_registry={"url": ways.registry_url},
        )
        made = BatchStage(kafka, registry, x, through, ids, tmp_path, hasty.__name__)
        assert len(made.truth()) > 3 * hasty.ANSWERS, "results for several transactions"
        yield made
