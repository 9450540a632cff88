"""Whether the group counts us in, as its callbacks tell."""

from collections.abc import Callable, Collection
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from connector.kafka import ownership
from connector.kafka.ownership import Membership
from connector.settings import KafkaSettings


class _Consumer:
    """Plays the client: keeps the callbacks, and notes what is assigned."""

    def __init__(self, _: object) -> None:
        self.callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self.assigned: set[int] = set()

    def subscribe(self, _: object, **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        """Keep the callbacks."""
        self.callbacks = callbacks

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        """Note what is ours."""
        self.assigned |= {place.partition for place in places}

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        """Note what is not."""
        self.assigned -= {place.partition for place in places}

    def pause(self, _: object) -> None:
        """Consume nothing anyway."""

    def close(self) -> None:
        """Leave."""

    def play(self, callback: str, *partitions: int) -> None:
        """Let the group change."""
        self.callbacks[callback](self, [TopicPartition("ledger", number) for number in partitions])


class _Owner:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def assigned(self, partitions: Collection[int]) -> None:
        """Note it."""
        self.told.append(("assigned", list(partitions)))

    def revoked(self, partitions: Collection[int]) -> None:
        """Note it."""
        self.told.append(("revoked", list(partitions)))

    def lost(self, partitions: Collection[int]) -> None:
        """Note it."""
        self.told.append(("lost", list(partitions)))


def test_member_is_none_from_losing_its_partitions_until_it_is_assigned_some_or_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To give some up is no loss; an empty assignment makes a member too."""
    consumer, owner = _Consumer(None), _Owner()
    monkeypatch.setattr(ownership, "Consumer", lambda _: consumer)
    joined = []
    with Membership(KafkaSettings(bootstrap_servers="127.0.0.1:1"), 6000, owner) as membership:
        joined.append(membership.has_joined)
        for change in (("on_assign", 1, 2), ("on_revoke", 2), ("on_lost", 1), ("on_assign",)):
            consumer.play(*change)
            joined.append(membership.has_joined)
    assert joined == [False, True, True, False, True]
    assert owner.told == [("assigned", [1, 2]), ("revoked", [2]), ("lost", [1]), ("assigned", [])]
    assert consumer.assigned == set()
