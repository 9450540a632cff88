"""Ways to damage a ledger from outside, with nothing but Kafka's own means.

Knows the topic's name and its content; must not know the connector.
"""

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.rig.process import wait_until

_TIMEOUT_S = 20.0


class LedgerDamage:
    """Damages ledger partitions of one prefix."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._servers = bootstrap_servers
        self._topic = f"{prefix}-ledger"
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def garble(self, partition: int) -> int:
        """Commit a record that is no entry, as the last one; return the offset at which the log then ends."""
        producer = self._begin(partition, b"\x00\x00\x00\x00\x01 this is no ledger entry")
        producer.commit_transaction(_TIMEOUT_S)
        producer.close()
        return self._end(partition)

    def abort_after(self, partition: int) -> None:
        """Leave an aborted transaction behind the last entry."""
        producer = self._begin(partition, b"\x00\x00\x00\x00\x01 this is never committed")
        producer.abort_transaction(_TIMEOUT_S)
        producer.close()

    def empty(self, partition: int, until: int | None = None) -> None:
        """Delete all records, or those before an offset, as retention would."""
        before = TopicPartition(self._topic, partition, self._end(partition) if until is None else until)
        self._admin.delete_records([before])[before].result(_TIMEOUT_S)

    def delete(self) -> None:
        """Delete the topic, and wait until it is gone."""
        self._admin.delete_topics([self._topic])[self._topic].result(_TIMEOUT_S)
        wait_until(lambda: self._topic not in self._admin.list_topics(timeout=_TIMEOUT_S).topics, "the topic is gone")

    def _end(self, partition: int) -> int:
        place = TopicPartition(self._topic, partition)
        return int(self._admin.list_offsets({place: OffsetSpec.latest()})[place].result(_TIMEOUT_S).offset)

    def _begin(self, partition: int, value: bytes) -> Producer:
        producer = Producer({"bootstrap.servers": self._servers, "transactional.id": f"damage-{self._topic}"})
        producer.init_transactions(_TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(self._topic, value=value, key=b"damage", partition=partition)
        assert producer.flush(_TIMEOUT_S) == 0
        return producer
