"""Settings from variables: what is needed, what goes together, and how each wrong one is named."""

import json
import re

import pytest
from pydantic import ValidationError

from connector.configuration import load_settings, risks
from connector.events.catalog import StreamPartition
from connector.kafka.topics import TopicNames
from connector.settings import (
    KafkaSettings,
    RunSettings,
    Settings,
)
from tests.unit.settings.given import found_problems, set_variables


def test_needed_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else has a default."""
    set_variables(monkeypatch)
    settings = load_settings(RunSettings)
    assert settings.x.secret("bearer_token") == "hush-token"
    assert settings.x.base_url == "https://api.x.com"
    assert settings.x.stream_partitions == tuple(
        StreamPartition(stream, number) for stream in ("tweet", "user") for number in range(1, 5)
    )
    assert settings.kafka.topic_prefix == "x.compliance"
    assert (settings.kafka.replication_factor, settings.kafka.min_insync_replicas) == (3, 2)
    assert (settings.kafka.partitions, settings.http.port, settings.log.format) == (6, 8080, None)


def test_missing_settings_are_all_named_at_once() -> None:
    """By the variable to set, with what it is for."""
    problems = "\n".join(found_problems())
    for name in (
        "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS",
        "CONNECTOR_SCHEMA_REGISTRY__URL",
        "CONNECTOR_X__BEARER_TOKEN_FILE",
    ):
        assert f"{name}: " in problems
    assert "bearer_token" in problems
    assert "Brokers, comma-separated host:port." in problems


def test_commands_without_access_to_x_need_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """`provision` speaks to Kafka and the registry only."""
    set_variables(monkeypatch)
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    load_settings(Settings)


def test_wrong_settings_of_all_sections_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each, each by its variable."""
    wrong = {
        "CONNECTOR_X__BASE_URL": "api.x.com",
        "CONNECTOR_X__STREAMS": "tweet,lkie",
        "CONNECTOR_X__SILENCE_TIMEOUT_S": "20",
        "CONNECTOR_KAFKA__TOPIC_PREFIX": "under_score",
        "CONNECTOR_KAFKA__SECURITY_PROTOCOL": "TLS",
        "CONNECTOR_KAFKA__PROPERTIES": '{"acks": "1", "transactional.id": "mine"}',
        "CONNECTOR_KAFKA__RETENTION__EVENTS_DAYS": "two weeks",
        "CONNECTOR_SCHEMA_REGISTRY__URL": "http://user:hush@registry",
        "CONNECTOR_HTTP__PORT": "70000",
        "CONNECTOR_LOG__FORMAT": "xml",
        "CONNECTOR_PIPELINE__SESSION_TIMEOUT_MS": "120001",
        "CONNECTOR_PIPELINE__COMMIT_MAX_EVENTS": "499",
    }
    set_variables(monkeypatch, wrong)
    problems = found_problems()
    assert sorted(problem.partition(":")[0] for problem in problems) == sorted(wrong)
    by_name = {problem.partition(":")[0]: problem for problem in problems}
    assert "unknown stream lkie; known are tweet, user, like, label" in by_name["CONNECTOR_X__STREAMS"]
    assert ": must begin with https:// or http:// and hold a host alone" in by_name["CONNECTOR_X__BASE_URL"]
    assert ": must begin with http:// or https:// and hold no user name" in by_name["CONNECTOR_SCHEMA_REGISTRY__URL"]
    assert "acks, transactional.id are set by the connector" in by_name["CONNECTOR_KAFKA__PROPERTIES"]


def test_wrong_stream_and_missing_token_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems at once, also where one is a setting's own and the other is between settings."""
    set_variables(monkeypatch, {"CONNECTOR_X__STREAMS": "twete"})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    problems = "\n".join(found_problems())
    assert "twete" in problems
    assert "bearer_token" in problems


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"CONNECTOR_X__API_KEY": "k"}, "CONNECTOR_X__BEARER_TOKEN_FILE: give bearer_token"),
        (
            {"CONNECTOR_X__BEARER_TOKEN_FILE": "f"},
            "CONNECTOR_X__BEARER_TOKEN_FILE: give bearer_token or bearer_token_file, not both",
        ),
        ({"CONNECTOR_KAFKA__MIN_INSYNC_REPLICAS": "4"}, "CONNECTOR_KAFKA__MIN_INSYNC_REPLICAS: must not be larger"),
        (
            {"CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"},
            "CONNECTOR_KAFKA__SASL__MECHANISM: is required with security_protocol SASL_SSL",
        ),
        (
            {"CONNECTOR_KAFKA__SASL__MECHANISM": "PLAIN"},
            "CONNECTOR_KAFKA__SASL__PASSWORD_FILE: sasl.username and sasl.password",
        ),
        (
            {"CONNECTOR_KAFKA__TLS__KEY_FILE": "f"},
            "CONNECTOR_KAFKA__TLS__KEY_FILE: certificate_file and key_file go together",
        ),
        (
            {"CONNECTOR_SCHEMA_REGISTRY__PASSWORD": "hush"},
            "CONNECTOR_SCHEMA_REGISTRY__PASSWORD_FILE: username and password",
        ),
        (
            {"CONNECTOR_KAFKA__TLS__CA_FILE": "/ca.pem"},
            "CONNECTOR_KAFKA__SECURITY_PROTOCOL: PLAINTEXT does not use kafka.tls: set SSL or SASL_SSL",
        ),
        (
            {"CONNECTOR_KAFKA__SASL__MECHANISM": "OAUTHBEARER"},
            "CONNECTOR_KAFKA__SECURITY_PROTOCOL: PLAINTEXT does not use kafka.sasl.mechanism: set SASL_SSL",
        ),
        (
            {"CONNECTOR_KAFKA__PROPERTIES": '{"client.id": "a", "client.id": "hush"}'},
            "CONNECTOR_KAFKA__PROPERTIES: client.id: given twice",
        ),
        (
            {"CONNECTOR_X__BASE_URL": "http://x.example.com"},
            "CONNECTOR_X__BASE_URL: is http:// on another machine",
        ),
        (
            {"CONNECTOR_X__BEARER_TOKEN": "", "CONNECTOR_X__API_KEY": "k"},
            "CONNECTOR_X__API_KEY_SECRET: is required with api_key",
        ),
        (
            {"CONNECTOR_X__BEARER_TOKEN": "", "CONNECTOR_X__API_KEY_SECRET": "hush"},
            "CONNECTOR_X__API_KEY: is required with api_key_secret",
        ),
        (
            {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "one:9092 two:9092"},
            "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS: separate brokers by commas",
        ),
        ({"CONNECTOR_KAFKA__PARTITIONS": "three"}, "CONNECTOR_KAFKA__PARTITIONS: is not a whole number (Partitions of"),
        ({"CONNECTOR_LOG__FORMAT": "xml"}, "CONNECTOR_LOG__FORMAT: must be 'json' or 'console' ("),
        ({"CONNECTOR_X__CONNECT_TIMEOUT_S": "long"}, "CONNECTOR_X__CONNECT_TIMEOUT_S: is not a number (Limit for"),
        ({"CONNECTOR_X__GZIP": "perhaps"}, "CONNECTOR_X__GZIP: is neither true nor false (Ask X"),
        ({"CONNECTOR_X__STREAMS": " , "}, "CONNECTOR_X__STREAMS: name at least one of"),
        (
            {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": " ,,"},
            "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS: must name a broker (Brokers,",
        ),
        ({"CONNECTOR_KAFKA__PROPERTIES": "hush"}, "CONNECTOR_KAFKA__PROPERTIES: must be a JSON map"),
        ({"CONNECTOR_KAFKA__PROPERTIES": '["hush"]'}, "CONNECTOR_KAFKA__PROPERTIES: "),
        ({"CONNECTOR_KAFKA__PROPERTIES": '{"a": ["hush"]}'}, "CONNECTOR_KAFKA__PROPERTIES__"),
        ({"CONNECTOR_X": "hush"}, 'cannot be read: error parsing value for field "x"'),
    ],
)
def test_settings_that_do_not_go_together_are_explained(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], fault: str
) -> None:
    """What belongs together, what excludes each other, and what is no value at all."""
    set_variables(monkeypatch, given)
    assert any(problem.startswith(fault) for problem in found_problems())


@pytest.mark.parametrize(
    "name",
    ["acks", "bootstrap.servers", "metadata.broker.list", "enable.idempotence", "group.id", "group.protocol",
     "isolation.level", "partitioner", "request.required.acks", "sasl.password", "ssl.key.password",
     "transaction.timeout.ms", "transactional.id", "delivery.report.only.error"],
)  # fmt: skip
def test_property_that_a_promise_rests_on_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Under each of its names."""
    set_variables(monkeypatch, {"CONNECTOR_KAFKA__PROPERTIES": json.dumps({name: "hush", "linger.ms": 5})})
    [problem] = found_problems()
    assert problem.startswith(f"CONNECTOR_KAFKA__PROPERTIES: {name} is set by the connector")


@pytest.mark.parametrize("host", ["localhost:8400", "127.0.0.1:8400", "127.3.2.1", "[::1]:8400", "LOCALHOST"])
def test_plain_http_to_this_machine_is_accepted(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """There is no network on the way."""
    set_variables(monkeypatch, {"CONNECTOR_X__BASE_URL": f"http://{host}"})
    assert list(risks(load_settings(RunSettings))) == []


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.com", "x.localhost", "[::2]", "128.0.0.1"])
def test_plain_http_to_another_machine_needs_a_setting(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """And is said to be a risk."""
    set_variables(monkeypatch, {"CONNECTOR_X__BASE_URL": f"http://{host}"})
    assert len(found_problems()) == 1
    set_variables(monkeypatch, {"CONNECTOR_X__ALLOW_PLAIN_HTTP": "true"})
    assert list(risks(load_settings(RunSettings))) == ["CONNECTOR_X__BASE_URL: http:// sends the token unencrypted"]


_PASSWORD = {"CONNECTOR_KAFKA__SASL__USERNAME": "u", "CONNECTOR_KAFKA__SASL__PASSWORD": "hush"}
_IN_CLEAR = {"CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            _PASSWORD | _IN_CLEAR | {"CONNECTOR_KAFKA__SASL__MECHANISM": "PLAIN"},
            ["SASL_PLAINTEXT sends the password unencrypted"],
        ),
        (_PASSWORD | _IN_CLEAR | {"CONNECTOR_KAFKA__SASL__MECHANISM": "SCRAM-SHA-512"}, []),
        (
            _IN_CLEAR
            | {
                "CONNECTOR_KAFKA__SASL__MECHANISM": "OAUTHBEARER",
                "CONNECTOR_KAFKA__PROPERTIES": '{"enable.sasl.oauthbearer.unsecure.jwt": true}',
            },
            ["SASL_PLAINTEXT sends the access token unencrypted"],
        ),
        (
            _PASSWORD | {"CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "CONNECTOR_KAFKA__SASL__MECHANISM": "PLAIN"},
            [],
        ),
        (
            {"CONNECTOR_SCHEMA_REGISTRY__USERNAME": "u", "CONNECTOR_SCHEMA_REGISTRY__PASSWORD": "hush"},
            ["http:// sends the password unencrypted"],
        ),
        (
            {"CONNECTOR_KAFKA__PROPERTIES": '{"ssl.key.pem": "hush", "client.id": "hush"}'},
            ["holds ssl.key.pem: give what is secret in kafka.properties_file"],
        ),
        (
            {"CONNECTOR_KAFKA__PROPERTIES": '{"sasl.oauthbearer.token.endpoint.url": "http://idp.example.com/token"}'},
            ["sasl.oauthbearer.token.endpoint.url sends the client secret unencrypted"],
        ),
        (
            {"CONNECTOR_KAFKA__PROPERTIES": '{"enable.ssl.certificate.verification": false}'},
            ["enable.ssl.certificate.verification=false leaves the broker's identity unverified"],
        ),
    ],
)
def test_secret_that_is_given_away_is_a_risk(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], expected: list[str]
) -> None:
    """It works, so it is no error."""
    set_variables(monkeypatch, given)
    found = list(risks(load_settings(RunSettings)))
    assert [risk.partition(": ")[2] for risk in found] == expected
    assert "hush" not in "".join(found)


@pytest.mark.parametrize(
    ("groups", "fault"),
    [
        (["deletes", " "], "the name of a group is empty"),
        (["deletes", "edits", "deletes"], "named twice: deletes"),
        (["x.compliance.connector"], "x.compliance.connector is the connector's own group, which processes no event"),
        ([f"group-{number}" for number in range(51)], "at most 50 groups can be watched, not 51"),
    ],
)
def test_groups_that_cannot_be_watched_are_named(groups: list[str], fault: str) -> None:
    """Each problem in words; without any group none is watched."""
    with pytest.raises(ValidationError, match=re.escape(fault)):
        KafkaSettings.model_validate({"bootstrap_servers": "b:1", "watched_groups": groups})
    assert KafkaSettings(bootstrap_servers="b:1").watched_groups == ()


def test_own_group_is_that_of_the_topic_prefix() -> None:
    """Under another prefix it is another's, and may be watched."""
    given = {"bootstrap_servers": "b:1", "topic_prefix": "trust.x", "watched_groups": "x.compliance.connector, one"}
    assert KafkaSettings.model_validate(given).watched_groups == ("x.compliance.connector", "one")
    with pytest.raises(ValidationError, match="own group"):
        KafkaSettings.model_validate(given | {"watched_groups": TopicNames("trust.x").group})


def test_lists_and_maps_are_read_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas with or without spaces; JSON with its kinds of values kept."""
    properties = {"linger.ms": 5, "socket.keepalive.enable": True, "client.id": "mine"}
    given = {"CONNECTOR_X__STREAMS": "like, tweet,", "CONNECTOR_KAFKA__PROPERTIES": json.dumps(properties)}
    set_variables(monkeypatch, given)
    settings = load_settings(RunSettings)
    assert settings.x.streams == ("like", "tweet")
    assert settings.kafka.properties == properties
    assert settings.kafka.properties["socket.keepalive.enable"] is True
    assert settings.x.stream_partitions[-1] == StreamPartition("like", 1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CONNECTOR_HTTP_PORT", "did you mean CONNECTOR_HTTP__PORT?"),
        ("CONNECTOR_KAFKA__SASL_USERNAME", "did you mean CONNECTOR_KAFKA__SASL__USERNAME?"),
        ("CONNECTOR_SCHEMA__REGISTRY__URL", "did you mean CONNECTOR_SCHEMA_REGISTRY__URL?"),
        ("CONNECTOR_KAFAK__PARTITIONS", "did you mean CONNECTOR_KAFKA__PARTITIONS?"),
        ("CONNECTOR_REDIS__ADDRESS", "sections are x, kafka"),
        ("CONNECTOR_HTTP__PROT", "unknown setting; did you mean CONNECTOR_HTTP__PORT?"),
        ("CONNECTOR_KAFKA__SASL__PASWORD", "unknown setting; did you mean CONNECTOR_KAFKA__SASL__PASSWORD?"),
        ("CONNECTOR_KAFKA__COLOUR", "unknown setting"),
    ],
)
def test_misspelt_variable_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    """A typing mistake never passes silently."""
    set_variables(monkeypatch, {name: "hush"})
    assert any(problem.startswith(f"{name}: ") and hint in problem for problem in found_problems())


def test_variables_that_only_look_like_ours_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster injects them for a service called `connector`."""
    injected = ("CONNECTOR_PORT", "CONNECTOR_SERVICE_HOST", "CONNECTOR_PORT_8080_TCP_ADDR")
    set_variables(monkeypatch, dict.fromkeys(injected, "tcp://10.0.0.1:8080"))
    load_settings(RunSettings)


@pytest.mark.parametrize(
    "address",
    ["socks5://h:1080", "ftp://h:21", "http://", "http://h:port", "http://h:0", "http://[::1", "http://me:my/word@h:1",
     "http://me:hush@h:65536", "http://me:hush@xn--a:1", "http://me:hush@999.1.1.1:1", "http://me:hush@h:1/\x7f",
     "http://me:hush\udcff@h:1", "http://h\udcff:1"],
)  # fmt: skip
def test_invalid_proxy_is_an_error_without_its_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """By each of its names; it may hold a password."""
    set_variables(monkeypatch, {"https_proxy": address, "ALL_PROXY": address})
    problem = "not an HTTP proxy's address, such as http://proxy.example.com:3128"
    assert sorted(found_problems()) == [f"ALL_PROXY: {problem}", f"HTTPS_PROXY: {problem}"]


@pytest.mark.parametrize(
    "address", ["http://proxy.example.com:3128", "proxy.example.com:3128", "https://me:word@[::1]"]
)
def test_proxy_in_each_usual_form_is_accepted(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """With and without scheme, port and credentials; what is not to go through it is not looked at."""
    set_variables(monkeypatch, {"HTTPS_PROXY": address, "NO_PROXY": "kafka, .svc,[::1]", "FTP_PROXY": "ftp://h"})
    assert load_settings(RunSettings).x.streams == ("tweet", "user")
