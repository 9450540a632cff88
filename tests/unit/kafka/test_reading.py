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


class _Kafka:
    """Plays admin client and consumer of a topic in which five records are, and gives none; a poll takes a second."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """Stand in for the clock."""
        return self.now_s

    def count_partitions(self, names: Collection[str]) -> dict[str, int]:
        """Say that each topic has one."""
        return dict.fromkeys(names, 1)

    def committed_ends(self, places: Collection[TopicPartition]) -> dict[tuple[str, int], int]:
        """Say that there is something."""
        return {(place.topic, place.partition): 5 for place in places}

    def assign(self, where: list[TopicPartition]) -> None:
        """Take note."""
        self._assigned = where

    def assignment(self) -> list[TopicPartition]:
        """Say what is read."""
        return self._assigned

    def poll(self, _: float) -> None:
        """Let time pass."""
        self.now_s += 1.0

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


def test_reading_to_the_end_ends_when_asked_to_stop(kafka: _Kafka) -> None:
    """At the next poll."""
    with TopicReader(_SETTINGS, [_TOPIC]) as reader:
        assert list(reader.to_end(lambda: kafka.now_s >= 3.0)) == []
    assert kafka.now_s == 3.0
