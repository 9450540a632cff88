"""The output of `connector config show`: each setting's value in force and its origin, with secrets masked."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, SecretStr, ValidationError, ValidationInfo, create_model, field_validator
from pydantic_settings import EnvSettingsSource
from pydantic_settings import SettingsError as PydanticSettingsError

from connector.configuration import SettingPath, as_path, describe_settings, read_settings, with_content
from connector.properties import secret_values
from connector.quoting import without_secrets
from connector.settings import Settings, variable_name

M = TypeVar("M", bound=BaseModel)

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

    path: SettingPath
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


def settings_in_force(kind: type[Settings], config_file: Path | None) -> tuple[list[SettingInForce], list[str]]:
    """Return the settings that this file and the present environment give, in order, and what is wrong.

    Without those that are wrong, or that are in a section that is.
    """
    reading = read_settings(kind, config_file)
    values = _right_ones(kind, reading.content) if reading.settings is None else _all_of(reading.settings)
    for path in reading.wrong:
        values.pop(path, None)
        if not values.get(secret := _secret_of(path)):
            values.pop(secret, None)
    given = {Origin.VARIABLE: _from_variables(kind), Origin.FILE: reading.content}
    return [*_described(values, given, config_file)], reading.problems


def _all_of(settings: Settings) -> dict[SettingPath, Any]:
    return {path: _at(settings, path) for path, _ in describe_settings(Settings)}


def _right_ones(kind: type[Settings], content: Mapping[str, Any]) -> dict[SettingPath, Any]:
    """Return what is right by itself of settings that cannot be made as a whole."""
    values: dict[SettingPath, Any] = {}
    with suppress(ValidationError, PydanticSettingsError, RecursionError):
        with_content(_noting(kind, values), content)()
    return values


def _noting(model: type[M], values: dict[SettingPath, Any], path: SettingPath = ()) -> type[M]:
    """Return a kind of `model` that puts each value into `values` once it is found right."""

    def note(_: object, value: object, validate: Callable[[object], object], info: ValidationInfo) -> object:
        right = validate(value)
        values[(*path, info.field_name or "")] = right
        return right

    sections: dict[str, Any] = {
        name: (_noting(field.annotation, values, (*path, name)), Field(default_factory=dict))
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    validators: dict[str, Any] = {"note": field_validator("*", mode="wrap")(classmethod(note))}
    return create_model(model.__name__, __base__=model, __validators__=validators, **sections)


def _from_variables(kind: type[Settings]) -> Mapping[str, Any]:
    try:
        return EnvSettingsSource(kind)()
    except PydanticSettingsError:  # then no value was found right
        return {}


def _secret_of(path: SettingPath) -> SettingPath:
    """Return the path of the secret that a file is for."""
    return *path[:-1], path[-1].removesuffix("_file")


def _described(
    values: Mapping[SettingPath, Any], given: Mapping[Origin, Mapping[str, Any]], config_file: Path | None
) -> Iterator[SettingInForce]:
    for path, _ in describe_settings(Settings):
        if path not in values:
            continue
        value, secret_file = values[path], values.get((*path[:-1], f"{path[-1]}_file"))
        if not value and secret_file is not None:
            yield SettingInForce(path, MASK, Origin.SECRET_FILE, as_path(secret_file))
            continue
        origin = next((origin for origin, sources in given.items() if _has(sources, path)), Origin.DEFAULT)
        place = {Origin.VARIABLE: _variable(path), Origin.FILE: str(config_file)}.get(origin)
        yield SettingInForce(path, _shown(value), origin, place)


def _at(node: Any, path: SettingPath) -> Any:  # noqa: ANN401 - a section or a value of any setting
    for name in path:
        node = getattr(node, name, None)
    return node


def _has(values: Mapping[str, Any], path: SettingPath) -> bool:
    node: Any = values
    for name in path:
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return True


def _variable(path: SettingPath) -> str:
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
