"""What is read out of librdkafka's statistics."""

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from connector.kafka.clients import producer_config
from connector.kafka.statistics import ProducerStatistics, read_statistics
from connector.settings import KafkaSettings
from tests.rig.process import free_port, wait_until


def _broker(average_us: int, retries: int, errors: int) -> dict[str, object]:
    return {"rtt": {"min": 1, "avg": average_us}, "txretries": retries, "txerrs": errors, "state": "UP"}


def test_statistics_are_of_the_slowest_broker_and_of_all_requests() -> None:
    """One slow broker holds a transaction up, however fast the others are."""
    told = {
        "name": "p",
        "msg_cnt": 12,
        "msg_size": 3456,
        "brokers": {"a/1": _broker(1500, 1, 0), "b/2": _broker(250_000, 2, 3), "bootstrap": {"txretries": 4}},
    }
    assert read_statistics(json.dumps(told)) == ProducerStatistics(12, 3456, 0.25, 7, 3)


def test_producer_without_brokers_has_made_no_request() -> None:
    """As at its beginning."""
    assert read_statistics("{}") == ProducerStatistics()


@pytest.mark.parametrize("text", ["", "[]", '{"msg_cnt":"many"}'])
def test_what_cannot_be_read_is_nothing(text: str) -> None:
    """Numbers that are missing are no reason to stop a producer."""
    assert read_statistics(text) is None


@pytest.fixture
def told() -> Iterator[list[ProducerStatistics]]:
    """Give what a real producer tells, whose broker is not there, with one record waiting."""
    heard: list[ProducerStatistics] = []
    settings = KafkaSettings(
        bootstrap_servers=f"127.0.0.1:{free_port()}", properties={"statistics.interval.ms": 10, "log_level": 0}
    )
    properties = producer_config(settings, "t", on_statistics=heard.append)
    producer = Producer({name: value for name, value in properties.items() if not name.startswith("transaction")})
    producer.produce("t", b"value")
    wait_until(
        lambda: producer.poll(0.01) >= 0 and any(each.queue_messages for each in heard),
        "the producer tells of itself, and of the record",
    )
    yield heard
    producer.purge()


def test_real_producer_tells_how_it_fares(told: list[ProducerStatistics]) -> None:
    """In the form that is read here."""
    assert (told[-1].queue_messages, told[-1].queue_bytes, told[-1].round_trip_s) == (1, 5, 0.0)
