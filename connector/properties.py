"""librdkafka properties from the operator: which are refused, which are secret, and how a file of them is read."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from connector.files import read_small_file
from connector.quoting import basic_credentials

Properties = dict[str, str | int | float | bool]
"""Values by name."""

_FILE_LIMIT_BYTES = 64 * 1024
_SECRET = re.compile(
    r"(^|\.)(password|passphrase|secret)$|\.key\.pem$"
    r"|^sasl\.(oauthbearer\.(config|extensions)|jaas\.config|kerberos\.kinit\.cmd)$"
)
_OIDC_PAIRS = (
    ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.credentials.client.secret"),
)
"""Pairs that librdkafka sends together, under both of their names."""
_TOKEN_ENDPOINT = "sasl.oauthbearer.token.endpoint.url"  # noqa: S105 - a name
_CLIENT_CREDENTIALS = "client_credentials"
_OWNED_PROPERTIES = frozenset(
    {
        "acks",
        "auto.commit.enable",
        "auto.offset.reset",
        "batch.size",
        "bootstrap.servers",
        "compression.codec",
        "compression.type",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "max.poll.interval.ms",
        "message.max.bytes",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "partitioner",
        "request.required.acks",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "session.timeout.ms",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
_SETTING_OF = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "compression.codec": "kafka.compression",
    "compression.type": "kafka.compression",
    "group.id": "kafka.topic_prefix",
    "group.instance.id": "kafka.group_instance_id",
    "metadata.broker.list": "kafka.bootstrap_servers",
    "sasl.mechanism": "kafka.sasl.mechanism",
    "sasl.mechanisms": "kafka.sasl.mechanism",
    "sasl.password": "kafka.sasl.password",
    "sasl.username": "kafka.sasl.username",
    "security.protocol": "kafka.security_protocol",
    "ssl.ca.location": "kafka.tls.ca_file",
    "ssl.certificate.location": "kafka.tls.certificate_file",
    "ssl.key.location": "kafka.tls.key_file",
    "ssl.key.password": "kafka.tls.key_password",
}
"""The setting to use in place of an owned property, if there is one."""


def parse_map(value: object) -> object:
    """Return a string parsed as JSON, and any other value as it is. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, object_pairs_hook=_without_duplicates)
    except _DuplicateError:
        raise
    except (ValueError, RecursionError):
        raise ValueError("must be a JSON map of librdkafka properties") from None


class _DuplicateError(ValueError):
    """A property is given twice."""


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateError(f"{', '.join(sorted({name for name in names if names.count(name) > 1}))}: given twice")
    return found


def read_properties(path: Path) -> Properties:
    """Return the JSON map in a file. Raises `OSError` and `ValueError`, which do not quote it."""
    content = parse_map(read_small_file(path, _FILE_LIMIT_BYTES).decode())
    if not isinstance(content, dict) or not all(isinstance(value, str | int | float) for value in content.values()):
        raise ValueError("must hold a JSON map of librdkafka properties to texts, numbers, true and false")
    return check_not_owned(content)


def check_not_owned(properties: Properties) -> Properties:
    """Return the properties. Raises `ValueError` for one that a guarantee depends on or that has its own setting."""
    if owned := sorted(_OWNED_PROPERTIES.intersection(properties)):
        settings = [_SETTING_OF[name] for name in owned if name in _SETTING_OF]
        hint = f"; use {', '.join(dict.fromkeys(settings))}" if settings else ""
        raise ValueError(f"{', '.join(owned)} {'is' if len(owned) == 1 else 'are'} set by the connector{hint}")
    return properties


def check_not_twice(given: Mapping[str, object], more: Mapping[str, object]) -> None:
    """Raise `ValueError` for a property that is in both."""
    if twice := sorted(given.keys() & more.keys()):
        raise ValueError(f"{', '.join(twice)}: given in kafka.properties, too")


def check_token_source(properties: Mapping[str, object]) -> None:
    """Raise `ValueError` if OAUTHBEARER has nothing to get a token by: librdkafka would wait for one forever."""

    def given(name: str, default: str = "") -> str:
        return str(properties.get(f"sasl.oauthbearer.{name}", default)).lower()

    metadata = given("metadata.authentication.type", "none")
    if metadata == "aws_iam":
        raise ValueError("OAUTHBEARER with aws_iam is not supported: use SCRAM-SHA-512")
    if given("method", "default") != "oidc":
        if str(properties.get("enable.sasl.oauthbearer.unsecure.jwt", "")).lower() == "true":
            return
        raise ValueError(
            f"OAUTHBEARER has no method to get a token: set sasl.oauthbearer.method to oidc, and {_TOKEN_ENDPOINT}, "
            f"{' and '.join(_OIDC_PAIRS[0])}"
        )
    if metadata != "none" or given("grant.type", _CLIENT_CREDENTIALS) != _CLIENT_CREDENTIALS:
        return  # librdkafka names what these lack
    wanted = ((_TOKEN_ENDPOINT,), *zip(*_OIDC_PAIRS, strict=True))
    if missing := [names[0] for names in wanted if not any(properties.get(name) for name in names)]:
        raise ValueError(f"OAUTHBEARER with the method oidc also needs {', '.join(missing)}")


def secret_values(properties: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield each secret among the properties with its name, in every form in which librdkafka sends it."""
    for name, value in properties.items():
        text = str(value)
        if is_secret(name):
            yield name, text
        elif "@" in text and (password := _password(text)):
            yield name, password
    for id_name, secret_name in _OIDC_PAIRS:
        if id_name in properties and secret_name in properties:
            pair = str(properties[id_name]), str(properties[secret_name])
            yield f"{secret_name} pair", basic_credentials(*pair)
            yield f"{secret_name} encoded pair", basic_credentials(*(quote(text, safe="") for text in pair))


def _password(text: str) -> str | None:
    """Return the password in what may be a URL."""
    try:
        return urlsplit(text).password
    except ValueError:
        return None


def is_secret(name: str) -> bool:
    """Return whether the value of a property is a secret, by its name in librdkafka's CONFIGURATION.md."""
    return _SECRET.search(name) is not None
