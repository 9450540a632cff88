"""Owns the settings of the connection to X: streams, access, limits, and where batch jobs may transfer."""

import re
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.network import is_plain_http
from connector.settings.section import FORM, CommaSeparated, SecretFile, SecretPair, SettingValueError, is_given

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


class XSettings(SecretPair):
    """How X is reached."""

    base_url: str = Field(
        "https://api.x.com",
        description="X's API host.",
        pattern=r"^https?://[^/?#@\s]+$",
        json_schema_extra={FORM: "must begin with https:// or http:// and hold a host alone: no path, no user name"},
    )
    api_key: SecretStr | None = Field(None, description="API key, exchanged for a bearer token.")
    api_key_file: SecretFile = Field(None, description="File holding the API key.")
    api_key_secret: SecretStr | None = Field(None, description="API key secret, exchanged for a bearer token.")
    api_key_secret_file: SecretFile = Field(None, description="File holding the API key secret.")
    bearer_token: SecretStr | None = Field(None, description="App-only bearer token of the X App.")
    bearer_token_file: SecretFile = Field(None, description="File holding the bearer token.")
    streams: CommaSeparated = Field(
        ("tweet", "user"), description="Streams to read, comma-separated: tweet, user, like, label."
    )
    allow_plain_http: bool = Field(
        default=False,
        validate_default=True,
        description="Accept a base_url with http:// on another machine: the token crosses the network unencrypted.",
    )
    gzip: bool = Field(default=True, description="Ask X for gzip compression.")
    ca_file: Path | None = Field(None, description="CA certificates for X, when a proxy re-signs TLS.")
    connect_timeout_s: float = Field(10.0, gt=0, le=60, description="Limit for TCP and TLS set-up, in seconds.")
    silence_timeout_s: float = Field(
        25.0, gt=21, le=300, description="A connection without a byte for this long is closed; X sends one every 20 s."
    )
    gather_interval_ms: int = Field(
        20,
        ge=0,
        le=1000,
        description=(
            "Pause after a read of less than 16 KiB, so that the next one returns more: "
            "fewer wake-ups for that much delay."
        ),
    )
    max_replays: int = Field(2, ge=1, le=10, description="Stream partitions that may catch up at the same time.")
    line_limit_bytes: int = Field(
        512 * 1024, ge=1024, le=1024 * 1024, description="A longer line goes to the dead letters, cut to this length."
    )

    transfer_origins: CommaSeparated = Field(
        ("https://storage.googleapis.com",),
        description=(
            "Origins, apart from base_url, that batch jobs may upload ids to and download results from, "
            "comma-separated. The token never goes there."
        ),
    )

    @field_validator("transfer_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [origin for origin in origins if not _ORIGIN.fullmatch(origin) or is_plain_http(origin)]:
            raise ValueError(f"{', '.join(wrong)}: not an origin, such as https://storage.googleapis.com")
        return origins

    @field_validator("allow_plain_http")
    @classmethod
    def _check_encryption(cls, allow_plain_http: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - of pydantic
        base_url = info.data.get("base_url", "")
        if not allow_plain_http and is_plain_http(base_url):
            raise SettingValueError(
                "base_url", "is http:// on another machine: use https://, or set x.allow_plain_http for a test"
            )
        return allow_plain_http

    @field_validator("streams")
    @classmethod
    def _check_streams(cls, streams: tuple[str, ...]) -> tuple[str, ...]:
        if not streams:
            raise ValueError(f"name at least one of {', '.join(STREAMS)}")
        if unknown := [name for name in streams if name not in STREAMS]:
            raise ValueError(f"unknown stream {', '.join(unknown)}; known are {', '.join(STREAMS)}")
        return streams

    @property
    def stream_partitions(self) -> tuple[StreamPartition, ...]:
        """The stream partitions of the chosen streams."""
        return tuple(partition for partition in STREAM_PARTITIONS if partition.stream in self.streams)


class XAccessSettings(XSettings):
    """How X is reached, by a command that needs a token."""

    @field_validator("bearer_token_file")
    @classmethod
    def _check_access(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        values = {**info.data, "bearer_token_file": path}
        has_token, has_key, has_key_secret = (
            is_given(secret, values) for secret in ("bearer_token", "api_key", "api_key_secret")
        )
        if has_key != has_key_secret and not has_token:
            missing, given = ("api_key_secret", "api_key") if has_key else ("api_key", "api_key_secret")
            raise SettingValueError(missing, f"is required with {given}")
        if has_token == (has_key or has_key_secret):
            raise ValueError("give bearer_token (or bearer_token_file), or else both api_key and api_key_secret")
        return path
