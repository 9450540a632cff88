"""The properties of Kafka clients: what is fixed, what may be overridden, and that librdkafka takes them."""

import json
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from connector.errors import SettingsError
from connector.kafka.clients import (
    ClientProperties,
    admin_config,
    group_consumer_config,
    producer_config,
    reader_config,
    try_properties,
)
from connector.kafka.group_commit import SLOW_COMMIT_S
from connector.properties import Properties, is_secret
from connector.quoting import basic_credentials, shown
from connector.settings import KafkaSettings, SaslSettings, TlsSettings

_SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p")
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


def _all(settings: KafkaSettings) -> dict[str, ClientProperties]:
    return {
        "admin": admin_config(settings),
        "producer": producer_config(settings, "p.tweet.1"),
        "group consumer": group_consumer_config(settings, 30_000),
        "reader": reader_config(settings),
    }


@pytest.mark.parametrize("kind", ["admin", "producer", "group consumer", "reader"])
def test_properties_of_secure_settings_hold_all_credentials(kind: str) -> None:
    """Every client connects the same way."""
    properties = _all(_SECURE)[kind]
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
    shown = repr(_all(_SECURE)[kind])
    assert "sasl.password" in shown
    assert "hush" not in shown


@pytest.mark.parametrize("kind", ["admin", "producer", "group consumer", "reader"])
def test_properties_of_plain_settings_name_no_credentials(kind: str) -> None:
    """What was not given is left to librdkafka."""
    properties = _all(_SETTINGS)[kind]
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
    assert producer_config(_SETTINGS, "p.tweet.1").items() >= {
        ("transactional.id", "p.tweet.1"),
        ("transaction.timeout.ms", 15_000),
        ("enable.idempotence", True),
        ("acks", "all"),
        ("partitioner", "murmur2_random"),
        ("message.max.bytes", 2 * 1024**2),
    }


def test_group_consumer_never_commits_and_rebalances_cooperatively() -> None:
    """The group exists for its assignment only."""
    assert group_consumer_config(_SETTINGS, 30_000).items() >= {
        ("group.id", "p.connector"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("session.timeout.ms", 30_000),
        ("max.poll.interval.ms", 60_000),
        ("enable.auto.commit", False),
    }


def test_group_consumer_with_a_long_session_keeps_the_poll_interval_above_it() -> None:
    """The opposite is an error of librdkafka's."""
    assert group_consumer_config(_SETTINGS, 120_000)["max.poll.interval.ms"] == 120_000


def test_group_instance_id_is_passed_only_when_given() -> None:
    """Static membership is the operator's choice, and never a reader's."""
    named = _SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    assert "group.instance.id" not in group_consumer_config(_SETTINGS, 30_000)
    assert group_consumer_config(named, 30_000)["group.instance.id"] == "pod-0"
    assert "group.instance.id" not in reader_config(named)


def test_reader_sees_only_committed_records_and_their_end() -> None:
    """A lost offset is an error, never a jump to somewhere else."""
    assert reader_config(_SETTINGS).items() >= {
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", True),
        ("auto.offset.reset", "error"),
        ("enable.auto.commit", False),
    }


def test_own_properties_of_the_operator_override_defaults() -> None:
    """Tuning is the operator's, as far as no promise rests on it."""
    properties = {"linger.ms": 7, "client.id": "mine", "compression.level": 1, "socket.keepalive.enable": True}
    settings = KafkaSettings(bootstrap_servers="b:1", properties=properties)
    assert producer_config(settings, "t").items() >= properties.items()


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
    settings = _SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    Producer(producer_config(settings, "p.tweet.1"))
    AdminClient(admin_config(settings))
    for config in (group_consumer_config(settings, session_timeout_ms), reader_config(settings)):
        Consumer(config).close()


def test_librdkafka_takes_oauthbearer_by_properties() -> None:
    """The mechanism is ours to set; the details of the token endpoint pass through."""
    settings = KafkaSettings(
        bootstrap_servers="127.0.0.1:1",
        security_protocol="SASL_SSL",
        sasl=SaslSettings(mechanism="OAUTHBEARER"),
        properties={
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "connector",
            "sasl.oauthbearer.client.secret": "hush",
            "sasl.oauthbearer.token.endpoint.url": "https://127.0.0.1:1/token",
        },
    )
    properties = admin_config(settings)
    assert properties["sasl.mechanism"] == "OAUTHBEARER"
    assert "sasl.username" not in properties
    AdminClient(properties)


_OIDC = {
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.credentials.client.id": "connector",
    "sasl.oauthbearer.client.credentials.client.secret": "hush",
    "sasl.oauthbearer.token.endpoint.url": "https://127.0.0.1:1/token",
}


def _with_tokens(properties: Properties, file: Path | None = None) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers="127.0.0.1:1",
        security_protocol="SASL_SSL",
        sasl=SaslSettings(mechanism="OAUTHBEARER"),
        properties=properties,
        properties_file=file,
    )


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        (
            {},
            "a token: set sasl.oauthbearer.method to oidc, and sasl.oauthbearer.token.endpoint.url",
        ),
        ({"sasl.oauthbearer.method": "default"}, "has no method to get a token"),
        ({"enable.sasl.oauthbearer.unsecure.jwt": False}, "has no method to get a token"),
        (
            {"sasl.oauthbearer.method": "OIDC", "sasl.oauthbearer.client.id": "me"},
            "also needs sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.secret",
        ),
        (
            _OIDC | {"sasl.oauthbearer.metadata.authentication.type": "aws_iam"},
            "aws_iam is not supported: use SCRAM-SHA-512",
        ),
    ],
)
def test_oauthbearer_that_cannot_get_a_token_is_a_settings_error(properties: Properties, said: str) -> None:
    """Librdkafka takes them, and every call would then time out without a word about the token."""
    for try_them in (admin_config, lambda settings: try_properties(settings, 30_000)):
        with pytest.raises(SettingsError) as caught:
            try_them(_with_tokens(properties))
        assert said in str(caught.value)
        assert "CONNECTOR_KAFKA__PROPERTIES or CONNECTOR_KAFKA__PROPERTIES_FILE: OAUTHBEARER" in str(caught.value)


@pytest.mark.parametrize(
    "properties",
    [
        {"enable.sasl.oauthbearer.unsecure.jwt": True},
        _OIDC,
        {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.metadata.authentication.type": "azure_imds",
            "sasl.oauthbearer.config": "query=resource=https://example.servicebus.windows.net&api-version=2018-02-01",
        },
        {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.grant.type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "sasl.oauthbearer.assertion.file": "assertion",
            "sasl.oauthbearer.token.endpoint.url": "https://127.0.0.1:1/token",
        },
    ],
    ids=["unsecured", "client credentials", "Azure", "JWT"],
)
def test_oauthbearer_that_can_get_a_token_is_taken(properties: Properties, tmp_path: Path) -> None:
    """By each way that librdkafka has, be it in the properties or in the file of more."""
    assert admin_config(_with_tokens(properties)).items() >= properties.items()
    file = tmp_path / "properties"
    file.write_text(json.dumps(properties))
    assert admin_config(_with_tokens({}, file)).items() >= properties.items()


def test_producer_retry_is_later_than_a_commit_may_take() -> None:
    """A commit that was asked for twice is slow, though librdkafka varies the delay by 20 %."""
    properties = producer_config(_SETTINGS, "p.tweet.1")
    assert properties["retry.backoff.max.ms"] == properties["retry.backoff.ms"]
    assert properties["retry.backoff.ms"] * 0.8 > SLOW_COMMIT_S * 1000


@pytest.mark.parametrize(
    ("properties", "refusal"),
    [
        ({"linger.mss": 5}, 'No such configuration property: "linger.mss"'),
        ({"message.timeout.ms": 300_000}, "`message.timeout.ms` must be set <= `transaction.timeout.ms`"),
        ({"socket.timeout.ms": 60_000}, "`socket.timeout.ms` must be set <= `transaction.timeout.ms`"),
        ({"retries": 0}, "`retries` must be set >= 1"),
        ({"linger.ms": 20_000}, "`message.timeout.ms` must be greater than `linger.ms`"),
        ({"receive.message.max.bytes": 1_000_000}, "`receive.message.max.bytes` must be >= `fetch.max.bytes` + 512"),
        ({"error_cb": "print"}, "expected error_cb property as a callable function"),
        ({"default.topic.config": "none"}, "object has no attribute 'keys'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_properties_that_librdkafka_refuses_to_one_of_the_clients_are_a_settings_error(
    properties: dict[str, str | int], refusal: str
) -> None:
    """Whichever client it is, and whether a property is wrong by itself or beside what the connector sets."""
    with pytest.raises(SettingsError) as caught:
        try_properties(_SETTINGS.model_copy(update={"properties": properties}), 30_000)
    assert "CONNECTOR_KAFKA: librdkafka refuses the settings: " in str(caught.value)
    assert refusal in str(caught.value)


def test_properties_of_a_file_are_read_anew_for_each_client_and_its_secrets_hidden(tmp_path: Path) -> None:
    """Kubernetes replaces a mounted file when the Secret changes."""
    file = tmp_path / "properties.json"
    settings = KafkaSettings(bootstrap_servers="b:1", properties={"client.id": "mine"}, properties_file=file)
    for secret in ("hush-1", "hush-2"):
        file.write_text(json.dumps({"sasl.oauthbearer.client.secret": secret, "linger.ms": 7}), encoding="utf-8")
        for properties in _all(settings).values():
            assert properties.items() >= {("client.id", "mine"), ("sasl.oauthbearer.client.secret", secret)}
    assert shown("hush-1 hush-2 mine 7") == "[secret] [secret] mine 7"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "must be a JSON map"),
        (b"hush", "must be a JSON map"),
        (b"\xff", "can't decode byte 0xff"),
        (b"[" * 60_000, "must be a JSON map"),
        (b'["hush"]', "must hold a JSON map of librdkafka properties to texts, numbers, true and false"),
        (b'{"ssl.key.pem": null}', "must hold a JSON map"),
        (b'{"ssl.key.pem": ["hush"]}', "must hold a JSON map"),
        (b'{"sasl.password": "hush"}', "sasl.password is set by the connector; use kafka.sasl.password"),
        (b'{"client.id": "hush"}', "client.id: given in kafka.properties, too"),
        (b" " * 70_000, "holds more than 64 KiB"),
    ],
    ids=range(10),
)
def test_file_that_holds_no_properties_is_a_settings_error_without_its_content(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    """What it holds may be a secret."""
    file = tmp_path / "properties.json"
    file.write_bytes(content)
    settings = KafkaSettings(bootstrap_servers="b:1", properties={"client.id": "mine"}, properties_file=file)
    with pytest.raises(SettingsError) as caught:
        try_properties(settings, 30_000)
    assert "CONNECTOR_KAFKA__PROPERTIES_FILE: " in str(caught.value)
    assert problem in str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_librdkafka_sends_of_properties_is_hidden_in_each_form() -> None:
    """The pair as its header holds it, encoded or not, and a password in a URL."""
    properties = {
        "sasl.oauthbearer.client.id": "me",
        "sasl.oauthbearer.client.secret": "hush+hush",
        "sasl.oauthbearer.token.endpoint.url": "https://u:hush-url@idp.example.com/token",
    }
    KafkaSettings(bootstrap_servers="b:1", properties=properties).all_properties()
    sent = [basic_credentials("me", "hush+hush"), basic_credentials("me", "hush%2Bhush"), "hush+hush", "hush-url"]
    assert [shown(f"a {text} b") for text in sent] == ["a [secret] b"] * 4


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("sasl.oauthbearer.client.secret", True),
        ("sasl.oauthbearer.config", True),
        ("sasl.oauthbearer.extensions", True),
        ("sasl.kerberos.kinit.cmd", True),
        ("sasl.oauthbearer.assertion.private.key.passphrase", True),
        ("sasl.oauthbearer.assertion.private.key.pem", True),
        ("ssl.key.pem", True),
        ("ssl.keystore.password", True),
        ("ssl.certificate.pem", False),
        ("ssl.keystore.location", False),
        ("sasl.oauthbearer.client.id", False),
        ("client.id", False),
    ],
)
def test_property_is_a_secret_by_its_name(name: str, *, is_it: bool) -> None:
    """Those of librdkafka that are."""
    assert is_secret(name) is is_it


def test_properties_that_librdkafka_takes_pass_without_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is asked, so nobody can be away, and nothing is logged that the clients to come would log again."""
    with socket.create_server(("127.0.0.1", 0)) as broker:
        update = {
            "bootstrap_servers": f"127.0.0.1:{broker.getsockname()[1]}",
            "properties": {"linger.ms": 5, "fetch.wait.max.ms": 100},
        }
        try_properties(_SETTINGS.model_copy(update=update), 30_000)
        asked, _, _ = select.select([broker], [], [], 0.2)
    assert asked == []
    assert caplog.records == []


def test_trying_properties_asks_nobody_for_an_access_token() -> None:
    """A client asks for one as soon as it is made, and sends the client's secret."""
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        properties = {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "me",
            "sasl.oauthbearer.client.secret": "hush-hush",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{endpoint.getsockname()[1]}/token",
        }
        settings = KafkaSettings(
            bootstrap_servers="127.0.0.1:1",
            security_protocol="SASL_SSL",
            sasl=SaslSettings(mechanism="OAUTHBEARER"),
            properties=properties,
        )
        try_properties(settings, 30_000)
        asked, _, _ = select.select([endpoint], [], [], 0.5)
    assert asked == []


@pytest.mark.parametrize(
    ("update", "name"),
    [
        ({"sasl": SaslSettings.model_validate({"username": "u", "password": "hush\0more"})}, "sasl.password"),
        ({"sasl": SaslSettings(username="u\udcff")}, "sasl.username"),
        ({"bootstrap_servers": "127.0.0.1:1\0,evil:1"}, "bootstrap.servers"),
        ({"properties": {"client.id": "hush\0more"}}, "client.id"),
        ({"properties": {"acks\0": "hush"}}, r"acks\x00"),
        ({"properties": {"enable.idempotence\0x": False}}, r"enable.idempotence\x00x"),
    ],
)
def test_what_librdkafka_would_cut_is_a_settings_error_without_it(update: dict[str, Any], name: str) -> None:
    """It ends texts at a NUL character: a password would be another, and a name one that the connector owns."""
    settings = _SETTINGS.model_copy(update=update)
    for properties in (admin_config, reader_config):
        with pytest.raises(SettingsError, match="a NUL character, or what is not Unicode") as caught:
            properties(settings)
        assert str(caught.value).endswith(f" in '{name}'")
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"client.dns.lookup": "hush"}, 'Invalid value "..." for configuration property "client.dns.lookup"'),
        ({"debug": "hush, more"}, 'Invalid value "..." for configuration property "debug"'),
        ({"client.dns.lookup": 'hu"sh\x1b[2J\nok'}, 'Invalid value "..." for configuration property'),
        ({"topic.blacklist": "[hush("}, 'Failed to parse pattern "..."'),
    ],
)
def test_value_that_librdkafka_refuses_is_not_shown(properties: dict[str, str], problem: str) -> None:
    """It quotes values as they are, and one that stands in the wrong place may be a secret."""
    with pytest.raises(SettingsError) as caught:
        try_properties(_SETTINGS.model_copy(update={"properties": properties}), 30_000)
    assert problem in str(caught.value)
    assert "sh" not in str(caught.value).replace("refuses", "")


def test_member_of_the_group_has_the_replicas_name_as_its_client_id() -> None:
    """Unless the operator gives another: who describes the group learns who owns what."""
    named = _SETTINGS.model_copy(update={"group_instance_id": "pod-0"})
    assert group_consumer_config(named, 30_000)["client.id"] == "pod-0"
    assert group_consumer_config(_SETTINGS, 30_000)["client.id"] == socket.gethostname()
    assert reader_config(named)["client.id"] == "x-compliance-connector"
    given = _SETTINGS.model_copy(update={"group_instance_id": "pod-0", "properties": {"client.id": "mine"}})
    assert group_consumer_config(given, 30_000)["client.id"] == "mine"
