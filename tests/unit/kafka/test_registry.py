"""The registry client: what it asks, and what becomes of the registry's errors."""

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from connector.demo.registry import DemoRegistry
from connector.errors import (
    ConnectorError,
    DependencyUnavailableError,
    NotProvisionedError,
    SettingsError,
    WrongServerError,
)
from connector.events.schemas import COVERAGE, GAP, LEDGER
from connector.kafka.registry import RegistryClient
from connector.settings import SchemaRegistrySettings


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    """Give a client of an empty registry."""
    with DemoRegistry() as server, RegistryClient(SchemaRegistrySettings(url=server.url)) as client:
        yield client


class _ScriptedRegistry(HTTPServer):
    """Answers each request with the next of `answers` (status, body), the last one forever; keeps the headers."""

    def __init__(self, answers: list[tuple[int, object]]) -> None:
        super().__init__(("127.0.0.1", 0), _ScriptedHandler)
        self.answers = answers
        self.authorizations: list[str | None] = []


class _ScriptedHandler(BaseHTTPRequestHandler):
    server: _ScriptedRegistry

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.authorizations.append(self.headers.get("Authorization"))
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names the base class looks for

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def _scripted(*answers: tuple[int, object], **settings: Any) -> Iterator[tuple[RegistryClient, _ScriptedRegistry]]:  # noqa: ANN401 - settings of any type
    server = _ScriptedRegistry(list(answers))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        with RegistryClient(SchemaRegistrySettings(url=url, **settings)) as client:
            yield client, server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_find_without_subject_returns_none(client: RegistryClient) -> None:
    """An unknown subject is an answer, not an error."""
    assert client.find("topic-value", GAP) is None


def test_find_of_another_schema_returns_none(client: RegistryClient) -> None:
    """Only exactly our schema counts."""
    client.register("topic-value", GAP)
    assert client.find("topic-value", LEDGER) is None


def test_find_after_register_returns_the_same_id(client: RegistryClient) -> None:
    """What was registered is found, and registering again changes nothing."""
    schema_id = client.register("topic-value", GAP)
    assert client.find("topic-value", GAP) == schema_id
    assert client.register("topic-value", GAP) == schema_id


def test_compatibility_follows_what_was_set(client: RegistryClient) -> None:
    """The level is the subject's own, and may be set before its first schema."""
    assert client.compatibility("topic-value") is None
    assert client.set_compatibility("topic-value")
    assert client.compatibility("topic-value") == "FULL_TRANSITIVE"


def test_register_of_an_incompatible_schema_names_subject_and_reason(client: RegistryClient) -> None:
    """The operator learns which subject, which schema and why."""
    client.set_compatibility("topic-value")
    client.register("topic-value", GAP)
    with pytest.raises(NotProvisionedError, match=r"topic-value: .*refuses .*v1\.LedgerEntry: .*no second schema"):
        client.register("topic-value", LEDGER)


def test_register_while_another_registers_the_same_returns_the_id_of_the_other() -> None:
    """A conflict that leaves our schema in place is no conflict."""
    conflict = (409, {"error_code": 409, "message": "exists already"})
    found = (200, {"subject": "topic-value", "version": 1, "id": 7, "schema": GAP.text})
    with _scripted(conflict, found) as (client, _):
        assert client.register("topic-value", GAP) == 7


@pytest.mark.parametrize("status", [401, 404, 422, 500])
def test_words_of_the_registry_are_short_and_without_what_was_sent(status: int) -> None:
    """A registry, or a box on the way, may send back the header or the password, and a page of any length."""
    sent = b64encode(b"me:hush/hush").decode()
    answer = (status, {"error_code": 1, "message": f"Basic {sent} or hush/hush or hush%2Fhush\r\nok: {'x' * 100_000}"})
    secret = {"username": "me", "password": "hush/hush"}
    with _scripted(answer, answer, **secret) as (client, _), pytest.raises(ConnectorError) as caught:
        client.register("topic-value", GAP)
    told = str(caught.value)
    assert "[secret] or [secret] or [secret] ok: xxx" in told
    assert sent not in told
    assert "hush" not in told
    assert len(told) < 600


def test_set_compatibility_while_another_sets_the_same_is_done() -> None:
    """A conflict that leaves our level in place is no conflict; one that leaves another is still to do."""
    conflict = (409, {"error_code": 409, "message": "exists already"})
    with _scripted(conflict, (200, {"compatibilityLevel": "FULL_TRANSITIVE"})) as (client, _):
        assert client.set_compatibility("topic-value")
    with _scripted(conflict, (200, {"compatibilityLevel": "BACKWARD"})) as (client, _):
        assert not client.set_compatibility("topic-value")


def test_set_compatibility_of_a_registry_that_wants_a_schema_first_is_not_done() -> None:
    """The caller tries again once the subject has a schema."""
    with _scripted((404, {"error_code": 40401, "message": "Subject not found"})) as (client, _):
        assert not client.set_compatibility("topic-value")


_REFUSED_BY_MODE = (422, {"error_code": 42205, "message": "Subject topic-value is in read-only mode"})
_NO_OWN_MODE = (404, {"error_code": 40409, "message": "Subject does not have subject-level mode configured"})
_NO_MODES = (404, b"")


@pytest.mark.parametrize("call", ["register", "set_compatibility"])
@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([_REFUSED_BY_MODE, (200, {"mode": "READONLY"})], "its mode is READONLY: Subject topic-value is in"),
        ([_REFUSED_BY_MODE, _NO_OWN_MODE, (200, {"mode": "IMPORT"})], "its mode is IMPORT: "),
        ([_REFUSED_BY_MODE, _NO_MODES, _NO_MODES], "by its mode: "),
        ([(409, {"error_code": 0, "message": "no"}), (200, {"mode": "READONLY"})], "its mode is READONLY: no"),
    ],
    ids=["subject", "registry", "unknown", "Apicurio"],
)
def test_registry_that_takes_nothing_new_says_so_with_the_fix(
    call: str, answers: list[tuple[int, object]], reason: str
) -> None:
    """Whichever of the two is written first, and whatever status a registry has for it."""
    refusal, *modes = answers
    looked_up = (404, {"error_code": 40403 if call == "register" else 40408, "message": "not there"})
    with (
        _scripted(refusal, looked_up, *modes) as (client, _),
        pytest.raises(NotProvisionedError, match=f"subject topic-value: .* accepts nothing new, {reason}") as caught,
    ):
        getattr(client, call)("topic-value", *([GAP] if call == "register" else []))
    assert caught.value.exit_code == 78
    assert re.search(r"^Make it READWRITE \(PUT http://.*/mode", caught.value.lines[1])


def test_write_to_a_subject_that_is_hidden_for_lack_of_a_right_says_so() -> None:
    """Karapace says that there is no such subject; the API is there all the same."""
    hidden = (404, {"error_code": 40401, "message": "Subject 'topic-value' not found."})
    with (
        _scripted(hidden) as (client, _),
        pytest.raises(NotProvisionedError, match=r"not found\. .*right to this subject"),
    ):
        client.register("topic-value", GAP)


def test_schema_that_is_incompatible_in_a_registry_that_takes_new_ones_is_not_blamed_on_its_mode() -> None:
    """The mode is asked for, and is as it should be."""
    incompatible = (409, {"error_code": 409, "message": "incompatible"})
    with (
        _scripted(incompatible, (404, {"error_code": 40403, "message": "no"}), (200, {"mode": "READWRITE"})) as (
            client,
            _,
        ),
        pytest.raises(NotProvisionedError, match=r"refuses the schema x\.compliance\.v1\.Gap: incompatible"),
    ):
        client.register("topic-value", GAP)


def test_writer_schema_by_id_is_parsed_for_reading(client: RegistryClient) -> None:
    """A reader gets what fastavro needs."""
    schema = client.writer_schema(client.register("topic-value", COVERAGE), "topic-value")
    assert schema["name"] == "x.compliance.v1.Coverage"
    assert [field["name"] for field in schema["fields"]][:2] == ["stream", "stream_partition"]


def test_writer_schema_of_an_unknown_id_says_which(client: RegistryClient) -> None:
    """A record from elsewhere is not mistaken for a registry that is down."""
    with pytest.raises(NotProvisionedError, match="schema id 99 is not in the registry"):
        client.writer_schema(99, "topic-value")


def test_writer_schema_of_another_subject_is_refused(client: RegistryClient) -> None:
    """Anyone may register schemas of their own, and name their ids in a record."""
    client.register("topic-value", COVERAGE)
    foreign_id = client.register("foreign-value", GAP)
    with pytest.raises(NotProvisionedError, match=f"schema id {foreign_id} is not one of subject topic-value"):
        client.writer_schema(foreign_id, "topic-value")
    with pytest.raises(NotProvisionedError, match="is not one of subject unknown-value"):
        client.writer_schema(foreign_id, "unknown-value")


def _record_of(avro_type: object) -> str:
    return json.dumps({"type": "record", "name": "Node", "fields": [{"name": "field", "type": avro_type}]})


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"type": "recor"}',
        '{"type": "record"}',
        '"string"',
        '["null", "string"]',
        _record_of("Node"),
        _record_of({"type": "array", "items": "null"}),
        '{"type": "array", "items": ' * 100_000,
        _record_of({"type": "fixed", "size": 1}),
    ],
    ids=["cut", "unknown", "no fields", "string", "union", "recursive", "array of null", "deep", "no name"],
)
def test_writer_schema_that_is_no_record_to_read_by_is_refused(text: str) -> None:
    """Whatever else lies under an id, it is named, though the registry has it under the right subject."""
    registered = {"schema": text, "subject": "topic-value", "version": 1, "id": 5}
    with (
        _scripted((200, registered)) as (client, _),
        pytest.raises(
            NotProvisionedError, match=r"schema id 5 (cannot be used to read records|is not the schema of a record)"
        ),
    ):
        client.writer_schema(5, "topic-value")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        ((401, {"error_code": 401, "message": "Unauthorized"}), SettingsError, "refuses the credentials: Unauthorized"),
        ((403, b"<html>"), SettingsError, r"forbids this to these credentials: .*HTTP 403"),
        (
            (403, {"error_code": 40301, "message": "User is denied operation Write"}),
            SettingsError,
            "these credentials: User is denied operation Write",
        ),
        (
            (404, {"error_code": 404, "message": "HTTP 404 Not Found"}),
            SettingsError,
            "__URL: no Confluent-compatible API",
        ),
        ((404, {"message": "no such path"}), WrongServerError, "__URL: no Confluent-compatible API at http"),
        ((404, {"error_code": "NR", "message": "no route"}), WrongServerError, "no Confluent-compatible API"),
        ((404, b"<html>"), WrongServerError, "no Confluent-compatible API"),
        ((429, {"error_code": 429, "message": "slow down"}), DependencyUnavailableError, "fails: slow down"),
        ((500, {"error_code": 50001, "message": "store is down"}), DependencyUnavailableError, "fails: store is down"),
        ((503, b""), DependencyUnavailableError, r"fails: .*HTTP 503"),
        ((200, b"<html>"), DependencyUnavailableError, "does not answer"),
    ],
)
def test_error_of_the_registry_says_what_to_do(
    answer: tuple[int, object], kind: type[ConnectorError], message: str
) -> None:
    """Wrong settings are told apart from a registry that is down, and a registry's 404 from that of a proxy."""
    with _scripted(answer) as (client, _), pytest.raises(kind, match=message) as raised:
        client.find("topic-value", GAP)
    assert raised.type is kind


@pytest.mark.parametrize("call", ["find", "register", "compatibility", "set_compatibility", "writer_schema"])
def test_registry_that_is_away_is_unavailable_to_every_call(call: str) -> None:
    """The message names the address that was tried."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        url = f"http://127.0.0.1:{closed.server_port}"
    arguments: dict[str, tuple[object, ...]] = {
        "find": ("s", GAP),
        "register": ("s", GAP),
        "compatibility": ("s",),
        "set_compatibility": ("s",),
        "writer_schema": (1, "s"),
    }
    with (
        RegistryClient(SchemaRegistrySettings(url=url)) as client,
        pytest.raises(DependencyUnavailableError, match=f"{url} does not answer"),
    ):
        getattr(client, call)(*arguments[call])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://255.255.255.255:8081/api", "http://255.255.255.255:8081/api does not answer: "),
        ("http://255.255.255.255/api", "http://255.255.255.255/api does not answer on port 80: "),
        ("https://255.255.255.255", "https://255.255.255.255 does not answer on port 443: "),
    ],
)
def test_registry_that_cannot_be_reached_is_named_with_its_port(url: str, said: str) -> None:
    """Whether the setting has it or not; nothing connects to all hosts of the network."""
    with (
        RegistryClient(SchemaRegistrySettings(url=url)) as client,
        pytest.raises(DependencyUnavailableError) as caught,
    ):
        client.find("topic-value", GAP)
    assert str(caught.value).startswith(f"schema registry {said}")


def test_credentials_are_sent_as_http_basic_and_never_told() -> None:
    """The registry gets them; an error message does not."""
    with _scripted((401, {"message": "no"}), username="u", password="hush:it") as (client, server):
        with pytest.raises(SettingsError) as caught:
            client.find("topic-value", GAP)
        assert server.authorizations == [f"Basic {b64encode(b'u:hush:it').decode()}"]
        assert "hush" not in str(caught.value)


def test_ca_file_that_cannot_be_read_is_a_settings_error(tmp_path: Path) -> None:
    """A wrong path is the operator's to correct."""
    settings = SchemaRegistrySettings(url="https://registry.invalid", ca_file=tmp_path / "none.pem")
    with pytest.raises(SettingsError, match="CONNECTOR_SCHEMA_REGISTRY: cannot be used"):
        RegistryClient(settings)


@pytest.mark.parametrize("address", ["http://me:hush@999.1.1.1:1", "http://me:hush@h:1/\x7f"])
def test_proxy_that_the_client_refuses_is_a_settings_error_without_its_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The client reads it from the environment by itself."""
    monkeypatch.setenv("HTTP_PROXY", address)
    with pytest.raises(SettingsError, match="CONNECTOR_SCHEMA_REGISTRY: cannot be used, or a proxy") as caught:
        RegistryClient(SchemaRegistrySettings(url="http://registry.invalid"))
    assert "hush" not in str(caught.value)
