"""The check at start: whether all is there that `run` writes to, and what a writer has to know about it.

Needs Describe and DescribeConfigs on the topics and read access to the subjects. Changes nothing, ever.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from connector.errors import ConnectorError, DependencyUnavailableError, NotProvisionedError, SettingsError
from connector.events.catalog import EVENT_TYPES
from connector.events.schemas import AvroSchema
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import RegistryClient
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import (
    LEDGER_PARTITIONS,
    MESSAGE_MAX_BYTES,
    TopicNames,
    ledger_bytes_needed,
    owner_partitions,
    subject,
)
from connector.settings import DUPLICATE_WINDOW_MINUTES, KafkaSettings

_MEND = "Create what is missing with: connector provision"
_REPLICATED = 3


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What the writers need to know, each by topic; `max_message_bytes` is never over the producer's own limit.

    `at_risk` says which topics promise less than they could, and why: no reason to refuse them. `registry_problem` says
    why the registry did not confirm the ids, which are then those that were recorded; `unrecorded` are ids that it
    confirmed for the first time, by the key under which they are recorded.
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

    The ledger must hold the ids of `window_minutes`. A registry that does not answer is no obstacle where all ids are
    recorded. Raises `NotProvisionedError` with everything that is missing or unfit and how to correct it.
    """
    names = TopicNames(settings.topic_prefix)
    topics = _find_topics(settings, streams, cluster, window_minutes)
    known = recorded.read() if names.schema_id in topics.found else {}
    keys = {topic: recorded.key(subject(topic), schema) for topic, schema in _schemas(names, streams).items()}
    problem = None
    try:
        subjects = _find_subjects(names, streams, registry)
    except (DependencyUnavailableError, SettingsError) as error:
        if not known.keys() >= set(keys.values()):
            raise
        problem, subjects = str(error), _Look({topic: known[key] for topic, key in keys.items()}, [], [])
    found = {keys[topic]: schema_id for topic, schema_id in subjects.found.items()}
    _insist(topics, subjects, _Look({}, [], _contradictions(found, known, recorded.topic)))
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
    """Return whether the registry has the recorded id for every schema; False where it lacks one.

    Raises `NotProvisionedError` where it has another id, and `DependencyUnavailableError` or `SettingsError` where it
    cannot be asked.
    """
    subjects = _find_subjects(names, streams, registry)
    schemas = _schemas(names, streams)
    found = {recorded.key(subject(topic), schemas[topic]): each for topic, each in subjects.found.items()}
    if contradictions := _contradictions(found, recorded.read(), recorded.topic):
        raise NotProvisionedError(*contradictions)
    return not subjects.missing


def _contradictions(found: Mapping[bytes, int], known: Mapping[bytes, int], topic: str) -> list[str]:
    """Return where the registry gives another id than was recorded: records were written with the recorded one."""
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
    """Return how many topics there are, all of those that `verify` wants, and those at risk. Raises as it does."""
    topics = _find_topics(settings, streams, cluster, window_minutes)
    _insist(topics)
    return len(topics.found), topics.at_risk


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
    at_risk: Mapping[str, str] = field(default_factory=dict)


def _find_topics(settings: KafkaSettings, streams: Collection[str], cluster: Cluster, window_minutes: int) -> _Look:
    rules = _rules(settings, streams, window_minutes)
    topics = cluster.describe(list(rules))
    return _Look(
        found={topic: _max_message_bytes(state) for topic, state in topics.items()},
        missing=[f"topic {topic} is missing" for topic in rules if topic not in topics],
        unfit=[
            f"topic {topic} {problem}"
            for topic, rule in rules.items()
            if topic in topics
            for problem in rule(topics[topic])
        ],
        at_risk={topic: risk for topic in rules if topic in topics and (risk := _risk(topics[topic]))},
    )


def _find_subjects(names: TopicNames, streams: Collection[str], registry: RegistryClient) -> _Look:
    schemas = _schemas(names, streams)
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


def _schemas(names: TopicNames, streams: Collection[str]) -> dict[str, AvroSchema]:
    wanted = {*_events(names, streams), *_own(names)}
    return {topic: schema for topic, schema in names.schemas().items() if topic in wanted}


def _insist(*looks: _Look) -> None:
    missing = [problem for look in looks for problem in look.missing]
    unfit = [problem for look in looks for problem in look.unfit]
    if missing or unfit:
        raise NotProvisionedError(*unfit, *missing, *([_MEND] if missing else []))


def read_limits(names: TopicNames, streams: Collection[str], cluster: Cluster) -> dict[str, int]:
    """Return the largest record, in bytes, that each topic of `streams` and each of our own takes now."""
    wanted = [*_events(names, streams), *_own(names)]
    topics = cluster.describe(wanted)
    return {topic: _max_message_bytes(topics[topic]) if topic in topics else MESSAGE_MAX_BYTES for topic in wanted}


class TopicLimits:
    """The largest record that each topic takes, in bytes, as `read_limits` has it."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = read
        self._known: Mapping[str, int] = {}

    def read(self) -> Mapping[str, int]:
        """Ask Kafka. Raises `DependencyUnavailableError`, and `NotProvisionedError` where the right is missing."""
        self._known = self._read()
        return self._known

    def least_bytes(self) -> int:
        """Return the least of them, as Kafka said last where it does not answer now; raises where it never did."""
        try:
            self.read()
        except ConnectorError:
            if not self._known:
                raise
        return min(self._known.values())


def changed_partitions(settings: KafkaSettings, streams: Collection[str], cluster: Cluster) -> dict[str, str]:
    """Return what is wrong with the number of partitions of event topics, by stream; nothing where all is as it was.

    A topic that is gone is not among them: what is produced to it fails. Raises `DependencyUnavailableError`, and
    `NotProvisionedError` where the right to look is missing.
    """
    names = TopicNames(settings.topic_prefix)
    stream_by_topic = {names.event(each): each.stream for each in EVENT_TYPES if each.stream in streams}
    problems: dict[str, list[str]] = {}
    for topic, partitions in cluster.count_partitions(list(stream_by_topic), "Describe").items():
        if partitions != settings.partitions:
            problem = f"topic {topic} {_partitions_differ(partitions, settings.partitions)}"
            problems.setdefault(stream_by_topic[topic], []).append(problem)
    return {stream: "; ".join(told) for stream, told in problems.items()}


def _events(names: TopicNames, streams: Collection[str]) -> list[str]:
    return [names.event(event_type) for event_type in EVENT_TYPES if event_type.stream in streams]


def _own(names: TopicNames) -> list[str]:
    return [names.coverage, names.gap, names.dead_letter, names.ledger]


_Rule = Callable[[TopicState], Iterator[str]]
"""Says what is wrong with a topic, and how to correct it, since `provision` never changes one that exists."""


def _rules(  # noqa: C901 - one inner function for each kind of topic
    settings: KafkaSettings, streams: Collection[str], window_minutes: int
) -> dict[str, _Rule]:
    """Return what each topic of `streams`, and each of the connector's own, is held against."""
    names = TopicNames(settings.topic_prefix)

    def event(state: TopicState) -> Iterator[str]:
        # A key stays on its partition only while all event topics have the number of partitions they began with.
        yield from _loses(state, _KEPT)
        if state.partitions != settings.partitions:
            yield _partitions_differ(state.partitions, settings.partitions)

    def records(state: TopicState) -> Iterator[str]:
        yield from _loses(state, _KEPT)
        yield from _takes_too_little(state)

    def gap(state: TopicState) -> Iterator[str]:
        yield from _loses(state, _KEPT | _KEPT_FOR_EVER | {"retention.bytes": "-1"})
        yield from _takes_too_little(state)

    def ledger(state: TopicState) -> Iterator[str]:
        # A restore that finds a ledger shorter than it was would publish again what it held.
        if state.partitions != LEDGER_PARTITIONS:
            yield (
                f"has {state.partitions} partitions and must have exactly {LEDGER_PARTITIONS}: if no connector ever "
                "wrote to it, delete it and run: connector provision; else bring the old topic back"
            )
        yield from _loses(state, _KEPT | _KEPT_FOR_EVER)
        size, needed = _number(state, "retention.bytes", -1), ledger_bytes_needed(window_minutes)
        if 0 <= size < needed:
            yield (
                f"would lose ids that are still needed: retention.bytes is {size}; set it to {needed} at least, or to "
                f"-1, with Kafka's own tools, for a duplicate window of {window_minutes} minutes"
            )
        yield from _takes_too_little(state)

    def schema_id(state: TopicState) -> Iterator[str]:
        # By age an id would go that is still used; the newest of a key is all that is read.
        yield from _loses(state, {"cleanup.policy": "compact"})

    def owner(stream: str) -> _Rule:
        def rule(state: TopicState) -> Iterator[str]:
            # Its partitions stand for those of the stream, and the group shares all that it has.
            wanted = owner_partitions(stream)
            if state.partitions != wanted:
                yield f"has {state.partitions} partitions and must have {wanted}; delete it, run: connector provision"

        return rule

    return {
        **dict.fromkeys(_events(names, streams), event),
        names.coverage: records,
        names.gap: gap,
        names.dead_letter: records,
        names.ledger: ledger,
        names.schema_id: schema_id,
        **{names.owner(stream): owner(stream) for stream in streams},
    }


_KEPT = {"cleanup.policy": "delete", "unclean.leader.election.enable": "false"}
"""Compaction removes what is not the newest of its key, and an unclean election what was acknowledged."""
_KEPT_FOR_EVER = {"retention.ms": "-1"}


def _loses(state: TopicState, wanted: Mapping[str, str]) -> Iterator[str]:
    for key, value in wanted.items():
        if (actual := state.config.get(key, value)) != value:
            yield f"would lose records: {key} is {actual}; set it to {value} with Kafka's own tools"


def _takes_too_little(state: TopicState) -> Iterator[str]:
    if _max_message_bytes(state) < MESSAGE_MAX_BYTES:
        yield (
            f"takes records of {_max_message_bytes(state)} bytes only: "
            f"set its max.message.bytes to {MESSAGE_MAX_BYTES} with Kafka's own tools"
        )


def _risk(state: TopicState) -> str | None:
    """Return what may be lost though the cluster keeps copies; a single copy is a choice, as in a demo."""
    if state.replication >= _REPLICATED and state.config.get("min.insync.replicas") == "1":
        return (
            f"min.insync.replicas is 1 with {state.replication} replicas: a record that only one broker holds counts "
            "as committed, and goes with that broker; set it to 2 with Kafka's own tools"
        )
    return None


def _partitions_differ(actual: int, wanted: int) -> str:
    return (
        f"has {actual} partitions and should have {wanted}, kafka.partitions: with another number keys move to other "
        "partitions. Where that is wanted, give all event topics the same number and set kafka.partitions to it"
    )


def _max_message_bytes(state: TopicState) -> int:
    return min(_number(state, "max.message.bytes", MESSAGE_MAX_BYTES), MESSAGE_MAX_BYTES)


def _number(state: TopicState, name: str, default: int) -> int:
    """Return a setting of a topic. Raises `DependencyUnavailableError` where Kafka says that it is no number."""
    try:
        return int(state.config.get(name, default))
    except ValueError:
        raise DependencyUnavailableError(f"Kafka says that {name} of a topic is {state.config[name]!r}") from None
