"""Ledgers as long as they get: written as a connector writes them, but many entries in a transaction."""

import secrets
import time
from dataclasses import replace

from connector.coverage.recovery import MINUTE_US
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.identity import ID_BYTES
from connector.events.schemas import LEDGER
from connector.events.times import US_PER_S
from connector.kafka.clients import producer_config
from connector.kafka.ledger import Counts, LedgerEntry, Mode, first_entry
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Part, Record, TransactionalWriter
from connector.settings import KafkaSettings

_WINDOW_US = 10 * MINUTE_US
"""How long ids are known, by default."""
_IDS_PER_ENTRY = 150
"""What 6,000 events/s over 8 stream partitions bring in 200 ms."""


def prefill(settings: KafkaSettings, partition: StreamPartition, ids: int, covered_s_ago: float = 0.0) -> int:
    """Write a ledger that knows `ids` ids, cut to whole entries, to an empty partition; return how many it knows.

    They are spread over the time for which ids are kept, up to `covered_s_ago` seconds ago, where coverage ends. The
    entries are a replay's, so that no backfill has to repeat them.
    """
    names = TopicNames(settings.topic_prefix)
    encoder = AvroEncoder(LEDGER, 1)
    count = ids // _IDS_PER_ENTRY
    covered_until_us = time.time_ns() // 1000 - round(covered_s_ago * US_PER_S)
    *others, last = [
        Record(
            names.ledger,
            str(partition).encode(),
            encoder.encode(entry.as_record()),
            None,
            partition.ledger_partition,
        )
        for entry in _entries(partition, count, covered_until_us)
    ]
    writer = TransactionalWriter(producer_config(settings, names.transactional_id("prefill")))
    writer.commit([Part(partition, others, last, len(others))])
    return count * _IDS_PER_ENTRY


def _entries(partition: StreamPartition, count: int, covered_until_us: int) -> list[LedgerEntry]:
    """Return `count` entries with ids behind the first one, which has none."""
    entries = [
        first_entry(partition, secrets.token_hex(16), covered_until_us - _WINDOW_US if count else covered_until_us)
    ]
    for number in range(1, count + 1):
        before = entries[-1]
        until_us = covered_until_us - _WINDOW_US * (count - number) // count
        entries.append(
            replace(
                before,
                entry=number,
                covered_until_before_us=before.covered_until_us,
                covered_until_us=until_us,
                covers_to_us=until_us,
                counts=Counts(received=_IDS_PER_ENTRY, published=_IDS_PER_ENTRY),
                sequence=number * _IDS_PER_ENTRY,
                mode=Mode.REPLAY,
                slice_us=(before.covered_until_us, until_us),
                ids=secrets.token_bytes(ID_BYTES * _IDS_PER_ENTRY),
                oldest_offset=0,
            )
        )
    return entries
