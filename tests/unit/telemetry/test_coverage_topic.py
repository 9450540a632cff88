"""The coverage topic: read from no further back than it must be, whatever others write to it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest

from connector.demo.registry import DemoRegistry
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import COVERAGE
from connector.kafka.reading import BEGINNING, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings
from connector.telemetry.coverage_topic import MOST_FROM_BEGINNING, CoverageTopic

_TOPIC = "p-coverage"
_ONE, _TWO = StreamPartition("tweet", 1), StreamPartition("tweet", 2)
_HOUR_US = 3_600 * 10**6
_NOW = 1_000 * 24 * _HOUR_US


@dataclass
class _Topic:
    """A topic in memory; `starts` are those that it was read from, and `open` how many readers there are."""

    records: list[ReadRecord]
    starts: list[int]
    open: int = 0


class _Reader(TopicReader):
    """Plays a reader of it."""

    def __init__(self, topic: _Topic, start: int) -> None:
        topic.starts.append(start)
        self._topic, self._place = topic, 0
        self._start = start

    def to_end(self, _: Callable[[], bool] = lambda: False) -> Iterator[ReadRecord]:
        """Give what there is, from the start on."""
        for record in self._topic.records[self._place :]:
            self._place += 1
            if record.timestamp_us >= self._start:
                yield record

    def __enter__(self) -> Self:
        self._topic.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._topic.open -= 1


class _Bench:
    """A topic with a registry."""

    def __init__(self, registry_url: str) -> None:
        self.topic = _Topic([], [])
        self.foreign: list[str] = []
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p"),
            schema_registry=SchemaRegistrySettings(url=registry_url),
        )
        with RegistryClient(self.settings.schema_registry) as client:
            self._encoder = AvroEncoder(COVERAGE, client.register(f"{_TOPIC}-value", COVERAGE))

    def open(self, wanted: Collection[StreamPartition] = (_ONE, _TWO)) -> CoverageTopic:
        """Begin to read."""
        return CoverageTopic(
            self.settings,
            wanted,
            self.foreign.append,
            open_topic=lambda _, __, start: _Reader(self.topic, start),
            wall=lambda: _NOW,
        )

    def write(self, partition: StreamPartition, hours_ago: float, value: bytes | None = None) -> None:
        """Write a record, covered until it was written."""
        at_us = _NOW - int(hours_ago * _HOUR_US)
        fields: dict[str, Any] = {
            "stream": partition.stream,
            "stream_partition": partition.number,
            "covered_until": at_us // 1000,
            "sequence": 0,
            "mode": "live",
            "written_at": at_us // 1000,
        }
        encoded = self._encoder.encode(fields) if value is None else value
        key = str(partition).encode()
        self.topic.records.append(ReadRecord(_TOPIC, 0, len(self.topic.records), at_us, key, encoded, {}))


@pytest.fixture
def bench() -> Iterator[_Bench]:
    """Give a topic without records."""
    with DemoRegistry() as registry:
        yield _Bench(registry.url)


def _never() -> bool:
    return False


def _found(topic: CoverageTopic) -> dict[StreamPartition, tuple[float, float | None]]:
    """Return how many hours ago coverage reached, and where it began."""
    return {
        each.partition: (
            (_NOW - each.covered_until_us) / _HOUR_US,
            None if each.since_us is None else (_NOW - each.since_us) / _HOUR_US,
        )
        for each in topic.read(_never)
    }


def test_topic_of_partitions_at_work_is_read_from_minutes_ago(bench: _Bench) -> None:
    """And once from its beginning, for its first record of each."""
    for hours_ago in (700, 300, 0):
        bench.write(_ONE, hours_ago)
        bench.write(_TWO, hours_ago)
    with bench.open() as topic:
        assert _found(topic) == {_ONE: (0, 700), _TWO: (0, 700)}
        bench.write(_ONE, -1)
        assert _found(topic) == {_ONE: (-1, 700), _TWO: (0, 700)}
        assert bench.topic.open == 1
    assert bench.topic.starts == [_NOW - _HOUR_US // 6, BEGINNING]
    assert bench.topic.open == 0


@pytest.mark.slow
def test_partition_that_is_silent_for_long_is_looked_for_further_back(bench: _Bench) -> None:
    """Up to eight days; of one that is silent for longer nothing is known."""
    bench.write(_TWO, 100)
    bench.write(_ONE, 0)
    with bench.open() as topic:
        assert _found(topic) == {_TWO: (100, 100), _ONE: (0, 0)}
    assert bench.topic.starts == [_NOW - _HOUR_US // 6, _NOW - 24 * _HOUR_US, _NOW - 192 * _HOUR_US, BEGINNING]
    assert bench.topic.open == 0


@pytest.mark.slow
def test_partition_that_comes_later_is_found_with_its_beginning(bench: _Bench) -> None:
    """The beginning of the topic is read again for it, and only for it."""
    with bench.open() as topic:
        assert _found(topic) == {}
        bench.write(_ONE, 0)
        assert _found(topic) == {_ONE: (0, 0)}
        assert _found(topic) == {_ONE: (0, 0)}
    assert bench.topic.starts[3:] == [BEGINNING]


def test_records_of_others_are_left_out(bench: _Bench) -> None:
    """Where coverage begins is not theirs to say either."""
    bench.write(_ONE, 600, b"not ours")
    bench.write(_ONE, 500)
    bench.write(_ONE, 0)
    bench.write(_TWO, 0, b"not ours")
    with bench.open() as topic:
        assert _found(topic) == {_ONE: (0, 500)}
    assert len(bench.foreign) == 3  # the one of now, by each reader that began


def test_beginning_that_lies_too_far_in_is_not_known(bench: _Bench) -> None:
    """A month of records is not read for it."""
    bench.write(_ONE, 600)
    bench.topic.records *= MOST_FROM_BEGINNING + 1
    bench.write(_TWO, 0)
    bench.write(_ONE, 0)
    with bench.open() as topic:
        assert _found(topic) == {_TWO: (0, None), _ONE: (0, 600)}
