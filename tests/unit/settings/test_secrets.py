"""No secret is ever shown, and one may be given as a file."""

import os
from pathlib import Path
from typing import Any

import pytest

from connector.configuration import describe_settings, load_settings
from connector.errors import SettingsError
from connector.settings import (
    FORM,
    RunSettings,
    SaslSettings,
    SchemaRegistrySettings,
    TlsSettings,
    XSettings,
    variable_name,
)
from tests.unit.settings.given import found_problems, set_variables

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


def test_no_secret_is_shown_by_any_form_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as text nor as JSON, of the whole or of a part; but each can be had."""
    set_variables(monkeypatch, _SECRETS)
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
    set_variables(monkeypatch, _SECRETS, {"CONNECTOR_KAFKA__PARTITIONS": "0", "CONNECTOR_X__API_KEY": "hush-key"})
    assert len(found_problems()) == 2


def test_settings_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked stays so."""
    set_variables(monkeypatch)
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
