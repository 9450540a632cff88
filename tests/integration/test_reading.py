"""Topics read to their end while somebody is in the middle of a transaction."""

import threading

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connector.kafka.reading import ReadRecord, TopicReader
from connector.settings import KafkaSettings
from tests.rig.process import wait_until
from tests.rig.session import Kafka

_TIMEOUT_S = 20.0


def _producer(kafka: Kafka, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(_TIMEOUT_S)
    return producer


def _write(producer: Producer, topic: str, value: bytes) -> None:
    producer.begin_transaction()
    producer.produce(topic, value)
    assert producer.flush(_TIMEOUT_S) == 0


def test_end_is_behind_what_an_open_transaction_hides(kafka: Kafka, prefix: str) -> None:
    """What others committed behind it was there when the reader began, so the reader waits, and misses nothing."""
    topic = f"{prefix}-topic"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(_TIMEOUT_S)
    slow, quick = _producer(kafka, f"{prefix}-slow"), _producer(kafka, f"{prefix}-quick")
    _write(quick, topic, b"before")
    quick.commit_transaction(_TIMEOUT_S)
    _write(slow, topic, b"open")
    _write(quick, topic, b"hidden")
    quick.commit_transaction(_TIMEOUT_S)

    found, was_asked = list[ReadRecord](), threading.Event()
    with TopicReader(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), [topic]) as reader:

        def note() -> bool:
            was_asked.set()
            return False

        def read() -> None:
            found.extend(reader.to_end(note))

        thread = threading.Thread(target=read)
        thread.start()
        try:
            wait_until(was_asked.is_set, "the reader knows the end that it reads to", _TIMEOUT_S)
        finally:
            slow.commit_transaction(_TIMEOUT_S)
            thread.join(_TIMEOUT_S)
        assert [record.value for record in found] == [b"before", b"open", b"hidden"]

        _write(quick, topic, b"after")
        quick.commit_transaction(_TIMEOUT_S)
        assert [record.value for record in reader.to_end()] == [b"after"]
