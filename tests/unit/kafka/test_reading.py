"""Reading topics back: when Kafka falls silent, when asked to stop, and what others wrote to them."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.avro import AvroEncoder
from connector.events.schemas import GAP, AvroSchema
from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.settings import KafkaSettings, SchemaRegistrySettings

_TOPIC = "t"
_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1")


class _Message:
    """A record of the first partition."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def error(self) -> None:
        """Return that it is not an error."""

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
        self.end = 5

    def monotonic(self) -> float:
        """Stand in for the clock."""
        return self.now_s

    def reader(self) -> TopicReader:
        """Return a reader of the topic."""
        played: Any = self
        return TopicReader(_SETTINGS, [_TOPIC], connect=lambda _: (played, played), monotonic_s=self.monotonic)

    def count_partitions(self, names: Collection[str]) -> dict[str, int]:
        """Say how many each topic has."""
        return dict.fromkeys(names, self.partitions)

    def ends(self, places: Collection[TopicPartition]) -> dict[tuple[str, int], int]:
        """Say that there is something."""
        return {(place.topic, place.partition): self.end for place in places}

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

    def consume(self, most: int, _: float) -> list["_Message"]:
        """Give two more that have come by then."""
        return [each for _ in range(min(2, most)) if (each := self.poll(0)) is not None]

    def close(self) -> None:
        """Take note."""


@pytest.fixture
def kafka() -> _Kafka:
    """Give a played Kafka."""
    return _Kafka()


def test_reading_to_the_end_ends_when_kafka_brings_nothing(kafka: _Kafka) -> None:
    """Whoever waits for a command is told within a minute."""
    with kafka.reader() as reader, pytest.raises(DependencyUnavailableError, match="nothing came"):
        list(reader.to_end())
    assert kafka.now_s < 60.0


def test_partition_that_stays_silent_is_reported_though_another_is_busy(kafka: _Kafka) -> None:
    """A transaction that is never ended hides the rest of it; the records of the other one do not make up for that."""
    kafka.partitions, kafka.is_busy = 2, True
    with kafka.reader() as reader, pytest.raises(DependencyUnavailableError, match="t partition 1"):
        list(reader.to_end())
    assert kafka.now_s < 60.0


def test_busy_topic_is_read_to_the_end_that_it_had(kafka: _Kafka) -> None:
    """What comes meanwhile is for the next time; a record is dated as Kafka dates it."""
    kafka.is_busy = True
    with kafka.reader() as reader:
        records = list(reader.to_end())
    assert [record.offset for record in records] == [1, 2, 3, 4]
    assert {record.timestamp_us for record in records} == {7000}


def test_reading_to_the_end_ends_when_asked_to_stop(kafka: _Kafka) -> None:
    """At the next poll."""
    with kafka.reader() as reader:
        assert list(reader.to_end(lambda: kafka.now_s >= 3.0)) == []
    assert kafka.now_s == 3.0


def test_topic_that_was_created_again_is_not_read_on(kafka: _Kafka) -> None:
    """What was read of it before may not be there any more."""
    kafka.is_busy = True
    with kafka.reader() as reader:
        list(reader.to_end())
        assert list(reader.to_end()) == []
        kafka.end = 4
        with pytest.raises(DependencyUnavailableError, match="t partition 0 was read up to 5, but ends at 4"):
            list(reader.to_end())


_GAP = {
    "gap_id": "id",
    "stream": "tweet",
    "stream_partition": 1,
    "gap_start": 0,
    "gap_end": 2**62,
    "state": "lost",
    "cause": "c",
    "detail": "d",
    "recorded_at": 1000,
    "reconciled_by": None,
    "remaining": ["tweet.withheld"],
    "withdrawn_at": 2000,
    "withdrawn_because": "nothing was missing",
}


@pytest.fixture
def registry() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


def _record(value: bytes, topic: str = _TOPIC) -> ReadRecord:
    return ReadRecord(topic, 0, 3, 0, b"key", value, {})


def _registered(registry: RegistryClient, avro_type: object, subject: str = "t-value") -> bytes:
    """Return the prefix of a record of a schema with one field of this type, which is registered under `subject`."""
    declared = {"type": "record", "name": "Node", "fields": [{"name": "field", "type": avro_type}]}
    schema_id = registry.register(subject, AvroSchema("Node", json.dumps(declared), {}))
    return b"\0" + schema_id.to_bytes(4, "big")


def test_record_of_the_topic_s_own_schema_is_decoded_with_times_as_text(registry: RegistryClient) -> None:
    """An instant beyond the calendar is its number."""
    value = AvroEncoder(GAP, registry.register("t-value", GAP)).encode(_GAP)
    reader = AvroReader(registry)
    assert reader.decode(_record(value)) == _GAP
    times = {"gap_start": "1970-01-01T00:00:00.000000Z", "gap_end": str(2**62 * 1000)}
    assert reader.decode_readable(_record(value)) == _GAP | times | {
        "recorded_at": "1970-01-01T00:00:01.000000Z",
        "withdrawn_at": "1970-01-01T00:00:02.000000Z",
    }


def test_record_of_another_topic_s_schema_is_refused_and_the_registry_asked_once(registry: RegistryClient) -> None:
    """What is fit for one topic is foreign to another, however many such records there are."""
    value = AvroEncoder(GAP, registry.register("t-value", GAP)).encode(_GAP)
    reader = AvroReader(registry)
    with pytest.raises(NotProvisionedError, match="schema id 1 is not one of subject other-value"):
        reader.decode(_record(value, "other"))
    registry.register("other-value", GAP)
    with pytest.raises(NotProvisionedError, match="schema id 1 is not one of subject other-value"):
        reader.decode_readable(_record(value, "other"))
    assert reader.decode(_record(value)) == _GAP


@pytest.mark.parametrize(
    ("avro_type", "body"),
    [
        pytest.param("Node", b"", id="itself: SIGSEGV"),
        pytest.param({"type": "array", "items": "null"}, b"\x80\x89\x0f\0", id="array of null: memory"),
    ],
)
@pytest.mark.parametrize(
    ("subject", "refused"), [("t-value", "cannot be used to read records"), ("foreign-value", "is not one of subject")]
)
def test_record_whose_schema_makes_much_of_few_bytes_is_refused(
    registry: RegistryClient, subject: str, refused: str, avro_type: object, body: bytes
) -> None:
    """Whether it was registered under a subject of others or under the topic's own."""
    value = _registered(registry, avro_type, subject) + body
    for decode in (AvroReader(registry).decode, AvroReader(registry).decode_readable):
        with pytest.raises(NotProvisionedError, match=f"schema id 1 {refused}"):
            decode(_record(value))


@pytest.mark.parametrize("avro_type", ["string", "boolean", ["null", "long"]], ids=str)
def test_count_beyond_the_bytes_of_a_record_is_no_record(registry: RegistryClient, avro_type: object) -> None:
    """An array that says it has 2**40 items ends with its bytes."""
    value = _registered(registry, {"type": "array", "items": avro_type}) + b"\x80\x80\x80\x80\x80\x40\0\0\0"
    with pytest.raises(ValueError, match="not a Node record"):
        AvroReader(registry).decode(_record(value))


def test_text_in_the_place_of_an_instant_is_shown_as_it_is(registry: RegistryClient) -> None:
    """A long text is not taken a thousand times."""
    avro_type = ["string", {"type": "long", "logicalType": "timestamp-millis"}]
    value = _registered(registry, avro_type) + b"\0\x08soon"
    assert AvroReader(registry).decode_readable(_record(value)) == {"field": "soon"}
