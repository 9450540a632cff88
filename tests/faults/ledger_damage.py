"""Ways to damage a ledger from outside, with nothing but Kafka's own means.

Knows the topic's name and what stands in it; must not know the connector.
"""

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

_TIMEOUT_S = 20.0


class LedgerDamage:
    """Damages ledger partitions of one prefix."""

    def __init__(self, bootstrap_servers: str, prefix: str) -> None:
        self._servers = bootstrap_servers
        self._topic = f"{prefix}-ledger"

    def garble(self, partition: int) -> None:
        """Commit a record that is no entry, as the last one."""
        producer = self._begin(partition, b"\x00\x00\x00\x00\x01 this is no ledger entry")
        producer.commit_transaction(_TIMEOUT_S)
        producer.close()

    def abort_after(self, partition: int) -> None:
        """Leave an aborted transaction behind the last entry."""
        producer = self._begin(partition, b"\x00\x00\x00\x00\x01 this is never committed")
        producer.abort_transaction(_TIMEOUT_S)
        producer.close()

    def empty(self, partition: int) -> None:
        """Delete all records, as retention would."""
        admin = AdminClient({"bootstrap.servers": self._servers})
        place = TopicPartition(self._topic, partition)
        end = admin.list_offsets({place: OffsetSpec.latest()})[place].result(_TIMEOUT_S).offset
        admin.delete_records([TopicPartition(self._topic, partition, end)])[place].result(_TIMEOUT_S)

    def _begin(self, partition: int, value: bytes) -> Producer:
        producer = Producer({"bootstrap.servers": self._servers, "transactional.id": f"damage-{self._topic}"})
        producer.init_transactions(_TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(self._topic, value=value, key=b"damage", partition=partition)
        assert producer.flush(_TIMEOUT_S) == 0
        return producer
