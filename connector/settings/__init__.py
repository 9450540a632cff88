"""Owns the whole of the settings, one section a module: names, defaults, limits, and what each kind of command needs.

Where values come from is in `configuration`.
"""

from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connector.settings.kafka import KafkaSettings, RetentionSettings, SaslSettings, TlsSettings
from connector.settings.names import ENV_PREFIX, variable_name
from connector.settings.process import DUPLICATE_WINDOW_MINUTES, HttpSettings, LogSettings, PipelineSettings
from connector.settings.registry import SchemaRegistrySettings
from connector.settings.section import FORM, SettingValueError
from connector.settings.x import XAccessSettings, XSettings

__all__ = [
    "DUPLICATE_WINDOW_MINUTES",
    "ENV_PREFIX",
    "FORM",
    "BatchSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "PipelineSettings",
    "RetentionSettings",
    "RunSettings",
    "SaslSettings",
    "SchemaRegistrySettings",
    "SettingValueError",
    "Settings",
    "TlsSettings",
    "XAccessSettings",
    "XSettings",
    "variable_name",
]

_EMPTY: Any = dict
"""A section that was not given is validated as an empty one, so its missing members are named one by one."""


class Settings(BaseSettings):
    """All settings of the connector."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    x: XSettings = Field(default_factory=_EMPTY)
    kafka: KafkaSettings = Field(default_factory=_EMPTY)
    schema_registry: SchemaRegistrySettings = Field(default_factory=_EMPTY)
    http: HttpSettings = Field(default_factory=_EMPTY)
    log: LogSettings = Field(default_factory=_EMPTY)
    pipeline: PipelineSettings = Field(default_factory=_EMPTY)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment; below them `configuration` puts the content of the YAML file."""
        return init_settings, env_settings


class RunSettings(Settings):
    """The settings of `run`, which needs access to X."""

    x: XAccessSettings = Field(default_factory=_EMPTY)


class BatchSettings(Settings):
    """The settings of batch jobs, which need access to X and nothing else."""

    x: XAccessSettings = Field(default_factory=_EMPTY)
    kafka: dict[str, Any] = Field(default_factory=dict, repr=False)  # type: ignore[assignment] # not looked at
    schema_registry: dict[str, Any] = Field(default_factory=dict, repr=False)  # type: ignore[assignment]
