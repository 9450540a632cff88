"""Settings: where they come from, how each wrong one is named, and that no secret is ever shown."""

import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pydantic import ValidationError

from connector.configuration import describe_settings, load_settings, risks
from connector.errors import SettingsError
from connector.events.catalog import StreamPartition
from connector.kafka.topics import TopicNames
from connector.settings import (
    FORM,
    KafkaSettings,
    RunSettings,
    SaslSettings,
    SchemaRegistrySettings,
    Settings,
    TlsSettings,
    XSettings,
    variable_name,
)

_NEEDED = {
    "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
    "CONNECTOR_SCHEMA_REGISTRY__URL": "http://registry:8081",
    "CONNECTOR_X__BEARER_TOKEN": "hush-token",
}
_SECRETS = {
    "CONNECTOR_X__BEARER_TOKEN": "hush-token",
    "CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "CONNECTOR_KAFKA__SASL__MECHANISM": "PLAIN",
    "CONNECTOR_KAFKA__SASL__USERNAME": "user",
    "CONNECTOR_KAFKA__SASL__PASSWORD": "hush-sasl",
    "CONNECTOR_KAFKA__TLS__KEY_PASSWORD": "hush-key",
    "CONNECTOR_KAFKA__PROPERTIES": '{"sasl.oauthbearer.client.secret": "hush-oauth"}',
    "CONNECTOR_SCHEMA_REGISTRY__USERNAME": "user",
    "CONNECTOR_SCHEMA_REGISTRY__PASSWORD": "hush-registry",
}


@pytest.fixture(autouse=True)
def _no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("CONNECTOR_"):
            monkeypatch.delenv(name)


def _set(monkeypatch: pytest.MonkeyPatch, *more: dict[str, str]) -> None:
    for name, value in {key: value for part in (_NEEDED, *more) for key, value in part.items()}.items():
        monkeypatch.setenv(name, value)


def _problems(kind: type[Settings] = RunSettings, config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(kind, config)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    assert "hush" not in shown
    assert caught.value.exit_code == os.EX_CONFIG
    return caught.value.problems


def _yaml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "connector.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_needed_settings_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else has a default."""
    _set(monkeypatch)
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
    problems = "\n".join(_problems())
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
    _set(monkeypatch)
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
    _set(monkeypatch, wrong)
    problems = _problems()
    assert sorted(problem.partition(":")[0] for problem in problems) == sorted(wrong)
    by_name = {problem.partition(":")[0]: problem for problem in problems}
    assert "unknown stream lkie; known are tweet, user, like, label" in by_name["CONNECTOR_X__STREAMS"]
    assert ": must begin with https:// or http:// and hold a host alone" in by_name["CONNECTOR_X__BASE_URL"]
    assert ": must begin with http:// or https:// and hold no user name" in by_name["CONNECTOR_SCHEMA_REGISTRY__URL"]
    assert "acks, transactional.id are set by the connector" in by_name["CONNECTOR_KAFKA__PROPERTIES"]


def test_wrong_stream_and_missing_token_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """All problems at once, also where one is a setting's own and the other is between settings."""
    _set(monkeypatch, {"CONNECTOR_X__STREAMS": "twete"})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    problems = "\n".join(_problems())
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
        ({"CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_SSL"}, "CONNECTOR_KAFKA__SASL: sasl.mechanism is needed"),
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
            "CONNECTOR_X__ALLOW_PLAIN_HTTP: x.base_url is http:// on another machine",
        ),
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
    _set(monkeypatch, given)
    assert any(problem.startswith(fault) for problem in _problems())


@pytest.mark.parametrize(
    "name",
    ["acks", "bootstrap.servers", "metadata.broker.list", "enable.idempotence", "group.id", "group.protocol",
     "isolation.level", "partitioner", "request.required.acks", "sasl.password", "ssl.key.password",
     "transaction.timeout.ms", "transactional.id", "delivery.report.only.error"],
)  # fmt: skip
def test_property_that_a_promise_rests_on_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Under each of its names."""
    _set(monkeypatch, {"CONNECTOR_KAFKA__PROPERTIES": json.dumps({name: "hush", "linger.ms": 5})})
    [problem] = _problems()
    assert problem.startswith(f"CONNECTOR_KAFKA__PROPERTIES: {name} is set by the connector")


@pytest.mark.parametrize("host", ["localhost:8400", "127.0.0.1:8400", "127.3.2.1", "[::1]:8400", "LOCALHOST"])
def test_plain_http_to_this_machine_is_accepted(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """There is no network on the way."""
    _set(monkeypatch, {"CONNECTOR_X__BASE_URL": f"http://{host}"})
    assert list(risks(load_settings(RunSettings))) == []


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.com", "x.localhost", "[::2]", "128.0.0.1"])
def test_plain_http_to_another_machine_needs_a_setting(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """And is said to be a risk."""
    _set(monkeypatch, {"CONNECTOR_X__BASE_URL": f"http://{host}"})
    assert len(_problems()) == 1
    _set(monkeypatch, {"CONNECTOR_X__ALLOW_PLAIN_HTTP": "true"})
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
    _set(monkeypatch, given)
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
    _set(monkeypatch, given)
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
    _set(monkeypatch, {name: "hush"})
    assert any(problem.startswith(f"{name}: ") and hint in problem for problem in _problems())


def test_variables_that_only_look_like_ours_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a cluster injects them for a service called `connector`."""
    injected = ("CONNECTOR_PORT", "CONNECTOR_SERVICE_HOST", "CONNECTOR_PORT_8080_TCP_ADDR")
    _set(monkeypatch, dict.fromkeys(injected, "tcp://10.0.0.1:8080"))
    load_settings(RunSettings)


@pytest.mark.parametrize(
    "address",
    ["socks5://h:1080", "ftp://h:21", "http://", "http://h:port", "http://h:0", "http://[::1", "http://me:my/word@h:1",
     "http://me:hush@h:65536", "http://me:hush@xn--a:1", "http://me:hush@999.1.1.1:1", "http://me:hush@h:1/\x7f",
     "http://me:hush\udcff@h:1", "http://h\udcff:1"],
)  # fmt: skip
def test_proxy_that_is_none_is_an_error_without_its_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """By each of its names; it may hold a password."""
    _set(monkeypatch, {"https_proxy": address, "ALL_PROXY": address})
    problem = "not an HTTP proxy's address, such as http://proxy.example.com:3128"
    assert sorted(_problems()) == [f"ALL_PROXY: {problem}", f"HTTPS_PROXY: {problem}"]


@pytest.mark.parametrize(
    "address", ["http://proxy.example.com:3128", "proxy.example.com:3128", "https://me:word@[::1]"]
)
def test_proxy_in_each_usual_form_is_none_of_our_business(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """With and without scheme, port and credentials; what is not to go through it is not looked at."""
    _set(monkeypatch, {"HTTPS_PROXY": address, "NO_PROXY": "kafka, .svc,[::1]", "FTP_PROXY": "ftp://h"})
    assert load_settings(RunSettings).x.streams == ("tweet", "user")


def test_variables_win_over_the_file_setting_by_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the file alone says stays."""
    file = _yaml(
        tmp_path,
        "x:\n  streams: [label]\n  gzip: false\nkafka: {properties: {linger.ms: 7}, partitions: 12}\n"
        "log: {level: debug}\n",
    )
    _set(monkeypatch, {"CONNECTOR_KAFKA__PARTITIONS": "24"})
    settings = load_settings(RunSettings, file)
    assert (settings.x.streams, settings.x.gzip) == (("label",), False)
    assert (settings.kafka.properties, settings.kafka.partitions) == ({"linger.ms": 7}, 24)
    assert settings.log.level == "debug"


def test_file_may_hold_everything_and_be_wrong_in_several_places(tmp_path: Path) -> None:
    """Its settings are named as they are in it; those that are in no place, like the variables."""
    file = _yaml(
        tmp_path, "x: {bearer_token: hush}\nkafka: {bootstrap_servers: b:1}\nschema_registry: {url: http://r}\n"
    )
    load_settings(RunSettings, file)
    file = _yaml(tmp_path, "x: {bearer_token: hush, streams: nope}\nkafak: {}\nhttp: {port: hush}\n")
    problems = "\n".join(_problems(config=file))
    for name in ("x.streams", "kafak", "http.port"):
        assert f"{file}: {name}: " in problems
    for name in ("KAFKA__BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY__URL"):
        assert f"CONNECTOR_{name}: " in problems


def test_setting_of_the_file_that_a_variable_overrides_is_named_like_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the file says of it is not in force."""
    _set(monkeypatch, {"CONNECTOR_KAFKA__PARTITIONS": "0"})
    [problem] = _problems(config=_yaml(tmp_path, "kafka: {partitions: 6}\n"))
    assert problem.startswith("CONNECTOR_KAFKA__PARTITIONS: ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kafak: {}", "connector.yaml: kafak: unknown setting; did you mean kafka?"),
        ("Kafka: {}", "connector.yaml: Kafka: unknown setting; did you mean kafka?"),
        (
            "kafka: {bootstrap-servers: hush}",
            "connector.yaml: kafka.bootstrap-servers: unknown setting; did you mean kafka.boot",
        ),
        ("kafka: {sasl: {pasword: hush}}", "kafka.sasl.pasword: unknown setting; did you mean kafka.sasl.password?"),
        ("bearer_token: hush", "connector.yaml: bearer_token: unknown setting; did you mean x.bearer_token?"),
        ("redis: {}", "connector.yaml: redis: unknown setting; sections are x, kafka, schema_registry"),
    ],
)
def test_misspelt_key_of_the_file_is_an_error_that_names_the_right_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    """As it is written in the file."""
    _set(monkeypatch)
    [told] = _problems(config=_yaml(tmp_path, f"{text}\n"))
    assert problem in told


def test_what_the_file_gives_twice_is_an_error_that_names_the_lines(tmp_path: Path) -> None:
    """YAML would take the last one alone: sections, settings, and properties, whatever is wrong with their values."""
    text = (
        "x: {bearer_token: hush}\nkafka:\n  partitions: 3\nhttp: &http\n  port: 1\n  host: hush\n  port: hush\n"
        "log: {format: json}\nschema_registry: {url: http://registry}\nkafka: {properties: {a: hush, a: hush}}\nx: {}\n"
        "other: *http\n"
    )
    file = _yaml(tmp_path, text)
    assert sorted(_problems(config=file)) == [
        f"--config {file}: {name} is given at lines {lines}: merge them, or remove one"
        for name, lines in (
            ("http.port", "5 and 7"),
            ("kafka", "2 and 10"),
            ("kafka.properties.a", "10 and 10"),
            ("x", "1 and 11"),
        )
    ]


def test_file_whose_aliases_multiply_is_read_in_no_time(tmp_path: Path) -> None:
    """Each node is looked at once, though paths to it are without number."""
    lines = ["a0: &a0 {b: 1}", *(f"a{i}: &a{i} {{b: *a{i - 1}, c: *a{i - 1}}}" for i in range(1, 60)), "a1: {}"]
    [problem] = _problems(config=_yaml(tmp_path, "\n".join(lines)))
    assert "a1 is given at lines 2 and 61" in problem


@pytest.mark.parametrize(
    ("servers", "problem"),
    [
        (
            "kafka://b:9092",
            "give host:port without kafka:// before it, and set kafka.security_protocol to the l",
        ),
        (
            "a:1, SASL_SSL://b:9092",
            "give host:port without SASL_SSL:// before it, and set kafka.security_protocol to S",
        ),
        ("ssl://me:hush@b:9092", "give host:port without ssl:// before it, and set kafka.security_protocol to SSL"),
        ("hush hush://b:9092", "give host:port alone, without a scheme"),
    ],
)
def test_broker_with_a_scheme_is_an_error_that_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, servers: str, problem: str
) -> None:
    """Librdkafka would drop some, and take others for a host."""
    _set(monkeypatch, {"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": servers})
    [told] = _problems()
    assert told.startswith(f"CONNECTOR_KAFKA__BOOTSTRAP_SERVERS: {problem}")


@pytest.mark.parametrize(
    "text",
    ["x:\n  bearer_token: *hush\n", "x:\n  bearer_token: !hush y\n", 'x: {bearer_token: "hush\n', "x: hush: hush\n",
     "\x00hush", "x: {bearer_token: @hush}\n"],
)  # fmt: skip
def test_file_that_is_not_yaml_is_an_error_without_its_content(tmp_path: Path, text: str) -> None:
    """A token that YAML trips over is not printed for it."""
    file = _yaml(tmp_path, text)
    [problem] = _problems(config=file)
    assert problem.startswith((f"--config {file}: not YAML at line ", f"--config {file}: cannot be read: "))


def test_file_with_an_impossible_date_or_number_is_an_error_without_its_content(tmp_path: Path) -> None:
    """Which YAML finds when it makes a value of it."""
    for value in ("2026-13-01", "!!int hush", "!!bool hush", "!!timestamp hush", '!!int ""'):
        file = _yaml(tmp_path, f"log: {{level: {value}}}\n")
        assert _problems(config=file) == [f"--config {file}: contains an invalid date, number or tag"]


@pytest.mark.parametrize("text", ["- hush\n", "hush", "1: hush\n"])
def test_file_that_is_no_map_of_sections_is_an_error_that_says_so(tmp_path: Path, text: str) -> None:
    """In words for who wrote it, not for who reads Python."""
    file = _yaml(tmp_path, text)
    [problem] = _problems(config=file)
    assert problem.startswith(f"--config {file}: must be a map of sections, which are x, kafka, ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kafka: hush\n", "kafka"),
        ("kafka: [hush]\n", "kafka"),
        ("kafka: {sasl: hush}\n", "kafka.sasl"),
    ],
)
@pytest.mark.parametrize(
    "variables", [{}, {"CONNECTOR_KAFKA__SASL__USERNAME": "u"}], ids=["file", "file and variables"]
)
def test_text_where_a_section_belongs_is_one_error_whatever_the_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, name: str, variables: dict[str, str]
) -> None:
    """Variables of the section would hide what the file says."""
    _set(monkeypatch, variables)
    file = _yaml(tmp_path, text)
    problems = [problem for problem in _problems(config=file) if f" {name}: " in problem]
    assert problems == [f"{file}: {name}: is a section: give its settings, not a value"]


def test_section_with_nothing_in_it_takes_what_the_variables_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when every line of it is a comment."""
    _set(monkeypatch, {"CONNECTOR_HTTP__PORT": "81"})
    assert load_settings(RunSettings, _yaml(tmp_path, "http:\n  # port: 80\n")).http.port == 81


_NO_FILE = "is a pipe, a device or a socket, not a file"


@pytest.mark.parametrize("text", ["[" * 5000, "kafka: " + "{a: " * 5000, "kafka: " + "[" * 5000 + "]" * 5000])
def test_file_that_is_nested_too_deeply_is_an_error(tmp_path: Path, text: str) -> None:
    """Whether it ends or not."""
    file = _yaml(tmp_path, text)
    assert _problems(config=file) == [f"--config {file}: nested too deeply"]


def test_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    """It is no file of settings."""
    file = _yaml(tmp_path, "x: {}\n" + "#" * 1024 * 1024)
    assert _problems(config=file) == [f"--config {file}: cannot be read: holds more than 1024 KiB"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("CONNECTOR_X", "cannot be read: a value is nested too deeply"),
        ("CONNECTOR_KAFKA__SASL", "cannot be read: a value is nested too deeply"),
        ("CONNECTOR_KAFKA__PROPERTIES", "CONNECTOR_KAFKA__PROPERTIES: must be a JSON map of librdkafka properties"),
    ],
)
def test_variable_that_is_nested_too_deeply_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    """A section, or a setting that takes JSON."""
    _set(monkeypatch, {name: "[" * 100_000})
    assert any(found.startswith(problem) for found in _problems())


def test_file_that_is_missing_or_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """No stack trace either way."""
    assert any("no such file" in problem for problem in _problems(config=tmp_path / "nowhere.yaml"))
    assert _problems(config=tmp_path) == [f"--config {tmp_path}: is a folder, not a file"]
    assert _problems(config=Path("/dev/null")) == [f"--config /dev/null: {_NO_FILE}"]
    assert any(
        "--config /proc/self/mem: cannot be read" in problem for problem in _problems(config=Path("/proc/self/mem"))
    )


def test_files_that_settings_name_and_cannot_be_read_are_all_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the settings that name them; a token's file is nothing to a command that does not speak to X."""
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("CONNECTOR_KAFKA__SASL__USERNAME", "u")
    missing = [
        "CONNECTOR_KAFKA__SASL__PASSWORD_FILE",
        "CONNECTOR_KAFKA__TLS__CA_FILE",
        "CONNECTOR_SCHEMA_REGISTRY__CA_FILE",
        "CONNECTOR_X__BEARER_TOKEN_FILE",
        "CONNECTOR_X__CA_FILE",
    ]
    given = dict.fromkeys(missing, str(tmp_path / "nowhere"))
    _set(monkeypatch, given, {"CONNECTOR_KAFKA__TLS__KEY_PASSWORD_FILE": str(tmp_path)})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    expected = [f"{name}: {tmp_path / 'nowhere'}: no such file" for name in missing]
    folder = f"CONNECTOR_KAFKA__TLS__KEY_PASSWORD_FILE: {tmp_path}: is a folder, not a file"
    assert sorted(_problems()) == sorted([*expected, folder])
    assert sorted(_problems(Settings)) == sorted([*expected[:3], folder])


@pytest.mark.timeout(30)
def test_files_that_settings_name_and_that_are_none_are_all_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A pipe that nobody writes to would be waited for, and a device could be read without end."""
    pipe, device, descriptor = tmp_path / "pipe", "/dev/zero", os.pipe()
    os.mkfifo(pipe)
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("CONNECTOR_KAFKA__SASL__USERNAME", "u")
    given = {
        "CONNECTOR_KAFKA__SASL__PASSWORD_FILE": device,
        "CONNECTOR_KAFKA__TLS__CA_FILE": str(pipe),
        "CONNECTOR_SCHEMA_REGISTRY__CA_FILE": str(pipe),
        "CONNECTOR_X__BEARER_TOKEN_FILE": f"/dev/fd/{descriptor[0]}",
        "CONNECTOR_X__CA_FILE": str(pipe),
        "SSL_CERT_FILE": str(pipe),
    }
    _set(monkeypatch, given)
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    assert sorted(_problems()) == sorted(f"{name}: {path}: {_NO_FILE}" for name, path in given.items())
    assert _problems(config=pipe)[-1] == f"--config {pipe}: {_NO_FILE}"
    for end in descriptor:
        os.close(end)


def test_secret_that_is_given_in_place_of_its_file_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is one word longer than the other."""
    _set(monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": "AAAAhush/hush%2Bhush"})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    [problem] = _problems()
    assert problem.startswith(
        "CONNECTOR_X__BEARER_TOKEN_FILE: the value given, which does not begin with / or .: no such"
    )


_AS_ANOTHER_USER = """
import os
from contextlib import suppress
from connector.configuration import load_settings
from connector.errors import SettingsError
from connector.settings import RunSettings, XSettings
with suppress(SettingsError):
    load_settings(RunSettings)  # imports all that the other user may not be able to read
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65532), os.setuid(65532)
try:
    XSettings(bearer_token_file=os.environ["CONNECTOR_X__BEARER_TOKEN_FILE"]).secret("bearer_token")
except SettingsError as error:
    print(error)
try:
    load_settings(RunSettings)
except SettingsError as error:
    print(error)
    raise SystemExit(error.exit_code)
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("is_folder_closed", [False, True])
def test_file_without_the_permission_to_read_it_is_said_with_user_owner_and_mode(
    open_folder: Path, *, is_folder_closed: bool
) -> None:
    """Compose mounts the file as it is on the host, where it is root's: a process as in the image cannot read it."""
    folder = open_folder / "secrets"
    folder.mkdir(mode=0o700)
    token = folder / "token"
    token.write_text("hush-token\n")
    token.chmod(0o400 if os.getuid() == 0 else 0)
    folder.chmod(0o755 if not is_folder_closed else 0o700 if os.getuid() == 0 else 0)
    given = {name: value for name, value in _NEEDED.items() if not name.endswith("TOKEN")}
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-c", _AS_ANOTHER_USER],
        env=os.environ | given | {"CONNECTOR_X__BEARER_TOKEN_FILE": str(token)},
        capture_output=True,
        text=True,
        check=False,
    )
    folder.chmod(0o755)
    user, group = (65532, 65532) if os.getuid() == 0 else (os.getuid(), os.getgid())
    why = (
        ", which may not enter a folder on the way: give it the execute permission (chmod o+x)"
        if is_folder_closed
        else f", and the file belongs to user {os.getuid()} and group {os.getgid()} with mode "
        f"{token.stat().st_mode & 0o777:04o}: make it the process's own (chown {user}, chmod 400)"
    )
    why = f"this process runs as user {user} and group {group}{why}"
    assert done.returncode == 78
    assert f"CONNECTOR_X__BEARER_TOKEN_FILE: {token}: cannot be read: {why}" in done.stdout
    assert f"bearer_token_file: cannot be read: {token}: {why}" in done.stdout


def test_file_that_settings_name_may_be_a_link_to_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: the file in a folder that is a link, and a link to that."""
    (tmp_path / "..now").mkdir()
    (tmp_path / "..now" / "token").write_text("hush-token\n")
    (tmp_path / "..data").symlink_to("..now")
    (tmp_path / "token").symlink_to("..data/token")
    _set(monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": str(tmp_path / "token")})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    assert load_settings(RunSettings).x.secret("bearer_token") == "hush-token"


def test_file_whose_name_cannot_be_one_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable can hold such a name, but a file of settings can."""
    _set(monkeypatch)
    file = _yaml(tmp_path, 'x: {ca_file: "/a\\0b"}\n')
    assert _problems(config=file) == [f"{file}: x.ca_file: /a\0b: cannot be read"]


def test_files_that_settings_name_and_can_be_read_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CA certificates may be in a folder."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("CONNECTOR_KAFKA__SECURITY_PROTOCOL", "SSL")
    _set(monkeypatch, {"CONNECTOR_X__BEARER_TOKEN_FILE": str(file), "CONNECTOR_KAFKA__TLS__CA_FILE": str(tmp_path)})
    monkeypatch.delenv("CONNECTOR_X__BEARER_TOKEN")
    load_settings(RunSettings)


def test_no_secret_is_shown_by_any_form_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor as JSON, of the whole or of a part; but each can be had."""
    _set(monkeypatch, _SECRETS)
    settings = load_settings(RunSettings)
    for part in (
        settings,
        settings.x,
        settings.kafka,
        settings.kafka.sasl,
        settings.kafka.tls,
        settings.schema_registry,
    ):
        assert "hush" not in repr(part) + str(part)
    assert "hush" not in settings.model_dump_json(exclude={"kafka": {"properties"}})
    assert settings.kafka.sasl.secret("password") == "hush-sasl"
    assert settings.kafka.tls.secret("key_password") == "hush-key"
    assert settings.schema_registry.secret("password") == "hush-registry"


def test_no_secret_is_shown_when_something_beside_it_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the message, the traceback or the error's own form."""
    _set(monkeypatch, _SECRETS, {"CONNECTOR_KAFKA__PARTITIONS": "0", "CONNECTOR_X__API_KEY": "hush-key"})
    assert len(_problems()) == 2


def test_settings_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked stays so."""
    _set(monkeypatch)
    settings = load_settings(RunSettings)
    with pytest.raises(ValueError, match="frozen"):
        settings.http.port = 1  # type: ignore[misc] # that it is frozen is the point


@pytest.mark.parametrize(
    ("kind", "name", "others"),
    [
        (XSettings, "bearer_token", {}),
        (XSettings, "api_key", {}),
        (XSettings, "api_key_secret", {}),
        (SaslSettings, "password", {}),
        (TlsSettings, "key_password", {}),
        (SchemaRegistrySettings, "password", {"url": "http://r", "username": "u"}),
    ],
)
def test_secret_may_be_given_as_a_file(tmp_path: Path, kind: Any, name: str, others: dict[str, str]) -> None:  # noqa: ANN401 - a settings class
    """Read when it is asked for, without its last line break; missing, it is an error that names the setting."""
    file = tmp_path / "secret"
    settings = kind.model_validate({**others, f"{name}_file": file})
    assert settings.has_secret(name)
    for content in (b"hush ", b"hush 2\r\n"):
        file.write_bytes(content)
        assert settings.secret(name) == content.decode().rstrip("\r\n")
    assert "hush" not in repr(settings)
    for spoil in (lambda: file.write_bytes(b"hush\xff"), file.unlink):
        spoil()
        with pytest.raises(SettingsError, match=f"{name}_file: cannot be read") as caught:
            settings.secret(name)
        assert "hush" not in str(caught.value)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_secret_whose_file_has_become_something_else_is_an_error_at_once(tmp_path: Path, kind: str) -> None:
    """The file is read each time, long after it was first looked at."""
    path = Path(os.devnull) if kind == "device" else tmp_path / "secret"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        path.write_bytes(b"hush" * 16 * 1024 + b"\n")
    settings = XSettings(bearer_token_file=path)
    with pytest.raises(SettingsError, match="bearer_token_file: cannot be read") as caught:
        settings.secret("bearer_token")
    assert "hush" not in str(caught.value)


def test_secret_that_was_not_given_is_none() -> None:
    """Which is for the caller to judge."""
    settings = XSettings()
    assert settings.secret("bearer_token") is None
    assert not settings.has_secret("bearer_token")


def test_every_setting_is_described() -> None:
    """The reference page and the hints are made from this; and what must fit a pattern says so in words."""
    described = dict(describe_settings(RunSettings))
    assert all(field.description for field in described.values())
    for path, field in described.items():
        if any(hasattr(rule, "pattern") and rule.pattern for rule in field.metadata):
            assert isinstance(field.json_schema_extra, dict), path
            assert str(field.json_schema_extra[FORM]).startswith("must "), path
    assert variable_name(("kafka", "sasl", "password_file")) == "CONNECTOR_KAFKA__SASL__PASSWORD_FILE"
    assert ("kafka", "sasl", "password_file") in described
