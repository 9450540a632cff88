"""Owns how tests give settings, and how they learn what is wrong with them."""

import os
import traceback
from pathlib import Path

import pytest

from connector.configuration import load_settings
from connector.errors import SettingsError
from connector.settings import (
    RunSettings,
    Settings,
)

NEEDED = {
    "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
    "CONNECTOR_SCHEMA_REGISTRY__URL": "http://registry:8081",
    "CONNECTOR_X__BEARER_TOKEN": "hush-token",
}


def set_variables(monkeypatch: pytest.MonkeyPatch, *more: dict[str, str]) -> None:
    """Set what is needed, and more."""
    for name, value in {key: value for part in (NEEDED, *more) for key, value in part.items()}.items():
        monkeypatch.setenv(name, value)


def found_problems(kind: type[Settings] = RunSettings, config: Path | None = None) -> list[str]:
    """Return what is wrong with the settings; none of it may show a secret, all of which begin with `hush`."""
    with pytest.raises(SettingsError) as caught:
        load_settings(kind, config)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    assert "hush" not in shown
    assert caught.value.exit_code == os.EX_CONFIG
    return caught.value.problems


def yaml_file(tmp_path: Path, text: str) -> Path:
    """Write a file of settings."""
    path = tmp_path / "connector.yaml"
    path.write_text(text, encoding="utf-8")
    return path
