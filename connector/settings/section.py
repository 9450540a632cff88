"""Owns what all sections of settings are made of: frozen groups, secrets from values or files, lists, errors.

Knows no setting. Cross-checks are made with the last of the settings they concern: pydantic makes them whatever else is
wrong, so that all problems are found at once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

from connector.errors import SettingsError
from connector.files import read_small_file
from connector.quoting import keep_secret

FORM = "form"
"""Key of the error message for a setting with a `pattern`."""

_SECRET_LIMIT_BYTES = 64 * 1024


class SettingValueError(ValueError):
    """A wrong value in another setting of the section than the one being checked; `setting` may be `section.name`."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]
"""Strings, given as a list or as one string with commas."""


def _check_not_twice(path: Path | None, info: ValidationInfo) -> Path | None:
    secret = (info.field_name or "").removesuffix("_file")
    if path is not None and info.data.get(secret):
        raise ValueError(f"give {secret} or {secret}_file, not both")
    return path


SecretFile = Annotated[Path | None, AfterValidator(_check_not_twice)]
"""The `…_file` twin of a secret: a file to read it from, unless it is given as a value."""


class Section(BaseModel):
    """A group of settings: frozen, and unknown names are errors, so a typing mistake never passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


class SecretPair(Section):
    """A group with secrets, each of which may be given as a value or, under its `…_file` twin, as a file."""

    def secret(self, name: str) -> str | None:
        """Return the secret `name`, from its value or its file's content as of now, without the last line break.

        From now on it is hidden in all text that is shown. Raises `SettingsError` if the file cannot be read, is not a
        regular file or holds more than 64 KiB.
        """
        given = self._given(name)
        if given is not None:
            keep_secret(f"{type(self).__name__}.{name}", given.strip())
        return given

    def _given(self, name: str) -> str | None:
        value: SecretStr | None = getattr(self, name)
        if value:
            return value.get_secret_value()
        path: Path | None = getattr(self, f"{name}_file")
        if path is None:
            return None
        try:
            return read_small_file(path, _SECRET_LIMIT_BYTES).decode().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise SettingsError([f"{name}_file: cannot be read: {error}"]) from None

    def has_secret(self, name: str) -> bool:
        """Return whether the secret `name` was given at all; an empty value counts as absent."""
        return is_given(name, vars(self))


def is_given(secret: str, values: Mapping[str, object]) -> bool:
    """Return whether `values` have the secret `secret`, as a value or a file; an empty value counts as absent."""
    return bool(values.get(secret)) or values.get(f"{secret}_file") is not None
