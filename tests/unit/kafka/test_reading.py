"""Reading topics back when Kafka falls silent, or when nobody wants to know any more."""

from collections.abc import Collection

import pytest
from confluent_kafka import TopicPartition

from connector.errors import DependencyUnavailableError
from connector.kafka import reading as reading_module
from connector.kafka.reading import TopicReader
from connector.settings import KafkaSettings

_TOPIC = "t"
_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class _Message:
    """A record of the first partition."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> None:
        """Say that it is none."""

    def topic(self) -> str:
        """Say of which topic."""
        return _TOPIC

    def partition(self) -> int:
        """Say of which partition."""
        return 0

    def offset(self) -> int:
        """Say where it stands."""
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        """Say when it was written."""
        return 1, 7

    def headers(self) -> None:
        """Say that it has none."""

    def key(self) -> bytes:
        """Return its key."""
        return b"key"

    def value(self) -> bytes:
        """Return its value."""
        return b"value"


class _Kafka:
    """Plays admin client and consumer of a topic with partitions of five records each; a poll takes a second.

    Gives none, or endlessly new ones of the first partition.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self.partitions = 1
        self.is_busy = False

    def monotonic(self) -> float:
        """Stand in for the clock."""
        return self.now_s

    def count_partitions(self, names: Collection[str]) -> dict[str, int]:
        """Say how many each topic has."""
        return dict.fromkeys(names, self.partitions)

    def ends(self, places: Collection[TopicPartition]) -> dict[tuple[str, int], int]:
        """Say that there is something."""
        return {(place.topic, place.partition): 5 for place in places}

    def assign(self, where: list[TopicPartition]) -> None:
        """Take note."""
        self._assigned = where

    def assignment(self) -> list[TopicPartition]:
        """Say what is read."""
        return self._assigned

    def poll(self, _: float) -> "_Message | None":
        """Let time pass."""
        self.now_s += 1.0
        return _Message(int(self.now_s)) if self.is_busy else None

    def close(self) -> None:
        """Take note."""


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> _Kafka:
    """Give a played Kafka."""
    kafka = _Kafka()
    monkeypatch.setattr(reading_module, "Cluster", lambda _: kafka)
    monkeypatch.setattr(reading_module, "Consumer", lambda _: kafka)
    monkeypatch.setattr(reading_module, "time", kafka)
    return kafka


def test_reading_to_the_end_ends_when_kafka_brings_nothing(kafka: _Kafka) -> None:
    """Whoever waits for a command is told within a minute."""
    with TopicReader(_SETTINGS, [_TOPIC]) as reader, pytest.raises(DependencyUnavailableError, match="nothing came"):
        list(reader.to_end())
    assert kafka.now_s < 60.0


def test_partition_that_stays_silent_is_told_though_another_is_busy(kafka: _Kafka) -> None:
    """What nobody ends hides the rest of it; the records of the other one do not make up for that."""
    kafka.partitions, kafka.is_busy = 2, True
    with TopicReader(_SETTINGS, [_TOPIC]) as reader, pytest.raises(DependencyUnavailableError, match="t partition 1"):
        list(reader.to_end())
    assert kafka.now_s < 60.0


def test_busy_topic_is_read_to_the_end_that_it_had(kafka: _Kafka) -> None:
    """What comes meanwhile is for the next time; a record is dated as Kafka dates it."""
    kafka.is_busy = True
    with TopicReader(_SETTINGS, [_TOPIC]) as reader:
        records = list(reader.to_end())
    assert [record.offset for record in records] == [1, 2, 3, 4]
    assert {record.timestamp_us for record in records} == {7000}


def test_reading_to_the_end_ends_when_asked_to_stop(kafka: _Kafka) -> None:
    """At the next poll."""
    with TopicReader(_SETTINGS, [_TOPIC]) as reader:
        assert list(reader.to_end(lambda: kafka.now_s >= 3.0)) == []
    assert kafka.now_s == 3.0
