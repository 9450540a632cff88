"""What both scripts that the connector is compared with share: Confluent's Avro serializer, an idempotent producer.

A thread for each stream partition, one producer, a record for each event. No transactions, no duplicate check, no
headers, no ledger: what a crash or a reconnect repeats or loses stays so. Records hold X's own fields alone.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connector.events.catalog import BY_X_TYPE, EVENT_TYPES, EventType, StreamPartition
from connector.events.schemas import event_schema
from connector.kafka.topics import TopicNames

TOKEN = "simulator-token"  # noqa: S105 - made up

Feed = Callable[[str, StreamPartition], Iterator[Mapping[str, Any]]]
"""Reads a stream partition from the X at a URL; yields the `data` of each event: its type and body."""


def run(feed: Feed, arguments: Sequence[str]) -> None:
    """Carry `events` events, the same number from each partition, then wait to be killed.

    `arguments` are X's URL, bootstrap servers, the registry's URL, the topic prefix, partitions and `events`.
    """
    url, bootstrap_servers, registry_url, prefix, partitions, events = arguments
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "compression.type": "zstd",
            "linger.ms": 50,
            "partitioner": "murmur2_random",
        }
    )
    writer = _Writer(producer, SchemaRegistryClient({"url": registry_url}), TopicNames(prefix))
    places = [StreamPartition(name.split("/")[0], int(name.split("/")[1])) for name in partitions.split(",")]
    each = int(events) // len(places)
    with ThreadPoolExecutor(len(places)) as pool:
        for done in [pool.submit(writer.carry, place.stream, feed(url, place), each) for place in places]:
            done.result()
    assert producer.flush() == 0
    sys.stdin.read()


class _Writer:
    """Turns X's events into records."""

    def __init__(self, producer: Producer, registry: SchemaRegistryClient, names: TopicNames) -> None:
        self._producer = producer
        self._topics = {event_type: names.event(event_type) for event_type in EVENT_TYPES}
        self._contexts = {topic: SerializationContext(topic, MessageField.VALUE) for topic in self._topics.values()}
        self._serializers = {
            event_type: AvroSerializer(
                registry, _own_schema(event_type), conf={"subject.name.strategy": record_subject_name_strategy}
            )
            for event_type in EVENT_TYPES
        }

    def carry(self, stream: str, feed: Iterator[Mapping[str, Any]], events: int) -> None:
        for _, data in zip(range(events), feed, strict=False):
            [(x_type, body)] = data.items()
            self._produce(BY_X_TYPE[stream, x_type], body)

    def _produce(self, event_type: EventType, body: Mapping[str, Any]) -> None:
        topic = self._topics[event_type]
        record = {field.name: _value(body, field.path) for field in event_type.fields}
        key = ":".join(record[name] for name in event_type.key)
        value = self._serializers[event_type](record | {"event_at": body["event_at"]}, self._contexts[topic])
        while True:
            try:
                self._producer.produce(topic, key=key, value=value)
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return


def _value(body: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - X's JSON
    for name in path:
        body = body.get(name) if body is not None else None
    return body


def _own_schema(event_type: EventType) -> str:
    """Return a schema of X's own fields, the time as X's text."""
    names = {field.name for field in event_type.fields}
    schema = json.loads(event_schema(event_type).text)
    fields = [field for field in schema["fields"] if field["name"] in names]
    return json.dumps(
        {
            "type": "record",
            "namespace": "script",
            "name": schema["name"],
            "fields": [*fields, {"name": "event_at", "type": "string"}],
        }
    )
