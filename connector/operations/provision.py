"""What `connector provision` does: the topics and subjects that must be, against those that are.

Planning is pure and compares; applying creates what is missing. What exists is never changed, only reported, with one
exception: a subject without the compatibility level of the contract is given it. Safe to run again, and by several at
once. Topics and subjects are made for all streams, whichever are switched on.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from connector.errors import DependencyUnavailableError
from connector.events.schemas import AvroSchema
from connector.kafka.cluster import Cluster, TopicState
from connector.kafka.registry import COMPATIBILITY, RegistryClient
from connector.kafka.topic_rules import counted
from connector.kafka.topics import TopicNames, TopicSpec, subject, topic_specs
from connector.pages import words
from connector.quoting import shown
from connector.settings import KafkaSettings


@dataclass(frozen=True, slots=True)
class SubjectState:
    """A subject in the registry: its own compatibility level, and whether exactly our schema is registered under it."""

    compatibility: str | None
    has_schema: bool


@dataclass(frozen=True, slots=True)
class State:
    """What is there, by topic and by subject; what is not there is not in it."""

    topics: Mapping[str, TopicState]
    subjects: Mapping[str, SubjectState]


@dataclass(frozen=True, slots=True)
class CreateTopic:
    """A topic that is missing."""

    spec: TopicSpec

    def __str__(self) -> str:
        spec = self.spec
        size = f"{words.counted(spec.partitions, 'partition')}, replication factor {spec.replication}"
        return f"create topic {spec.name}: {size}, {_config_text(spec)}"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        spec = self.spec
        return {
            "change": "create-topic",
            "topic": spec.name,
            "partitions": spec.partitions,
            "replication_factor": spec.replication,
            "config": dict(spec.config),
        }


@dataclass(frozen=True, slots=True)
class SetCompatibility:
    """A subject without the compatibility level of the contract."""

    subject: str
    current: str | None

    def __str__(self) -> str:
        current = shown(self.current or "") or "not set"
        return f"set compatibility of subject {self.subject}: {COMPATIBILITY} (currently {current})"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        current = None if self.current is None else shown(self.current)
        return {
            "change": "set-compatibility",
            "subject": self.subject,
            "compatibility": COMPATIBILITY,
            "current": current,
        }


@dataclass(frozen=True, slots=True)
class RegisterSchema:
    """A subject that does not have our schema."""

    subject: str
    schema: AvroSchema

    def __str__(self) -> str:
        return f"register schema {self.schema.name} under subject {self.subject}"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"change": "register-schema", "subject": self.subject, "schema": self.schema.name}


Change = CreateTopic | SetCompatibility | RegisterSchema


@dataclass(frozen=True, slots=True)
class Difference:
    """An existing topic that is not as it must be; for people to correct, because it is never changed here."""

    topic: str
    what: str
    actual: str
    wanted: str

    def __str__(self) -> str:
        return f"topic {self.topic} differs: {self.what} is {self.actual}, should be {self.wanted}; left unchanged"


@dataclass(frozen=True, slots=True)
class Undescribed:
    """A topic setting that the brokers do not report, for some of the topics that exist; it cannot be compared."""

    what: str
    topics: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"these brokers do not report {self.what} of {words.counted(len(self.topics), 'topic')}: not compared; "
            "check it with the provider's tools"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order, what differs and will be left alone, and how many topics and subjects there must be."""

    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    topics: int
    subjects: int
    undescribed: tuple[Undescribed, ...] = ()

    def summary(self, *, is_done: bool) -> str:
        """Return one line that counts the topics and subjects by what was done about them, or is to be done."""
        created = sum(isinstance(change, CreateTopic) for change in self.changes)
        changed = {change.subject for change in self.changes if not isinstance(change, CreateTopic)}
        differ = {difference.topic for difference in self.differences}
        topics = counted("topics", self.topics, {"created" if is_done else "missing": created, "differ": len(differ)})
        subjects = counted("subjects", self.subjects, {"set up" if is_done else "to set up": len(changed)})
        return f"{topics}; {subjects}"

    def as_json(self, *, is_done: bool) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {
            "topics": self.topics,
            "subjects": self.subjects,
            "is_done": is_done,
            "changes": [change.as_json() for change in self.changes],
            "differences": [asdict(difference) for difference in self.differences],
            "undescribed": [{"what": each.what, "topics": list(each.topics)} for each in self.undescribed],
        }

    @property
    def exit_code(self) -> int:
        """0, or 78 when an existing topic differs from the settings; what is not described is no difference."""
        return os.EX_CONFIG if self.differences else os.EX_OK


def plan(settings: KafkaSettings, state: State) -> Plan:
    """Compare what must be with what is."""
    specs = topic_specs(settings)
    return Plan(
        changes=(
            *(CreateTopic(spec) for spec in specs if spec.name not in state.topics),
            *_subject_changes(TopicNames(settings.topic_prefix), state.subjects),
        ),
        differences=tuple(
            difference
            for spec in specs
            if spec.name in state.topics
            for difference in _differences(spec, state.topics[spec.name])
        ),
        topics=len(specs),
        subjects=len(TopicNames(settings.topic_prefix).schemas()),
        undescribed=tuple(_undescribed(specs, state.topics)),
    )


def read_state(settings: KafkaSettings, cluster: Cluster, registry: RegistryClient) -> State:
    """Look up what is there.

    Raises `DependencyUnavailableError`, and `NotProvisionedError` if the right to look is missing.
    """
    names = TopicNames(settings.topic_prefix)
    return State(
        topics=cluster.describe([spec.name for spec in topic_specs(settings)]),
        subjects={
            subject(topic): SubjectState(
                compatibility=registry.compatibility(subject(topic)),
                has_schema=registry.find(subject(topic), schema) is not None,
            )
            for topic, schema in names.schemas().items()
        },
    )


def apply(changes: tuple[Change, ...], cluster: Cluster, registry: RegistryClient) -> None:
    """Make the changes; one that another provisioner has just made is no error.

    Raises `NotProvisionedError` when the brokers or the registry refuse one, naming it and the reason.
    """
    if specs := [change.spec for change in changes if isinstance(change, CreateTopic)]:
        cluster.create(specs)
    levels = [change.subject for change in changes if isinstance(change, SetCompatibility)]
    # Before the first schema, so that no incompatible one can slip in between; some registries want a schema first.
    postponed = [name for name in levels if not registry.set_compatibility(name)]
    for change in changes:
        if isinstance(change, RegisterSchema):
            registry.register(change.subject, change.schema)
    for name in postponed:
        registry.set_compatibility(name)


def provision(settings: KafkaSettings, cluster: Cluster, registry: RegistryClient, *, dry_run: bool) -> Plan:
    """Create what is missing and return what was done; with `dry_run` only return what would be.

    Raises `DependencyUnavailableError` when something that was made cannot be seen afterwards.
    """
    before = plan(settings, read_state(settings, cluster, registry))
    if dry_run or not before.changes:
        return before
    apply(before.changes, cluster, registry)
    after = plan(settings, read_state(settings, cluster, registry))
    if after.changes:
        raise DependencyUnavailableError("still to do after the changes:", *map(str, after.changes))
    return replace(after, changes=before.changes)


def _subject_changes(names: TopicNames, subjects: Mapping[str, SubjectState]) -> Iterator[Change]:
    for topic, schema in names.schemas().items():
        name = subject(topic)
        state = subjects.get(name, SubjectState(compatibility=None, has_schema=False))
        if state.compatibility != COMPATIBILITY:
            yield SetCompatibility(name, state.compatibility)
        if not state.has_schema:
            yield RegisterSchema(name, schema)


def _differences(spec: TopicSpec, state: TopicState) -> Iterator[Difference]:
    if state.partitions != spec.partitions:
        yield Difference(spec.name, "partitions", str(state.partitions), str(spec.partitions))
    if state.replication != spec.replication:
        yield Difference(spec.name, "replication factor", str(state.replication), str(spec.replication))
    for key, wanted in spec.config.items():
        if (actual := state.config.get(key, wanted)) != wanted:
            yield Difference(spec.name, key, actual, wanted)


def _undescribed(specs: Sequence[TopicSpec], topics: Mapping[str, TopicState]) -> Iterator[Undescribed]:
    """Yield what brokers leave out of a topic's configuration; those that are run as a service often do."""
    missing: dict[str, list[str]] = {}
    for spec in specs:
        if (state := topics.get(spec.name)) is not None:
            for key in spec.config.keys() - state.config.keys():
                missing.setdefault(key, []).append(spec.name)
    return (Undescribed(key, tuple(missing[key])) for key in sorted(missing))


def _config_text(spec: TopicSpec) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(spec.config.items()))
