"""The check at start: whether all is there that `run` writes to, and what a writer has to know about it.

Needs Describe and DescribeConfigs on the topics and read access to the subjects. Changes nothing, ever.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from connector.errors import NotProvisionedError
from connector.events.catalog import EVENT_TYPES
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import LEDGER_PARTITIONS, MESSAGE_MAX_BYTES, TopicNames, subject

_MEND = "Create what is missing with: connector provision"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What the writers need to know, each by topic; `max_message_bytes` is never over the producer's own limit."""

    schema_ids: Mapping[str, int]
    max_message_bytes: Mapping[str, int]


def verify(names: TopicNames, streams: Collection[str], cluster: Cluster, registry: RegistryClient) -> Provisioned:
    """Check the topics and subjects of `streams` and the connector's own.

    Raises `NotProvisionedError` with everything that is missing or unfit and how to mend it.
    """
    topics, subjects = _find_topics(names, streams, cluster), _find_subjects(names, streams, registry)
    _insist(topics, subjects)
    return Provisioned(schema_ids=subjects.found, max_message_bytes=topics.found)


def verify_topics(names: TopicNames, streams: Collection[str], cluster: Cluster) -> int:
    """Return how many topics there are, all of those that `verify` wants. Raises as it does."""
    topics = _find_topics(names, streams, cluster)
    _insist(topics)
    return len(topics.found)


def verify_subjects(names: TopicNames, streams: Collection[str], registry: RegistryClient) -> int:
    """Return how many subjects there are, all of those that `verify` wants. Raises as it does."""
    subjects = _find_subjects(names, streams, registry)
    _insist(subjects)
    return len(subjects.found)


@dataclass(frozen=True, slots=True)
class _Look:
    """What there is, by topic, and what to say of the rest."""

    found: Mapping[str, int]
    missing: list[str]
    unfit: list[str]


def _find_topics(names: TopicNames, streams: Collection[str], cluster: Cluster) -> _Look:
    own = _own(names)
    wanted = [*_events(names, streams), *own]
    topics = cluster.describe(wanted)
    return _Look(
        found={topic: _max_message_bytes(state) for topic, state in topics.items()},
        missing=[f"topic {topic} is missing" for topic in wanted if topic not in topics],
        unfit=[problem for topic in own if topic in topics for problem in _unfit(topic, topics[topic], names)],
    )


def _find_subjects(names: TopicNames, streams: Collection[str], registry: RegistryClient) -> _Look:
    wanted = {*_events(names, streams), *_own(names)}
    schemas = {topic: schema for topic, schema in names.schemas().items() if topic in wanted}
    ids = {topic: registry.find(subject(topic), schema) for topic, schema in schemas.items()}
    return _Look(
        found={topic: schema_id for topic, schema_id in ids.items() if schema_id is not None},
        missing=[
            f"subject {subject(topic)} does not have the schema {schema.name}"
            for topic, schema in schemas.items()
            if ids[topic] is None
        ],
        unfit=[],
    )


def _insist(*looks: _Look) -> None:
    missing = [problem for look in looks for problem in look.missing]
    unfit = [problem for look in looks for problem in look.unfit]
    if missing or unfit:
        raise NotProvisionedError("\n".join([*unfit, *missing, *([_MEND] if missing else [])]))


def read_limits(names: TopicNames, streams: Collection[str], cluster: Cluster) -> dict[str, int]:
    """Return the largest record, in bytes, that each topic of `streams` and each of our own takes now."""
    wanted = [*_events(names, streams), *_own(names)]
    topics = cluster.describe(wanted)
    return {topic: _max_message_bytes(topics[topic]) if topic in topics else MESSAGE_MAX_BYTES for topic in wanted}


def _events(names: TopicNames, streams: Collection[str]) -> list[str]:
    return [names.event(event_type) for event_type in EVENT_TYPES if event_type.stream in streams]


def _own(names: TopicNames) -> list[str]:
    return [names.coverage, names.gap, names.dead_letter, names.ledger]


def _unfit(topic: str, state: TopicState, names: TopicNames) -> Iterator[str]:
    """Say what is wrong with one of the connector's own topics; `provision` never changes one that exists."""
    if topic == names.ledger and state.partitions != LEDGER_PARTITIONS:
        yield (
            f"topic {topic} has {state.partitions} partitions and must have exactly {LEDGER_PARTITIONS}: if no "
            "connector ever wrote to it, delete it and run: connector provision; else bring the old topic back"
        )
    if topic in {names.ledger, names.gap}:
        yield from _misconfigured(topic, state, {"cleanup.policy": "delete", "retention.ms": "-1"})
    if _max_message_bytes(state) < MESSAGE_MAX_BYTES:
        yield (
            f"topic {topic} takes records of {_max_message_bytes(state)} bytes only: "
            f"set its max.message.bytes to {MESSAGE_MAX_BYTES} with Kafka's own tools"
        )


def _misconfigured(topic: str, state: TopicState, wanted: Mapping[str, str]) -> Iterator[str]:
    for key, value in wanted.items():
        if (actual := state.config.get(key)) != value:
            yield f"topic {topic} would lose records: {key} is {actual}; set it to {value} with Kafka's own tools"


def _max_message_bytes(state: TopicState) -> int:
    return min(int(state.config["max.message.bytes"]), MESSAGE_MAX_BYTES)
