"""Every setting, in one place: names, defaults and limits. Where values come from is in `configuration`."""

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from connector.errors import SettingsError
from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.files import read_small_file
from connector.network import is_plain_http
from connector.properties import (
    Properties,
    check_not_owned,
    check_not_twice,
    check_token_source,
    parse_map,
    read_properties,
    secret_values,
)
from connector.quoting import keep_secret

ENV_PREFIX = "CONNECTOR_"
FORM = "form"
"""Key of the error message for a setting with a `pattern`."""

DUPLICATE_WINDOW_MINUTES = 10

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

_PROTOCOLS = get_args(SecurityProtocol)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
_SECRET_LIMIT_BYTES = 64 * 1024
_MOST_GROUPS = 50


def _split_commas(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class _Section(BaseModel):
    """A group of settings: frozen, and unknown names are errors, so a typing mistake never passes silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True)


class _SecretPair(_Section):
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
        return _is_given(name, vars(self))


def _is_given(secret: str, values: Mapping[str, object]) -> bool:
    return bool(values.get(secret)) or values.get(f"{secret}_file") is not None


class SettingValueError(ValueError):
    """A wrong value in another setting of the section than the one being checked."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


# Cross-checks are made with the last of the settings they concern: pydantic makes them whatever else is wrong, so that
# all problems are found at once.


def _check_not_twice(path: Path | None, info: ValidationInfo) -> Path | None:
    secret = (info.field_name or "").removesuffix("_file")
    if path is not None and info.data.get(secret):
        raise ValueError(f"give {secret} or {secret}_file, not both")
    return path


SecretFile = Annotated[Path | None, AfterValidator(_check_not_twice)]


class XSettings(_SecretPair):
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
    streams: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
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

    transfer_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        ("https://storage.googleapis.com",),
        description=(
            "Origins besides base_url that batch jobs may upload ids to and download results from, comma-separated. "
            "The token never goes there."
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
            raise ValueError("x.base_url is http:// on another machine: use https://, or set this for a test")
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
            _is_given(secret, values) for secret in ("bearer_token", "api_key", "api_key_secret")
        )
        if has_token == (has_key or has_key_secret) or has_key != has_key_secret:
            raise ValueError("give bearer_token (or bearer_token_file), or else both api_key and api_key_secret")
        return path


class SaslSettings(_SecretPair):
    """SASL credentials for Kafka."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="SASL mechanism; OAUTHBEARER takes its details from kafka.properties."
    )
    username: str | None = Field(None, description="SASL user name.")
    password: SecretStr | None = Field(None, description="SASL password.")
    password_file: SecretFile = Field(None, description="File holding the SASL password.")

    @field_validator("password_file")
    @classmethod
    def _check_credentials(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        mechanism, values = info.data.get("mechanism"), {**info.data, "password_file": path}
        if mechanism not in {None, "OAUTHBEARER"} and not (values.get("username") and _is_given("password", values)):
            raise ValueError(f"sasl.username and sasl.password (or password_file) are needed for {mechanism}")
        return path


class TlsSettings(_SecretPair):
    """TLS files for Kafka."""

    ca_file: Path | None = Field(None, description="CA certificates; default: the system's.")
    certificate_file: Path | None = Field(None, description="Client certificate (mTLS).")
    key_file: Path | None = Field(None, description="Client key (mTLS).")
    key_password: SecretStr | None = Field(None, description="Password of the client key.")
    key_password_file: SecretFile = Field(None, description="File holding the password of the client key.")

    @field_validator("key_file")
    @classmethod
    def _check_pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        if (info.data.get("certificate_file") is None) != (key_file is None):
            raise ValueError("certificate_file and key_file go together")
        return key_file


class RetentionSettings(_Section):
    """How long each kind of topic keeps its records; used by `provision`."""

    events_days: int = Field(14, ge=1, description="Days that event topics keep records.")
    profile_days: int = Field(3, ge=1, description="Days for user.profile-modification, which holds personal text.")
    coverage_days: int = Field(30, ge=1, description="Days that the coverage topic keeps records.")
    dead_letter_days: int = Field(30, ge=1, description="Days that the dead-letter topic keeps records.")
    ledger_bytes: int = Field(
        10 * 1024**3,
        ge=256 * 1024**2,
        description="Bytes that each ledger partition keeps; the ledger is never cut by age.",
    )


class KafkaSettings(_Section):
    """How Kafka is reached, and what `provision` creates there."""

    bootstrap_servers: str = Field(
        description="Brokers, comma-separated host:port.",
        pattern=r"[^,\s]",
        json_schema_extra={FORM: "must name a broker"},
    )
    topic_prefix: str = Field(
        "x.compliance",
        description="Prefix of all topics, of the consumer group and of the transactional ids; one per X App.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$",
        json_schema_extra={
            FORM: "must be at most 100 letters, digits, dots and hyphens, the first a letter or a digit"
        },
    )
    security_protocol: SecurityProtocol = Field("PLAINTEXT", description="Listener protocol.")
    sasl: SaslSettings = SaslSettings()
    tls: TlsSettings = TlsSettings()
    properties: Annotated[Properties, NoDecode, BeforeValidator(parse_map), AfterValidator(check_not_owned)] = Field(
        default_factory=dict,
        repr=False,
        description="More librdkafka properties, as a JSON map; those that the connector sets itself are refused.",
    )
    properties_file: Path | None = Field(None, description="File with more of them, as a JSON map; for secret ones.")
    group_instance_id: str | None = Field(
        None,
        description=(
            "Stable id of this replica, such as its pod name; unique among all replicas with this topic prefix. "
            "A restart then costs no rebalance and at once ends a transaction that the replica left open."
        ),
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        json_schema_extra={FORM: "must be 1 to 249 letters, digits, dots, hyphens and underscores"},
    )
    watched_groups: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)] = Field(
        (),
        description=(
            "Consumer groups to watch, comma-separated: how many events each has not processed, and how old they "
            "are. X gives 24 hours to act."
        ),
    )
    headers: bool = Field(default=True, description="CloudEvents headers on event records.")
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        "zstd", description="Compression of record batches; every consumer must support it."
    )
    replication_factor: int = Field(3, ge=1, le=32767, description="Replicas of the topics that provision creates.")
    min_insync_replicas: int = Field(2, ge=1, description="min.insync.replicas of the topics that provision creates.")
    partitions: int = Field(
        6, ge=1, le=10_000, description="Partitions of each event topic; provision creates them, run requires them."
    )
    retention: RetentionSettings = RetentionSettings()

    @property
    def replica_name(self) -> str:
        """The name of this replica everywhere: its `group_instance_id`, or else its host's."""
        return self.group_instance_id or socket.gethostname()

    @field_validator("watched_groups")
    @classmethod
    def _check_groups(cls, groups: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not all(group.strip() for group in groups):
            raise ValueError("the name of a group is empty")
        if twice := sorted({group for group in groups if groups.count(group) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}")
        if (own := f"{info.data.get('topic_prefix')}.connector") in groups:
            raise ValueError(f"{own} is the connector's own group, which processes no event")
        if len(groups) > _MOST_GROUPS:
            raise ValueError(f"at most {_MOST_GROUPS} groups can be watched, not {len(groups)}")
        return groups

    @field_validator("bootstrap_servers")
    @classmethod
    def _check_servers(cls, servers: str) -> str:
        for server in servers.split(","):
            scheme, separator, _ = server.strip().partition("://")
            if separator:
                protocol = scheme.upper() if scheme.upper() in _PROTOCOLS else "the listener's protocol"
                raise ValueError(
                    f"give host:port without {scheme}:// before it, and set kafka.security_protocol to {protocol}"
                    if scheme.isidentifier()
                    else "give host:port alone, without a scheme"
                )
        return servers

    @field_validator("sasl")
    @classmethod
    def _check_mechanism(cls, sasl: SaslSettings, info: ValidationInfo) -> SaslSettings:
        protocol = info.data.get("security_protocol", "")
        if protocol.startswith("SASL") and sasl.mechanism is None:
            raise ValueError(f"sasl.mechanism is needed with security_protocol {protocol}")
        return sasl

    @field_validator("tls")
    @classmethod
    def _check_is_used(cls, tls: TlsSettings, info: ValidationInfo) -> TlsSettings:
        protocol, sasl = info.data.get("security_protocol", ""), info.data.get("sasl")
        if not protocol.endswith("SSL") and any(value is not None for _, value in tls):
            raise SettingValueError("security_protocol", f"{protocol} does not use kafka.tls: set SSL or SASL_SSL")
        if not protocol.startswith("SASL") and sasl is not None and sasl.mechanism is not None:
            raise SettingValueError("security_protocol", f"{protocol} does not use kafka.sasl.mechanism: set SASL_SSL")
        return tls

    @field_validator("min_insync_replicas")
    @classmethod
    def _check_replicas(cls, minimum: int, info: ValidationInfo) -> int:
        if minimum > info.data.get("replication_factor", minimum):
            raise ValueError("must not be larger than replication_factor")
        return minimum

    def all_properties(self) -> Properties:
        """Return `properties` and the present content of `properties_file`.

        From now on the secret ones are hidden in all text that is shown. Raises `SettingsError` if the file cannot be
        read, is not a JSON map, or holds a property that is owned or given twice; and if OAUTHBEARER lacks what it
        needs to get a token.
        """
        given = dict(self.properties)
        if self.properties_file is not None:
            try:
                more = read_properties(self.properties_file)
                check_not_twice(given, more)
            except (OSError, ValueError) as error:
                raise SettingsError([f"{variable_name(('kafka', 'properties_file'))}: {error}"]) from None
            given |= more
        for name, value in secret_values(given):
            keep_secret(f"kafka.properties {name}", value)
        if self.sasl.mechanism == "OAUTHBEARER":
            try:
                check_token_source(given)
            except ValueError as error:
                where = f"{variable_name(('kafka', 'properties'))} or {variable_name(('kafka', 'properties_file'))}"
                raise SettingsError([f"{where}: {error}"]) from None
        return given


class SchemaRegistrySettings(_SecretPair):
    """How the schema registry is reached (Confluent API; Apicurio: `/apis/ccompat/v7`)."""

    url: str = Field(
        description="Base URL of the registry's Confluent-compatible API.",
        pattern=r"^https?://[^@\s]+$",
        json_schema_extra={FORM: "must begin with http:// or https:// and hold no user name"},
    )
    username: str | None = Field(None, description="User name for HTTP Basic.")
    password: SecretStr | None = Field(None, description="Password for HTTP Basic.")
    password_file: SecretFile = Field(None, description="File holding the password.")
    ca_file: Path | None = Field(None, description="CA certificates of the registry.")

    @field_validator("password_file")
    @classmethod
    def _check_credentials(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        values = {**info.data, "password_file": path}
        if bool(values.get("username")) != _is_given("password", values):
            raise ValueError("username and password (or password_file) go together")
        return path


class HttpSettings(_Section):
    """The port of the page at /, and of /metrics, /livez, /readyz and /status."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - scraped from outside the pod
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")


class LogSettings(_Section):
    """What is logged, and how; always to stderr."""

    format: Literal["json", "console"] | None = Field(
        None, description="json or console; default: console on a terminal, else json."
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level shown.")


class PipelineSettings(_Section):
    """How a stream partition is processed."""

    start_deadline_s: float = Field(
        60.0,
        ge=0,
        description="How long `run` waits at start for Kafka, the registry, and missing topics and subjects.",
    )
    commit_interval_ms: int = Field(
        200,
        ge=10,
        le=5000,
        description=(
            "Time between commits; all stream partitions of a process commit together. "
            "An event waits up to this long, and longer while the previous transaction is still being committed."
        ),
    )
    commit_max_events: int = Field(
        5000, ge=500, le=5000, description="Most events of a stream partition in one transaction."
    )
    idle_commit_interval_s: float = Field(
        10.0, ge=1, le=10, description="A partition without events commits its coverage this often."
    )
    channel_limit_bytes: int = Field(
        8 * 1024**2,
        ge=1024**2,
        description="Most bytes that may wait for the committer of a stream partition; then the reader waits.",
    )
    duplicate_window_minutes: int = Field(
        DUPLICATE_WINDOW_MINUTES,
        ge=10,
        le=1440,
        description=(
            "How long a redelivered event is recognised, in minutes of covered time; memory and ledger grow with it."
        ),
    )
    session_timeout_ms: int = Field(
        30_000, ge=6_000, le=120_000, description="A silent replica loses its partitions after this long."
    )


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
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the YAML file."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


class RunSettings(Settings):
    """The settings of `run`, which needs access to X."""

    x: XAccessSettings = Field(default_factory=_EMPTY)


class BatchSettings(Settings):
    """The settings of batch jobs, which need access to X and nothing else."""

    x: XAccessSettings = Field(default_factory=_EMPTY)
    kafka: dict[str, Any] = Field(default_factory=dict, repr=False)  # type: ignore[assignment] # not looked at
    schema_registry: dict[str, Any] = Field(default_factory=dict, repr=False)  # type: ignore[assignment]


def variable_name(path: tuple[str, ...]) -> str:
    """Return the environment variable of the setting at `path`: `("http", "port")` is `CONNECTOR_HTTP__PORT`."""
    return ENV_PREFIX + "__".join(path).upper()
