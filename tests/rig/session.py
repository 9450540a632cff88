"""Owns the addresses of the servers that a test session shares; nothing here can stop them, and no test may."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kafka:
    """The session's Kafka: `host:port`, comma-separated."""

    bootstrap_servers: str


@dataclass(frozen=True)
class SchemaRegistry:
    """The session's registry: the base URL of its Confluent API, without a slash at the end."""

    url: str
