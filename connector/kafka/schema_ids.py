"""The schema ids that the registry has confirmed, recorded in a compacted topic, so that a start does not need it.

A record's key is the registry's address, the subject and a hash of the schema, so an id is never used for another
schema or registry. Its value is the id. Must not know when the registry is queried.
"""

import hashlib
import json
from collections.abc import Mapping

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.events.schemas import AvroSchema
from connector.kafka.clients import make, recorder_config
from connector.kafka.reading import BEGINNING, OpenTopic, TopicReader
from connector.kafka.topics import TopicNames
from connector.quoting import shown
from connector.settings import KafkaSettings, SchemaRegistrySettings

_TIMEOUT_S = 10.0
_MOST_DIGITS = 10
_GREATEST_ID = 2**31 - 1


class SchemaIds:
    """The recorded ids of one registry; its address holds no credentials, since the settings refuse them."""

    def __init__(
        self, kafka: KafkaSettings, registry: SchemaRegistrySettings, open_topic: OpenTopic = TopicReader
    ) -> None:
        self._kafka = kafka
        self._open_topic = open_topic
        self._url = registry.url.rstrip("/")
        self.topic = TopicNames(kafka.topic_prefix).schema_id

    def key(self, subject: str, schema: AvroSchema) -> bytes:
        """Return the key for the id of exactly this schema."""
        canonical = json.dumps(json.loads(schema.text), sort_keys=True, separators=(",", ":"))
        return msgspec.json.encode([self._url, subject, hashlib.sha256(canonical.encode()).hexdigest()])

    def read(self) -> dict[bytes, int]:
        """Return the recorded ids by key. Raises `DependencyUnavailableError` and `NotProvisionedError`.

        A value that is not an id counts as missing: the registry is queried instead.
        """
        with self._open_topic(self._kafka, [self.topic], BEGINNING) as reader:
            newest = {record.key: record.value for record in reader.to_end()}
        return {key: int(value) for key, value in newest.items() if _is_id(value)}

    def record(self, ids: Mapping[bytes, int]) -> None:
        """Record ids by key. Raises `DependencyUnavailableError`, or `NotProvisionedError` if a right is missing."""
        errors: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                errors.append(error)

        producer = make(Producer, recorder_config(self._kafka))
        try:
            for key, schema_id in ids.items():
                producer.produce(self.topic, str(schema_id).encode(), key, on_delivery=on_delivery)
            is_undelivered = producer.flush(_TIMEOUT_S) > 0
        except KafkaException as error:
            raise DependencyUnavailableError(
                f"Kafka did not accept the schema ids: {shown(error.args[0].str())}"
            ) from error
        if any(error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED for error in errors):
            raise NotProvisionedError(f"no right to write {self.topic}: grant Write on this topic")
        if errors or is_undelivered:
            reason = shown(errors[0].str()) if errors else f"no answer in {_TIMEOUT_S:.0f} s"
            raise DependencyUnavailableError(f"Kafka did not accept the schema ids: {reason}")


def _is_id(value: bytes) -> bool:
    """Return whether `value` can be an id; checked as text, since Python refuses numbers of many thousand digits."""
    return value.isdigit() and len(value) <= _MOST_DIGITS and int(value) <= _GREATEST_ID
