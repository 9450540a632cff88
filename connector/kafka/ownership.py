"""Which stream partitions are ours: one consumer group, joined for its assignment alone. Nothing is consumed.

The group shares the partitions of ownership topics, one topic for each enabled stream, so that the assignor, which
balances by count, balances the actual work. Owns the group's protocol. Must not know what owning a partition entails.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from types import TracebackType
from typing import Protocol, Self

from confluent_kafka import OFFSET_END, Consumer, KafkaError, TopicPartition

from connector.errors import ConnectorError, DependencyUnavailableError, SettingsError
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.kafka.clients import ClientProperties, group_consumer_config, make
from connector.kafka.topics import TopicNames
from connector.quoting import shown
from connector.settings import KafkaSettings, variable_name

LEAVE_S = 1.0
"""How long Kafka may take to confirm that a member leaves: librdkafka waits 5 s for a broker that is silent."""
_TWIN = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
"""If a consumer's error is fatal, only its text names the cause."""


class Owner(Protocol):
    """Acts on changes of ownership; each call returns before the group continues."""

    def assigned(self, partitions: Collection[StreamPartition]) -> None:
        """Own these stream partitions from now on."""

    def revoked(self, partitions: Collection[StreamPartition]) -> None:
        """Release these: finish what is in hand."""

    def lost(self, partitions: Collection[StreamPartition]) -> None:
        """Release these, which another replica may own already: commit nothing more."""


class Membership:
    """A member of the group, inside a `with`. Callbacks come from within `poll` and on leaving."""

    def __init__(
        self,
        settings: KafkaSettings,
        streams: Iterable[str],
        session_timeout_ms: int,
        owner: Owner,
        *,
        make_consumer: Callable[[ClientProperties], Consumer] = Consumer,
    ) -> None:
        self._instance_id = settings.group_instance_id
        names = TopicNames(settings.topic_prefix)
        self._stream_by_topic = {names.owner(stream): stream for stream in streams}
        self._owner = owner
        properties = group_consumer_config(settings, session_timeout_ms)
        self._errors: list[KafkaError] = []
        properties["error_cb"] = self._errors.append
        self._consumer = make(make_consumer, properties)
        self.has_joined = False

    def poll(self, timeout_s: float, on_trouble: Callable[[str], None]) -> None:
        """Take part in the group for up to `timeout_s`; report passing errors to `on_trouble`.

        Raises `SettingsError` if another process has our instance id, else `DependencyUnavailableError` if the
        membership is lost for good. Then nothing is owned any more, without a callback.
        """
        message = self._consumer.poll(timeout_s)
        while self._errors:
            on_trouble(_described(self._errors.pop(0)))
        error = message.error() if message is not None else None
        if error is None:
            return
        if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - public name
            raise self._fatal(error)
        on_trouble(_described(error))

    def __enter__(self) -> Self:
        self._consumer.subscribe(
            list(self._stream_by_topic), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the group; without an answer in time, the client is left behind with what it still does."""
        leaving = threading.Thread(target=self._consumer.close, name="leave-group", daemon=True)
        leaving.start()
        leaving.join(LEAVE_S)

    def _fatal(self, error: KafkaError) -> ConnectorError:
        if _TWIN in error.str():
            name = variable_name(("kafka", "group_instance_id"))
            problem = (
                f"{name}: another process uses {self._instance_id!r} too; each replica needs its own "
                "(or this one was suspended for longer than pipeline.session_timeout_ms; then start it again)"
            )
            return SettingsError([problem])
        return DependencyUnavailableError(f"consumer group: {_described(error)}")

    def _stream_partitions(self, places: Iterable[TopicPartition]) -> list[StreamPartition]:
        found = (StreamPartition(self._stream_by_topic[place.topic], place.partition + 1) for place in places)
        return sorted(each for each in found if each in STREAM_PARTITIONS)

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        places = [TopicPartition(place.topic, place.partition, OFFSET_END) for place in assigned]
        consumer.incremental_assign(places)
        consumer.pause(places)
        self.has_joined = True
        self._owner.assigned(self._stream_partitions(assigned))

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._owner.revoked(self._stream_partitions(revoked))
        consumer.incremental_unassign(revoked)

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        self.has_joined = False
        self._owner.lost(self._stream_partitions(lost))
        consumer.incremental_unassign(lost)


def _described(error: KafkaError) -> str:
    return f"{error.name()}: {shown(error.str())}"
