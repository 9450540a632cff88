"""The librdkafka properties of every Kafka client the connector makes, and whether librdkafka takes them.

Owns which properties are fixed, which are defaults that `kafka.properties` may override, and why. Must not know what
the clients are used for beyond that.
"""

import logging
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connector.errors import SettingsError
from connector.kafka.statistics import ProducerStatistics, read_statistics
from connector.kafka.topics import MESSAGE_MAX_BYTES, TopicNames
from connector.quoting import shown
from connector.settings import KafkaSettings, variable_name

TRANSACTION_TIMEOUT_MS = 15_000
"""The open transaction of a dead producer hides other producers' records from readers until brokers find it this old.

They look every 10 s (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
"""

RETRY_BACKOFF_MS = 1_500
"""How long a producer waits before it sends a request again, give or take librdkafka's 20 %.

Longer than `SLOW_COMMIT_S`, so that a commit whose request was sent twice is always followed by a new producer.
"""

_MAX_POLL_INTERVAL_MS = 60_000

_LOGGER = logging.getLogger("librdkafka")

_FETCHING = "sasl.oauthbearer."
_SURROGATE = re.compile("[\ud800-\udfff]")

C = TypeVar("C", AdminClient, Consumer, Producer)

CLIENT_ID = "client.id"
_COMMON_DEFAULTS = {CLIENT_ID: "x-compliance-connector"}

# A batch is handed over at once and then flushed by the commit, so lingering costs no time and fills the requests.
_BATCH_BYTES = MESSAGE_MAX_BYTES // 2
_PRODUCER_DEFAULTS = {
    "linger.ms": 50,
    "queue.buffering.max.messages": 60_000,  # 5,000 events of each stream partition, with the connector's own records
    "queue.buffering.max.kbytes": 192 * 1024,
    "statistics.interval.ms": 10_000,
}
_READER_DEFAULTS = {"queued.max.messages.kbytes": 16 * 1024, "fetch.max.bytes": 4 * 1024 * 1024}
"""What is there to read may be any amount, and a fetch holds several times its size once it is decompressed."""


class ClientProperties(dict[str, Any]):
    """Properties to make a client from; they hold secrets, so only the names show in a repr."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(sorted(self))})"


def make(kind: Callable[[ClientProperties], C], properties: ClientProperties) -> C:
    """Make a client. Raises `SettingsError` if librdkafka refuses its properties, alone or together."""
    try:
        return kind(properties)
    except KafkaException as error:
        problem = _without_values(error.args[0].str(), properties)
    except (AttributeError, TypeError) as error:  # a property that the Python client takes as a function or a map
        problem = str(error)
    raise SettingsError([f"{variable_name(('kafka',))}: librdkafka refuses the settings: {shown(problem)}"])


class OwnsConsumer:
    """A context manager that closes the consumer that it made: left open, its threads go on as long as the process."""

    _consumer: Consumer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()


def try_properties(settings: KafkaSettings, session_timeout_ms: int) -> None:
    """Make a client of each kind, which neither connects nor logs, and drop it. Raises `SettingsError` as `make`."""
    make(AdminClient, _silent(admin_config(settings)))
    make(Producer, _silent(producer_config(settings, "never-used")))
    for properties in (group_consumer_config(settings, session_timeout_ms), reader_config(settings)):
        make(Consumer, _silent(properties)).close()


def _silent(properties: ClientProperties) -> ClientProperties:
    given = {
        name: value
        for name, value in properties.items()
        if name != "bootstrap.servers" and not name.startswith(_FETCHING)  # a client fetches a token once it is made
    }
    return ClientProperties(given | {"log_level": 0})


def admin_config(settings: KafkaSettings) -> ClientProperties:
    """Return the properties of an admin client."""
    return _properties(settings, {}, {})


def producer_config(
    settings: KafkaSettings,
    transactional_id: str,
    batch_limit_bytes: int = MESSAGE_MAX_BYTES,
    on_statistics: Callable[[ProducerStatistics], None] = lambda _: None,
) -> ClientProperties:
    """Return the properties of a transactional producer; no batch of several records is over `batch_limit_bytes`.

    `on_statistics` receives the producer's statistics, from within its calls.
    """

    def on_report(text: str) -> None:
        statistics = read_statistics(text)
        if statistics is not None:
            on_statistics(statistics)

    owned = {
        "stats_cb": on_report,
        "batch.size": min(_BATCH_BYTES, batch_limit_bytes // 2),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": settings.compression,
        "retry.backoff.ms": RETRY_BACKOFF_MS,
        "retry.backoff.max.ms": RETRY_BACKOFF_MS,
        "partitioner": "murmur2_random",
        "message.max.bytes": MESSAGE_MAX_BYTES,
    }
    return _properties(settings, _PRODUCER_DEFAULTS, owned)


def recorder_config(settings: KafkaSettings) -> ClientProperties:
    """Return the properties of a producer of a few records outside any transaction."""
    return _properties(settings, {}, {"acks": "all", "enable.idempotence": True, "message.timeout.ms": 10_000})


def group_consumer_config(settings: KafkaSettings, session_timeout_ms: int) -> ClientProperties:
    """Return the properties of the consumer whose assignment says which stream partitions are ours.

    Its client id is the replica's name, so that who describes the group learns it.
    """
    owned = {
        "group.id": TopicNames(settings.topic_prefix).group,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_timeout_ms,
        # librdkafka refuses a poll interval shorter than the session.
        "max.poll.interval.ms": max(_MAX_POLL_INTERVAL_MS, session_timeout_ms),
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "latest",
        "isolation.level": "read_committed",
    }
    if settings.group_instance_id is not None:
        owned["group.instance.id"] = settings.group_instance_id
    return _properties(settings, {CLIENT_ID: settings.replica_name}, owned)


def reader_config(settings: KafkaSettings) -> ClientProperties:
    """Return the properties of a consumer that is given partitions and offsets, joins no group and commits nothing.

    It names the connector's group only because librdkafka insists on one. A lost offset is an error, never a jump.
    """
    owned = {
        "group.id": TopicNames(settings.topic_prefix).group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
    }
    return _properties(settings, _READER_DEFAULTS, owned)


def _properties(settings: KafkaSettings, defaults: dict[str, Any], owned: dict[str, Any]) -> ClientProperties:
    properties = ClientProperties(
        _COMMON_DEFAULTS | defaults | settings.all_properties() | _connection(settings) | owned
    )
    if unfit := [name for name, value in properties.items() if not (_is_whole(name) and _is_whole(value))]:
        names = ", ".join(map(repr, unfit))
        raise SettingsError([f"{variable_name(('kafka',))}: a NUL character, or what is not Unicode, in {names}"])
    return properties


def _is_whole(value: object) -> bool:
    """Return whether librdkafka gets all of a value: it ends texts at a NUL character, and takes them in UTF-8."""
    return not isinstance(value, str) or ("\0" not in value and not _SURROGATE.search(value))


def _without_values(problem: str, properties: ClientProperties) -> str:
    """Return what librdkafka says without the values it quotes, whole or an item of a list: one may be a secret."""
    texts = [value for value in properties.values() if isinstance(value, str)]
    values = {part.strip() for text in texts for part in (text, *text.split(","))} - {""}
    for value in sorted(values, key=len, reverse=True):
        problem = problem.replace(f'"{value}"', '"..."')
    return problem.strip()


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    sasl, tls = settings.sasl, settings.tls
    given = {
        "bootstrap.servers": settings.bootstrap_servers,
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": sasl.mechanism,
        "sasl.username": sasl.username,
        "sasl.password": sasl.secret("password"),
        "ssl.ca.location": tls.ca_file and str(tls.ca_file),
        "ssl.certificate.location": tls.certificate_file and str(tls.certificate_file),
        "ssl.key.location": tls.key_file and str(tls.key_file),
        "ssl.key.password": tls.secret("key_password"),
        "logger": _LOGGER,
    }
    return {name: value for name, value in given.items() if value is not None}
