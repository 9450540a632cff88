"""Parts of a ledger partition on real Kafka: its ends, and the entry from which a time range is read."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from secrets import token_hex

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connector.errors import NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.schemas import LEDGER
from connector.events.times import US_PER_S
from connector.kafka.ledger import LedgerEntry, first_entry
from connector.kafka.ledger_decoding import decode_shipped
from connector.kafka.ledger_log import LedgerLog
from connector.settings import KafkaSettings, Settings
from tests.rig.service import make_config, provisioned
from tests.rig.session import Kafka, SchemaRegistry

_PARTITION = StreamPartition("user", 2)
_OTHER = StreamPartition("user", 3)
_ENTRIES = 300
_FUTURE_US = 4_102_444_800 * US_PER_S
"""Kafka dates no entry anywhere near what these cover, in the year 2100."""
_TIMEOUT_S = 20.0


def _entry(number: int) -> LedgerEntry:
    """Return an entry that covers one more second."""
    first = first_entry(_PARTITION, "w", _FUTURE_US)
    before_us = _FUTURE_US + max(0, number - 1) * US_PER_S
    until_us = _FUTURE_US + number * US_PER_S
    return replace(first, entry=number, covered_until_before_us=before_us, covered_until_us=until_us)


@pytest.fixture(scope="module", name="settings")
def _settings(kafka: Kafka, registry: SchemaRegistry) -> Iterator[KafkaSettings]:
    """Give settings with which one stream partition has a ledger of 300 entries."""
    made = make_config(kafka.bootstrap_servers, registry.url, f"test-{token_hex(6)}", "http://127.0.0.1:9", 1)
    with provisioned(made) as config:
        settings = Settings.model_validate(config).kafka
        encoder = AvroEncoder(LEDGER, 1)
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        for number in range(_ENTRIES):
            value = encoder.encode(_entry(number).as_record())
            producer.produce(f"{settings.topic_prefix}-ledger", value, b"", _PARTITION.ledger_partition)
        assert producer.flush(_TIMEOUT_S) == 0
        yield settings


@pytest.fixture(name="log")
def _log(settings: KafkaSettings) -> Iterator[LedgerLog]:
    with LedgerLog(settings, decode_shipped, _FUTURE_US) as log:
        yield log


@pytest.mark.parametrize("second", [0, 1, 17, 150, _ENTRIES - 1, _ENTRIES + 50])
def test_entry_to_read_from_is_found_by_coverage_whatever_its_date(log: LedgerLog, second: int) -> None:
    """It begins at or before the instant, and no further back than twice the way from the end."""
    bounds = log.bounds([_PARTITION])[_PARTITION]
    found = log.find(_PARTITION, bounds, _FUTURE_US + second * US_PER_S)
    assert found is not None
    entry = log.entry(found, _PARTITION)
    assert entry.covered_until_before_us <= _FUTURE_US + second * US_PER_S
    from_end = max(0, _ENTRIES - second)
    assert entry.entry >= _ENTRIES - 2 * from_end - 48


def test_both_ends_and_all_between_are_read(log: LedgerLog) -> None:
    """A row that is left early does not disturb the next one; of an empty ledger there is nothing."""
    bounds = log.bounds([_PARTITION, _OTHER])
    ledger = bounds[_PARTITION]
    assert [log.entry(each, _PARTITION).entry for each in log.oldest(_PARTITION, ledger, 2)] == [0, 1]
    newest = log.newest(_PARTITION, ledger)
    assert newest is not None
    assert log.entry(newest, _PARTITION) == _entry(_ENTRIES - 1)
    assert len(list(itertools.islice(log.read(_PARTITION, 10, ledger.end), 5))) == 5
    entries = [log.entry(each, _PARTITION).entry for each in log.read(_PARTITION, ledger.begin, ledger.end)]
    assert entries == list(range(_ENTRIES))
    assert log.newest(_OTHER, bounds[_OTHER]) is None
    assert log.oldest(_OTHER, bounds[_OTHER], 2) == []
    assert log.find(_OTHER, bounds[_OTHER], 0) is None


def test_entry_of_another_partition_or_beyond_every_clock_is_refused(settings: KafkaSettings, log: LedgerLog) -> None:
    """The message says where it stands."""
    bounds = log.bounds([_PARTITION])[_PARTITION]
    [record] = log.oldest(_PARTITION, bounds, 1)
    with pytest.raises(OwnCorruptionError, match=r"partition 5 offset 0: .* instead"):
        log.entry(record, _OTHER)
    with LedgerLog(settings, decode_shipped, 0) as strict, pytest.raises(OwnCorruptionError, match="any clock shows"):
        strict.entry(record, _PARTITION)


def test_ledger_that_was_cut_begins_where_it_is_kept(settings: KafkaSettings, log: LedgerLog) -> None:
    """Its oldest entry is what is left, and what came before is not searched for."""
    where = TopicPartition(f"{settings.topic_prefix}-ledger", _PARTITION.ledger_partition, 50)
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.delete_records([where])[where].result(_TIMEOUT_S)
    bounds = log.bounds([_PARTITION])[_PARTITION]
    assert bounds == (50, _ENTRIES)
    assert log.entry(log.oldest(_PARTITION, bounds, 1)[0], _PARTITION).entry == 50
    found = log.find(_PARTITION, bounds, _FUTURE_US + 20 * US_PER_S)
    assert found is not None
    assert found.offset == 50


def test_missing_topic_is_said(kafka: Kafka) -> None:
    """With the command that makes it."""
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers, topic_prefix="nobody-made-this")
    with pytest.raises(NotProvisionedError, match="missing: nobody-made-this-ledger; create with"):
        LedgerLog(settings, decode_shipped, 0)
