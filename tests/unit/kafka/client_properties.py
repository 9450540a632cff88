"""The properties of all clients that the connector makes of some settings."""

from connector.kafka.clients import (
    ClientProperties,
    admin_config,
    group_consumer_config,
    producer_config,
    reader_config,
)
from connector.settings import KafkaSettings

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="p")


def of_all_clients(settings: KafkaSettings) -> dict[str, ClientProperties]:
    """Return the properties by kind of client."""
    return {
        "admin": admin_config(settings),
        "producer": producer_config(settings, "p.tweet.1"),
        "group consumer": group_consumer_config(settings, 30_000),
        "reader": reader_config(settings),
    }
