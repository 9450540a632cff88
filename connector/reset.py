"""Beginning the ledger of one stream partition anew, after its own corruption stopped it.

The ledger is not asked. The coverage topic says how far coverage reached, the events which sequence came last and
which ids must stay known; from where coverage ended up to now a gap is recorded. Instants are microseconds since 1970.
"""

import uuid
from dataclasses import dataclass, field

from connector.app import look_up
from connector.compliance.catalog import EVENT_TYPES, StreamPartition
from connector.compliance.instants import US_PER_S
from connector.errors import SettingsError
from connector.kafka.clients import producer_config
from connector.kafka.ledger import Counts, LedgerEntry, Mode
from connector.kafka.reading import AvroReader, ReadRecord, TopicReader
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import TransactionalWriter
from connector.pipeline.records import RecordBuilder
from connector.settings import Settings
from connector.x.clock import wall_us
from connector.x.plan import Cause, Lost

KNOWN_US = 20 * 60 * US_PER_S
"""Ids of events this young stay known: more than X brings again to a partition that is covered until now."""
_TRANSACTION_US = 60 * US_PER_S
_IDS_PER_ENTRY = 50_000


@dataclass(slots=True)
class _Found:
    """What the topics tell of a stream partition; `covered_until_us` is None where no coverage was ever recorded."""

    covered_until_us: int | None = None
    covered_at_us: int = 0
    sequence: int = 0
    ids: dict[bytes, None] = field(default_factory=dict)


def reset_ledger(settings: Settings, partition: StreamPartition) -> Lost | None:
    """Begin the ledger of `partition` anew and return the gap that was recorded, if there is one.

    Fences whoever works the partition; it goes on from the new beginning. Raises `SettingsError` when the stream is
    not among `x.streams`, and whatever Kafka and the registry give cause for.
    """
    if partition.stream not in settings.x.streams:
        raise SettingsError([f"--stream {partition.stream}: is not among x.streams, {', '.join(settings.x.streams)}"])
    provisioned = look_up(settings)
    names = TopicNames(settings.kafka.topic_prefix)
    records = RecordBuilder(
        partition, names, provisioned.schema_ids, provisioned.max_message_bytes, has_headers=settings.kafka.headers
    )
    writer = TransactionalWriter(producer_config(settings.kafka, names.transactional_id(partition)))
    return _reset(writer, records, partition, _find(settings, names, partition))


def _reset(
    writer: TransactionalWriter, records: RecordBuilder, partition: StreamPartition, found: _Found
) -> Lost | None:
    """Commit the first entry with gap and coverage, then as many more as the ids need."""
    now_us, writer_id, first_offset = wall_us(), uuid.uuid4().hex, None
    start_us = now_us if found.covered_until_us is None else min(found.covered_until_us, now_us)
    lost = Lost(start_us, now_us, Cause.LEDGER_RESET) if start_us < now_us else None
    with_first = [records.gap(lost, now_us)] if lost else []
    with_first.append(records.coverage(now_us, found.sequence, Mode.DISCONNECTED, now_us))
    ids = list(found.ids)
    for number, at in enumerate(range(0, max(1, len(ids)), _IDS_PER_ENTRY)):
        entry = LedgerEntry(
            entry=number,
            writer_id=writer_id,
            partition=partition,
            covered_until_before_us=start_us if number == 0 else now_us,
            covered_until_us=now_us,
            covers_to_us=now_us,
            counts=Counts(),
            sequence=found.sequence,
            mode=Mode.RESET,
            slice_us=None,
            ids=tuple(ids[at : at + _IDS_PER_ENTRY]),
            oldest_offset=first_offset,
            written_at_us=now_us,
        )
        committed = writer.commit(with_first if number == 0 else [], records.ledger(entry))
        first_offset = committed.ledger_offset if first_offset is None else first_offset
    return lost


def _find(settings: Settings, names: TopicNames, partition: StreamPartition) -> _Found:
    found = _Found()
    with RegistryClient(settings.schema_registry) as registry:
        decoder = AvroReader(registry)
        with TopicReader(settings.kafka, [names.coverage]) as reader:
            for record in reader.to_end():
                if record.key == str(partition).encode():
                    coverage = decoder.decode(record.value)
                    found.covered_until_us = coverage["covered_until"] * 1000
                    found.covered_at_us = coverage["written_at"] * 1000
                    found.sequence = coverage["sequence"]
        events = [names.event(event_type) for event_type in EVENT_TYPES if event_type.stream == partition.stream]
        young_us = wall_us() - KNOWN_US
        since_us = max(0, min(found.covered_at_us, young_us) - _TRANSACTION_US)
        with TopicReader(settings.kafka, [*events, names.dead_letter], since_us) as reader:
            for record in reader.to_end():
                _note(found, record, partition, decoder, names)
    return found


def _note(
    found: _Found, record: ReadRecord, partition: StreamPartition, decoder: AvroReader, names: TopicNames
) -> None:
    if record.topic == names.dead_letter:
        headers = record.headers
        if (headers["stream"], headers["stream-partition"]) == (
            partition.stream.encode(),
            str(partition.number).encode(),
        ):
            found.ids[bytes.fromhex(headers["event-id"].decode())] = None
        return
    event = decoder.decode(record.value)
    if event["stream_partition"] == partition.number:
        found.sequence = max(found.sequence, event["sequence"])
        found.ids[bytes.fromhex(event["event_id"])] = None
