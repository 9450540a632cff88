"""The brokers, as `provision`, checks and readers see them: topics described and created, and where they end.

Owns the admin client and the mapping of its errors to ours. Must not know which topics the connector wants, or why.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    ConfigEntry,
    ConfigResource,
    ConsumerGroupDescription,
    ListOffsetsResultInfo,
    MemberDescription,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.kafka.clients import CLIENT_ID, ClientProperties, admin_config, make
from connector.kafka.outages import NO_ANSWER, outage
from connector.kafka.topics import TopicSpec
from connector.quoting import shown
from connector.settings import KafkaSettings, variable_name

K = TypeVar("K")

_REQUEST_TIMEOUT_S = 5.0
"""A stop, which must be obeyed within 10 s, cannot interrupt these requests."""
_CREATION_TIMEOUT_S = 30.0
_CREATION_DEADLINE_S = 30.0
_CREATION_POLL_S = 0.1

_LEADER_DEADLINE_S = 5.0
_LEADER_POLL_S = 0.1

_LEADERLESS = frozenset(
    {KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH}
)
"""A partition that is new or moves; its leader answers soon."""
_UNAUTHORISED = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED})
_REFUSED = frozenset(
    {
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
    }
)

_REFUSED_CONFIG = frozenset({KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION})

_FEW_BROKERS = (
    "If there are fewer brokers than replicas, as on one broker for a trial, set "
    f"{variable_name(('kafka', 'replication_factor'))}=1 and {variable_name(('kafka', 'min_insync_replicas'))}=1"
)

_OTHER_MEANS = (
    "Where these brokers never take such a setting, as some that are run as a service, make these topics by their own "
    "means, as close as they allow to what this prints: connector provision --manifests json"
)


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as Kafka describes it; `config` is its effective configuration."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(hash=False)


class Oldest(NamedTuple):
    """The offset from which a partition is kept, 0 unless records were removed, and how Kafka dates its first record.

    The date is microseconds since 1970, None if there is no record.
    """

    begin: int
    dated_us: int | None


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A member of a consumer group under its replica's name, and the partitions that it has, by topic and number."""

    name: str
    partitions: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ConsumerGroup:
    """A consumer group that exists.

    `is_manual` says that its consumers choose their partitions themselves and only commit, so that it has no members.
    """

    members: tuple[GroupMember, ...]
    is_manual: bool


class Cluster:
    """The brokers. Every method raises `DependencyUnavailableError` when they do not answer."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        request_timeout_s: float = _REQUEST_TIMEOUT_S,
        make_admin: Callable[[ClientProperties], AdminClient] = AdminClient,
    ) -> None:
        self._servers = settings.bootstrap_servers
        self._properties = ClientProperties(admin_config(settings) | {"error_cb": self._remember})
        self._request_timeout_s = request_timeout_s
        self._last_error = ""
        self._make_admin = make_admin
        self._admin = make(make_admin, self._properties)

    def describe(self, names: Collection[str]) -> dict[str, TopicState]:
        """Return the state of those of the topics that exist; never creates one.

        Raises `NotProvisionedError` if the right to describe a topic or to read its configuration is missing.
        """
        found = self._topics(names, "Describe")
        configs = self._configs(found)
        return {
            name: TopicState(
                partitions=len(topic.partitions),
                replication=min(len(partition.replicas) for partition in topic.partitions),
                config=configs[name],
            )
            for name, topic in found.items()
            if name in configs  # a topic that is new or goes is known to one broker and not to another
        }

    def count_partitions(self, names: Collection[str], right: str = "Read") -> dict[str, int]:
        """Return the number of partitions of each of these topics that exists.

        Raises `NotProvisionedError`, which names `right`, if the brokers show that it is missing.
        """
        return {name: len(topic.partitions) for name, topic in self._topics(names, right).items()}

    def ends(self, places: Collection[TopicPartition]) -> dict[tuple[str | None, int | None], int]:
        """Return the offset of the next record by topic and partition, open transactions or not."""
        return self._bounds(places, OffsetSpec.latest(), "ends")

    def begins(self, places: Collection[TopicPartition]) -> dict[tuple[str | None, int | None], int]:
        """Return the offset from which records are kept by topic and partition."""
        return self._bounds(places, OffsetSpec.earliest(), "begins")

    def oldest(self, partitions: Mapping[str, int]) -> dict[str, list[Oldest]]:
        """Return the oldest record of each partition, open transactions or not; `partitions` counts them by topic."""
        places = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
        begins, first = self.begins(places), self._offsets(places, OffsetSpec.for_timestamp(0))
        found: dict[str, list[Oldest]] = {topic: [] for topic in partitions}
        for place in places:
            key = place.topic, place.partition
            dated_us = first[key].timestamp * 1000 if first[key].offset >= 0 else None
            found[place.topic].append(Oldest(begins[key], dated_us))
        return found

    def group_members(self, group: str) -> list[GroupMember]:
        """Return the members of a consumer group, none if there is no such group.

        Raises `NotProvisionedError` if the right to describe it is missing.
        """
        found = self.consumer_group(group)
        return [] if found is None else [*found.members]

    def consumer_group(self, group: str) -> ConsumerGroup | None:
        """Return a consumer group of either protocol, None if there is no such group.

        Raises `NotProvisionedError` if the right to describe it is missing.
        """
        found, errors = self._ask(
            lambda admin: admin.describe_consumer_groups([group], request_timeout=self._request_timeout_s)
        )
        _raise_if_hidden(errors, group)
        self._raise_unless(KafkaError.GROUP_ID_NOT_FOUND, errors)
        described: ConsumerGroupDescription | None = found.get(group)
        if described is None or described.state is ConsumerGroupState.DEAD:
            return None
        members = tuple(_member(member, self._properties[CLIENT_ID]) for member in described.members)
        return ConsumerGroup(members, described.is_simple_consumer_group)

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Return the offsets that a consumer group has committed, by topic and partition. Raises as `commits` does."""
        return {(place.topic, place.partition): place.offset for place in self.commits(group)}

    def commits(self, group: str) -> list[TopicPartition]:
        """Return what a consumer group has committed, with its metadata; nothing if there is no group.

        Raises `NotProvisionedError` if the right to describe it is missing. Topics without that right are left out.
        """
        wanted = [ConsumerGroupTopicPartitions(group)]
        found, errors = self._ask(
            lambda admin: admin.list_consumer_group_offsets(wanted, request_timeout=self._request_timeout_s)
        )
        _raise_if_hidden(errors, group)
        self._raise_unless(KafkaError.GROUP_ID_NOT_FOUND, errors)
        places = [place for answer in found.values() for place in answer.topic_partitions]
        return [place for place in places if place.offset >= 0]

    def create(self, specs: Collection[TopicSpec]) -> None:
        """Create the topics, and return once they can be seen; one that is there already is left alone.

        Raises `NotProvisionedError` if the right is missing or the brokers refuse the topic.
        """
        new = [NewTopic(spec.name, spec.partitions, spec.replication, config=dict(spec.config)) for spec in specs]
        _, errors = self._ask(lambda admin: admin.create_topics(new, request_timeout=_CREATION_TIMEOUT_S))
        _raise_if_forbidden(errors, "create", "Create")
        _raise_if_refused(errors, specs)
        self._raise_unless(KafkaError.TOPIC_ALREADY_EXISTS, errors)
        self._await_topics([spec.name for spec in specs])

    def _bounds(
        self, places: Collection[TopicPartition], spec: OffsetSpec, what: str
    ) -> dict[tuple[str | None, int | None], int]:
        bounds = {place: found.offset for place, found in self._offsets(places, spec).items()}
        if unknown := sorted(str(topic) for (topic, _), offset in bounds.items() if offset < 0):
            raise DependencyUnavailableError(f"Kafka at {self._servers} does not say where {unknown[0]} {what}")
        return bounds

    def _offsets(
        self, places: Collection[TopicPartition], spec: OffsetSpec
    ) -> dict[tuple[str | None, int | None], ListOffsetsResultInfo]:
        """Return what Kafka finds by topic and partition; an offset below 0 means none."""
        wanted = {TopicPartition(place.topic, place.partition): spec for place in places}
        deadline = time.monotonic() + _LEADER_DEADLINE_S
        while True:
            found, errors = self._ask(
                lambda admin: admin.list_offsets(
                    wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=self._request_timeout_s
                )
            )
            if time.monotonic() > deadline or _LEADERLESS.isdisjoint(error.code() for error in errors.values()):
                break
            time.sleep(_LEADER_POLL_S)
        self._raise_unless(KafkaError.NO_ERROR, errors)
        return {(place.topic, place.partition): result for place, result in found.items()}

    def _topics(self, names: Collection[str], right: str) -> dict[str, TopicDescription]:
        topics = TopicCollection(list(names))
        found, errors = self._ask(lambda admin: admin.describe_topics(topics, request_timeout=self._request_timeout_s))
        _raise_if_forbidden(errors, "describe", right)
        self._raise_unless(KafkaError.UNKNOWN_TOPIC_OR_PART, errors)
        return found

    def _configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        found, errors = self._ask(
            lambda admin: _by_name(admin.describe_configs(resources, request_timeout=self._request_timeout_s))
        )
        _raise_if_forbidden(errors, "read the configuration of", "DescribeConfigs")
        self._raise_unless(KafkaError.UNKNOWN_TOPIC_OR_PART, errors)
        return {name: dict(_readable(entries)) for name, entries in found.items()}

    def _await_topics(self, names: Collection[str]) -> None:
        deadline = time.monotonic() + _CREATION_DEADLINE_S
        while missing := set(names) - self.describe(names).keys():
            if time.monotonic() > deadline:
                raise DependencyUnavailableError(
                    f"created {_CREATION_DEADLINE_S:.0f} s ago, but not there yet: {', '.join(sorted(missing))}"
                )
            time.sleep(_CREATION_POLL_S)

    def _ask(self, ask: Callable[[AdminClient], Mapping[K, Future[Any]]]) -> tuple[dict[K, Any], dict[K, KafkaError]]:
        admin = self._admin  # named: were it gone, its futures would never be done
        results, errors = {}, {}
        for name, future in ask(admin).items():
            try:
                results[name] = future.result()
            except KafkaException as error:
                errors[name] = error.args[0]
        return results, errors

    def _raise_unless(self, expected: int, errors: Mapping[K, KafkaError]) -> None:
        """Raise for any other error, and leave the next call to a new client.

        This one may wait for a controller that is gone; it learns of another when its metadata is five minutes old
        (`topic.metadata.refresh.interval.ms`).
        """
        for name, error in errors.items():
            if error.code() != expected:
                self._admin.poll(0)
                self._admin = self._make_admin(self._properties)
                why = outage(error.code(), shown(error.str()), self._last_error)
                what = "does not answer" if error.code() in NO_ANSWER else f"answers with an error{_for(name)}"
                raise DependencyUnavailableError(f"Kafka at {self._servers} {what}: {why}")

    def _remember(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the client's public name for it
            self._last_error = shown(error.str())


def _for(name: object) -> str:
    """Return what was asked for in words, if it can be named: a topic partition, a topic or a group."""
    if isinstance(name, TopicPartition):
        return f" for {name.topic} partition {name.partition}"
    return f" for {shown(name)}" if isinstance(name, str) else ""


def _member(described: MemberDescription, common_client_id: str) -> GroupMember:
    """Return a member under its instance id or its client id; one whose client id names no replica, by its address."""
    is_named = described.client_id != common_client_id
    name = described.group_instance_id or (described.client_id if is_named else described.host.removeprefix("/"))
    places = frozenset((place.topic, place.partition) for place in described.assignment.topic_partitions)
    return GroupMember(shown(name), places)


def _raise_if_hidden(errors: Mapping[str, KafkaError], group: str) -> None:
    if any(error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED for error in errors.values()):
        raise NotProvisionedError(f"no right to describe the group {group}: grant Describe on it")


def _readable(entries: Mapping[str, ConfigEntry]) -> Iterator[tuple[str, str]]:
    """Yield what a topic is set to, in words that can be shown; a broker leaves out what may be secret."""
    return ((key, shown(entry.value)) for key, entry in entries.items() if entry.value is not None)


def _raise_if_refused(errors: Mapping[str, KafkaError], specs: Collection[TopicSpec]) -> None:
    config = {spec.name: spec.config for spec in specs}
    names_by_why: dict[str, list[str]] = defaultdict(list)
    for name, error in errors.items():
        if error.code() in _REFUSED:
            names_by_why[_refusal(error, config[name])].append(name)
    if not names_by_why:
        return
    refused = [f"{', '.join(names)}: {why}" for why, names in names_by_why.items()]
    codes = {error.code() for error in errors.values()}
    is_few, is_config = KafkaError.INVALID_REPLICATION_FACTOR in codes, not _REFUSED_CONFIG.isdisjoint(codes)
    hints = [*([_FEW_BROKERS] if is_few else []), *([_OTHER_MEANS] if is_config else [])]
    raise NotProvisionedError("the brokers refuse to create topics:", *refused, *hints)


def _refusal(error: KafkaError, config: Mapping[str, str]) -> str:
    """Return what the brokers say, and what they were asked for if they do not name the setting."""
    said = shown(error.str())
    if error.code() not in _REFUSED_CONFIG or any(key in said for key in config):
        return said
    return f"{said}; asked for {', '.join(f'{key}={value}' for key, value in config.items())}"


def _by_name(answers: Mapping[ConfigResource, Future[Any]]) -> dict[str, Future[Any]]:
    return {resource.name: future for resource, future in answers.items()}


def _raise_if_forbidden(errors: Mapping[str, KafkaError], what: str, right: str) -> None:
    if forbidden := [name for name, error in errors.items() if error.code() in _UNAUTHORISED]:
        raise NotProvisionedError(f"no right to {what} {', '.join(forbidden)}: grant {right} on these topics")
