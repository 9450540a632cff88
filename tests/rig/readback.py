"""Topics read back by a plain client: what a consumer sees, decoded by the registry's schemas.

Knows Kafka, the registry's API and the wire format; must not know the connector.
"""

import json
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.rig import local_http
from tests.rig.process import wait_until

_TIMEOUT_S = 60.0
_BATCH = 5000


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record; key and header values are UTF-8 text."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str
    value: bytes
    headers: Mapping[str, str]


def read_topics(
    bootstrap_servers: str, topics: Collection[str], *, isolation_level: str = "read_committed"
) -> list[ReadRecord]:
    """Return what a reader sees, in order within each partition, up to the logs' ends as of now.

    Raises `RigError` when a transaction is still open before such an end after a minute and hides what is there.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    known = admin.list_topics(timeout=_TIMEOUT_S).topics
    places = [TopicPartition(topic, partition) for topic in topics for partition in known[topic].partitions]
    ends = {
        (place.topic, place.partition): future.result(_TIMEOUT_S).offset
        for place, future in admin.list_offsets(
            dict.fromkeys(places, OffsetSpec.latest()), isolation_level=IsolationLevel.READ_UNCOMMITTED
        ).items()
    }
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "test",
            "isolation.level": isolation_level,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    records: list[ReadRecord] = []
    open_ends = dict(ends)

    def has_read_all() -> bool:
        for message in consumer.consume(_BATCH, 0.2):
            error = message.error()
            if error is None:
                records.append(_record(message))
            elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - public name
                raise KafkaException(error)
            elif (message.offset() or 0) >= ends[_place(message)]:
                open_ends.pop(_place(message), None)
        return not open_ends

    try:
        consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
        wait_until(has_read_all, "all topics are read to their ends", _TIMEOUT_S)
    finally:
        consumer.close()
    return records


def _place(message: Message) -> tuple[str, int]:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    return topic, partition


def _record(message: Message) -> ReadRecord:
    topic, partition = _place(message)
    headers: Any = message.headers() or []
    names = [name for name, _ in headers]
    assert len(set(names)) == len(names), f"duplicate header: {names}"
    return ReadRecord(
        topic,
        partition,
        message.offset() or 0,
        message.timestamp()[1],
        (message.key() or b"").decode(),
        message.value() or b"",
        {name: value.decode() for name, value in headers},
    )


class Decoder:
    """Decodes Confluent's wire format by the schemas of a registry; times stay the numbers they are."""

    def __init__(self, registry_url: str) -> None:
        self._url = registry_url
        self._schemas: dict[int, Any] = {}

    def decode(self, value: bytes) -> dict[str, Any]:
        """Return the record in `value`, which must hold nothing else."""
        magic, schema_id = struct.unpack_from(">bI", value)
        assert magic == 0
        if schema_id not in self._schemas:
            self._schemas[schema_id] = fastavro.parse_schema(_without_logical_types(self.schema(schema_id)))
        body = BytesIO(value[5:])
        record = fastavro.schemaless_reader(body, self._schemas[schema_id], None)
        assert isinstance(record, dict)
        assert not body.read(), "bytes are left over after the record"
        return record

    def schema(self, schema_id: int) -> Any:  # noqa: ANN401 - a schema is any JSON
        """Return the schema with this id as the registry has it."""
        answer = local_http.get(f"{self._url}/schemas/ids/{schema_id}").raise_for_status()
        return json.loads(answer.json()["schema"])

    def newest_schema(self, subject: str) -> tuple[int, Any]:
        """Return id and schema of the newest version of a subject."""
        answer = local_http.get(f"{self._url}/subjects/{subject}/versions/latest").raise_for_status().json()
        return answer["id"], json.loads(answer["schema"])


def _without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
    if isinstance(schema, dict):
        return {name: _without_logical_types(value) for name, value in schema.items() if name != "logicalType"}
    return [_without_logical_types(part) for part in schema] if isinstance(schema, list) else schema
