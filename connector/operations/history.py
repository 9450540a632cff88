"""What is in Kafka, read back for people: recorded gaps, and the audit of ledger, events and dead letters.

Owns which topics are read and in which order. Must not know what makes an audit fail.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from connector.errors import OwnCorruptionError
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.ledger import EntryDecoder, read_entry
from connector.kafka.reading import AvroReader, ForeignRecordError, ReadRecord, TopicReader, foreign_records_refused
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, subject, topic_specs
from connector.operations.accounts import TRANSACTION_US, account_of
from connector.operations.audit import PartitionAudit
from connector.settings import Settings

_EXPIRY_US = 10 * 60 * US_PER_S
"""Records this close to the end of their retention may go while they are read."""


@dataclass(frozen=True, slots=True)
class Audited:
    """The result of reading: an audit for each stream partition, and what is wrong with each foreign record."""

    partitions: Mapping[StreamPartition, PartitionAudit]
    foreign: list[str]


def read_gaps(settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the recorded gaps by start, times as RFC 3339 text; of several records of a gap the latest.

    With them what is wrong with each record that the connector did not write.
    """
    names = TopicNames(settings.kafka.topic_prefix)
    with (
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, [names.gap]) as reader,
    ):
        decoder = AvroReader(registry)
        gaps, foreign = {}, []
        for record in reader.to_end():
            try:
                with foreign_records_refused(record):
                    gap = decoder.decode_readable(record)
                    gaps[record.key] = (gap["gap_start"], gap["stream"], gap["stream_partition"]), gap
            except ForeignRecordError as error:
                foreign.append(str(error))
    return [gap for _, gap in sorted(gaps.values(), key=itemgetter(0))], foreign


def audit_history(settings: Settings, since_us: int, now_us: int) -> Audited:
    """Read ledger, events and dead letters since an instant, microseconds since 1970 as `now_us` is, and audit them.

    The records of a transaction are not dated alike: they are read from a little earlier on than the entries that must
    have them, and entries, which must have the records, from earlier still.
    The ledger is read twice, before and after the events: what was committed in between may be in one and not yet in
    the other. What is older than the retention of a topic is not missed.
    """
    names = TopicNames(settings.kafka.topic_prefix)
    kept_us = {stream: now_us - retention_us(settings, stream) + _EXPIRY_US for stream in STREAMS}
    audits = {
        partition: PartitionAudit(partition, max(since_us, kept_us[partition.stream]), now_us)
        for partition in STREAM_PARTITIONS
    }
    foreign = []
    records = [*(names.event(event_type) for event_type in EVENT_TYPES), names.dead_letter]
    with (
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, [names.ledger], max(0, since_us - 2 * TRANSACTION_US)) as ledger,
        TopicReader(settings.kafka, records, max(0, since_us - TRANSACTION_US)) as events,
    ):
        decoder = AvroReader(registry)
        decode_entry = EntryDecoder(partial(registry.writer_schema, subject=subject(names.ledger))).decode
        _take_entries(audits, ledger.to_end(), decode_entry, is_recent=False)
        for record in events.to_end():
            try:
                account = account_of(record, decoder.decode, is_dead_letter=record.topic == names.dead_letter)
            except ForeignRecordError as error:
                foreign.append(str(error))
                continue
            if account is not None:
                audits[account.partition].record(account.id, account.sequence)
        _take_entries(audits, ledger.to_end(), decode_entry, is_recent=True)
    return Audited(audits, foreign)


def retention_us(settings: Settings, stream: str) -> int:
    """Return how long the events of `stream` and the dead letters are kept at least, by the settings."""
    names = TopicNames(settings.kafka.topic_prefix)
    topics = {names.event(event_type) for event_type in EVENT_TYPES if event_type.stream == stream}
    kept_ms = [
        int(spec.config["retention.ms"])
        for spec in topic_specs(settings.kafka)
        if spec.name in topics or spec.name == names.dead_letter
    ]
    return min(kept_ms) * 1000


def _take_entries(
    audits: dict[StreamPartition, PartitionAudit],
    records: Iterable[ReadRecord],
    decode: Callable[[bytes], Mapping[str, Any]],
    *,
    is_recent: bool,
) -> None:
    for record in records:
        audit = audits[STREAM_PARTITIONS[record.partition]]
        try:
            entry = read_entry(record.value, audit.partition, decode)
            audit.entry(entry, record.timestamp_us, is_recent=is_recent)
        except OwnCorruptionError as error:
            audit.unreadable(f"offset {record.offset}: {error}")
