"""The check at start: whether all topics and subjects to write to exist, and what a writer has to know about them.

Needs Describe and DescribeConfigs on the topics and read access to the subjects. Never changes anything.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from connector.errors import (
    ConnectorError,
    DependencyUnavailableError,
    NotProvisionedError,
    SettingsError,
    UnfitTopicsError,
)
from connector.events.catalog import EVENT_TYPES
from connector.events.schemas import AvroSchema
from connector.kafka.cluster import Cluster
from connector.kafka.registry import RegistryClient
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topic_rules import (
    Rule,
    counted,
    events_of,
    max_message_bytes,
    partitions_differ,
    risk_of,
    rules_of_batch,
    rules_of_holdings,
    rules_of_streams,
)
from connector.kafka.topics import MESSAGE_MAX_BYTES, TopicNames, subject
from connector.settings import DUPLICATE_WINDOW_MINUTES, KafkaSettings

_MEND = "Create what is missing with: connector provision"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What the writers need to know, each by topic; `max_message_bytes` is never over the producer's own limit.

    `at_risk` says which topics are less safe than they could be, and why; they are accepted. `registry_problem` says
    why the registry did not confirm the ids, which are then the recorded ones; `unrecorded` are ids that it confirmed
    for the first time, by the key under which to record them.
    """

    schema_ids: Mapping[str, int]
    max_message_bytes: Mapping[str, int]
    at_risk: Mapping[str, str]
    registry_problem: str | None
    unrecorded: Mapping[bytes, int]


def verify(  # noqa: PLR0913 - where everything is, and what of it is needed
    settings: KafkaSettings,
    streams: Collection[str],
    cluster: Cluster,
    registry: RegistryClient,
    recorded: SchemaIds,
    *,
    window_minutes: int = DUPLICATE_WINDOW_MINUTES,
) -> Provisioned:
    """Check the topics and subjects of `streams` and the connector's own.

    The ledger must hold the ids of `window_minutes`. A registry that does not answer is no obstacle if all ids are
    recorded. Raises `NotProvisionedError` with everything that is missing, and how to correct it; an
    `UnfitTopicsError`, with everything that is unfit as well, if waiting cannot help.
    """
    names = TopicNames(settings.topic_prefix)
    topics = _find_topics(rules_of_streams(settings, streams, window_minutes), cluster)
    known = recorded.read() if names.schema_id in topics.found else {}
    keys = {topic: recorded.key(subject(topic), schema) for topic, schema in _schemas(names, streams).items()}
    problem = None
    try:
        subjects = _find_subjects(_schemas(names, streams), registry)
    except (DependencyUnavailableError, SettingsError) as error:
        if not known.keys() >= set(keys.values()):
            raise
        problem, subjects = str(error), _Look("subjects", {topic: known[key] for topic, key in keys.items()})
    found = {keys[topic]: schema_id for topic, schema_id in subjects.found.items()}
    contradictions = _contradictions(found, known, recorded.topic)
    _insist(topics, subjects, _Look("", {}, unfit={recorded.topic: contradictions} if contradictions else {}))
    return Provisioned(
        schema_ids=subjects.found,
        max_message_bytes=topics.found,
        at_risk=topics.at_risk,
        registry_problem=problem,
        unrecorded={key: schema_id for key, schema_id in found.items() if key not in known},
    )


def confirm_schema_ids(
    names: TopicNames, streams: Collection[str], registry: RegistryClient, recorded: SchemaIds
) -> bool:
    """Return whether the registry has the recorded id for every schema; False if it lacks one.

    Raises `NotProvisionedError` if it has another id, and `DependencyUnavailableError` or `SettingsError` if it cannot
    be queried.
    """
    schemas = _schemas(names, streams)
    subjects = _find_subjects(schemas, registry)
    found = {recorded.key(subject(topic), schemas[topic]): each for topic, each in subjects.found.items()}
    if contradictions := _contradictions(found, recorded.read(), recorded.topic):
        raise NotProvisionedError(*contradictions)
    return not subjects.missing


def _contradictions(found: Mapping[bytes, int], known: Mapping[bytes, int], topic: str) -> list[str]:
    """Return contradictions of the registry to recorded ids, with which records were written."""
    return [
        f"the registry gives id {schema_id} to {key.decode()}, and records were written with id {known[key]}: bring "
        f"the registry's old content back; or, if readers know both, delete topic {topic} and run: connector provision"
        for key, schema_id in found.items()
        if known.get(key, schema_id) != schema_id
    ]


def verify_topics(
    settings: KafkaSettings,
    streams: Collection[str],
    cluster: Cluster,
    *,
    window_minutes: int = DUPLICATE_WINDOW_MINUTES,
) -> tuple[int, Mapping[str, str]]:
    """Return the number of topics, all that `verify` requires, and those at risk. Raises as `verify`."""
    topics = _find_topics(rules_of_streams(settings, streams, window_minutes), cluster)
    _insist(topics)
    return len(topics.found), topics.at_risk


def verify_subjects(names: TopicNames, streams: Collection[str], registry: RegistryClient) -> int:
    """Return the number of subjects, all that `verify` requires. Raises as `verify`."""
    subjects = _find_subjects(_schemas(names, streams), registry)
    _insist(subjects)
    return len(subjects.found)


@dataclass(frozen=True, slots=True)
class BatchProvisioned:
    """What publishing a batch run needs to know, each by topic, as in `Provisioned`."""

    schema_ids: Mapping[str, int]
    max_message_bytes: Mapping[str, int]
    at_risk: Mapping[str, str]


def verify_batch(settings: KafkaSettings, cluster: Cluster, registry: RegistryClient) -> BatchProvisioned:
    """Check the topics and subjects of batch results and runs, which `run` does not need.

    Raises `NotProvisionedError` as `verify` does, and `DependencyUnavailableError` or `SettingsError` if Kafka or the
    registry cannot be queried.
    """
    rules = rules_of_batch(settings)
    topics = _find_topics(rules, cluster)
    schemas = TopicNames(settings.topic_prefix).schemas()
    subjects = _find_subjects({topic: schemas[topic] for topic in rules if topic in schemas}, registry)
    _insist(topics, subjects)
    return BatchProvisioned(subjects.found, topics.found, topics.at_risk)


def verify_holdings(settings: KafkaSettings, cluster: Cluster) -> None:
    """Check the holdings topic. Raises as `verify_batch` does."""
    _insist(_find_topics(rules_of_holdings(settings), cluster))


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found, by topic, and a line for each problem, by topic if it is unfit.

    `what` is the plural noun for what was checked.
    """

    what: str
    found: Mapping[str, int]
    missing: list[str] = field(default_factory=list)
    unfit: Mapping[str, list[str]] = field(default_factory=dict)
    at_risk: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Return how many are as expected, missing and different, in one line."""
        counts = {"missing": len(self.missing), "differ": len(self.unfit)}
        return counted(self.what, len(self.found) + len(self.missing), counts)


def _find_topics(rules: Mapping[str, Rule], cluster: Cluster) -> _Look:
    topics = cluster.describe(list(rules))
    problems = {
        topic: [f"topic {topic} {problem}" for problem in rule(topics[topic])]
        for topic, rule in rules.items()
        if topic in topics
    }
    return _Look(
        "topics",
        found={topic: max_message_bytes(state) for topic, state in topics.items()},
        missing=[f"topic {topic} is missing" for topic in rules if topic not in topics],
        unfit={topic: texts for topic, texts in problems.items() if texts},
        at_risk={topic: risk for topic in rules if topic in topics and (risk := risk_of(topics[topic]))},
    )


def _find_subjects(schemas: Mapping[str, AvroSchema], registry: RegistryClient) -> _Look:
    ids = {topic: registry.find(subject(topic), schema) for topic, schema in schemas.items()}
    return _Look(
        "subjects",
        found={topic: schema_id for topic, schema_id in ids.items() if schema_id is not None},
        missing=[
            f"subject {subject(topic)} does not have the schema {schema.name}"
            for topic, schema in schemas.items()
            if ids[topic] is None
        ],
    )


def _schemas(names: TopicNames, streams: Collection[str]) -> dict[str, AvroSchema]:
    wanted = {*events_of(names, streams), *_own(names)}
    return {topic: schema for topic, schema in names.schemas().items() if topic in wanted}


def _insist(*looks: _Look) -> None:
    """Raise what ends or delays a start: `UnfitTopicsError` if something is wrong, even if more is missing."""
    missing = [problem for look in looks for problem in look.missing]
    unfit = [problem for look in looks for problems in look.unfit.values() for problem in problems]
    if missing or unfit:
        kind = UnfitTopicsError if unfit else NotProvisionedError
        summary = "; ".join(look.summary() for look in looks if look.what)
        raise kind(summary, *unfit, *missing, *([_MEND] if missing else []))


def read_limits(names: TopicNames, streams: Collection[str], cluster: Cluster) -> dict[str, int]:
    """Return the present limit for a record, in bytes, of each topic of `streams` and each of our own."""
    wanted = [*events_of(names, streams), *_own(names)]
    topics = cluster.describe(wanted)
    return {topic: max_message_bytes(topics[topic]) if topic in topics else MESSAGE_MAX_BYTES for topic in wanted}


class TopicLimits:
    """The limit for a record of each topic, in bytes, by `read_limits`."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        self._known: Mapping[str, int] = {}

    def read(self) -> Mapping[str, int]:
        """Ask Kafka. Raises `DependencyUnavailableError`, and `NotProvisionedError` if the right is missing."""
        self._known = self._read()
        return self._known

    def least_bytes(self) -> int:
        """Return the least limit, the last known one if Kafka does not answer now; raises if it never did."""
        try:
            self.read()
        except ConnectorError:
            if not self._known:
                raise
        return min(self._known.values())


def changed_partitions(settings: KafkaSettings, streams: Collection[str], cluster: Cluster) -> dict[str, str]:
    """Return changes in the number of partitions of event topics, by stream; empty if there are none.

    Ignores a deleted topic: producing to it fails anyway. Raises `DependencyUnavailableError`, and
    `NotProvisionedError` if the right to describe it is missing.
    """
    names = TopicNames(settings.topic_prefix)
    stream_by_topic = {names.event(each): each.stream for each in EVENT_TYPES if each.stream in streams}
    problems: dict[str, list[str]] = {}
    for topic, partitions in cluster.count_partitions(list(stream_by_topic), "Describe").items():
        if partitions != settings.partitions:
            problem = f"topic {topic} {partitions_differ(partitions, settings.partitions)}"
            problems.setdefault(stream_by_topic[topic], []).append(problem)
    return {stream: "; ".join(texts) for stream, texts in problems.items()}


def _own(names: TopicNames) -> list[str]:
    return [names.coverage, names.gap, names.dead_letter, names.ledger]
