"""Events of every type through the real registry, read by Apache's decoders for Python and for Java."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from secrets import token_hex
from typing import Any

import avro.io
import avro.schema
import pytest

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.rig import local_http
from tests.rig.audit import Place, expected_events
from tests.rig.java import java_decode
from tests.rig.oracle import EVENTS, ExpectedEvent
from tests.rig.readback import ReadRecord, read_topics
from tests.rig.service import make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_EMITTED: dict[Place, int] = {("tweet", 2): 400, ("user", 4): 400, ("like", 1): 50, ("label", 1): 150}
_ONLY_THE_CONNECTOR_KNOWS = ("received_at", "sequence", "delivered_by")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Published:
    """What was published under a prefix and what it must be, by `event_id`."""

    topics: Sequence[str]
    records: Sequence[ReadRecord]
    expected: Mapping[str, ExpectedEvent]


@pytest.fixture(scope="module")
def published(kafka: Kafka, registry: SchemaRegistry, seed: int) -> Iterator[_Published]:
    """Publish some hundred events of all types."""
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed)) as simulator,
        provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 2)) as config,
    ):
        for (stream, number), count in _EMITTED.items():
            simulator.emit(count, StreamPartition(stream, number))
        with running(config) as probe:
            probe.await_sequences(simulator)
        topics = [f"{prefix}.{event}" for event in EVENTS]
        expected = {
            event_id: event
            for events in expected_events(prefix, simulator.record()).values()
            for event_id, (_, event) in events.items()
        }
        yield _Published(topics, read_topics(kafka.bootstrap_servers, topics), expected)


def _assert_as_expected(published: _Published, decoded: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """Compare topic, key and fields of each record with the oracle's; every topic must have some."""
    assert {topic for topic, _, _ in decoded} == set(published.topics)
    assert len(decoded) == len(published.expected)
    for topic, key, fields in decoded:
        for name in _ONLY_THE_CONNECTOR_KNOWS:
            assert fields.pop(name)
        if fields["unknown_fields"] is not None:
            fields["unknown_fields"] = json.loads(fields["unknown_fields"])
        event = published.expected[fields["event_id"]]
        assert (topic, key, fields) == (event.topic, event.key, event.fields)


class _ApacheReader:
    """Decodes the wire format by Apache's `avro` package."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_url
        self._readers: dict[bytes, avro.io.DatumReader] = {}

    def read(self, value: bytes) -> dict[str, Any]:
        """Return the record, with times in milliseconds."""
        schema_id, body = value[1:5], BytesIO(value[5:])
        if schema_id not in self._readers:
            answer = local_http.get(f"{self._url}/schemas/ids/{int.from_bytes(schema_id)}").raise_for_status()
            self._readers[schema_id] = avro.io.DatumReader(avro.schema.parse(answer.json()["schema"]))
        record = self._readers[schema_id].read(avro.io.BinaryDecoder(body))
        assert isinstance(record, dict)
        assert not body.read()
        return {str(name): _as_number(content) for name, content in record.items()}


def _as_number(content: object) -> object:
    return (content - _EPOCH) // timedelta(milliseconds=1) if isinstance(content, datetime) else content


def test_apache_avro_for_python_reads_all_types_as_the_oracle_says(
    published: _Published, registry: SchemaRegistry
) -> None:
    """Apache's Python package, with the schemas that the registry gives for the ids, reads every field."""
    reader = _ApacheReader(registry.url)
    _assert_as_expected(
        published, [(record.topic, record.key, reader.read(record.value)) for record in published.records]
    )


def test_apache_avro_for_java_reads_all_types_as_the_oracle_says(
    published: _Published, kafka: Kafka, registry: SchemaRegistry
) -> None:
    """A Java consumer on Apache Avro's own classes reads every field."""
    lines = java_decode(kafka.bootstrap_servers, registry.url, list(published.topics))
    _assert_as_expected(published, [(line["topic"], line["key"], line["value"]) for line in lines])
