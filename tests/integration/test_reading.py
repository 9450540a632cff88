"""Topics read to their end: while a transaction is open, and with headers that cannot be read."""

import gc
import threading

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from connector.kafka.reading import ForeignRecordError, ReadRecord, TopicReader
from connector.settings import KafkaSettings
from tests.rig.process import wait_until
from tests.rig.raw_headers import UNREADABLE, RawProducer
from tests.rig.session import Kafka

_TIMEOUT_S = 20.0
_RECORDS = 3_000
"""Enough calls for Python to have specialised the code."""


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


def test_headers_that_are_not_utf8_are_foreign_and_do_no_harm(kafka: Kafka, prefix: str) -> None:
    """Each time that they are asked for, and wherever the name stands; everything else of the record can be read."""
    topic = f"{prefix}-topic"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(_TIMEOUT_S)
    kinds = [[b"a", b"b"], [UNREADABLE], [b"a", UNREADABLE, b"b"], [UNREADABLE, UNREADABLE], []]
    producer = RawProducer(kafka.bootstrap_servers)
    for number in range(_RECORDS):
        producer.write(topic, 0, b"key", b"%d" % number, kinds[number % len(kinds)])
    producer.close()
    with TopicReader(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), [topic]) as reader:
        records = list(reader.to_end())
    assert [record.value for record in records] == [b"%d" % number for number in range(_RECORDS)]
    for number, record in enumerate(records):
        names = kinds[number % len(kinds)]
        for _ in range(2):
            if UNREADABLE in names:
                with pytest.raises(ForeignRecordError, match=f"{topic} partition 0 offset {number}: the name of"):
                    record.headers.get("a")
            else:
                assert dict(record.headers) == {name.decode(): b"v" for name in names}
    gc.collect()
