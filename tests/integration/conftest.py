"""Owns what integration tests share: one Kafka and one registry a run, and a topic prefix of its own for each test.

`CONNECTOR_TEST_KAFKA` (bootstrap servers) and `CONNECTOR_TEST_REGISTRY` (URL) point the same tests at existing ones,
and the workers of pytest-xdist at those of their run.
"""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.events.catalog import STREAM_PARTITIONS
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.integration.batch.stage import BatchStage
from tests.rig import session
from tests.rig.kafka import KafkaCluster
from tests.rig.registry import Registry
from tests.rig.service import Config, delete_topics, make_config, provisioned, running
from tests.rig.session import KAFKA_VARIABLE, REGISTRY_VARIABLE, Kafka, SchemaRegistry, share

registry = session.registry
_LONGEST = (
    "test_versions.py",
    "test_coverage_report.py",
    "test_hands.py",
    "test_dead_letters.py",
    "test_commands.py",
    "test_tail.py",
    "test_answers.py",
    "test_officer.py",
    "test_ledger.py",
    "test_security.py",
    "test_outage.py",
    "test_kafka_away.py",
    "test_consumer_groups.py",
    "test_telemetry.py",
    "test_audit.py",
    "test_page.py",
    "test_main_path.py",
    "test_gaps.py",
    "test_registry_unavailable.py",
    "test_foreign_records.py",
    "test_sharing.py",
    "test_demo.py",
    "test_postgres.py",
    "test_killed.py",
    "test_node.py",
    "test_echoes.py",
)
"""The longest first: one that is left for the end is waited for."""
_BATCH_EVENTS = int(os.environ.get("BATCH_EVENTS", "4000"))
_BATCH_IDS = int(os.environ.get("BATCH_IDS", "0"))
"""Ids that a store holds at least; those that no event names are clean. `test_killed.py` has `BATCH_KILLS`."""
_BATCH_JOB_S = 3.0


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark; start what all workers share, where there are any."""
    config.addinivalue_line("markers", "long: run only when LONG is given")
    share(config, KAFKA_VARIABLE, lambda servers: servers.enter_context(KafkaCluster()).bootstrap_servers)
    share(config, REGISTRY_VARIABLE, lambda servers: servers.enter_context(Registry()).url)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none is left for the end; without LONG leave out what is long."""
    if not os.environ.get("LONG"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Start a Kafka broker that all tests of the session share, or take the existing one."""
    if existing := os.environ.get(KAFKA_VARIABLE):
        yield Kafka(existing)
        return
    with KafkaCluster() as cluster:
        yield Kafka(cluster.bootstrap_servers)


@pytest.fixture
def prefix(kafka: Kafka) -> Iterator[str]:
    """Give a topic prefix that no other test uses, and delete the topics that begin with it afterwards."""
    name = f"test-{secrets.token_hex(6)}"
    print(f"topic prefix: {name}")  # noqa: T201 - pytest shows it with a failure
    yield name
    delete_topics(kafka.bootstrap_servers, name)


@pytest.fixture
def simulator(seed: int) -> Iterator[Simulator]:
    """Give a simulated X."""
    with Simulator(SimulatorConfig(seed=seed)) as simulator:
        yield simulator


@pytest.fixture
def committed(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator) -> Iterator[Config]:
    """Give settings with which events of every stream partition are committed, and no replica runs."""
    prefix = f"test-{secrets.token_hex(6)}"
    settings = make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, partitions=1)
    with provisioned(settings) as config:
        with running(config) as probe:
            probe.await_connected(simulator)
            simulator.emit(500)
            for partition in STREAM_PARTITIONS:  # of label there may be none among the 500
                simulator.emit(5, partition)
            probe.await_sequences(simulator)
        yield config


@pytest.fixture
def batch_stage(kafka: Kafka, registry: SchemaRegistry, seed: int, tmp_path: Path) -> Iterator[BatchStage]:
    """Give a stage on which nothing has been asked yet."""
    prefix = f"test-{secrets.token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed, batch_job_s=_BATCH_JOB_S)) as x,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)) as config,
    ):
        x.emit(_BATCH_EVENTS)
        ids = tmp_path / "ids"
        held = x.population.ids("tweets")
        clean = map(str, range(10**17, 10**17 + max(0, _BATCH_IDS - len(held))))
        ids.write_text("\n".join([*held, *clean]) + "\n", encoding="utf-8")
        yield BatchStage(kafka, registry, x, config, ids, tmp_path)
