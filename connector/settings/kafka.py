"""Owns the settings of the connection to Kafka, of the topics there, and of the consumer groups that are watched."""

import socket
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from connector.errors import SettingsError
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
from connector.settings.names import variable_name
from connector.settings.section import (
    FORM,
    CommaSeparated,
    SecretFile,
    SecretPair,
    Section,
    SettingValueError,
    is_given,
)

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

_PROTOCOLS = get_args(SecurityProtocol)
_MOST_GROUPS = 50


class SaslSettings(SecretPair):
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
        if mechanism not in {None, "OAUTHBEARER"} and not (values.get("username") and is_given("password", values)):
            raise ValueError(f"sasl.username and sasl.password (or password_file) are needed for {mechanism}")
        return path


class TlsSettings(SecretPair):
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


class RetentionSettings(Section):
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


class KafkaSettings(Section):
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
    watched_groups: CommaSeparated = Field(
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
            if len(server.split()) > 1:
                raise ValueError("separate brokers by commas")
        return servers

    @field_validator("sasl")
    @classmethod
    def _check_mechanism(cls, sasl: SaslSettings, info: ValidationInfo) -> SaslSettings:
        protocol = info.data.get("security_protocol", "")
        if protocol.startswith("SASL") and sasl.mechanism is None:
            raise SettingValueError("sasl.mechanism", f"is required with security_protocol {protocol}")
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
