"""Owns the settings of the connection to the schema registry."""

from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from connector.settings.section import FORM, SecretFile, SecretPair, is_given


class SchemaRegistrySettings(SecretPair):
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
        if bool(values.get("username")) != is_given("password", values):
            raise ValueError("username and password (or password_file) go together")
        return path
