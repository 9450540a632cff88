"""Damages the topics of one prefix behind the connector's back, with nothing but Kafka's own means.

Knows the wire format and the schemas in the registry; must not know the connector.
"""

import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import fastavro
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.rig.audit import History, read_history
from tests.rig.readback import Decoder, ReadRecord, read_topics

_TIMEOUT_S = 20.0


class Vandal:
    """Reads and damages topics; `prefix` is that of all their names."""

    def __init__(self, bootstrap_servers: str, registry_url: str, prefix: str) -> None:
        self._servers, self._registry_url = bootstrap_servers, registry_url
        self._prefix = prefix
        self._decoder = Decoder(registry_url)
        self._producer = Producer({"bootstrap.servers": bootstrap_servers})
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def history(self, partitions: int) -> History:
        """Return all that is committed; `partitions` is what each event topic has."""
        return read_history(self._servers, self._registry_url, self._prefix, partitions)

    def records(self, topic: str) -> list[ReadRecord]:
        """Return what is committed on the topic `PREFIX` + `topic`."""
        return read_topics(self._servers, [self._prefix + topic])

    def of_one_partition(self, topic: str) -> list[ReadRecord]:
        """Return what is in the Kafka partition of the topic's first record."""
        records = self.records(topic)
        return [record for record in records if record.partition == records[0].partition]

    def last(self, topic: str, key: str) -> ReadRecord:
        """Return the newest record with that key."""
        return [record for record in self.records(topic) if record.key == key][-1]

    def decode(self, record: ReadRecord) -> dict[str, Any]:
        """Return the fields of a record."""
        return self._decoder.decode(record.value)

    def delete(self, record: ReadRecord) -> None:
        """Delete a record, and all before it in its partition."""
        self._delete(TopicPartition(record.topic, record.partition, record.offset + 1))

    def replace(self, records: Sequence[ReadRecord], write: Callable[[ReadRecord], None]) -> None:
        """Delete all of the partition of `records`, and write each again by `write`."""
        place = TopicPartition(records[0].topic, records[0].partition)
        place.offset = self._admin.list_offsets({place: OffsetSpec.latest()})[place].result(_TIMEOUT_S).offset
        self._delete(place)
        for record in records:
            write(record)

    def copy(
        self,
        record: ReadRecord,
        *,
        topic: str | None = None,
        key: str | None = None,
        partition: int | None = None,
        value: bytes | None = None,
    ) -> None:
        """Write a record again, elsewhere or with other bytes."""
        self._producer.produce(
            record.topic if topic is None else self._prefix + topic,
            record.value if value is None else value,
            (record.key if key is None else key).encode(),
            record.partition if partition is None else partition,
            headers=dict(record.headers),
        )
        assert self._producer.flush(_TIMEOUT_S) == 0

    def write(self, record: ReadRecord, **changes: Any) -> None:  # noqa: ANN401 - any field
        """Write a record again, with other values of some fields."""
        fields = self.decode(record) | changes
        schema = self._decoder.schema(int.from_bytes(record.value[1:5]))
        value = BytesIO()
        value.write(record.value[:5])
        fastavro.schemaless_writer(value, fastavro.parse_schema(schema), fields)
        self.copy(record, value=value.getvalue())

    def encode(self, topic: str, key: str, partition: int, **fields: Any) -> None:  # noqa: ANN401 - any field
        """Write a record of the newest schema of a topic."""
        schema_id, schema = self._decoder.newest_schema(f"{self._prefix}{topic}-value")
        value = BytesIO()
        value.write(struct.pack(">bI", 0, schema_id))
        fastavro.schemaless_writer(value, fastavro.parse_schema(schema), fields)
        self._producer.produce(self._prefix + topic, value.getvalue(), key.encode(), partition)
        assert self._producer.flush(_TIMEOUT_S) == 0

    def _delete(self, before: TopicPartition) -> None:
        self._admin.delete_records([before])[before].result(_TIMEOUT_S)
