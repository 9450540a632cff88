"""Publishes the results of a run, exactly once: its progress is in Kafka, in the transactions with the results."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from connector.batch.accounting import OTHER
from connector.batch.bus_ledger import (
    BeatingReporter,
    BusLedger,
    batch_entry_decode,
    last_entry,
    nothing_more,
    unfinished,
)
from connector.batch.calls import Reporter, Tools
from connector.batch.command import Request
from connector.batch.due import Due, Wanted, decide, read_runs
from connector.batch.gaps import GapTopic, RecordedGap, reconciling_parts
from connector.batch.gaps import outcome as in_words
from connector.batch.pace import Pace
from connector.batch.records import BatchRecords, JobContext, RunAccount, RunStatus, unencodable
from connector.batch.results import DeadResult, Finding
from connector.batch.run import ChangedResultsError, total
from connector.batch.state import Outcome, RunFolder, RunState, ShardState
from connector.kafka.cluster import Cluster
from connector.kafka.records import UnencodableError
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Part, Record
from connector.kafka.verify import verify_batch
from connector.settings import KafkaSettings, RunSettings
from connector.x.batch_api import BatchApi
from connector.x.clock import wall_us

_ANSWERS_A_TRANSACTION = 1000


class Publisher:
    """Publishes the findings of a run, and keeps its state on the bus."""

    def __init__(self, ledger: BusLedger, records: BatchRecords, folder: RunFolder, gaps: GapTopic) -> None:
        self._ledger = ledger
        self._records = records
        self._folder = folder
        self._gaps = gaps
        self._gaps_end: dict[int, int] = {}

    def load(self) -> RunState | None:
        """Return the state of the unfinished run. Raises as `BusLedger.load` does."""
        state = self._ledger.load()
        self._gaps_end = self._gaps.ends()
        return state

    def resume(self, state: RunState) -> None:
        """Publish that a run resumes."""
        self._publish(state, RunStatus.RUNNING)

    def save(self, state: RunState) -> None:
        """Keep the state."""
        self._ledger.save(state)

    def begin(self, state: RunState) -> None:
        """Publish that a run has begun."""
        state.gaps_end = self._gaps_end
        self._publish(state, RunStatus.RUNNING)

    def fail(self, state: RunState) -> None:
        """Publish that a run has failed."""
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

        more = reconciling if account.vouches_for_all else nothing_more
        self._ledger.save(state, [self._records.run(account)], more)
        return [*(in_words(each, state) for each in closed), *_left_open(state, account)]

    def deliver(self, state: RunState, shard: ShardState, outcome: Outcome) -> None:
        """Publish X's answers about a shard, from where it stopped.

        Answers are always in the same order. Raises `ChangedResultsError` if X's results differ from the ones that are
        partly published.
        """
        if shard.digest not in {None, outcome.digest}:
            raise ChangedResultsError(f"X's results of job {outcome.job_id}", shard.published)
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


def _left_open(state: RunState, account: RunAccount) -> list[str]:
    """Return why a done run about all held ids makes up for no gap, as text."""
    if account.status is not RunStatus.DONE or not state.covers_all:
        return []
    skipped = [f"skipped as invalid: {state.invalid:,}"] if state.invalid else []
    doubts = [*skipped, *account.doubts()]
    return [f"gaps stay open: {', '.join(doubts)}"] if doubts else []


def _leave_out(state: RunState, finding: Finding, outcome: Outcome) -> None:
    """Count a finding that fits no record, under its kind in the outcome."""
    kinds = {(action, reason) for action, reason, _ in outcome.by_action}
    kind = finding.action, finding.reason
    unwritten = Counter({(action, reason): count for action, reason, count in state.unwritten})
    unwritten[kind if kind in kinds else OTHER] += 1
    state.unwritten = [(action, reason, count) for (action, reason), count in unwritten.items()]


def _account(state: RunState, outcome: Outcome, status: RunStatus) -> RunAccount:
    """Return the account of a run. An id whose finding fits no record is in doubt, not acted on."""
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
        covers_all=state.covers_all and not state.invalid,  # a skipped line may be an id
        last_sequence=state.sequence,
        dead_letters=outcome.dead + unwritten,
    )


@contextmanager
def publishing(request: Request, settings: RunSettings, reporter: Reporter) -> Iterator["Bus"]:
    """Yield the request with its results published on the bus.

    Raises the errors of Kafka and the registry, and `NotProvisionedError`.
    """
    kafka, kind, names = settings.kafka, request.kind, TopicNames(settings.kafka.topic_prefix)
    with RegistryClient(settings.schema_registry) as registry:
        found = verify_batch(kafka, Cluster(kafka), registry)
        records = BatchRecords(kind, names, found.schema_ids, found.max_message_bytes, has_headers=kafka.headers)
        decode = batch_entry_decode(registry, kafka)
        ledger, gaps = BusLedger(kafka, kind, records, decode, report=reporter.show), GapTopic(kafka, registry)
        keeper = Publisher(ledger, records, RunFolder(request.folder), gaps)
        yield Bus(replace(request, keeper=keeper), ledger, gaps, registry, kafka)


@dataclass(frozen=True, slots=True)
class Bus:
    """A request whose results are published, with the tools for it."""

    request: Request
    _ledger: BusLedger
    _gaps: GapTopic
    _registry: RegistryClient
    _settings: KafkaSettings

    def tools(self, api: BatchApi, time_s: float, reporter: Reporter) -> Tools:
        """Return tools that keep the runner alive while it waits."""
        return Tools(api, Pace(time_s, sleep=self._ledger.rest), BeatingReporter(reporter, self._ledger))

    def open_gaps(self) -> Sequence[RecordedGap]:
        """Return the gaps that a run of this type can make up for now. Raises the errors of Kafka and the registry."""
        return self._gaps.read().open_for(self.request.kind)

    def due(self, wanted: Wanted, now_us: int) -> Due:
        """Return whether a run is due. Raises what Kafka and the registry come to."""
        last = last_entry(self._settings, wanted.kind, batch_entry_decode(self._registry, self._settings))
        begun = None if last is None else unfinished(last)
        if begun is not None and begun.id_source is wanted.source:
            return Due(is_due=True, why=f"run {begun.run_id} is unfinished")
        open_gaps = self._gaps.read().open_for(wanted.kind)
        return decide(wanted, read_runs(self._settings, self._registry), open_gaps, now_us)
