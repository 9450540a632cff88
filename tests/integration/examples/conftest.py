"""Owns what the tests of examples share: events that are published once for each worker."""

from collections.abc import Iterator

import pytest

from tests.integration.examples.published import Published, published_events
from tests.rig.session import Kafka, SchemaRegistry


@pytest.fixture(scope="session")
def published(kafka: Kafka, registry: SchemaRegistry, seed: int) -> Iterator[Published]:
    """Publish events of all types, and abort copies of them."""
    with published_events(kafka, registry, seed) as published:
        yield published
