"""Properties of the operator: taken if no promise rests on them, else refused before a client is made; never shown."""

import json
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from connector.errors import SettingsError
from connector.kafka.clients import admin_config, producer_config, reader_config, try_properties
from connector.properties import Properties, is_secret
from connector.quoting import basic_credentials, shown
from connector.settings import KafkaSettings, SaslSettings
from tests.unit.kafka.client_properties import SETTINGS, of_all_clients


def test_own_properties_of_the_operator_override_defaults() -> None:
    """Tuning is the operator's, as far as no promise rests on it."""
    properties = {"linger.ms": 7, "client.id": "mine", "compression.level": 1, "socket.keepalive.enable": True}
    settings = KafkaSettings(bootstrap_servers="b:1", properties=properties)
    assert producer_config(settings, "t").items() >= properties.items()


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
        try_properties(SETTINGS.model_copy(update={"properties": properties}), 30_000)
    assert "CONNECTOR_KAFKA: librdkafka refuses the settings: " in str(caught.value)
    assert refusal in str(caught.value)


def test_properties_of_a_file_are_read_anew_for_each_client_and_its_secrets_hidden(tmp_path: Path) -> None:
    """Kubernetes replaces a mounted file when the Secret changes."""
    file = tmp_path / "properties.json"
    settings = KafkaSettings(bootstrap_servers="b:1", properties={"client.id": "mine"}, properties_file=file)
    for secret in ("hush-1", "hush-2"):
        file.write_text(json.dumps({"sasl.oauthbearer.client.secret": secret, "linger.ms": 7}), encoding="utf-8")
        for properties in of_all_clients(settings).values():
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
        try_properties(SETTINGS.model_copy(update=update), 30_000)
        asked, _, _ = select.select([broker], [], [], 0.2)
    assert asked == []
    assert caplog.records == []


@pytest.mark.slow
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
    settings = SETTINGS.model_copy(update=update)
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
        try_properties(SETTINGS.model_copy(update={"properties": properties}), 30_000)
    assert problem in str(caught.value)
    assert "sh" not in str(caught.value).replace("refuses", "")
