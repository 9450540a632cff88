"""The coverage report of a time range, read from the ledger, and from the topics of gaps, dead letters and coverage.

Owns which topics are read, from where and in which order: commits during the reading must never make the report better
or worse than the truth. So coverage claims are read before the ledger that supports them, the backlog of groups once
the ledger's end is known, dead letters after that and before its entries, and gaps last: coverage passes one only in
the transaction that records it.
Instants are microseconds since 1970.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from connector import __version__
from connector.errors import OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.identity import unpack_ids
from connector.events.times import US_PER_S
from connector.kafka.backlog import Backlog, read_backlog
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import LedgerEntry, Mode
from connector.kafka.ledger_log import Bounds, LedgerLog
from connector.kafka.reading import BEGINNING, AvroReader, ReadRecord, TopicReader, entry_decoder
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.operations.accounts import TRANSACTION_US
from connector.operations.coverage_chain import Chain, GapAccount, Link, gap_faults
from connector.operations.coverage_kept import events_kept_since_us
from connector.operations.coverage_processed import find_processed, with_groups
from connector.operations.coverage_records import DeadLetters, GapEvidence, read_claims, read_gaps, record_digest
from connector.operations.coverage_report import CoverageReport, PartitionCoverage, Processed, Verdict
from connector.operations.coverage_sum import Beginning, Newest, PartitionSum, beginning
from connector.settings import Settings

_SHOWN_EVERY = 5_000
_HELD_US = 15 * 60 * US_PER_S
"""Coverage waits no longer than this, so lines of a range are in no entry that covers less than this before it."""


@dataclass(slots=True)
class _Ledger:
    """What was read of a ledger in addition to the entries of the range."""

    bounds: Bounds
    began: Beginning | None = None
    covered_until_us: int | None = None
    dated_us: int | None = None
    faults: dict[str, None] = field(default_factory=dict)

    def blame(self, fault: str) -> None:
        """Record an untrusted record, once."""
        self.faults[fault] = None

    def newest(self, claimed_us: int | None) -> Newest:
        """Return how far it reaches, next to the claim of the coverage topic."""
        return Newest(self.covered_until_us, self.dated_us, claimed_us)


def read_coverage(  # noqa: PLR0913 - what is asked, and of whom
    settings: Settings,
    start_us: int,
    end_us: int,
    made_at_us: int,
    *,
    on_progress: Callable[[str], None],
    groups: Sequence[str] = (),
) -> CoverageReport:
    """Return the report of the range from `start_us`, included, to `end_us`, excluded, for the enabled streams.

    It is complete only as far as all consumer `groups` have processed it. `on_progress` receives the current step, in
    words. Raises the errors of Kafka and the registry; untrusted parts of ledgers are in the report.
    """
    with RegistryClient(settings.schema_registry) as registry:
        decode = entry_decoder(registry, TopicNames(settings.kafka.topic_prefix).ledger)
        with LedgerLog(settings.kafka, decode, made_at_us) as log:
            reading = _Reading(settings, log, AvroReader(registry), on_progress, groups)
            return reading.report(start_us, end_us, made_at_us)


class _Reading:
    """One reading of all topics."""

    def __init__(
        self,
        settings: Settings,
        log: LedgerLog,
        decoder: AvroReader,
        on_progress: Callable[[str], None],
        groups: Sequence[str],
    ) -> None:
        self._settings = settings
        self._names = TopicNames(settings.kafka.topic_prefix)
        self._log = log
        self._decode = decoder.decode
        self._on_progress = on_progress
        self._groups = groups
        self._digest = blake2b(digest_size=32)
        self._foreign: list[str] = []

    def report(self, start_us: int, end_us: int, made_at_us: int) -> CoverageReport:
        """Read everything for the report."""
        asked = f"{self._settings.kafka.topic_prefix} {start_us} {end_us}"
        self._digest.update(asked.encode())
        partitions = self._settings.x.stream_partitions
        claims = self._claims(self._ledgers(partitions))
        ledgers = self._ledgers(partitions)
        backlogs = [self._backlog(group) for group in self._groups]
        starts = {each: self._log.find(each, ledger.bounds, start_us - _HELD_US) for each, ledger in ledgers.items()}
        letters = self._dead_letters([start for start in starts.values() if start is not None])
        self._on_progress("reading the start of the event topics")
        kept_since_us = events_kept_since_us(self._settings, made_at_us)
        sums = {each: PartitionSum(each, start_us, end_us, kept_since_us) for each in partitions}
        accounts = {
            each: self._sum_up(sums[each], ledgers[each], start, letters)
            for each, start in starts.items()
            if start is not None
        }
        gaps = self._gaps(start_us, end_us)
        for each, ledger in ledgers.items():
            for fault in gap_faults(accounts.get(each, ()), gaps[each]):
                ledger.blame(fault)
        gone = {name: since_us > start_us for name, since_us in kept_since_us.items()}
        processed = {each: self._processed(each, ledger, backlogs, gone) for each, ledger in ledgers.items()}
        found = [
            with_groups(
                sums[each].close(
                    ledger.began,
                    ledger.newest(claims.get(each)),
                    [evidence.gap for evidence in gaps[each]],
                    [*ledger.faults],
                    made_at_us,
                ),
                processed[each],
                end_us,
            )
            for each, ledger in ledgers.items()
        ]
        faults = [fault for ledger in ledgers.values() for fault in ledger.faults]
        return CoverageReport(
            start_us=start_us,
            end_us=end_us,
            made_at_us=made_at_us,
            version=__version__,
            topic_prefix=self._settings.kafka.topic_prefix,
            verdict=worst(found),
            partitions=tuple(found),
            foreign=(*faults, *self._foreign),
            digest=self._digest.hexdigest(),
            groups=tuple(self._groups),
        )

    def _backlog(self, group: str) -> Backlog:
        self._on_progress(f"reading the backlog of {group}")
        return read_backlog(self._settings, group, self._decode, self._foreign.append)

    def _processed(
        self, partition: StreamPartition, ledger: _Ledger, backlogs: Sequence[Backlog], gone: Mapping[str, bool]
    ) -> list[Processed]:
        covered_before = partial(self._covered_before, partition, ledger)
        until_us = ledger.covered_until_us
        return [find_processed(partition, backlog, until_us, covered_before, gone) for backlog in backlogs]

    def _covered_before(self, partition: StreamPartition, ledger: _Ledger, sequence: int) -> int | None:
        """Return how far coverage reached before an event, None without trusted evidence.

        Entry 0 is by a wall clock, and covers nothing.
        """
        try:
            entry = self._log.before(partition, ledger.bounds, sequence)
        except OwnCorruptionError as error:
            ledger.blame(str(error))
            return None
        return None if entry is None or entry.entry == 0 else entry.covered_until_us

    def _ledgers(self, partitions: Collection[StreamPartition]) -> dict[StreamPartition, _Ledger]:
        """Return both ends of each ledger."""
        self._on_progress("reading the bounds of the ledgers")
        return {partition: self._ends(partition, bounds) for partition, bounds in self._log.bounds(partitions).items()}

    def _ends(self, partition: StreamPartition, bounds: Bounds) -> _Ledger:
        ledger = _Ledger(bounds)
        oldest = self._entries(partition, ledger, self._log.oldest(partition, bounds, 2))
        ledger.began = beginning(oldest, bounds.begin)
        record = self._log.newest(partition, bounds)
        if record is not None:
            ledger.dated_us = record.timestamp_us
            for entry in self._entries(partition, ledger, [record]):
                ledger.covered_until_us = entry.covered_until_us
        elif bounds.begin > 0:
            ledger.blame(f"ledger {partition}: empty, but its log begins at {bounds.begin}: entries were deleted")
        return ledger

    def _entries(
        self, partition: StreamPartition, ledger: _Ledger, records: Collection[ReadRecord]
    ) -> list[LedgerEntry]:
        return [entry for record in records if (entry := self._entry(partition, ledger, record)) is not None]

    def _entry(self, partition: StreamPartition, ledger: _Ledger, record: ReadRecord) -> LedgerEntry | None:
        """Return the entry in a record; None, with a fault of the ledger, if it cannot be trusted."""
        try:
            return self._log.entry(record, partition)
        except OwnCorruptionError as error:
            ledger.blame(str(error))
            return None

    def _sum_up(
        self, total: PartitionSum, ledger: _Ledger, start: ReadRecord, letters: DeadLetters
    ) -> list[GapAccount]:
        """Sum up the entries that belong to the range; return which gaps they account for."""
        chain = Chain(ledger.blame)
        for number, record in enumerate(self._log.read(total.partition, start.offset, ledger.bounds.end)):
            if number % _SHOWN_EVERY == 0:
                self._on_progress(f"reading the ledger of {total.partition}: {number} entries")
            entry = self._entry(total.partition, ledger, record)
            if entry is None:
                chain.skip()
                continue
            chain.take(_link(entry, record), is_of_range=total.belongs(entry))
            if total.is_beyond(entry):
                break
            if total.belongs(entry):
                self._take(total, entry, record, letters)
        if chain.is_in_reset:
            self._end_reset(total, ledger, chain)
        total.resets.extend(chain.resets)
        total.unlinked += chain.unlinked
        return chain.accounts

    def _end_reset(self, total: PartitionSum, ledger: _Ledger, chain: Chain) -> None:
        """Read on if a reset may continue after the earlier end of the ledger: only its last entry has the gap."""
        [bounds] = self._log.bounds([total.partition]).values()
        for record in self._log.read(total.partition, ledger.bounds.end, bounds.end):
            entry = self._entry(total.partition, ledger, record)
            if entry is None or entry.mode is not Mode.RESET:
                break
            chain.take(_link(entry, record), is_of_range=False)
        chain.cut()

    def _take(self, total: PartitionSum, entry: LedgerEntry, record: ReadRecord, letters: DeadLetters) -> None:
        self._digest.update(record_digest(record))
        ids = unpack_ids(entry.ids) if entry.counts.dead_lettered else ()
        found = letters.of_entry(total.partition, ids, record.timestamp_us)
        for each in found:
            self._digest.update(each.digest)
        total.add(entry, record.timestamp_us, [each.letter for each in found])

    def _claims(self, ledgers: Mapping[StreamPartition, _Ledger]) -> Mapping[StreamPartition, int]:
        """Return what the coverage topic claims, by records that are not older than the newest entry of some ledger."""
        self._on_progress("reading coverage")
        dates = [ledger.dated_us for ledger in ledgers.values()]
        since_us = min((dated_us - TRANSACTION_US if dated_us else 0 for dated_us in dates), default=0)
        with self._topic(self._names.coverage, since_us) as coverage:
            claims, foreign = read_claims(coverage.to_end(), self._decode)
        self._foreign += foreign
        return claims

    def _dead_letters(self, starts: Collection[ReadRecord]) -> DeadLetters:
        """Return the dead letters as old as the oldest entry that may concern the range, and newer ones."""
        self._on_progress("reading dead letters")
        letters = DeadLetters()
        if starts:
            since_us = min(start.timestamp_us for start in starts) - TRANSACTION_US
            with self._topic(self._names.dead_letter, since_us) as topic:
                letters.read(topic.to_end())
        self._foreign += letters.foreign
        return letters

    def _gaps(self, start_us: int, end_us: int) -> Mapping[StreamPartition, Collection[GapEvidence]]:
        """Return all gaps by stream partition."""
        self._on_progress("reading gaps")
        with self._topic(self._names.gap, 0) as topic:
            gaps, foreign = read_gaps(topic.to_end(), self._decode)
        self._foreign += foreign
        found = defaultdict(list)
        for each in gaps:
            found[each.gap.partition].append(each)
            if each.gap.touches(start_us, end_us) and each.gap.partition.stream in self._settings.x.streams:
                self._digest.update(each.digest)
        return found

    def _topic(self, name: str, since_us: int) -> TopicReader:
        return TopicReader(self._settings.kafka, [name], since_us if since_us > 0 else BEGINNING)


def worst(partitions: Collection[PartitionCoverage]) -> Verdict:
    """Return the overall verdict."""
    return max((each.verdict for each in partitions), key=list(Verdict).index)


def _link(entry: LedgerEntry, record: ReadRecord) -> Link:
    return Link(entry, entry_digest(record.value), record.place, record.timestamp_us)
