"""Recorded schema ids read back, whatever else was written to their topic."""

from collections.abc import Iterator
from typing import Self

import pytest

from connector.kafka import schema_ids as schema_ids_module
from connector.kafka.reading import ReadRecord
from connector.kafka.schema_ids import SchemaIds
from connector.settings import KafkaSettings, SchemaRegistrySettings


class _Reader:
    """Reads what `records` hold."""

    records: tuple[tuple[bytes, bytes], ...] = ()

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_end(self) -> Iterator[ReadRecord]:
        """Yield them in order."""
        for offset, (key, value) in enumerate(self.records):
            yield ReadRecord("p-schema-id", 0, offset, 0, key, value, {})


@pytest.mark.parametrize(
    "value", [b"", b"junk", b"-1", b"1.5", b"9" * 5000, b"9" * 10, b"2147483648", b" 1"], ids=lambda value: value[:12]
)
def test_value_that_is_no_id_is_as_if_it_were_not_there(monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    """One with thousands of digits too, at which every start ended; the newest value of a key counts."""
    monkeypatch.setattr(schema_ids_module, "TopicReader", _Reader)
    monkeypatch.setattr(_Reader, "records", ((b"a", b"1"), (b"b", b"2147483647"), (b"c", b"3"), (b"c", value)))
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p")
    recorded = SchemaIds(settings, SchemaRegistrySettings(url="http://registry"))
    assert recorded.read() == {b"a": 1, b"b": 2147483647}
