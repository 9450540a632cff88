"""A run whose results go on the bus, exactly once: Kafka holds how far it is, in the transactions with the results.

There is one producer for each type of ids, with a fixed transactional id: a new runner ends what the one before it left
open, and fences it. Each transaction holds an entry of the batch ledger that must stand in its place, as those of
stream partitions do: a zombie's does not, nor does one that is sent twice. So what the ledger says is what is on the
bus, however a run ends.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import msgspec
from confluent_kafka import TopicPartition

from connector.batch.accounting import OTHER
from connector.batch.calls import Reporter, Tools
from connector.batch.command import Request
from connector.batch.due import Due, Wanted, decide, read_runs
from connector.batch.gaps import GapTopic, RecordedGap, described, reconciling_parts
from connector.batch.ledger import BatchLedgerEntry, read_entry
from connector.batch.pace import Pace
from connector.batch.records import BatchRecords, JobContext, RunAccount, RunStatus, unencodable
from connector.batch.results import DeadResult, Finding
from connector.batch.run import total
from connector.batch.state import Outcome, RunFolder, RunState, ShardState
from connector.errors import ConnectorError, DependencyUnavailableError, FencedError, WriterLostError
from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.clients import producer_config
from connector.kafka.cluster import Cluster
from connector.kafka.group_commit import SLOW_COMMIT_S
from connector.kafka.reading import TopicReader
from connector.kafka.records import UnencodableError
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import TAKEN_BY_A_TRANSACTION, Part, Record, TransactionalWriter
from connector.kafka.verify import verify_batch
from connector.quoting import shown
from connector.settings import KafkaSettings, RunSettings
from connector.x.batch_api import BatchApi, JobType
from connector.x.clock import wall_us

HEARTBEAT_S = 20.0
"""How often a runner that waits says that it is there."""
SILENT_US = 90 * US_PER_S
"""A runner that has said nothing for so long is gone, and another takes its place; if not, it is fenced by that."""
_LOOK_S = 5.0
_ANSWERS_A_TRANSACTION = 1000
_MOST_TRIES = 5
_RETRY_S = 2.0


class AnotherRunnerError(ConnectorError):
    """Another process runs jobs of this type."""

    exit_code = os.EX_TEMPFAIL


class ChangedResultsError(ConnectorError):
    """The operator must decide: a part of other results is published."""

    exit_code = os.EX_UNAVAILABLE


def _nothing_more() -> Sequence[Part]:
    return ()


class BusLedger:
    """The entries of one type of ids. Every method raises `AnotherRunnerError`, and what Kafka's clients come to.

    `report` is told what is waited for; `sleep` and `monotonic_s` wait and tell the time.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, and what a test plays
        self,
        settings: KafkaSettings,
        kind: JobType,
        records: BatchRecords,
        *,
        report: Callable[[str], object] = lambda _: None,
        sleep: Callable[[float], object] = time.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._settings = settings
        self._kind = kind
        self._names = TopicNames(settings.topic_prefix)
        self._records = records
        self._sleep = sleep
        self._monotonic_s = monotonic_s
        self._runner = shown(f"{socket.gethostname()}/{os.getpid()}")
        self._partition = BY_JOB_TYPE[kind].ledger_partition
        self._writer: TransactionalWriter | None = None
        self._last: BatchLedgerEntry | None = None
        self._place = 0
        self._beat_at_s = 0.0
        self._state: RunState | None = None

    def load(self) -> RunState | None:
        """Take the place of the runner before, and return the state of its run, unless that is over.

        Waits until it is known whether that runner is at work, and raises `AnotherRunnerError` if it is.
        """
        self._last = self._read()
        state = None if self._last is None else unfinished(self._last)
        if self._last is not None and state is not None:
            self._await_silence_of(self._last)
        try:
            self._open()
        except WriterLostError as error:
            raise DependencyUnavailableError(f"Kafka does not let a producer begin: {error}") from error
        if state is not None:
            self.save(state)  # from now on another runner sees this one
        return state

    def _await_silence_of(self, last: BatchLedgerEntry) -> None:
        """Wait until a runner is known to be gone: it writes an entry every 20 s, and this raises if it does."""
        at = format_us(last.written_at_us)
        while not self._has_ended(last.runner) and wall_us() - last.written_at_us < SILENT_US:
            self._report(f"waiting to see whether {last.runner} still runs {self._kind.value} jobs, as at {at}")
            self._sleep(_LOOK_S)
            if self._read() != last:
                raise AnotherRunnerError(f"{last.runner} runs {self._kind.value} jobs: run {last.run_id}")

    def _has_ended(self, runner: str) -> bool:
        """Return whether a runner was a process of this machine that is no more."""
        host, _, number = runner.rpartition("/")
        if runner == self._runner:
            return True
        if host != socket.gethostname() or not number.isdecimal():
            return False
        try:
            os.kill(int(number), 0)
        except OSError as error:
            return isinstance(error, ProcessLookupError)
        return False

    def save(
        self, state: RunState, records: Sequence[Record] = (), more: Callable[[], Sequence[Part]] = _nothing_more
    ) -> None:
        """Keep the state, in one transaction with records and what `more` returns at each attempt to commit."""
        entry = BatchLedgerEntry(
            entry=0 if self._last is None else self._last.entry + 1,
            kind=self._kind,
            run_id=state.run_id,
            runner=self._runner,
            state=msgspec.json.encode(state).decode(),
            published=state.sequence,
            sequence=state.sequence,
            written_at_us=wall_us() // 1000 * 1000,
        )
        self._commit(records, entry, more)
        self._last, self._state, self._beat_at_s = entry, state, self._monotonic_s()

    def rest(self, seconds: float) -> None:
        """Wait, and say now and then that this runner is there."""
        until_s = self._monotonic_s() + seconds
        while (left_s := until_s - self._monotonic_s()) > 0:
            self._sleep(min(left_s, HEARTBEAT_S / 4))
            self.beat()

    def beat(self) -> None:
        """Say that this runner is there, if it is time to."""
        if self._state is not None and self._monotonic_s() - self._beat_at_s >= HEARTBEAT_S:
            self.save(self._state)

    def _commit(self, records: Sequence[Record], entry: BatchLedgerEntry, more: Callable[[], Sequence[Part]]) -> None:
        """Commit records with an entry; what became of a commit that fails is read from the ledger."""
        for _ in range(_MOST_TRIES):
            try:
                self._attempt(records, entry, more)
            except FencedError as error:
                raise AnotherRunnerError(
                    f"another runner of {self._kind.value} jobs has taken over, or this one stood still for too long"
                ) from error
            except AnotherRunnerError:
                raise
            except Exception as error:  # noqa: BLE001 - a client that is fenced lets anything out of a call
                problem = error
            else:
                return
            self._sleep(_RETRY_S)
        raise DependencyUnavailableError(f"Kafka does not take the results: {shown(str(problem))}") from problem

    def _attempt(self, records: Sequence[Record], entry: BatchLedgerEntry, more: Callable[[], Sequence[Part]]) -> None:
        """Commit, unless a failed attempt has done so."""
        writer = self._writer
        if writer is None:
            if self._read_own(entry) == entry:  # a new producer would fence another runner, so look before it is made
                return
            writer = self._open()
            if self._read_own(entry) == entry:  # what the attempt before left open is over only now
                return
        self._writer = None
        label = StreamPartition("batch", self._partition + 1)
        part = Part(label, records, self._records.ledger(entry), self._place)
        duration_s = writer.commit([part, *more()])
        self._place += TAKEN_BY_A_TRANSACTION
        if duration_s <= SLOW_COMMIT_S:  # a delayed end of a slow transaction must find an old epoch
            self._writer = writer

    def _read_own(self, entry: BatchLedgerEntry) -> BatchLedgerEntry | None:
        """Return the last entry that is committed: the one before, or this one. Raises `AnotherRunnerError`."""
        last = self._read()
        if last not in {self._last, entry}:
            raise AnotherRunnerError(f"{last.runner if last else 'another'} has taken over {self._kind.value} jobs")
        return last

    def _open(self) -> TransactionalWriter:
        """Return a new producer, once what the one before left open is over, and find the place of the next entry."""
        transactional_id = self._names.transactional_id(f"batch.{self._kind.value}")
        self._writer = TransactionalWriter(producer_config(self._settings, transactional_id))
        place = TopicPartition(self._names.batch_ledger, self._partition)
        self._place = Cluster(self._settings).ends([place])[self._names.batch_ledger, self._partition]
        return self._writer

    def _read(self) -> BatchLedgerEntry | None:
        return last_entry(self._settings, self._kind)


def last_entry(settings: KafkaSettings, kind: JobType) -> BatchLedgerEntry | None:
    """Return the last entry of a type that is committed. Raises what Kafka comes to, and `OwnCorruptionError`."""
    last = None
    with TopicReader(settings, [TopicNames(settings.topic_prefix).batch_ledger]) as reader:
        for record in reader.to_end():
            if record.partition == BY_JOB_TYPE[kind].ledger_partition:
                last = read_entry(record.value, kind)
    return last


def unfinished(entry: BatchLedgerEntry) -> RunState | None:
    """Return the state of the run of an entry, unless the run is over."""
    state = msgspec.json.decode(entry.state, type=RunState)
    return None if state.is_over else state


class BeatingReporter:
    """Reports as `reporter` does, and keeps a ledger's runner known while something takes long."""

    def __init__(self, reporter: Reporter, ledger: BusLedger) -> None:
        self._ledger = ledger
        self._reporter = reporter
        self.say = reporter.say

    def show(self, text: str) -> None:
        """Show what changes all the time."""
        self._reporter.show(text)
        self._ledger.beat()


class Publisher:
    """Puts what a run finds on the bus, and keeps its state there."""

    def __init__(self, ledger: BusLedger, records: BatchRecords, folder: RunFolder, gaps: GapTopic) -> None:
        self._ledger = ledger
        self._records = records
        self._folder = folder
        self._gaps = gaps
        self._gaps_end: dict[int, int] = {}

    def load(self) -> RunState | None:
        """Return the state of the run that is not over. Raises as `BusLedger.load` does."""
        state = self._ledger.load()
        self._gaps_end = self._gaps.ends()
        if state is not None and state.has_failed:
            state.has_failed = False
            self._publish(state, RunStatus.RUNNING)
        return state

    def save(self, state: RunState) -> None:
        """Keep the state."""
        self._ledger.save(state)

    def begin(self, state: RunState) -> None:
        """Publish that a run has begun."""
        state.gaps_end = self._gaps_end
        self._publish(state, RunStatus.RUNNING)

    def fail(self, state: RunState) -> None:
        """Publish that X failed or refused the jobs of a run."""
        state.has_failed = True
        self._publish(state, RunStatus.FAILED)

    def _publish(self, state: RunState, status: RunStatus) -> None:
        outcomes = (shard.outcome for shard in state.shards if shard.outcome is not None)
        self._ledger.save(state, [self._records.run(_account(state, total(outcomes), status))])

    def end(self, state: RunState, outcome: Outcome, *, is_done: bool) -> Sequence[str]:
        """Publish that a run is over, and which gaps it makes up for; return the same as text."""
        state.is_over = True
        status = RunStatus.DONE if is_done else RunStatus.ABANDONED
        account = replace(_account(state, outcome, status), finished_us=wall_us())
        closed: list[RecordedGap] = []

        def reconciling() -> Sequence[Part]:
            gaps = self._gaps.read()
            closed[:] = gaps.closed_by(state, outcome.checked_us)
            return reconciling_parts(gaps, closed, state, self._records)

        more = reconciling if account.vouches_for_all else _nothing_more
        self._ledger.save(state, [self._records.run(account)], more)
        return [f"partly reconciled: gap of {described(each)}" for each in closed]

    def deliver(self, state: RunState, shard: ShardState, outcome: Outcome) -> None:
        """Publish what X answered about a shard, from where it was left.

        Answers are in the same order whenever they are read. Raises `ChangedResultsError` if X's results are not the
        ones of which a part is published.
        """
        if shard.digest not in {None, outcome.digest}:
            raise ChangedResultsError(
                f"X's results of job {outcome.job_id} have changed since {shard.published:,} of them were published; "
                "--fresh abandons the run and begins again"
            )
        shard.digest = outcome.digest
        context = JobContext(state.run_id, outcome.job_id, outcome.checked_us, wall_us())
        answers = islice(self._folder.answers(shard), shard.published, None)
        while chunk := list(islice(answers, _ANSWERS_A_TRANSACTION)):
            records = [self._record(answer, context, state, outcome) for answer in chunk]
            shard.published += len(chunk)
            self._ledger.save(state, records)

    def _record(self, answer: Finding | DeadResult, context: JobContext, state: RunState, outcome: Outcome) -> Record:
        if isinstance(answer, DeadResult):
            return self._records.dead_letter(answer, context)
        try:
            record = self._records.finding(answer, context, state.sequence + 1)
        except UnencodableError as error:
            _leave_out(state, answer, outcome)
            return self._records.dead_letter(unencodable(answer, str(error)), context)
        state.sequence += 1
        return record


def _leave_out(state: RunState, finding: Finding, outcome: Outcome) -> None:
    """Count a finding that no record takes, under the kind under which the outcome counts it."""
    kinds = {(action, reason) for action, reason, _ in outcome.by_action}
    kind = finding.action, finding.reason
    unwritten = Counter({(action, reason): count for action, reason, count in state.unwritten})
    unwritten[kind if kind in kinds else OTHER] += 1
    state.unwritten = [(action, reason, count) for (action, reason), count in unwritten.items()]


def _account(state: RunState, outcome: Outcome, status: RunStatus) -> RunAccount:
    """Return the account of a run. An id whose finding no record takes is in doubt, not acted on."""
    counts = Counter({(action, reason): count for action, reason, count in outcome.by_action})
    counts.subtract({(action, reason): count for action, reason, count in state.unwritten})
    unwritten = sum(count for *_, count in state.unwritten)
    return RunAccount(
        run_id=state.run_id,
        source=state.id_source,
        status=status,
        started_us=state.started_us,
        ids=state.ids,
        clean=outcome.clean + unwritten,
        rejected=outcome.rejected,
        unclear=outcome.unclear + unwritten,
        by_action=[(action, reason, count) for (action, reason), count in counts.items() if count],
        shards=len(state.shards),
        checked_from_us=outcome.checked_us or None,
        covers_all=state.covers_all and not state.invalid,  # what is skipped may stand for an id
        last_sequence=state.sequence,
        dead_letters=outcome.dead + unwritten,
    )


@contextmanager
def publishing(request: Request, settings: RunSettings, reporter: Reporter) -> Iterator["Bus"]:
    """Give the request with its results going on the bus.

    Raises what Kafka and the registry come to, and `NotProvisionedError`.
    """
    kafka, kind, names = settings.kafka, request.kind, TopicNames(settings.kafka.topic_prefix)
    with RegistryClient(settings.schema_registry) as registry:
        found = verify_batch(kafka, Cluster(kafka), registry)
        records = BatchRecords(kind, names, found.schema_ids, found.max_message_bytes, has_headers=kafka.headers)
        ledger, gaps = BusLedger(kafka, kind, records, report=reporter.show), GapTopic(kafka, registry)
        keeper = Publisher(ledger, records, RunFolder(request.folder), gaps)
        yield Bus(replace(request, keeper=keeper), ledger, gaps, registry, kafka)


@dataclass(frozen=True, slots=True)
class Bus:
    """A request whose results go on the bus, and what that takes."""

    request: Request
    _ledger: BusLedger
    _gaps: GapTopic
    _registry: RegistryClient
    _settings: KafkaSettings

    def tools(self, api: BatchApi, time_s: float, reporter: Reporter) -> Tools:
        """Return tools with which the runner stays known while it waits."""
        return Tools(api, Pace(time_s, sleep=self._ledger.rest), BeatingReporter(reporter, self._ledger))

    def due(self, wanted: Wanted, now_us: int) -> Due:
        """Return whether a run is due. Raises what Kafka and the registry come to."""
        last = last_entry(self._settings, wanted.kind)
        begun = None if last is None else unfinished(last)
        if begun is not None and (begun.id_source, begun.covers_all) == (wanted.source, wanted.covers_all):
            return Due(is_due=True, why=f"run {begun.run_id} is unfinished")
        open_gaps = self._gaps.read().open_for(wanted.kind)
        return decide(wanted, read_runs(self._settings, self._registry), open_gaps, now_us)
