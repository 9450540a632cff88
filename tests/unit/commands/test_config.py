"""`connector config`: what it shows of the settings in force, and that its example is one."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connector import cli
from connector.configuration import describe_settings, load_settings
from connector.errors import SettingsError
from connector.settings import RunSettings, Settings

_HUSH = "hush"
_GIVEN = {
    "CONNECTOR_X__BEARER_TOKEN": f"{_HUSH}-token",
    "CONNECTOR_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "CONNECTOR_KAFKA__SASL": json.dumps({"mechanism": "PLAIN", "username": "me"}),
    "CONNECTOR_KAFKA__PROPERTIES": json.dumps(
        {
            "client.rack": "a",
            "ssl.keystore.password": f"{_HUSH}-keystore",
            "sasl.oauthbearer.config": f"scope={_HUSH}",
            "sasl.oauthbearer.token.endpoint.url": f"https://me:{_HUSH}-url@idp/token",
        }
    ),
    "CONNECTOR_SCHEMA_REGISTRY__USERNAME": "me",
    "CONNECTOR_SCHEMA_REGISTRY__PASSWORD": f"{_HUSH}-registry",
}


@pytest.fixture(autouse=True)
def _no_variables_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("CONNECTOR_"):
            monkeypatch.delenv(name)


@pytest.fixture(name="file")
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a settings file, and more in the environment."""
    password = tmp_path / "password"
    password.write_text(f"{_HUSH}-sasl\n", encoding="utf-8")
    path = tmp_path / "connector.yaml"
    path.write_text(
        f"kafka:\n  bootstrap_servers: broker:9092\n  headers: false\n  sasl: {{password_file: {password}}}\n"
        "x: {bearer_token: hush-overridden}\nschema_registry: {url: http://registry}\n",
        encoding="utf-8",
    )
    for name, value in _GIVEN.items():
        monkeypatch.setenv(name, value)
    return path


def _printed(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["config", *arguments])
    assert result.exit_code == exit_code, result.output
    return result.stdout


def _as_json(file: Path) -> dict[str, dict[str, Any]]:
    shown = json.loads(_printed("show", "--config", str(file), "--output", "json"))
    return {each["setting"]: each for each in shown}


def test_show_says_of_each_setting_where_it_comes_from(file: Path) -> None:
    """A default, the file, its own variable or that of its section, and a file that holds a secret."""
    shown = _as_json(file)
    assert list(shown) == [".".join(path) for path, _ in describe_settings(Settings)]
    found = {name: (each["value"], each["origin"], each["place"]) for name, each in shown.items()}
    password = str(file.parent / "password")
    assert found["http.port"] == (8080, "default", None)
    assert found["kafka.headers"] == (False, "file", str(file))
    assert found["kafka.security_protocol"] == ("SASL_SSL", "variable", "CONNECTOR_KAFKA__SECURITY_PROTOCOL")
    assert found["kafka.sasl.mechanism"] == ("PLAIN", "variable", "CONNECTOR_KAFKA__SASL")
    assert found["kafka.sasl.password_file"] == (password, "file", str(file))
    assert found["kafka.sasl.password"] == ("***", "secret file", password)
    assert found["x.bearer_token"] == ("***", "variable", "CONNECTOR_X__BEARER_TOKEN")
    assert found["x.api_key"] == (None, "default", None)


def test_show_masks_what_is_secret(file: Path) -> None:
    """Whole, in both forms: also properties that are, or a password in one that is not."""
    for output in ("table", "json"):
        assert _HUSH not in _printed("show", "--config", str(file), "--output", output)
    assert _as_json(file)["kafka.properties"]["value"] == {
        "client.rack": "a",
        "ssl.keystore.password": "***",
        "sasl.oauthbearer.config": "***",
        "sasl.oauthbearer.token.endpoint.url": "***",
    }


def test_show_prints_one_setting_a_line(file: Path) -> None:
    """Its name, value and origin."""
    lines = {line.split()[0]: line.split()[1:] for line in _printed("show", "--config", str(file)).splitlines()}
    assert len(lines) == 1 + len(list(describe_settings(Settings)))
    assert lines["x.bearer_token"] == ["***", "variable", "CONNECTOR_X__BEARER_TOKEN"]
    assert lines["log.format"] == ["not", "set", "default"]


def test_show_shows_what_is_right_beside_what_is_wrong(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own and by that of others: a setting that is wrong, missing or whose file is, and no secret."""
    for name, value in {
        "HTTP__PORT": f"{_HUSH}-port",
        "KAFKA__SASL__PASSWORD": f"{_HUSH}-twice",
        "KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA__TLS__CA_FILE": "/ca.pem",
        "X__STREAMS": "tweet,tweeets",
        "X__API_KEY": f"{_HUSH}-key",
        "LOG__LEVEL": "debug",
    }.items():
        monkeypatch.setenv(f"CONNECTOR_{name}", value)
    file.write_text(file.read_text(encoding="utf-8").replace("url: http://registry", ""), encoding="utf-8")
    for output in ("table", "json"):
        result = CliRunner().invoke(cli.app, ["config", "show", "--config", str(file), "--output", output])
        assert _HUSH not in result.output + str(result.exception)
    assert isinstance(result.exception, SettingsError)
    assert [problem.split()[0] for problem in result.exception.problems] == [
        "CONNECTOR_X__STREAMS:",
        "CONNECTOR_KAFKA__SASL__PASSWORD_FILE:",
        "CONNECTOR_KAFKA__SECURITY_PROTOCOL:",
        "CONNECTOR_SCHEMA_REGISTRY__URL:",
        "CONNECTOR_HTTP__PORT:",
    ]
    shown = {each["setting"]: (each["value"], each["origin"]) for each in json.loads(result.stdout)}
    wrong = {"x.streams", "kafka.sasl.password_file", "kafka.security_protocol", "schema_registry.url", "http.port"}
    assert {".".join(path) for path, _ in describe_settings(Settings)} - shown.keys() == wrong
    assert shown["log.level"] == ("debug", "variable")
    assert shown["log.format"] == (None, "default")
    assert shown["kafka.headers"] == (False, "file")
    assert shown["kafka.sasl.username"] == ("me", "variable")
    assert shown["kafka.sasl.password"] == ("***", "variable")
    assert shown["x.api_key"] == ("***", "variable")
    assert shown["kafka.properties"][0]["ssl.keystore.password"] == "***"
    assert shown["kafka.tls.ca_file"] == ("/ca.pem", "variable")
    assert shown["schema_registry.username"] == ("me", "variable")


def test_show_shows_neither_a_file_that_is_not_there_nor_its_secret(file: Path) -> None:
    """Whether the secret would be right is not known."""
    (file.parent / "password").unlink()
    result = CliRunner().invoke(cli.app, ["config", "show", "--config", str(file), "--output", "json"])
    assert isinstance(result.exception, SettingsError)
    missing = {".".join(path) for path, _ in describe_settings(Settings)}
    missing -= {each["setting"] for each in json.loads(result.stdout)}
    assert missing == {"kafka.sasl.password", "kafka.sasl.password_file"}


@pytest.mark.parametrize("text", ["x: [", "kafka: hush\n"])
def test_show_of_a_file_that_says_nothing_shows_the_problem_alone(tmp_path: Path, text: str) -> None:
    """Nothing is known of what is in force."""
    file = tmp_path / "connector.yaml"
    file.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(cli.app, ["config", "show", "--config", str(file)])
    assert isinstance(result.exception, SettingsError)


def _example(token: Path) -> str:
    """Return the example, with another file for the token."""
    return _printed("example").replace("/run/secrets/x-token", str(token))


def test_check_accepts_the_example_once_the_token_is_there(tmp_path: Path) -> None:
    """Until then it names the file that is missing; all else that is left out is a default."""
    token, example = tmp_path / "token", tmp_path / "example.yaml"
    example.write_text(_example(token), encoding="utf-8")
    result = CliRunner().invoke(cli.app, ["check", "--config", str(example)])
    assert isinstance(result.exception, SettingsError)
    assert result.exception.problems == [f"{example}: x.bearer_token_file: {token}: no such file"]
    token.write_text("t", encoding="utf-8")
    result = CliRunner().invoke(cli.app, ["check", "--config", str(example)])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "ok: settings")


def test_example_holds_every_setting_and_each_line_can_be_used(tmp_path: Path) -> None:
    """With every comment sign removed it says the same, and names each setting with what it means."""
    token = tmp_path / "token"
    token.write_text("t", encoding="utf-8")
    text = _example(token)
    for path, field in describe_settings(RunSettings):
        assert re.search(rf"(?m)^ *#+ {re.escape(field.description or '')}.*\n#? *{path[-1]}:", text), path
    whole, given = tmp_path / "whole.yaml", tmp_path / "given.yaml"
    given.write_text(text, encoding="utf-8")
    whole.write_text(re.sub(r"(?m)^#(?!#)", "", text), encoding="utf-8")
    assert whole.read_text(encoding="utf-8").count("\n#") < text.count("\n#")
    assert load_settings(RunSettings, whole).model_dump() == load_settings(RunSettings, given).model_dump()
