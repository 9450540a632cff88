"""What the tests of the group commit share, and those of the checks at start."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from connector.demo.registry import DemoRegistry
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import subject
from connector.settings import SchemaRegistrySettings
from tests.unit.kafka.group import Bench
from tests.unit.kafka.topics_in_memory import NAMES


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Give a group at work."""
    with ExitStack() as exits:
        yield Bench(exits)


@pytest.fixture
def empty_registry() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


@pytest.fixture
def registry(empty_registry: RegistryClient) -> RegistryClient:
    """Give a client of a registry that has all schemas."""
    for topic, schema in NAMES.schemas().items():
        empty_registry.register(subject(topic), schema)
    return empty_registry
