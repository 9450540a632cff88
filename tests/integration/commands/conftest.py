"""The X and the settings that all tests of a file share."""

from collections.abc import Iterator
from secrets import token_hex

import pytest

from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.integration.commands.command import PARTITIONS
from tests.rig.service import Config, make_config, override, provisioned
from tests.rig.session import Kafka, SchemaRegistry


@pytest.fixture(scope="module")
def simulator(seed: int) -> Iterator[Simulator]:
    """Give a simulated X."""
    with Simulator(SimulatorConfig(seed=seed, rate_limit=10_000)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator) -> Iterator[Config]:
    """Give settings with which everything is provisioned."""
    prefix = f"test-{token_hex(6)}"
    settings = make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, PARTITIONS)
    with provisioned(override(settings, pipeline={"start_deadline_s": 0})) as config:
        yield config
