"""Owns what the checks at start are tested with: topics as `provision` makes them, without brokers."""

from collections.abc import Collection
from dataclasses import replace

from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, topic_specs
from connector.settings import KafkaSettings, SchemaRegistrySettings

NAMES = TopicNames("p")
SETTINGS = KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="p")
SPECS = topic_specs(SETTINGS)
TOPICS = {spec.name: TopicState(spec.partitions, spec.replication, spec.config) for spec in SPECS}
BATCH = {"p.batch.tweet", "p.batch.user", "p-batch", "p-batch-ledger"}
HOLDINGS = "p-holdings"


class FakeCluster(Cluster):
    """Topics in memory."""

    def __init__(self, topics: dict[str, TopicState]) -> None:
        self.topics = topics

    def describe(self, names: Collection[str]) -> dict[str, TopicState]:
        """Return those that there are."""
        return {name: self.topics[name] for name in names if name in self.topics}

    def count_partitions(self, names: Collection[str], _: str = "") -> dict[str, int]:
        """Count the partitions of those that there are."""
        return {name: state.partitions for name, state in self.describe(names).items()}


def with_config(topic: str, **config: str) -> dict[str, TopicState]:
    """Return all topics, one of them with another configuration; underscores are dots."""
    changed = {key.replace("_", "."): value for key, value in config.items()}
    state = TOPICS[topic]
    return TOPICS | {topic: replace(state, config={**state.config, **changed})}


def silent_registry() -> RegistryClient:
    """Return the client of a registry that does not answer."""
    return RegistryClient(SchemaRegistrySettings(url="http://127.0.0.1:9"))
