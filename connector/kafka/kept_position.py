"""How far a reader that joins no group has come, kept in Kafka under a group's name, so that it can go on from there.

Must not know what is read, nor when it counts as read.
"""

import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connector.errors import NotProvisionedError
from connector.kafka.clients import ClientProperties, OwnsConsumer, make, reader_config
from connector.kafka.cluster import Cluster
from connector.kafka.reading import Place, unavailable
from connector.quoting import shown
from connector.settings import KafkaSettings

OWN = "x-compliance-connector"
"""The metadata of an offset that was committed here."""
_INTERVAL_S = 5.0
_RENEWAL_S = 3600.0
"""How old a position may be in Kafka, which forgets one that was not committed for `offsets.retention.minutes`."""


class Resumption(NamedTuple):
    """Offsets to go on from, by topic and partition, of those that were read before; in words which had to be moved."""

    offsets: Mapping[Place, int]
    moved: tuple[str, ...]


class KeptPosition(OwnsConsumer):
    """The position of a group that only one reader uses.

    Offsets that another program committed are not taken over: with them, its next start would skip what was read here.
    Every method raises `NotProvisionedError` if a right is missing or consumers share the group's partitions, and
    `DependencyUnavailableError` when Kafka does not answer.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        *,
        make_consumer: Callable[[ClientProperties], Consumer] = Consumer,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._monotonic_s = monotonic_s
        self._cluster = Cluster(settings)
        self._consumer = make(make_consumer, ClientProperties(reader_config(settings) | {"group.id": group}))
        self._kept: dict[Place, int] = {}
        self._kept_at = self._renewed_at = monotonic_s()

    def resume(self, topics: Collection[str]) -> Resumption:
        """Return where to go on; what is no longer in Kafka, or not yet again, is passed over."""
        found = self._cluster.consumer_group(self._group)
        if found is not None and found.members:
            raise self._in_use()
        there = self._cluster.count_partitions(topics)
        commits = [place for place in self._cluster.commits(self._group) if place.partition < there.get(place.topic, 0)]
        if any(place.metadata != OWN for place in commits):
            raise NotProvisionedError(
                f"another program has committed offsets for the group {shown(self._group)}: name a group that nothing "
                "else uses, or delete this one if nothing uses it any more"
            )
        committed = {(place.topic, place.partition): place.offset for place in commits}
        if not commits:
            return Resumption({}, ())
        begins, ends = self._cluster.begins(commits), self._cluster.ends(commits)
        outside = {place for place, at in committed.items() if not begins[place] <= at <= ends[place]}
        return Resumption(
            {place: begins[place] if place in outside else at for place, at in committed.items()},
            tuple(
                f"{topic} partition {number}: {shown(self._group)} had read up to offset {committed[topic, number]}, "
                f"Kafka has {begins[topic, number]} to {ends[topic, number]}: starting at {begins[topic, number]}"
                for topic, number in sorted(outside)
            ),
        )

    def keep_now_and_then(self, reached: Mapping[Place, int]) -> None:
        """Keep a position if the one before is 5 s old."""
        if self._monotonic_s() - self._kept_at >= _INTERVAL_S:
            self.keep(reached)

    def keep(self, reached: Mapping[Place, int]) -> None:
        """Keep the offsets of the next records to read, by topic and partition; once an hour all of them."""
        self._kept_at = self._monotonic_s()
        if self._kept_at - self._renewed_at >= _RENEWAL_S:
            self._kept = {}
        if not self._kept:
            self._renewed_at = self._kept_at
        changed = [
            TopicPartition(topic or "", number or 0, at, OWN)
            for (topic, number), at in reached.items()
            if self._kept.get((topic, number)) != at
        ]
        if not changed:
            return
        try:
            self._consumer.commit(offsets=changed, asynchronous=False)
        except KafkaException as error:
            raise self._refused(error) from error
        self._kept = dict(reached)

    def _refused(self, error: KafkaException) -> Exception:
        code = error.args[0].code()
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
            return NotProvisionedError(f"no right to commit for the group {shown(self._group)}: grant Read on it")
        if code in {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION}:
            return self._in_use()
        return unavailable(error)

    def _in_use(self) -> NotProvisionedError:
        return NotProvisionedError(
            f"consumers share the partitions of the group {shown(self._group)}: name a group that nothing else uses"
        )
