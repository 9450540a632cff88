"""The check at start: complete or refused, with everything that is wrong and how to mend it."""

from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import NotProvisionedError
from connector.events.catalog import STREAMS
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, subject, topic_specs
from connector.kafka.verify import verify
from connector.settings import KafkaSettings, SchemaRegistrySettings

_NAMES = TopicNames("p")
_SPECS = topic_specs(KafkaSettings(bootstrap_servers="broker:9092", topic_prefix="p"))
_TOPICS = {spec.name: TopicState(spec.partitions, spec.replication, spec.config) for spec in _SPECS}
_OWN = {"p-coverage", "p-gap", "p-dead-letter", "p-ledger"}


class _FakeCluster(Cluster):
    """Topics in memory."""

    def __init__(self, topics: dict[str, TopicState]) -> None:
        self.topics = topics

    def describe(self, names: Collection[str]) -> dict[str, TopicState]:
        return {name: self.topics[name] for name in names if name in self.topics}


@pytest.fixture
def empty_registry() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


@pytest.fixture
def registry(empty_registry: RegistryClient) -> RegistryClient:
    """Give a client of a registry that has all schemas."""
    for topic, schema in _NAMES.schemas().items():
        empty_registry.register(subject(topic), schema)
    return empty_registry


def _with(topic: str, **config: str) -> dict[str, TopicState]:
    changed = {key.replace("_", "."): value for key, value in config.items()}
    state = _TOPICS[topic]
    return _TOPICS | {topic: replace(state, config={**state.config, **changed})}


def test_verify_of_everything_in_place_returns_what_writers_need(registry: RegistryClient) -> None:
    """Ids and record limits, by topic."""
    result = verify(_NAMES, list(STREAMS), _FakeCluster(_TOPICS), registry)
    assert result.schema_ids == {
        topic: registry.find(subject(topic), schema) for topic, schema in _NAMES.schemas().items()
    }
    assert result.max_message_bytes == {spec.name: 2 * 1024**2 for spec in _SPECS}


def test_verify_of_some_streams_asks_for_their_topics_and_our_own(registry: RegistryClient) -> None:
    """A stream that is off needs no topics."""
    topics = {name: state for name, state in _TOPICS.items() if name.startswith("p.like.") or name in _OWN}
    result = verify(_NAMES, ["like"], _FakeCluster(topics), registry)
    assert result.max_message_bytes.keys() == {"p.like.delete"} | _OWN
    assert result.schema_ids.keys() == {"p.like.delete", "p-coverage", "p-gap", "p-ledger"}


def test_verify_of_nothing_names_everything_and_the_command(empty_registry: RegistryClient) -> None:
    """One error holds all of it."""
    with pytest.raises(NotProvisionedError) as caught:
        verify(_NAMES, ["like"], _FakeCluster({}), empty_registry)
    assert str(caught.value).split("\n") == [
        "topic p.like.delete is missing",
        "topic p-coverage is missing",
        "topic p-gap is missing",
        "topic p-dead-letter is missing",
        "topic p-ledger is missing",
        "subject p.like.delete-value does not have the schema x.compliance.v1.LikeDelete",
        "subject p-coverage-value does not have the schema x.compliance.v1.Coverage",
        "subject p-gap-value does not have the schema x.compliance.v1.Gap",
        "subject p-ledger-value does not have the schema x.compliance.v1.LedgerEntry",
        "Create what is missing with: connector provision",
    ]


@pytest.mark.parametrize("partitions", [1, 9, 11])
def test_verify_of_a_ledger_without_ten_partitions_is_refused(registry: RegistryClient, partitions: int) -> None:
    """Fewer would leave stream partitions unread, more would be read by nobody."""
    topics = _TOPICS | {"p-ledger": replace(_TOPICS["p-ledger"], partitions=partitions)}
    with pytest.raises(NotProvisionedError, match=f"p-ledger has {partitions} partitions and must have exactly 10"):
        verify(_NAMES, ["tweet"], _FakeCluster(topics), registry)


@pytest.mark.parametrize("topic", ["p-ledger", "p-gap"])
@pytest.mark.parametrize(("key", "value"), [("retention.ms", "604800000"), ("cleanup.policy", "compact,delete")])
def test_verify_of_state_that_would_be_deleted_is_refused(
    registry: RegistryClient, topic: str, key: str, value: str
) -> None:
    """A ledger that forgets looks like a new one later, when it is too late."""
    topics = _with(topic, **{key.replace(".", "_"): value})
    with pytest.raises(NotProvisionedError, match=f"topic {topic} would lose records: {key} is {value}"):
        verify(_NAMES, ["tweet"], _FakeCluster(topics), registry)


def test_verify_of_an_event_topic_with_a_lower_limit_returns_the_limit(registry: RegistryClient) -> None:
    """A record over it is dead-lettered before it is produced; a higher limit does not raise the producer's."""
    low = verify(_NAMES, ["tweet"], _FakeCluster(_with("p.tweet.delete", max_message_bytes="1048588")), registry)
    assert low.max_message_bytes["p.tweet.delete"] == 1_048_588
    high = verify(_NAMES, ["tweet"], _FakeCluster(_with("p.tweet.delete", max_message_bytes="9999999")), registry)
    assert high.max_message_bytes["p.tweet.delete"] == 2_097_152


@pytest.mark.parametrize("topic", sorted(_OWN))
def test_verify_of_an_own_topic_with_a_lower_limit_is_refused(registry: RegistryClient, topic: str) -> None:
    """A dead letter or ledger entry that cannot be written would hold up its partition for ever."""
    with pytest.raises(NotProvisionedError, match=f"{topic} takes records of 1000 bytes only: .* to 2097152"):
        verify(_NAMES, ["tweet"], _FakeCluster(_with(topic, max_message_bytes="1000")), registry)
