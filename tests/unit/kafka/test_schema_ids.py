"""Recorded schema ids read back, whatever else was written to their topic."""

from collections.abc import Callable, Iterator
from typing import Self

import pytest

from connector.kafka.reading import ReadRecord, TopicReader
from connector.kafka.schema_ids import SchemaIds
from connector.settings import KafkaSettings, SchemaRegistrySettings


class _Reader(TopicReader):
    """Reads what `records` hold."""

    def __init__(self, *records: tuple[bytes, bytes]) -> None:
        self._records = records

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_end(self, _: Callable[[], bool] = lambda: False) -> Iterator[ReadRecord]:
        """Yield them in order."""
        for offset, (key, value) in enumerate(self._records):
            yield ReadRecord("p-schema-id", 0, offset, 0, key, value, {})


@pytest.mark.parametrize(
    "value", [b"", b"junk", b"-1", b"1.5", b"9" * 5000, b"9" * 10, b"2147483648", b" 1"], ids=lambda value: value[:12]
)
def test_value_that_is_no_id_is_as_if_it_were_not_there(value: bytes) -> None:
    """One with thousands of digits too, at which every start ended; the newest value of a key counts."""
    reader = _Reader((b"a", b"1"), (b"b", b"2147483647"), (b"c", b"3"), (b"c", value))
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p")
    recorded = SchemaIds(settings, SchemaRegistrySettings(url="http://registry"), lambda *_: reader)
    assert recorded.read() == {b"a": 1, b"b": 2147483647}
