"""The properties that the connector gives its Kafka clients: what they rest on, and that librdkafka takes them."""

import socket
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from connector.kafka.clients import admin_config, group_consumer_config, producer_config, reader_config
from connector.kafka.current_writer import SLOW_COMMIT_S
from connector.settings import KafkaSettings, SaslSettings, TlsSettings
from tests.unit.kafka.client_properties import SETTINGS, of_all_clients

_SECURE = KafkaSettings(
    bootstrap_servers="127.0.0.1:1",
    topic_prefix="p",
    security_protocol="SASL_SSL",
    sasl=SaslSettings.model_validate({"mechanism": "SCRAM-SHA-512", "username": "u", "password": "hush-sasl"}),
    tls=TlsSettings.model_validate(
        {"ca_file": "ca.pem", "certificate_file": "c.pem", "key_file": "k.pem", "key_password": "hush-key"}
    ),
    properties={"sasl.oauthbearer.client.secret": "hush-oauth"},
)


@pytest.mark.parametrize("kind", ["admin", "producer", "group consumer", "reader"])
def test_properties_of_secure_settings_hold_all_credentials(kind: str) -> None:
    """Every client connects the same way."""
    properties = of_all_clients(_SECURE)[kind]
    assert properties.items() >= {
        ("bootstrap.servers", "127.0.0.1:1"),
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "u"),
        ("sasl.password", "hush-sasl"),
        ("ssl.ca.location", "ca.pem"),
        ("ssl.certificate.location", "c.pem"),
        ("ssl.key.location", "k.pem"),
        ("ssl.key.password", "hush-key"),
        ("sasl.oauthbearer.client.secret", "hush-oauth"),
    }


@pytest.mark.parametrize("kind", ["admin", "producer", "group consumer", "reader"])
def test_repr_of_properties_shows_no_secret(kind: str) -> None:
    """Names may be logged, values not."""
    shown = repr(of_all_clients(_SECURE)[kind])
    assert "sasl.password" in shown
    assert "hush" not in shown


@pytest.mark.parametrize("kind", ["admin", "producer", "group consumer", "reader"])
def test_properties_of_plain_settings_name_no_credentials(kind: str) -> None:
    """What was not given is left to librdkafka."""
    properties = of_all_clients(SETTINGS)[kind]
    assert not [name for name in properties if name.startswith(("sasl.", "ssl."))]
    assert None not in properties.values()


def test_password_in_a_file_is_read_when_the_client_is_made(tmp_path: Path) -> None:
    """A rotated password is picked up by the next client."""
    file = tmp_path / "password"
    sasl = SaslSettings(mechanism="PLAIN", username="u", password_file=file)
    settings = KafkaSettings(bootstrap_servers="b:1", security_protocol="SASL_SSL", sasl=sasl)
    for password in ("first", "second"):
        file.write_text(f"{password}\n", encoding="utf-8")
        assert admin_config(settings)["sasl.password"] == password


def test_producer_is_transactional_and_places_keys_as_java_does() -> None:
    """The properties that the promises rest on."""
    assert producer_config(SETTINGS, "p.tweet.1").items() >= {
        ("transactional.id", "p.tweet.1"),
        ("transaction.timeout.ms", 15_000),
        ("enable.idempotence", True),
        ("acks", "all"),
        ("partitioner", "murmur2_random"),
        ("message.max.bytes", 2 * 1024**2),
    }


def test_group_consumer_never_commits_and_rebalances_cooperatively() -> None:
    """The group exists for its assignment only."""
    assert group_consumer_config(SETTINGS, 30_000).items() >= {
        ("group.id", "p.connector"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", 30_000),
        ("max.poll.interval.ms", 60_000),
        ("enable.auto.commit", False),
    }


def test_group_consumer_with_a_long_session_keeps_the_poll_interval_above_it() -> None:
    """The opposite is an error of librdkafka's."""
    assert group_consumer_config(SETTINGS, 120_000)["max.poll.interval.ms"] == 120_000


def test_group_instance_id_is_passed_only_when_given() -> None:
    """Static membership is the operator's choice, and never a reader's."""
    named = SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    assert "group.instance.id" not in group_consumer_config(SETTINGS, 30_000)
    assert group_consumer_config(named, 30_000)["group.instance.id"] == "pod-0"
    assert "group.instance.id" not in reader_config(named)


def test_reader_sees_only_committed_records_and_their_end() -> None:
    """A lost offset is an error, never a jump to somewhere else."""
    assert reader_config(SETTINGS).items() >= {
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", True),
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", False),
    }


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "snappy", "zstd"])
def test_librdkafka_can_compress_in_every_way_that_there_is_to_choose(compression: str) -> None:
    """A build of librdkafka may lack one, and says so when a producer is made."""
    settings = KafkaSettings.model_validate({"bootstrap_servers": "b:1", "compression": compression})
    properties = producer_config(settings, "t")
    assert properties["compression.type"] == compression
    Producer(properties)


@pytest.mark.parametrize("session_timeout_ms", [6_000, 120_000])
def test_librdkafka_takes_every_set_of_properties(session_timeout_ms: int) -> None:
    """No name is misspelt and no two values contradict each other."""
    settings = SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    Producer(producer_config(settings, "p.tweet.1"))
    AdminClient(admin_config(settings))
    for config in (group_consumer_config(settings, session_timeout_ms), reader_config(settings)):
        Consumer(config).close()


def test_producer_retry_is_later_than_a_commit_may_take() -> None:
    """A commit that was asked for twice is slow, though librdkafka varies the delay by 20 %."""
    properties = producer_config(SETTINGS, "p.tweet.1")
    assert properties["retry.backoff.max.ms"] == properties["retry.backoff.ms"]
    assert properties["retry.backoff.ms"] * 0.8 > SLOW_COMMIT_S * 1000


def test_member_of_the_group_has_the_replicas_name_as_its_client_id() -> None:
    """Unless the operator gives another: who describes the group learns who owns what."""
    named = SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    assert group_consumer_config(named, 30_000)["client.id"] == "pod-0"
    assert group_consumer_config(SETTINGS, 30_000)["client.id"] == socket.gethostname()
    assert reader_config(named)["client.id"] == "x-compliance-connector"
    given = SETTINGS.model_copy(update={"group_instance_id": "pod-0", "properties": {"client.id": "mine"}})
    assert group_consumer_config(given, 30_000)["client.id"] == "mine"
