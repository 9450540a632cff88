"""Writes the ledger of the batch runs: the runner, its progress, and what is on the bus, in one transaction.

There is one producer for each type of ids, with a fixed transactional id: a new runner ends what the previous one left
open, and fences it. Each transaction holds an entry that must be in its place, like those of stream partitions: a
zombie's is not, nor is one sent twice. So the ledger matches the bus, however a run ends.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence

import msgspec
from confluent_kafka import TopicPartition

from connector.batch.calls import Reporter
from connector.batch.ledger import BatchLedgerEntry, EntryDecode, read_entry
from connector.batch.records import BatchRecords
from connector.batch.state import RunState, UnusableRunError
from connector.errors import ConnectorError, DependencyUnavailableError, FencedError, WriterLostError
from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import StreamPartition
from connector.events.schemas import BATCH_LEDGER
from connector.events.times import US_PER_S, format_us
from connector.kafka.clients import producer_config
from connector.kafka.cluster import Cluster
from connector.kafka.current_writer import SLOW_COMMIT_S
from connector.kafka.reading import TopicReader, entry_decoder
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import TAKEN_BY_A_TRANSACTION, Part, Record, TransactionalWriter
from connector.quoting import shown
from connector.settings import KafkaSettings
from connector.x.batch_api import JobType
from connector.x.clock import wall_us

HEARTBEAT_S = 20.0
"""How often a waiting runner writes an entry, as a sign of life."""
SILENT_S = 90.0
"""A runner silent for this long counts as gone and is replaced; if it is alive, that fences it."""
LONG_AGO_US = 10 * 60 * US_PER_S
"""An entry this old by the local clock was not written just now, however far apart the clocks are."""
_LOOK_S = 5.0
_MOST_TRIES = 5
_RETRY_S = 2.0


class AnotherRunnerError(ConnectorError):
    """Another process runs jobs of this type."""

    exit_code = os.EX_TEMPFAIL


def nothing_more() -> Sequence[Part]:
    """Return no more records to commit."""
    return ()


class BusLedger:
    """The entries of one type of ids. Every method may raise `AnotherRunnerError`, and the errors of Kafka's clients.

    `report` receives what is waited for; `sleep` and `monotonic_s` are the clock.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, and what a test plays
        self,
        settings: KafkaSettings,
        kind: JobType,
        records: BatchRecords,
        decode: EntryDecode,
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
        self._decode = decode
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
        """Replace the previous runner, and return the state of its run, unless that is over.

        Waits until it is known whether that runner is alive, and raises `AnotherRunnerError` if it is.
        """
        self._last = self._read()
        state = None if self._last is None else unfinished(self._last)
        if self._last is not None and state is not None:
            self._await_silence_of(self._last)
        self._replace_runner()
        if state is not None:
            self.save(state)  # from now on other runners see this one
        return state

    def _replace_runner(self) -> None:
        """Make the first producer, which fences the previous runner's.

        Tried as often as a commit: a broker that has just started answers before it has loaded its transactions. Until
        there is a producer another runner may commit, so the state is compared with the ledger again once there is.
        """
        for tries_left in reversed(range(_MOST_TRIES)):
            self._read_own()  # a new producer would fence another runner, so look before it is made
            try:
                self._open()
            except WriterLostError as error:
                if not tries_left:
                    raise DependencyUnavailableError(f"Kafka did not accept a producer: {error}") from error
                self._report(f"Kafka did not accept a producer, trying again: {error}")
                self._sleep(_RETRY_S)
            else:
                self._read_own()
                return

    def _await_silence_of(self, last: BatchLedgerEntry) -> None:
        """Wait until a runner is known to be gone: it writes an entry every 20 s, and this raises if it does."""
        at = format_us(last.written_at_us)
        if wall_us() - last.written_at_us > LONG_AGO_US:
            return
        until_s = self._monotonic_s() + SILENT_S
        while not self._has_ended(last.runner) and self._monotonic_s() < until_s:
            self._report(f"waiting to see whether {last.runner} still works on run {last.run_id}, as at {at}")
            self._sleep(_LOOK_S)
            if self._read() != last:
                raise AnotherRunnerError(
                    f"another process, {last.runner}, is publishing the results of {self._kind.value} run {last.run_id}"
                )

    def _has_ended(self, runner: str) -> bool:
        """Return whether a runner was a process of this machine that no longer exists."""
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
        self, state: RunState, records: Sequence[Record] = (), more: Callable[[], Sequence[Part]] = nothing_more
    ) -> None:
        """Save the state, in one transaction with `records` and what `more` returns at each attempt to commit."""
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
        """Wait, with signs of life of this runner."""
        until_s = self._monotonic_s() + seconds
        while (left_s := until_s - self._monotonic_s()) > 0:
            self._sleep(min(left_s, HEARTBEAT_S / 4))
            self.beat()

    def beat(self) -> None:
        """Write a sign of life, if it is due."""
        if self._state is not None and self._monotonic_s() - self._beat_at_s >= HEARTBEAT_S:
            self.save(self._state)

    def _commit(self, records: Sequence[Record], entry: BatchLedgerEntry, more: Callable[[], Sequence[Part]]) -> None:
        """Commit records with an entry; the outcome of a failed commit is read from the ledger."""
        for _ in range(_MOST_TRIES):
            try:
                self._attempt(records, entry, more)
            except FencedError as error:
                raise AnotherRunnerError(
                    f"another runner of {self._kind.value} jobs has taken over, or this one was paused for too long"
                ) from error
            except AnotherRunnerError:
                raise
            except Exception as error:  # noqa: BLE001 - a client that is fenced lets anything out of a call
                problem = error
            else:
                return
            self._sleep(_RETRY_S)
        raise DependencyUnavailableError(f"Kafka did not accept the results: {shown(str(problem))}") from problem

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

    def _read_own(self, *written: BatchLedgerEntry) -> BatchLedgerEntry | None:
        """Return the last committed entry: the previous one, or one of `written`. Raises `AnotherRunnerError`."""
        last = self._read()
        if last not in {self._last, *written}:
            raise AnotherRunnerError(f"{last.runner if last else 'another'} has taken over {self._kind.value} jobs")
        return last

    def _open(self) -> TransactionalWriter:
        """Return a new producer, after the end of the previous one's transaction; find the place of the next entry."""
        transactional_id = self._names.transactional_id(f"batch.{self._kind.value}")
        writer = TransactionalWriter(producer_config(self._settings, transactional_id))
        place = TopicPartition(self._names.batch_ledger, self._partition)
        self._place = Cluster(self._settings).ends([place])[self._names.batch_ledger, self._partition]
        self._writer = writer
        return writer

    def _read(self) -> BatchLedgerEntry | None:
        return last_entry(self._settings, self._kind, self._decode)


def batch_entry_decode(registry: RegistryClient, settings: KafkaSettings) -> EntryDecode:
    """Return what decodes the entries of any version."""
    return entry_decoder(registry, TopicNames(settings.topic_prefix).batch_ledger, BATCH_LEDGER)


def last_entry(settings: KafkaSettings, kind: JobType, decode: EntryDecode) -> BatchLedgerEntry | None:
    """Return the last committed entry of a type.

    Raises the errors of Kafka and the registry, and `OwnCorruptionError`.
    """
    last = None
    with TopicReader(settings, [TopicNames(settings.topic_prefix).batch_ledger]) as reader:
        for record in reader.to_end():
            if record.partition == BY_JOB_TYPE[kind].ledger_partition:
                last = read_entry(record.value, kind, decode)
    return last


def unfinished(entry: BatchLedgerEntry) -> RunState | None:
    """Return the state of the run of an entry, unless the run is over. Raises `UnusableRunError`."""
    try:
        state = msgspec.json.decode(entry.state, type=RunState)
    except msgspec.ValidationError as error:
        raise UnusableRunError(
            f"the state of run {entry.run_id} cannot be read: {shown(str(error))}; --fresh discards it"
        ) from error
    return None if state.is_over else state


class BeatingReporter:
    """Reports like `reporter`, and keeps a ledger's runner alive during long steps."""

    def __init__(self, reporter: Reporter, ledger: BusLedger) -> None:
        self._ledger = ledger
        self._reporter = reporter
        self.say = reporter.say

    def show(self, text: str) -> None:
        """Show the status line."""
        self._reporter.show(text)
        self._ledger.beat()
