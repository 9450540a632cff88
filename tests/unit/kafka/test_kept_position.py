"""The position that a reader keeps under a group's name: how often, of what, and what a refusal means."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connector.errors import ConnectorError, DependencyUnavailableError, NotProvisionedError
from connector.kafka.kept_position import KeptPosition
from connector.settings import KafkaSettings

_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class _Commits:
    """Plays the consumer that commits; refuses with `code` where there is one."""

    def __init__(self, code: int | None = None) -> None:
        self.kept: list[dict[tuple[str, int], int]] = []
        self._code = code

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:  # noqa: FBT001 - the client's signature
        """Take offsets, or refuse them."""
        assert not asynchronous
        if self._code is not None:
            raise KafkaException(KafkaError(self._code))
        self.kept.append({(each.topic, each.partition): each.offset for each in offsets})

    def close(self) -> None:
        """Hold nothing."""


def _position(consumer: _Commits, monotonic_s: Callable[[], float] = lambda: 0.0) -> KeptPosition:
    played: Any = consumer
    return KeptPosition(_SETTINGS, "group", make_consumer=lambda _: played, monotonic_s=monotonic_s)


def test_position_is_kept_every_five_seconds_and_only_what_changed() -> None:
    """A quiet reader commits nothing."""
    now_s = [0.0]
    consumer = _Commits()
    with _position(consumer, lambda: now_s[0]) as position:
        position.keep_now_and_then({("t", 0): 1})
        now_s[0] = 4.9
        position.keep_now_and_then({("t", 0): 1})
        assert not consumer.kept
        now_s[0] = 5.0
        position.keep_now_and_then({("t", 0): 2, ("t", 1): 7})
        position.keep_now_and_then({("t", 0): 3, ("t", 1): 7})
        now_s[0] = 10.0
        position.keep_now_and_then({("t", 0): 4, ("t", 1): 7})
        position.keep({("t", 0): 4, ("t", 1): 7})
    assert consumer.kept == [{("t", 0): 2, ("t", 1): 7}, {("t", 0): 4}]


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            NotProvisionedError,
            "no right to commit for the group group: grant Read",
        ),
        (KafkaError.UNKNOWN_MEMBER_ID, NotProvisionedError, "consumers share the partitions of the group group"),
        (KafkaError.ILLEGAL_GENERATION, NotProvisionedError, "name a group that nothing else uses"),
        (KafkaError.REQUEST_TIMED_OUT, DependencyUnavailableError, "Kafka does not answer"),
    ],
)
def test_position_that_kafka_does_not_take_says_what_to_do(code: int, kind: type[ConnectorError], said: str) -> None:
    """A group that consumers share since then is no fault of Kafka's."""
    with _position(_Commits(code)) as position, pytest.raises(kind, match=said):
        position.keep({("t", 0): 1})
