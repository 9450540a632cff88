"""Starting a new ledger for one stream partition, after corruption stopped it.

What the ledger says is not asked. The coverage topic says how far coverage reached, the events which sequence came
last and which ids must stay known; from where coverage ended up to now a gap is recorded. Reading all that may take
minutes, so it is read first; then the owner is stopped, and what came meanwhile is read. To stop an owner is to take
the place of its next ledger entry, with an entry that is never committed: it finds its own misplaced, and restarts
from the ledger after some seconds. The new ledger is committed only where the old one ended before the second reading:
if an owner was faster, all that is repeated, and less has to be read each time.
Where to begin follows from the records' own dates: no local clock need agree with those of brokers and replicas.
Instants are microseconds since 1970.
"""

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from connector.app import look_up
from connector.coverage.gap import Gap, GapCause
from connector.errors import SettingsError, WriterLostError
from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.events.identity import pack_ids
from connector.events.times import US_PER_S, format_us
from connector.kafka.clients import ClientProperties, producer_config, try_properties
from connector.kafka.ledger import Counts, LedgerEntry, Mode, decode_shipped, first_entry, is_plausible
from connector.kafka.reading import AvroReader, ForeignRecordError, ReadRecord, TopicReader, foreign_records_refused
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import MisplacedError, Part, TransactionalWriter
from connector.operations.accounts import TRANSACTION_US, account_of
from connector.partition.records import RecordBuilder
from connector.settings import Settings
from connector.x.clock import wall_us

KNOWN_US = 20 * 60 * US_PER_S
"""Ids of the last covered time stay known, this much: more than X brings again to a partition covered until now."""
_IDS_PER_ENTRY = 50_000
_ATTEMPTS = 10


@dataclass(slots=True)
class Found:
    """What the topics hold of a stream partition; `covered_until_us` is None where no coverage was ever recorded.

    Coverage from long after both its date and `now_us` is foreign: with it no gap would be recorded.
    """

    partition: StreamPartition
    now_us: int = 0
    covered_until_us: int | None = None
    coverage_dates: deque[tuple[int, int]] = field(default_factory=deque)
    sequence: int = 0
    ids: dict[bytes, None] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    def take_coverage(self, records: Iterable[ReadRecord], decode: Callable[[ReadRecord], Mapping[str, Any]]) -> None:
        """Record the newest coverage."""
        for record in records:
            if record.key != str(self.partition).encode():
                continue
            try:
                with foreign_records_refused(record):
                    coverage = decode(record)
                    covered_until_us = coverage["covered_until"] * 1000
                    if not is_plausible(covered_until_us, max(record.timestamp_us, self.now_us)):
                        raise ValueError(f"covered_until is {format_us(covered_until_us)}, which no clock shows")
                    self.covered_until_us = covered_until_us
                    self._date(self.covered_until_us, record.timestamp_us)
                    self.sequence = max(self.sequence, coverage["sequence"])
            except ForeignRecordError as error:
                self.foreign.append(str(error))

    def _date(self, covered_until_us: int, dated_us: int) -> None:
        """Keep how Kafka dates the coverage of the last `KNOWN_US`, and the one with which that time begins."""
        dates = self.coverage_dates
        dates.append((covered_until_us, dated_us))
        while len(dates) > 1 and dates[1][0] <= covered_until_us - KNOWN_US:
            dates.popleft()

    @property
    def since_us(self) -> int:
        """From when on Kafka dates what must stay known: the earliest date, whatever clocks the replicas went by."""
        return max(0, min((dated_us for _, dated_us in self.coverage_dates), default=0) - TRANSACTION_US)

    def take_accounts(
        self, records: Iterable[ReadRecord], decode: Callable[[ReadRecord], Mapping[str, Any]], dead_letter_topic: str
    ) -> None:
        """Record ids and the last sequence."""
        for record in records:
            try:
                account = account_of(record, decode, is_dead_letter=record.topic == dead_letter_topic)
            except ForeignRecordError as error:
                self.foreign.append(str(error))
                continue
            if account is not None and account.partition == self.partition:
                self.sequence = max(self.sequence, account.sequence or 0)
                self.ids[account.id] = None


def reset_ledger(settings: Settings, partition: StreamPartition) -> tuple[Gap | None, list[str]]:
    """Start a new ledger for `partition`; return the gap that was recorded, if any, and which records are foreign.

    Stops the owner of the partition, which goes on from the new beginning. Raises `SettingsError` when the stream is
    not among `x.streams`, and the errors of Kafka and the registry; `WriterLostError` also
    where the owner committed in each of several attempts.
    """
    if partition.stream not in settings.x.streams:
        raise SettingsError([f"--stream {partition.stream}: is not among x.streams, {', '.join(settings.x.streams)}"])
    try_properties(settings.kafka, settings.pipeline.session_timeout_ms)
    provisioned = look_up(settings)
    names = TopicNames(settings.kafka.topic_prefix)
    events = [names.event(event_type) for event_type in EVENT_TYPES if event_type.stream == partition.stream]
    records = RecordBuilder(
        partition, names, provisioned.schema_ids, provisioned.max_message_bytes, has_headers=settings.kafka.headers
    )
    found = Found(partition, wall_us())
    with ExitStack() as stack:
        decode = AvroReader(stack.enter_context(RegistryClient(settings.schema_registry))).decode
        coverage = stack.enter_context(TopicReader(settings.kafka, [names.coverage]))
        found.take_coverage(coverage.to_end(), decode)
        accounts = stack.enter_context(TopicReader(settings.kafka, [*events, names.dead_letter], found.since_us))
        found.take_accounts(accounts.to_end(), decode, names.dead_letter)

        properties = producer_config(settings.kafka, names.transactional_id(f"reset-{uuid.uuid4().hex}"))
        ledger = LedgerReader(settings.kafka, partition, decode_shipped)
        for _ in range(_ATTEMPTS):
            writer, end = _stop_owner(properties, records, ledger)
            found.take_coverage(coverage.to_end(), decode)
            found.take_accounts(accounts.to_end(), decode, names.dead_letter)
            with suppress(MisplacedError):
                return _start_new_ledger(writer, records, found, end), found.foreign
    raise WriterLostError(f"{partition} was committed to again and again meanwhile: stop its owner, then try again")


def _stop_owner(
    properties: ClientProperties, records: RecordBuilder, ledger: LedgerReader
) -> tuple[TransactionalWriter, int]:
    """Take the place of the owner's next entry; return a new producer, and where the ledger ends once all is over."""
    end = ledger.end()
    TransactionalWriter(properties).write(records.ledger(first_entry(records.partition, uuid.uuid4().hex, wall_us())))
    writer = TransactionalWriter(properties)  # ends the transaction of the one before, which is not committed
    return writer, ledger.tail(end).end


def _start_new_ledger(writer: TransactionalWriter, records: RecordBuilder, found: Found, end: int) -> Gap | None:
    """Commit gap, coverage, and as many entries as the ids need: one beginning, in one transaction.

    `end` is where the log of the ledger ended when the owner was stopped, which is the place of the first of the
    entries. Raises `MisplacedError` if something was committed there meanwhile, `WriterLostError` for other reasons.
    """
    now_us, writer_id = wall_us(), uuid.uuid4().hex
    start_us = now_us if found.covered_until_us is None else min(found.covered_until_us, now_us)
    gap = Gap(start_us, now_us, GapCause.LEDGER_RESET) if start_us < now_us else None
    ids = list(found.ids)
    entries = [
        LedgerEntry(
            entry=0,
            writer_id=writer_id,
            partition=found.partition,
            covered_until_before_us=now_us if at else start_us,
            covered_until_us=now_us,
            covers_to_us=now_us,
            counts=Counts(),
            sequence=found.sequence,
            mode=Mode.RESET,
            slice_us=None,
            ids=pack_ids(ids[at : at + _IDS_PER_ENTRY]),
            oldest_offset=end if at else None,
            written_at_us=now_us,
        )
        for at in range(0, max(1, len(ids)), _IDS_PER_ENTRY)
    ]
    *before, last = map(records.ledger, entries)
    published = [records.gap(gap, now_us)] if gap else []
    published.append(records.coverage(now_us, found.sequence, Mode.DISCONNECTED, now_us))
    writer.commit([Part(found.partition, [*published, *before], last, end + len(before))])
    return gap
