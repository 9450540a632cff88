"""The worker of one stream partition: a reader thread, a channel, a committer thread, and one way out of every failure.

A life is: restore from the ledger, read and commit. After any failure the next life begins in the same way; only a stop
or an untrusted ledger ends the worker.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from connector.coverage.plan import Plan
from connector.coverage.recovery import MINUTE_US
from connector.errors import ConnectorError, FencedError, OwnCorruptionError, TopicsChangedError
from connector.events.catalog import StreamPartition
from connector.kafka.commits import Commits, PartitionWriter
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import Writer, first_entry
from connector.kafka.restore import LedgerReader, OffsetEntry, Restored
from connector.kafka.topics import TopicNames
from connector.partition.committer import Committer
from connector.partition.records import RecordBuilder
from connector.partition.state import PartitionState
from connector.settings import Settings
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter
from connector.source.heartbeat import Heartbeat
from connector.source.reader import Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import RestartCause
from connector.telemetry.partition import PartitionTelemetry
from connector.x.backoff import Exponential
from connector.x.client import Connection
from connector.x.clock import XClock
from connector.x.transport import Wire

HUNG_S = 120.0
"""A committer without a heartbeat for this long hangs.

It does not beat while it commits: at worst it waits for a transaction of others that fails and is resolved, and then
for its own. Each takes `RESOLVE_S` plus what was started by then, a new producer and an attempt: a minute at worst.
"""
CORRUPT_WAIT_S = 60.0
"""How often an untrusted ledger or a changed topic is checked again: a person may have acted."""
FENCED_WAIT = Exponential(6.0, 96.0)
"""A fenced worker leaves the partition to the other owner for this long, give or take a quarter.

Two that wait equally long would collide again and again.
"""
TROUBLE_WAIT = Exponential(0.5, 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedResources:
    """What all partition workers of a process share.

    `schema_ids` and what `read_limits_bytes` returns, the largest record, are by topic; limits may change while the
    process runs, so each life reads them again. `turn` lets one committer at a time apply messages, and is never held
    while waiting for Kafka: threads that all want to run at once keep taking Python's interpreter from each other.
    `check_topics` raises `TopicsChangedError` if those of a stream are not what they were.
    """

    settings: Settings
    schema_ids: Mapping[str, int]
    decode_entry: Callable[[bytes], Mapping[str, Any]]
    read_limits_bytes: Callable[[], Mapping[str, int]]
    open_connection: Callable[[StreamPartition, Plan, Wire], Connection]
    clock: XClock
    stall_watch: StallWatch
    limiter: ConnectLimiter
    turn: threading.Lock
    commits: Commits
    check_topics: Callable[[str], None]
    open_ledger: Callable[..., LedgerReader] = LedgerReader
    make_reader: Callable[..., Reader] = Reader


class PartitionWorker:
    """Processes one stream partition from `start` to `stop`.

    `wait` waits for some seconds, or less when the worker is stopped; `jitter` gives numbers from 0 to 1; `monotonic_s`
    is a clock in seconds.
    """

    def __init__(  # noqa: PLR0913 - what it is made of, and what a test plays
        self,
        partition: StreamPartition,
        shared: SharedResources,
        telemetry: PartitionTelemetry,
        *,
        wait: Callable[[float], object] | None = None,
        jitter: Callable[[], float] = random.random,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.partition = partition
        self._shared = shared
        self._telemetry = telemetry
        self._names = TopicNames(shared.settings.kafka.topic_prefix)
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait
        self._jitter = jitter
        self._monotonic_s = monotonic_s
        self._may_commit = True
        self._is_restored = False
        self._known_end = self._known_entry = 0
        self._heartbeat = Heartbeat(monotonic_s)
        self._reader: Reader | None = None
        self._writer: PartitionWriter | None = None
        self._thread = threading.Thread(target=self._run, name=f"committer {partition}", daemon=True)

    def start(self) -> None:
        """Start in its own thread."""
        self._telemetry.assigned()
        self._thread.start()

    def stop(self, *, may_commit: bool = True) -> None:
        """Request the end: reading ends at once; the transaction in hand is finished, if it still may be."""
        self._may_commit = may_commit
        self._stop.set()
        reader, writer = self._reader, self._writer
        if writer is not None and not may_commit:
            writer.lose()
        if reader is not None:
            reader.stop()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_hung(self) -> bool:
        """Whether the committer has stopped beating, though it was not asked to stop."""
        return self._heartbeat.age_s > HUNG_S and not self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._live_until_stopped()
            except TopicsChangedError as error:
                self._telemetry.topics_changed(str(error))
                self._pause(CORRUPT_WAIT_S)
            except OwnCorruptionError as error:
                self._telemetry.corrupt(str(error))
                self._pause(CORRUPT_WAIT_S)
        self._telemetry.released()

    def _live_until_stopped(self) -> None:
        """Start one life after another. Raises `OwnCorruptionError`."""
        troubles = fencings = 0
        while not self._stop.is_set():
            began = self._monotonic_s()
            try:
                self._live()
            except OwnCorruptionError:
                raise
            except Exception as error:  # noqa: BLE001 - a life may end in any way; the ledger tells where to go on
                if self._monotonic_s() - began > TROUBLE_WAIT.max_s:
                    troubles = fencings = 0
                if isinstance(error, FencedError):
                    fencings += 1
                    delay_s = FENCED_WAIT.delay_s(fencings) * (0.75 + self._jitter() / 2)
                else:
                    troubles += 1
                    delay_s = TROUBLE_WAIT.delay_s(troubles)
                self._tell(error)
            else:
                return
            if not self._stop.is_set():
                self._telemetry.waiting(delay_s)
                self._pause(delay_s)

    def _pause(self, seconds: float) -> None:
        """Wait, unless asked to stop."""
        self._heartbeat.rest(seconds)
        self._wait(seconds)

    def _tell(self, error: Exception) -> None:
        if not isinstance(error, ConnectorError):
            self._telemetry.failed(error)
        if isinstance(error, FencedError):
            self._telemetry.restarting(RestartCause.FENCED, str(error))
        elif self._is_restored:
            self._telemetry.restarting(RestartCause.UNRESOLVED, str(error))
        else:
            self._telemetry.start_failed(str(error))

    def _live(self) -> None:
        """Process the partition until it is stopped. Raises any failure that ends it before."""
        began, self._is_restored = self._monotonic_s(), False
        self._shared.check_topics(self.partition.stream)
        limits = self._shared.read_limits_bytes()
        records = RecordBuilder(
            self.partition,
            self._names,
            self._shared.schema_ids,
            limits,
            has_headers=self._shared.settings.kafka.headers,
        )
        writer = self._writer = self._shared.commits.join(self.partition)
        try:
            state = self._restore(writer, records, began)
            self._is_restored = True
            try:
                self._read_and_commit(state, writer)
            finally:
                self._known_end, self._known_entry = writer.next_offset or self._known_end, state.entry
        finally:
            self._writer = None
            writer.leave()

    def _restore(self, writer: PartitionWriter, records: RecordBuilder, began: float) -> PartitionState:
        shared = self._shared
        reader = shared.open_ledger(
            shared.settings.kafka,
            self.partition,
            shared.decode_entry,
            self._must_stop,
            clock_us=self._latest_us,
        )
        identity = Writer(uuid.uuid4().hex, shared.settings.kafka.replica_name)
        entries, begin, end = reader.restore(self._known_end, self._known_entry)
        writer.expect_entry_at(end)
        if not entries:
            reader.check_is_new()
            self._telemetry.found_new(begin, end)
            first = replace(
                first_entry(self.partition, identity.id, shared.clock.read().wall_us), records={}, owner=identity.owner
            )
            record = records.ledger(first)
            offset = writer.commit([], record).ledger_offset
            entries = [OffsetEntry(offset, first, digest=entry_digest(record.value))]
        window_us = shared.settings.pipeline.duplicate_window_minutes * MINUTE_US
        state = PartitionState(self.partition, records, identity, entries, window_us=window_us)
        self._telemetry.restored(
            Restored(entries, begin, end), state.known_ids, state.covered_until_us, self._monotonic_s() - began
        )
        return state

    def _read_and_commit(self, state: PartitionState, writer: PartitionWriter) -> None:
        shared, telemetry = self._shared, self._telemetry
        settings = shared.settings
        channel = Channel(settings.pipeline.channel_limit_bytes, state.progress)
        committer = Committer(
            state=state,
            channel=channel,
            writer=writer,
            settings=settings.pipeline,
            telemetry=telemetry,
            turn=shared.turn,
        )
        reader = shared.make_reader(
            partition=self.partition,
            open_connection=shared.open_connection,
            channel=channel,
            settings=settings.x,
            clock=shared.clock,
            stall_watch=shared.stall_watch,
            limiter=shared.limiter,
            observer=telemetry,
        )
        self._reader = reader
        telemetry.began_to_read(lambda: channel.waiting_bytes, lambda: writer.has_own_producer)
        thread = threading.Thread(target=reader.run, name=f"reader {self.partition}", daemon=True)
        thread.start()
        try:
            committer.run(self._must_stop)
            if self._may_commit:
                committer.finish()
        finally:
            self._reader = None
            reader.stop()
            channel.close()

    def _latest_us(self) -> int:
        """Return the latest that it may be: the wall clock or X's time may be behind."""
        at = self._shared.clock.read()
        return max(at.wall_us, at.latest_us)

    def _must_stop(self) -> bool:
        """Beat, and return whether to stop. Raises `TopicsChangedError`."""
        self._heartbeat.beat()
        self._shared.check_topics(self.partition.stream)
        return self._stop.is_set()
