"""Whether the group counts us in, as its callbacks tell."""

import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from connector.events.catalog import StreamPartition
from connector.kafka.ownership import Membership
from connector.settings import KafkaSettings

_SILENCE_S = 30.0
_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p")


class _Consumer:
    """Plays the client: keeps the callbacks, and notes what is assigned."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._error_cb = properties["error_cb"]
        self.troubles: list[KafkaError] = []
        self.callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self.assigned: set[int] = set()
        self.answered = threading.Event()
        self.answered.set()
        self.has_left = False

    def subscribe(self, topics: list[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        """Keep the callbacks."""
        self.topics = topics
        self.callbacks = callbacks

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        """Note what is ours."""
        self.assigned |= {place.partition for place in places}

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        """Note what is not."""
        self.assigned -= {place.partition for place in places}

    def poll(self, _: float) -> None:
        """Tell of troubles, in the way of the client."""
        for trouble in self.troubles:
            self._error_cb(trouble)
        self.troubles.clear()

    def pause(self, _: object) -> None:
        """Consume nothing anyway."""

    def close(self) -> None:
        """Leave, once the group has answered."""
        self.answered.wait(_SILENCE_S)
        self.has_left = True

    def play(self, callback: str, *partitions: int) -> None:
        """Let the group change."""
        self.callbacks[callback](self, [TopicPartition("p-owner-tweet", number) for number in partitions])


class _Owner:
    """Records its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str]]] = []

    def assigned(self, partitions: Collection[StreamPartition]) -> None:
        """Note it."""
        self.told.append(("assigned", list(map(str, partitions))))

    def revoked(self, partitions: Collection[StreamPartition]) -> None:
        """Note it."""
        self.told.append(("revoked", list(map(str, partitions))))

    def lost(self, partitions: Collection[StreamPartition]) -> None:
        """Note it."""
        self.told.append(("lost", list(map(str, partitions))))


def _member(owner: _Owner, *streams: str) -> tuple[Membership, _Consumer]:
    """Return a member, and the client that it made."""
    made: list[_Consumer] = []

    def make(properties: Mapping[str, Any]) -> Any:  # noqa: ANN401 - plays as much of it as is asked for
        made.append(_Consumer(properties))
        return made[-1]

    member = Membership(_SETTINGS, streams, 6000, owner, make_consumer=make)
    return member, made[0]


def test_member_is_none_from_losing_its_partitions_until_it_is_assigned_some_or_none() -> None:
    """To give some up is no loss; an empty assignment makes a member too."""
    owner = _Owner()
    joined = []
    member, consumer = _member(owner, "tweet", "like")
    with member as membership:
        joined.append(membership.has_joined)
        for change in (("on_assign", 1, 2), ("on_revoke", 2), ("on_lost", 1), ("on_assign",)):
            consumer.play(*change)
            joined.append(membership.has_joined)
    assert joined == [False, True, True, False, True]
    assert owner.told == [
        ("assigned", ["tweet/2", "tweet/3"]),
        ("revoked", ["tweet/3"]),
        ("lost", ["tweet/2"]),
        ("assigned", []),
    ]
    assert consumer.topics == ["p-owner-tweet", "p-owner-like"]
    assert consumer.assigned == set()
    assert consumer.has_left


def test_member_that_leaves_does_not_wait_for_kafka_that_is_silent() -> None:
    """With the last transactions, a stop would take longer than it may."""
    member, consumer = _member(_Owner(), "tweet")
    with member:
        consumer.answered.clear()
    assert not consumer.has_left
    consumer.answered.set()


def test_trouble_that_the_client_tells_aside_is_told_once() -> None:
    """Brokers that are away are no error of any message."""
    told: list[str] = []
    member, consumer = _member(_Owner(), "tweet", "like")
    with member as membership:
        consumer.troubles.append(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))  # noqa: SLF001 - public name
        for _ in range(2):
            membership.poll(0.0, told.append)
    assert told == ["_ALL_BROKERS_DOWN: 1/1 brokers are down"]


def test_partition_that_the_stream_does_not_have_is_nobody_s_work() -> None:
    """Somebody added one to the ownership topic."""
    owner = _Owner()
    member, consumer = _member(owner, "tweet")
    with member:
        consumer.play("on_assign", 3, 4)
    assert owner.told == [("assigned", ["tweet/4"])]
