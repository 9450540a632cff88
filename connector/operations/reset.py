"""Starts a new ledger for one stream partition, after corruption stopped it.

A ledger that restores is left alone, unless an operator insists. The coverage topic and the credible part of the ledger
show how far coverage reached; the earlier of both counts, and from there to the present a gap is recorded. Events and
ledger show the last sequence and the ids that must stay known. Reading them may take minutes, so they are read first;
then the owner is stopped, and the records written meanwhile are read. An owner is stopped by taking the place of its
next ledger entry with an entry that is never committed: it finds its own misplaced, and restarts from the ledger after
some seconds. The new ledger is committed only where the old one ended before the second reading, and only if the
old one is still refused: another reset may have been faster. If an owner was faster, everything is repeated, with less
to read each time.
Where to begin follows from the records' own dates: no local clock has to agree with those of brokers and replicas.
Instants are microseconds since 1970.
"""

import os
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from connector.app import look_up
from connector.coverage.gap import Gap, GapCause
from connector.errors import ConnectorError, OwnCorruptionError, SettingsError, WriterLostError
from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.events.identity import pack_ids
from connector.events.times import US_PER_S, format_us
from connector.kafka.clients import ClientProperties, producer_config, try_properties
from connector.kafka.ledger import Counts, LedgerEntry, Mode, first_entry, is_plausible
from connector.kafka.ledger_decoding import decode_shipped
from connector.kafka.ledger_log import LedgerLog
from connector.kafka.reading import (
    AvroReader,
    ForeignRecordError,
    ReadRecord,
    TopicReader,
    entry_decoder,
    foreign_records_refused,
)
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import MisplacedError, Part, TransactionalWriter
from connector.operations.accounts import TRANSACTION_US, account_of
from connector.operations.last_known import LastKnown, read_last_known
from connector.pages.words import duration
from connector.partition.records import RecordBuilder
from connector.settings import Settings
from connector.x.clock import wall_us

KNOWN_US = 20 * 60 * US_PER_S
"""Ids of this much covered time stay known: more than X delivers again to a partition covered until now."""
_IDS_PER_ENTRY = 50_000
_ATTEMPTS = 10


@dataclass(slots=True)
class Found:
    """What the topics hold about a stream partition.

    `covered_until_us` is from the coverage topic, None if it holds nothing, and `ledger` from the ledger; `gap_from_us`
    is the start of the gap that an operator gave. Coverage long after both its date and `now_us` is ignored as foreign:
    it would leave no time to record as a gap.
    """

    partition: StreamPartition
    now_us: int = 0
    covered_until_us: int | None = None
    ledger: LastKnown | None = None
    gap_from_us: int | None = None
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
        """Keep Kafka's dates of the coverage of the last `KNOWN_US`, and of the record at the start of that time."""
        dates = self.coverage_dates
        dates.append((covered_until_us, dated_us))
        while len(dates) > 1 and dates[1][0] <= covered_until_us - KNOWN_US:
            dates.popleft()

    @property
    def since_us(self) -> int:
        """The earliest Kafka date of records that must stay known, whatever clocks the replicas used."""
        by_ledger_us = self.ledger.dated_us if self.ledger else 0
        return max(0, min((dated_us for _, dated_us in self.coverage_dates), default=by_ledger_us) - TRANSACTION_US)

    @property
    def gap_start_us(self) -> int:
        """The known end of coverage, the earliest by all sources. Raises `CoverageUnknownError`."""
        by_ledger_us = self.ledger.covered_until_us if self.ledger else None
        said_us = [each for each in (self.covered_until_us, by_ledger_us, self.gap_from_us) if each is not None]
        if not said_us:
            raise CoverageUnknownError(
                f"neither the ledger of {self.partition} nor the coverage topic says how far coverage reached: nothing "
                "was changed",
                "Find out since when events may be missing, and give it with --gap-from.",
            )
        return max(0, min(said_us))

    def take_ledger(self, known: LastKnown | None) -> None:
        """Record the credible part of the ledger."""
        if known is not None:
            self.ledger = known
            self.sequence = max(self.sequence, known.sequence)
            self.ids.update(dict.fromkeys(known.ids))

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


class SoundLedgerError(ConnectorError):
    """The ledger of a stream partition restores, so nothing is reset unless the operator insists."""

    exit_code = os.EX_CONFIG


class CoverageUnknownError(ConnectorError):
    """It is unknown how far coverage of a stream partition reached, so its gap cannot be recorded."""

    exit_code = os.EX_CONFIG


@dataclass(frozen=True, slots=True)
class LedgerState:
    """How a ledger restores: why it does not, or None; and if it does, its coverage, None for a new one."""

    problem: str | None
    covered_until_us: int | None = None

    def check_is_refused(self, partition: StreamPartition) -> None:
        """Raise `SoundLedgerError` unless the ledger is refused."""
        if self.problem is not None:
            return
        until = "is new" if self.covered_until_us is None else f"covers until {format_us(self.covered_until_us)}"
        raise SoundLedgerError(
            f"the ledger of {partition} is sound and {until}: nothing was changed",
            "If the service calls it corrupt, restart the service, which reads it again. Resetting would record "
            "a gap that does not exist. Use --force to do it anyway.",
        )


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """What a reset would record now; `problem` is why the ledger is refused, None for one that is sound.

    `covered_until_us` is how far coverage is known to have reached, or what an operator gave.
    """

    partition: StreamPartition
    problem: str | None
    covered_until_us: int
    gap: Gap | None
    ids: int
    next_sequence: int

    def lines(self) -> Iterator[str]:
        """Yield the plan as lines of text."""
        refused = "is sound, and is reset because of --force" if self.problem is None else f"is refused: {self.problem}"
        yield f"{self.partition}: the ledger {refused}"
        yield f"{self.partition}: coverage reached until {format_us(self.covered_until_us)}"
        yield f"{self.partition}: {'no gap' if self.gap is None else f'a gap {_described(self.gap)}'}"
        yield f"{self.partition}: ids that stay known: {self.ids:,}; next sequence: {self.next_sequence}"

    @property
    def consequence(self) -> str:
        """What cannot be undone, as a sentence."""
        gap = "no gap" if self.gap is None else f"a gap of {duration(self.gap.end_us - self.gap.start_us)}"
        return f"This records {gap} and cannot be undone."


def _described(gap: Gap) -> str:
    length_s = (gap.end_us - gap.start_us) / US_PER_S
    return f"from {format_us(gap.start_us)} to {format_us(gap.end_us)}, {length_s:,.0f} s"


def plan_of(found: Found, ledger: LedgerState, now_us: int) -> ResetPlan:
    """Return what a reset at `now_us` would record. Raises `CoverageUnknownError`."""
    return ResetPlan(
        partition=found.partition,
        problem=ledger.problem,
        covered_until_us=found.gap_start_us,
        gap=_gap(found, now_us),
        ids=len(found.ids),
        next_sequence=found.sequence + 1,
    )


def _gap(found: Found, now_us: int) -> Gap | None:
    """Return the gap of a reset at `now_us`: from where coverage ended, if that is past."""
    start_us = found.gap_start_us
    return None if start_us >= now_us else Gap(start_us, now_us, GapCause.LEDGER_RESET)


class LedgerReset:
    """A reset of the ledger of `partition`, inside a `with`: first planned, then carried out.

    Planning changes nothing and disturbs no replica. `is_forced` resets even a sound ledger; `gap_from_us` is the
    latest possible start of the gap.

    Making one raises `SettingsError` if the stream is not among `x.streams`, and the errors of Kafka and the
    registry, as every method does.
    """

    def __init__(
        self,
        settings: Settings,
        partition: StreamPartition,
        *,
        is_forced: bool = False,
        gap_from_us: int | None = None,
    ) -> None:
        streams = settings.x.streams
        if partition.stream not in streams:
            raise SettingsError(
                [f"--stream {partition.stream}: the stream is off; to reset its ledger, add it to x.streams"]
            )
        try_properties(settings.kafka, settings.pipeline.session_timeout_ms)
        provisioned = look_up(settings)
        self._settings = settings
        self._is_forced = is_forced
        self._names = names = TopicNames(settings.kafka.topic_prefix)
        self._records = RecordBuilder(
            partition, names, provisioned.schema_ids, provisioned.max_message_bytes, has_headers=settings.kafka.headers
        )
        self._found = Found(partition, wall_us(), gap_from_us=gap_from_us)
        with ExitStack() as stack:
            self._registry = stack.enter_context(RegistryClient(settings.schema_registry))
            self._decode = AvroReader(self._registry).decode
            decode_entry = entry_decoder(self._registry, names.ledger)
            self._ledger = stack.enter_context(LedgerLog(settings.kafka, decode_entry, self._found.now_us))
            self._coverage = stack.enter_context(TopicReader(settings.kafka, [names.coverage]))
            self._stack = stack.pop_all()
        self._accounts: TopicReader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def foreign(self) -> list[str]:
        """The problem of each record read so far that the connector did not write."""
        return self._found.foreign

    def plan(self) -> ResetPlan:
        """Return what would be recorded now.

        Raises `SoundLedgerError` for a sound ledger, unless forced, and `CoverageUnknownError`.
        """
        ledger = self._examine()
        self._read_on()
        return plan_of(self._found, ledger, wall_us())

    def carry_out(self) -> Gap | None:
        """Start the new ledger; return the recorded gap, if any, computed again from the present records.

        Stops the owner of the partition, which resumes from the new ledger. Raises `SoundLedgerError` for a ledger
        that has become sound meanwhile, unless forced, `CoverageUnknownError`, and `WriterLostError` also if the owner
        committed in each of several attempts.
        """
        self._examine()
        self._read_on()
        partition, kafka = self._found.partition, self._settings.kafka
        properties = producer_config(kafka, self._names.transactional_id(f"reset-{uuid.uuid4().hex}"))
        ledger = LedgerReader(kafka, partition, decode_shipped)
        for _ in range(_ATTEMPTS):
            writer, end = _stop_owner(properties, self._records, ledger)
            if not self._is_forced:
                self._examine()
            self._read_on()
            with suppress(MisplacedError):
                return _start_new_ledger(writer, self._records, self._found, end)
        raise WriterLostError(f"others keep committing to {partition}: stop its owner, then try again")

    def _examine(self) -> LedgerState:
        """Restore the ledger as the service would. Raises `SoundLedgerError` if that succeeds, unless forced."""
        ledger = examine(self._settings, self._found.partition, self._registry)
        if not self._is_forced:
            ledger.check_is_refused(self._found.partition)
        return ledger

    def _read_on(self) -> None:
        """Read the ledger again, and the coverage, events and dead letters not read before."""
        self._found.take_ledger(read_last_known(self._ledger, self._found.partition))
        self._found.take_coverage(self._coverage.to_end(), self._decode)
        if self._accounts is None:
            stream = self._found.partition.stream
            events = [self._names.event(event_type) for event_type in EVENT_TYPES if event_type.stream == stream]
            topics = [*events, self._names.dead_letter]
            self._accounts = self._stack.enter_context(TopicReader(self._settings.kafka, topics, self._found.since_us))
        self._found.take_accounts(self._accounts.to_end(), self._decode, self._names.dead_letter)


def examine(settings: Settings, partition: StreamPartition, registry: RegistryClient) -> LedgerState:
    """Return how a ledger restores, as the service would restore it. Raises the errors of Kafka and the registry."""
    decode = entry_decoder(registry, TopicNames(settings.kafka.topic_prefix).ledger)
    try:
        ledger = LedgerReader(settings.kafka, partition, decode, clock_us=wall_us)
        placed = ledger.restore().placed
        if not placed:
            ledger.check_is_new()
    except OwnCorruptionError as error:
        return LedgerState(str(error))
    return LedgerState(None, placed[-1].entry.covered_until_us if placed else None)


def _stop_owner(
    properties: ClientProperties, records: RecordBuilder, ledger: LedgerReader
) -> tuple[TransactionalWriter, int]:
    """Take the place of the owner's next entry; return a new producer, and the end of the ledger after that."""
    end = ledger.end()
    TransactionalWriter(properties).write(records.ledger(first_entry(records.partition, uuid.uuid4().hex, wall_us())))
    writer = TransactionalWriter(properties)  # ends the uncommitted transaction of the previous one
    return writer, ledger.tail(end).end


def _start_new_ledger(writer: TransactionalWriter, records: RecordBuilder, found: Found, end: int) -> Gap | None:
    """Commit gap, coverage, and as many entries as the ids need, in one transaction.

    `end` is the end of the ledger's log when the owner was stopped, and so the place of the first entry, which
    accounts for gap and coverage. Raises `MisplacedError` if something was committed there
    meanwhile, `WriterLostError` for other reasons, and `CoverageUnknownError`.
    """
    now_us, writer_id = wall_us(), uuid.uuid4().hex
    gap = _gap(found, now_us)
    start_us = now_us if gap is None else gap.start_us
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
            records={},
        )
        for at in range(0, max(1, len(ids)), _IDS_PER_ENTRY)
    ]
    published = [records.gap(gap, now_us)] if gap else []
    published.append(records.coverage(now_us, found.sequence, Mode.DISCONNECTED, now_us))
    entries[0] = replace(entries[0], records=records.sets(published, [gap] if gap else [], now_us))
    *before, last = map(records.ledger, entries)
    writer.commit([Part(found.partition, [*published, *before], last, end + len(before))])
    return gap
