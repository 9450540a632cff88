"""The newest record of each key: replaced, removed and read on, whatever others write to the topic."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError
from connector.events.avro import AvroEncoder
from connector.events.schemas import GAP
from connector.kafka.newest import MOST_KEYS, LatestRecords, NewestRecords
from connector.kafka.reading import ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.settings import KafkaSettings, SchemaRegistrySettings, Settings

_TOPIC = "t"
_GAP = {
    "gap_id": "id",
    "stream": "tweet",
    "stream_partition": 1,
    "gap_start": 0,
    "gap_end": 1,
    "state": "lost",
    "cause": "c",
    "detail": "d",
    "recorded_at": 0,
    "reconciled_by": None,
    "remaining": None,
}


class _Reader(TopicReader):
    """Plays the reader of a topic: each call gives what was written since the last one."""

    def __init__(self) -> None:
        self._records: list[ReadRecord] = []
        self.error: Exception | None = None
        self.is_closed = False

    def write(self, key: bytes, value: bytes) -> None:
        """Write a record."""
        self._records.append(ReadRecord(_TOPIC, 0, len(self._records), 0, key, value, {}))

    def to_end(self, _: Callable[[], bool] = lambda: False) -> Iterator[ReadRecord]:
        """Give what there is."""
        if self.error is not None:
            raise self.error
        while self._records:
            yield self._records.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


class _Bench:
    """A topic with a registry; what is kept of a gap is when it was recorded, and nothing of a reconciled one."""

    def __init__(self, registry_url: str) -> None:
        self.reader = _Reader()
        self.foreign: list[str] = []
        self.settings = Settings(
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
            schema_registry=SchemaRegistrySettings(url=registry_url),
        )
        with RegistryClient(self.settings.schema_registry) as client:
            self._encoder = AvroEncoder(GAP, client.register(f"{_TOPIC}-value", GAP))

    def open(self) -> NewestRecords[int]:
        """Begin to read."""
        return NewestRecords(
            self.settings, _TOPIC, self._read_value, self.foreign.append, open_topic=lambda *_: self.reader
        )

    def write(self, key: str, recorded_at: int, state: str = "lost") -> None:
        """Write a gap."""
        self.reader.write(key.encode(), self._encoder.encode(_GAP | {"recorded_at": recorded_at, "state": state}))

    @staticmethod
    def _read_value(record: Mapping[str, Any], _: ReadRecord) -> int | None:
        if record["state"] == "nonsense":
            raise ValueError("nonsense")
        return None if record["state"] == "reconciled" else record["recorded_at"]


@pytest.fixture
def bench() -> Iterator[_Bench]:
    """Give a topic without records."""
    with DemoRegistry() as registry:
        yield _Bench(registry.url)


def _never() -> bool:
    return False


def test_newest_record_of_each_key_counts_from_read_to_read(bench: _Bench) -> None:
    """A later read begins where the one before ended."""
    with bench.open() as records:
        assert list(records.read(_never)) == []
        bench.write("a", 1)
        bench.write("b", 2)
        bench.write("a", 3)
        assert sorted(records.read(_never)) == [2, 3]
        bench.write("b", 4)
        assert sorted(records.read(_never)) == [3, 4]
    assert bench.foreign == []


def test_key_with_nothing_to_keep_is_gone(bench: _Bench) -> None:
    """Until there is a record of it again; one that never was may be gone, too."""
    with bench.open() as records:
        for key in ("a", "b"):
            bench.write(key, 1)
        bench.write("a", 2, "reconciled")
        bench.write("never", 2, "reconciled")
        assert list(records.read(_never)) == [1]
        bench.write("a", 5)
        assert sorted(records.read(_never)) == [1, 5]
    assert bench.foreign == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"a", b""),
        (b"a", b"no Avro"),
        (b"a", b"\0\0\0\0\x09body"),
        (b"a", b"\0\0\0\0\x01\x02"),
        (b"a" * 201, b""),
    ],
    ids=["no value", "no wire format", "unknown schema", "cut off", "long key"],
)
def test_foreign_record_is_reported_and_changes_nothing(bench: _Bench, key: bytes, value: bytes) -> None:
    """What the connector wrote under the same key stays, and what comes after it is read."""
    with bench.open() as records:
        bench.write("a", 1)
        bench.reader.write(key, value)
        bench.write("b", 2)
        assert sorted(records.read(_never)) == [1, 2]
    [problem] = bench.foreign
    assert problem.startswith(f"{_TOPIC} partition 0 offset 1: ")


def test_record_that_makes_no_sense_is_foreign(bench: _Bench) -> None:
    """Though its schema is the topic's own."""
    with bench.open() as records:
        bench.write("a", 1, "nonsense")
        assert list(records.read(_never)) == []
    assert bench.foreign == [f"{_TOPIC} partition 0 offset 0: ValueError: nonsense"]


@pytest.mark.slow
def test_of_too_many_keys_those_written_last_are_kept(bench: _Bench) -> None:
    """A flood of keys takes no more memory than that."""
    with bench.open() as records:
        for number in range(MOST_KEYS):
            bench.write(str(number), number)
        bench.write("0", MOST_KEYS)
        bench.write("one more", MOST_KEYS + 1)
        kept = records.read(_never)
    assert len(kept) == MOST_KEYS
    assert {0, 1}.isdisjoint(kept)
    assert {2, MOST_KEYS, MOST_KEYS + 1} <= set(kept)


def test_kafka_or_registry_unavailable_raises_and_leaves_nothing_open(bench: _Bench) -> None:
    """The registry is asked for the schema of the first record only."""
    with pytest.raises(DependencyUnavailableError, match="away"), bench.open() as records:  # noqa: PT012 - in a `with`
        bench.reader.error = DependencyUnavailableError("away")
        records.read(_never)
    assert bench.reader.is_closed


def test_registry_unavailable_raises() -> None:
    """It is no fault of the record."""
    with DemoRegistry() as registry:
        bench = _Bench(registry.url)
    bench.write("a", 1)
    with bench.open() as records, pytest.raises(DependencyUnavailableError, match="does not answer"):
        records.read(_never)
    assert bench.foreign == []


def test_latest_records_are_kept_up_to_their_number(bench: _Bench) -> None:
    """Undecoded, the oldest first, from read to read."""
    with LatestRecords(
        bench.settings.kafka,
        _TOPIC,
        lambda record: record.value,
        bench.foreign.append,
        start=0,
        most=3,
        open_topic=lambda *_: bench.reader,
    ) as records:
        assert list(records.read(_never)) == []
        for number in range(5):
            bench.reader.write(b"", b"%d" % number)
        assert list(records.read(_never)) == [b"2", b"3", b"4"]
        bench.reader.write(b"", b"5")
        assert list(records.read(_never)) == [b"3", b"4", b"5"]
    assert bench.reader.is_closed
