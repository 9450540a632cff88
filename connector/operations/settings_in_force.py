"""The output of `connector config show`: each setting's value in force and its origin, with secrets masked."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource

from connector.configuration import as_path, describe_settings, read_config
from connector.properties import secret_values
from connector.quoting import without_secrets
from connector.settings import Settings, variable_name

MASK = "***"
"""Shown in place of a secret: reveals neither its length nor a part of it."""


class Origin(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    FILE = "file"
    VARIABLE = "variable"
    SECRET_FILE = "secret file"  # noqa: S105 - a word


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """One setting: `value` is representable in JSON, None if not set; `place` names the file or variable."""

    path: tuple[str, ...]
    value: Any
    origin: Origin
    place: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "setting": ".".join(self.path),
            "variable": variable_name(self.path),
            "value": self.value,
            "origin": self.origin.value,
            "place": self.place,
        }


def settings_in_force(settings: Settings, config_file: Path | None) -> Iterator[SettingInForce]:
    """Yield every setting that `load_settings` returned for this file and the present environment, in order."""
    kind = type(settings)
    given = {
        Origin.VARIABLE: EnvSettingsSource(kind)(),
        Origin.FILE: read_config(kind, config_file),
    }
    for path, _ in describe_settings(Settings):
        value = _at(settings, path)
        secret_file = _at(settings, (*path[:-1], f"{path[-1]}_file"))
        if not value and secret_file is not None:
            yield SettingInForce(path, MASK, Origin.SECRET_FILE, as_path(secret_file))
            continue
        origin = next((origin for origin, values in given.items() if _has(values, path)), Origin.DEFAULT)
        place = {Origin.VARIABLE: _variable(path), Origin.FILE: str(config_file)}.get(origin)
        yield SettingInForce(path, _shown(value), origin, place)


def _at(node: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - a section or a value of any setting
    for name in path:
        node = getattr(node, name, None)
    return node


def _has(values: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    node: Any = values
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True


def _variable(path: tuple[str, ...]) -> str:
    """Return the variable that gives a setting: its own, or that of a section, which holds JSON."""
    given = {name.upper() for name in os.environ}
    names = (variable_name(path[:length]) for length in range(len(path), 0, -1))
    return next((name for name in names if name in given), variable_name(path))


def _shown(value: Any) -> Any:  # noqa: ANN401 - the value of any setting
    match value:
        case SecretStr():
            return MASK if value else None
        case Path():
            return as_path(value)
        case tuple():
            return [_shown(item) for item in value]
        case Mapping():
            secret = {name for name, _ in secret_values(value)}
            return {name: MASK if name in secret else _shown(each) for name, each in value.items()}
        case str():
            return without_secrets(value)
        case BaseModel():
            raise TypeError("a section is no setting")
    return value
