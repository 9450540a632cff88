"""Owns the addresses of the servers that a test session shares; nothing here can stop them, and no test may."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.rig.registry import Registry

KAFKA_VARIABLE = "CONNECTOR_TEST_KAFKA"
REGISTRY_VARIABLE = "CONNECTOR_TEST_REGISTRY"


@dataclass(frozen=True)
class Kafka:
    """The session's Kafka: `host:port`, comma-separated."""

    bootstrap_servers: str


@dataclass(frozen=True)
class SchemaRegistry:
    """The session's registry: the base URL of its Confluent API, without a slash at the end."""

    url: str


def share(config: pytest.Config, variable: str, start: Callable[[ExitStack], str]) -> None:
    """Start one server for all workers of pytest-xdist, which find its address in `variable` of the environment.

    Does nothing in a worker, without workers, or where `variable` names a server already. The server stops at the end.
    """
    has_workers = bool(config.getoption("numprocesses", None)) and not hasattr(config, "workerinput")
    if has_workers and not config.option.collectonly and not os.environ.get(variable):
        servers = ExitStack()
        config.add_cleanup(servers.close)
        os.environ[variable] = start(servers)


@pytest.fixture(scope="session")
def registry() -> Iterator[SchemaRegistry]:
    """Start a schema registry that all tests of the session share, or take the existing one."""
    if existing := os.environ.get(REGISTRY_VARIABLE):
        yield SchemaRegistry(existing.rstrip("/"))
        return
    with Registry() as server:
        yield SchemaRegistry(server.url)
