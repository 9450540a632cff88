"""The schema registry, spoken to in Confluent's API. Asked at start, by commands and for metrics, never for an event.

Owns the mapping of the client's errors to ours. Must not know topics or what a schema describes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from fastavro import parse_schema

from connector.errors import (
    ConnectorError,
    DependencyUnavailableError,
    NotProvisionedError,
    SettingsError,
    WrongServerError,
)
from connector.events.foreign_schema import check_decodable
from connector.events.schemas import AvroSchema
from connector.quoting import basic_credentials, keep_secret, shown
from connector.settings import SchemaRegistrySettings, variable_name

COMPATIBILITY = "FULL_TRANSITIVE"
"""Every version of a schema can read, and be read by, every other version."""

_SECTION = variable_name(("schema_registry",))
_TIMEOUT_S = 5
_NOT_FOUND = frozenset({40401, 40402, 40403, 40408})  # subject, version, schema; subject without its own level
_NOT_PERMITTED = 42205  # Confluent's and Redpanda's, of a write in any other mode; Apicurio's is a plain 409
_WRITABLE = "READWRITE"
_REFUSED_WRITE = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})


class RegistryClient:
    """A registry. Every method raises `DependencyUnavailableError` when it does not answer.

    Raises `SettingsError`, from any method, when the address or the credentials are wrong; `WrongServerError` when what
    answers is no registry.
    """

    def __init__(self, settings: SchemaRegistrySettings) -> None:
        self._url = settings.url
        config: dict[str, Any] = {
            "url": settings.url,
            "timeout": _TIMEOUT_S,
            "max.retries": 0,
        }
        if settings.username is not None:
            password = settings.secret("password") or ""
            config["basic.auth.user.info"] = f"{settings.username}:{password}"
            keep_secret("registry pair", basic_credentials(settings.username, password))
        if settings.ca_file is not None:
            config["ssl.ca.location"] = str(settings.ca_file)
        try:
            self._client = SchemaRegistryClient(config)
        except (OSError, ValueError) as error:
            raise SettingsError([f"{_SECTION}: cannot be used: {error}"]) from None
        # The client lets its HTTP library's own exceptions through; their words may hold a password of a proxy's.
        except Exception as error:  # noqa: BLE001 - which of two libraries it is depends on the machine
            raise SettingsError(
                [f"{_SECTION}: cannot be used, or a proxy in the environment cannot: {type(error).__name__}"]
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def find(self, subject: str, schema: AvroSchema) -> int | None:
        """Return the id of exactly this schema under `subject`, or None."""
        with self._errors():
            return self._find(subject, _as_registered(schema))

    def _find(self, subject: str, schema: Schema) -> int | None:
        try:
            return self._client.lookup_schema(subject, schema).schema_id
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                return None
            raise

    def register(self, subject: str, schema: AvroSchema) -> int:
        """Register `schema` under `subject` and return its id.

        Raises `NotProvisionedError` when the registry refuses it, as incompatible with what is there for example, or
        accepts nothing new.
        """
        with self._errors():
            try:
                return self._client.register_schema(subject, _as_registered(schema))
            except SchemaRegistryError as error:
                if error.http_status_code in _REFUSED_WRITE:
                    if (registered_by_another := self.find(subject, schema)) is not None:
                        return registered_by_another
                    self._check_writable(subject, error)
                    raise NotProvisionedError(
                        f"subject {subject}: the registry refuses the schema {schema.name}: {self._said(error)}"
                    ) from error
                raise

    def compatibility(self, subject: str) -> str | None:
        """Return the compatibility level that `subject` itself has, or None."""
        with self._errors():
            try:
                return self._client.get_compatibility(subject)
            except SchemaRegistryError as error:
                if error.error_code in _NOT_FOUND:
                    return None
                raise

    def set_compatibility(self, subject: str) -> bool:
        """Give `subject` the level `COMPATIBILITY`; False when it must be tried again once the subject has a schema.

        Raises `NotProvisionedError` when the registry accepts nothing new.
        """
        with self._errors():
            try:
                self._client.set_compatibility(subject, COMPATIBILITY)
            except SchemaRegistryError as error:
                if error.error_code in _NOT_FOUND:
                    return False
                if error.http_status_code in _REFUSED_WRITE:
                    if self.compatibility(subject) == COMPATIBILITY:  # set by another at the same moment
                        return True
                    self._check_writable(subject, error)
                    if error.http_status_code == HTTPStatus.CONFLICT:
                        return False
                raise
            return True

    def writer_schema(self, schema_id: int, subject: str) -> dict[str, Any]:
        """Return the schema with this id, which `subject` has, parsed by fastavro.

        Anyone who may write to a topic chooses the id in a record, so what comes of it passes here. Raises
        `NotProvisionedError` when there is none, when it is a schema of other subjects alone, and when it is no Avro
        record or one that a decoder must not follow.
        """
        with self._errors():
            try:
                schema = self._client.get_schema(schema_id)
            except SchemaRegistryError as error:
                if error.error_code in _NOT_FOUND:
                    raise NotProvisionedError(f"schema id {schema_id} is not in the registry {self._url}") from error
                raise
            if self._find(subject, schema) is None:
                raise NotProvisionedError(f"schema id {schema_id} is not one of subject {subject}")
        return _parse(schema_id, schema.schema_str)

    def _check_writable(self, subject: str, refusal: SchemaRegistryError) -> None:
        """Raise `NotProvisionedError` if a write was refused because of the registry's mode."""
        mode = self._mode(subject)
        if refusal.error_code != _NOT_PERMITTED and mode in {None, _WRITABLE}:
            return
        reason = f"its mode is {shown(mode)}" if mode not in {None, _WRITABLE} else "by its mode"
        raise NotProvisionedError(
            f"subject {subject}: the registry accepts nothing new, {reason}: {self._said(refusal)}",
            f"Make it {_WRITABLE} (PUT {self._url}/mode, in Apicurio by its configuration) while this command runs, or "
            f"set {variable_name(('schema_registry', 'url'))} to the registry that this one is a copy of",
        ) from refusal

    def _mode(self, subject: str) -> str | None:
        """Return the mode of `subject`, or else of the whole registry; None if it knows no modes."""
        for ask in (partial(self._client.get_mode, subject), self._client.get_global_mode):
            with suppress(SchemaRegistryError, KeyError, TypeError):
                return ask()
        return None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ConnectorError:
            raise
        except SchemaRegistryError as error:
            raise self._explain(error) from error
        # The client lets the exceptions of its HTTP library through, and which of two that is depends on the machine.
        except Exception as error:
            raise DependencyUnavailableError(
                f"schema registry {self._url} does not answer{_default_port(self._url)}: "
                f"{shown(str(error)) or type(error).__name__}"
            ) from error

    def _said(self, error: SchemaRegistryError) -> str:
        return shown(str(error.error_message or "")) or "no reason given"

    def _explain(self, error: SchemaRegistryError) -> ConnectorError:
        said = f"{self._said(error)} (HTTP {error.http_status_code})"
        if error.http_status_code == HTTPStatus.UNAUTHORIZED:
            return SettingsError([f"{_SECTION}: {self._url} refuses the credentials: {said}"])
        if error.http_status_code == HTTPStatus.FORBIDDEN:
            return SettingsError([f"{_SECTION}: {self._url} forbids this to these credentials: {said}"])
        if (
            error.error_code in _NOT_FOUND
        ):  # of a write: Karapace says so of a subject that these credentials may not use
            return NotProvisionedError(f"schema registry {self._url}: {said}; or the right to this subject is missing")
        if error.http_status_code == HTTPStatus.NOT_FOUND:
            kind = SettingsError if _is_of_a_registry(error) else WrongServerError
            return kind([f"{_SECTION}__URL: no Confluent-compatible API at {self._url}: {said}"])
        return DependencyUnavailableError(f"schema registry {self._url} fails: {said}")


def _is_of_a_registry(error: SchemaRegistryError) -> bool:
    """Return whether the body was one of a registry's: the client has -1 or None in place of a code otherwise."""
    return str(error.error_code).isdigit()


def _default_port(url: str) -> str:
    """Return on which port a registry is looked for whose URL has none; nothing for one that has."""
    try:
        parts = urlsplit(url)
        is_given = parts.port is not None
    except ValueError:
        return ""
    return "" if is_given else f" on port {443 if parts.scheme == 'https' else 80}"


def _parse(schema_id: int, text: str | None) -> dict[str, Any]:
    try:
        declared = json.loads(text or "")
        check_decodable(declared)
        parsed = parse_schema(declared)
    except Exception as error:  # a schema of others: fastavro raises whatever its content leads to
        raise NotProvisionedError(
            f"schema id {schema_id} cannot be used to read records: {shown(str(error))}"
        ) from error
    if not isinstance(parsed, dict):
        raise NotProvisionedError(f"schema id {schema_id} is not the schema of a record")
    return parsed


def _as_registered(schema: AvroSchema) -> Schema:
    return Schema(schema.text, "AVRO")
