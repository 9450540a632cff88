"""What is in Kafka, read back for people: recorded gaps, and the audit of ledger, events and dead letters.

Owns which topics are read and in which order. Must not know what makes an audit fail.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connector.audit import PartitionAudit
from connector.compliance.catalog import EVENT_TYPES, STREAM_PARTITIONS, StreamPartition
from connector.compliance.instants import US_PER_S
from connector.errors import OwnCorruptionError
from connector.kafka.ledger import EntryDecoder, read_entry
from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import Settings

_TRANSACTION_US = 60 * US_PER_S
"""An event is produced less than this long after its ledger entry was written."""


def read_gaps(settings: Settings) -> list[dict[str, Any]]:
    """Return the recorded gaps by start, times as RFC 3339 text; of several records of a gap the latest."""
    names = TopicNames(settings.kafka.topic_prefix)
    with (
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, [names.gap]) as reader,
    ):
        decoder = AvroReader(registry)
        gaps = {record.key: decoder.decode_readable(record.value) for record in reader.to_end()}
    return sorted(gaps.values(), key=lambda gap: (gap["gap_start"], gap["stream"], gap["stream_partition"]))


def audit_history(settings: Settings, since_us: int) -> dict[StreamPartition, PartitionAudit]:
    """Read ledger, events and dead letters since an instant and return an audit for each stream partition.

    The ledger is read twice, before and after the events: what was committed in between may be in one and not yet in
    the other.
    """
    names = TopicNames(settings.kafka.topic_prefix)
    audits = {partition: PartitionAudit(partition, since_us) for partition in STREAM_PARTITIONS}
    records = [*(names.event(event_type) for event_type in EVENT_TYPES), names.dead_letter]
    with (
        RegistryClient(settings.schema_registry) as registry,
        TopicReader(settings.kafka, [names.ledger], since_us - _TRANSACTION_US) as ledger,
        TopicReader(settings.kafka, records, since_us) as events,
    ):
        decoder = AvroReader(registry)
        decode_entry = EntryDecoder(registry.writer_schema).decode
        _take_entries(audits, ledger.to_end(), decode_entry, is_recent=False)
        for record in events.to_end():
            if record.topic == names.dead_letter:
                _take_dead_letter(audits, record)
            else:
                _take_event(audits, record, decoder.decode)
        _take_entries(audits, ledger.to_end(), decode_entry, is_recent=True)
    return audits


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
            audit.entry(read_entry(record.value, audit.partition, decode), is_recent=is_recent)
        except OwnCorruptionError as error:
            audit.unreadable(f"offset {record.offset}: {error}")


def _take_event(
    audits: dict[StreamPartition, PartitionAudit], record: ReadRecord, decode: Callable[[bytes], dict[str, Any]]
) -> None:
    event = decode(record.value)
    audit = audits[StreamPartition(event["stream"], event["stream_partition"])]
    audit.event(bytes.fromhex(event["event_id"]), event["sequence"])


def _take_dead_letter(audits: dict[StreamPartition, PartitionAudit], record: ReadRecord) -> None:
    headers = record.headers
    audit = audits[StreamPartition(headers["stream"].decode(), int(headers["stream-partition"]))]
    audit.dead_letter(bytes.fromhex(headers["event-id"].decode()))
