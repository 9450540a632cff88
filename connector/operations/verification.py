"""The audit of Kafka's content: reads the ledger, and then everything that it accounts for.

Owns which topics are read, how far and in which order. Must not know what makes an audit fail.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from connector.batch.records import RunStatus
from connector.coverage.gap import Gap, GapCause, GapState
from connector.errors import OwnCorruptionError
from connector.events.catalog import EVENT_TYPES, STREAM_PARTITIONS, StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.cluster import Cluster
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import COVERAGE_RECORD, DEAD_LETTER, REPLAYED
from connector.kafka.ledger_decoding import read_entry
from connector.kafka.reading import (
    AvroReader,
    ForeignRecordError,
    ReadRecord,
    TopicReader,
    entry_decoder,
    foreign_records_refused,
)
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames, topic_specs
from connector.operations.accounts import TRANSACTION_US, account_of, is_mark
from connector.operations.audit import AuditRange, PartitionAudit, SeenGap
from connector.operations.audit_report import AuditReport, partition_report
from connector.operations.dead_letters import read_record
from connector.operations.seen import EventReader, number_of
from connector.settings import Settings

_EXPIRY_US = 10 * 60 * US_PER_S
"""Records this close to the end of their retention may be removed while they are read."""
_SHOWN_EVERY = 50_000
_NEVER_US = 1 << 62


def verify(
    settings: Settings, start_us: int, end_us: int | None, now_us: int, show: Callable[[str], None] = lambda _: None
) -> AuditReport:
    """Return the audit of what was committed from `start_us` to `end_us`, microseconds since 1970 as `now_us` is.

    Without an end it is all that is committed by now.

    The records of a transaction have different dates: they are read from a little earlier and to a little later than
    the entries that account for them, and entries further still. The ledger is read on after the records, which may
    include commits made meanwhile. Records older than the retention of a topic are not missed. `show` receives the
    progress.
    """
    kept_since_us = {kind: now_us - kept_us + _EXPIRY_US for kind, kept_us in retention_us(settings).items()}
    audited = AuditRange(start_us, _NEVER_US if end_us is None else end_us, now_us, kept_since_us)
    with ExitStack() as stack:
        reading = _Reading(settings, audited, stack, show)
        reading.take_ledger(is_recent=False)
        reading.take_events()
        reading.take_own_records()
        reading.take_ledger(is_recent=True)
    return AuditReport(
        start_us,
        now_us if end_us is None else end_us,
        tuple(
            partition_report(audit, start_us)
            for audit in reading.audits.values()
            if audit.partition.stream in settings.x.streams or audit.has_seen_anything
        ),
        tuple(reading.foreign),
    )


def retention_us(settings: Settings) -> dict[str, int]:
    """Return by kind of record the retention of its topic in the settings, without those kept forever."""
    names = TopicNames(settings.kafka.topic_prefix)
    kinds = {names.event(event_type): event_type.name for event_type in EVENT_TYPES}
    kinds |= {names.dead_letter: DEAD_LETTER, names.coverage: COVERAGE_RECORD}
    kept_us = {
        kinds[spec.name]: int(spec.config["retention.ms"]) * 1000
        for spec in topic_specs(settings.kafka)
        if spec.name in kinds
    }
    return kept_us | {REPLAYED: kept_us[DEAD_LETTER]}


class _Reading:
    """One reading of all topics."""

    def __init__(self, settings: Settings, audited: AuditRange, stack: ExitStack, show: Callable[[str], None]) -> None:
        self.audits = {partition: PartitionAudit(partition, audited) for partition in STREAM_PARTITIONS}
        self.foreign: list[str] = []
        self._runs: set[str] = set()
        self._gaps: dict[bytes, tuple[PartitionAudit, SeenGap, frozenset[str]]] = {}
        self._settings = settings
        self._names = TopicNames(settings.kafka.topic_prefix)
        self._range = audited
        self._stack = stack
        self._show = show
        self._registry = stack.enter_context(RegistryClient(settings.schema_registry))
        self._decode = AvroReader(self._registry).decode
        self._ledger = self._reader([self._names.ledger], 2 * TRANSACTION_US)

    def take_ledger(self, *, is_recent: bool) -> None:
        """Read the entries not read before."""
        decode = entry_decoder(self._registry, self._names.ledger)
        for record in self._counted("entries", self._ledger.to_end()):
            if record.partition >= len(STREAM_PARTITIONS):
                self.foreign.append(f"{record.topic} partition {record.partition} belongs to no stream partition")
                continue
            audit = self.audits[STREAM_PARTITIONS[record.partition]]
            try:
                entry = read_entry(record.value, audit.partition, decode)
            except OwnCorruptionError as error:
                audit.unreadable(f"offset {record.offset}: {error}")
            else:
                audit.entry(entry, record.offset, record.timestamp_us, entry_digest(record.value), is_recent=is_recent)

    def take_events(self) -> None:
        """Read the events of all types."""
        topics = [self._names.event(event_type) for event_type in EVENT_TYPES]
        partitions = Cluster(self._settings.kafka).count_partitions(topics)
        read = EventReader(self._names, partitions, self._decode).read
        for record in self._counted("events", self._reader(topics, TRANSACTION_US).to_end()):
            try:
                partition, event, problems = read(record)
            except ForeignRecordError as error:
                self.foreign.append(str(error))
                continue
            audit = self.audits[partition]
            audit.event(event)
            for problem in problems:
                audit.problems.add(*problem)

    def take_own_records(self) -> None:
        """Read dead letters, coverage and gaps."""
        take = {
            self._names.dead_letter: self._take_dead_letter,
            self._names.coverage: self._take_coverage,
            self._names.gap: self._take_gap,
        }
        dated = self._reader([self._names.dead_letter, self._names.coverage], TRANSACTION_US)
        gaps = self._stack.enter_context(TopicReader(self._settings.kafka, [self._names.gap]))
        for reader in (dated, gaps):
            for record in self._counted("own records", reader.to_end()):
                try:
                    take[record.topic](record)
                except ForeignRecordError as error:
                    self.foreign.append(str(error))
        self._take_newest_gaps()

    def _read_runs(self) -> None:
        """Read which batch runs are done: only they reconcile gaps, each in its last transaction."""
        runs = self._stack.enter_context(TopicReader(self._settings.kafka, [self._names.batch_run]))
        for record in runs.to_end():
            try:
                with foreign_records_refused(record):
                    if self._decode(record)["state"] == RunStatus.DONE:
                        self._runs.add(record.key.decode())
            except ForeignRecordError as error:
                self.foreign.append(str(error))

    def _take_dead_letter(self, record: ReadRecord) -> None:
        if is_mark(record):
            origin, letter_id = read_record(record).key
            self.audits[origin].mark(letter_id, number_of(record), record.timestamp_us)
            return
        account = account_of(record, self._decode, is_dead_letter=True)
        if account is not None:
            self.audits[account.partition].dead_letter(account.id, number_of(record), record.timestamp_us)

    def _take_coverage(self, record: ReadRecord) -> None:
        with foreign_records_refused(record):
            coverage = self._decode(record)
            audit = self._audit_of(
                coverage, record, str(StreamPartition(coverage["stream"], coverage["stream_partition"]))
            )
            audit.coverage(number_of(record), coverage["written_at"] * 1000, record.timestamp_us)

    def _take_gap(self, record: ReadRecord) -> None:
        """Keep the newest record of a gap; one without a value erases nothing."""
        with foreign_records_refused(record):
            gap = self._decode(record)
            audit = self._audit_of(gap, record, gap["gap_id"])
            seen = SeenGap(
                gap["gap_id"],
                gap["gap_start"],
                gap["gap_end"],
                gap["cause"],
                gap["recorded_at"],
                record.timestamp_us,
                _problem(gap),
            )
            self._gaps[record.key] = audit, seen, frozenset(gap.get("reconciled_by") or ())

    def _take_newest_gaps(self) -> None:
        """Process each gap in its present state; the done runs are read last, since a run writes both at once."""
        self._read_runs()
        for audit, gap, runs in self._gaps.values():
            audit.gap(gap)
            if not runs <= self._runs:
                audit.problems.add("gaps reconciled by a run that is not on record as done", gap.id)

    def _audit_of(self, fields: Mapping[str, Any], record: ReadRecord, key: str) -> PartitionAudit:
        """Return the audit of the stream partition that a record names. Raises `ValueError` if its key is wrong."""
        if record.key != key.encode():
            raise ValueError(f"has a different key than {key}")
        return self.audits[StreamPartition(fields["stream"], fields["stream_partition"])]

    def _reader(self, topics: list[str], margin_us: int) -> TopicReader:
        """Return a reader of the range, and of `margin_us` around it."""
        start_us, end_us = max(0, self._range.start_us - margin_us), self._range.end_us + margin_us
        return self._stack.enter_context(
            TopicReader(self._settings.kafka, topics, start_us, end_us=None if end_us >= self._range.now_us else end_us)
        )

    def _counted(self, what: str, records: Iterable[ReadRecord]) -> Iterable[ReadRecord]:
        for count, record in enumerate(records):
            if count % _SHOWN_EVERY == 0:
                self._show(f"{what}: {count} read")
            yield record


def _problem(gap: Mapping[str, Any]) -> str | None:
    """Return the problem with the state of a gap, worded as a finding."""
    match gap["state"]:
        case GapState.LOST | GapState.SUSPECTED:
            is_right = gap["cause"] not in set(GapCause) or gap["state"] == Gap(0, 0, GapCause(gap["cause"])).state
        case GapState.PARTLY_RECONCILED | GapState.RECONCILED:
            is_right = bool(gap.get("reconciled_by"))
        case GapState.WITHDRAWN:
            is_right = bool(gap.get("withdrawn_at") and gap.get("withdrawn_because"))
        case _:
            is_right = False
    return None if is_right else "gaps in a state without evidence"
