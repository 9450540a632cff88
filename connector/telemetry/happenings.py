"""What can happen to a stream partition: one function each, which logs it, counts it and shows it in the status.

Levels: INFO the life cycle, WARNING odd but nothing lost, ERROR lost or a human is needed. Nothing here is called
once an event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from connector.coverage.plan import Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.restore import Restored
from connector.kafka.statistics import ProducerStatistics
from connector.telemetry.delays import Arrival
from connector.telemetry.gauges import labels_of
from connector.telemetry.metrics import Metrics
from connector.telemetry.status import PartitionStatus, State, describe
from connector.x.clock import monotonic_us, wall_us

CLOCK_OFFSET_WARNING_US = 5 * US_PER_S


class _Clocks(NamedTuple):
    """How the clock by which receipts are told stood to the monotonic one, and X's to it, at the latest receipt."""

    received_ahead_of_monotonic_us: int
    x_ahead_of_received_us: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """The figures of one committed transaction; `known_ids` are in the duplicate memory after it."""

    received: int
    duplicate: int
    control: int
    published: Mapping[str, int]
    dead_lettered: Mapping[str, int]
    arrivals: Sequence[Arrival]
    covered_until_us: int
    sequence: int
    mode: str
    known_ids: int
    duration_s: float


class Happenings:
    """The happenings of one stream partition, while one pipeline works it."""

    def __init__(self, partition: StreamPartition, metrics: Metrics, status: PartitionStatus) -> None:
        self._where = labels_of(partition)
        self._stream = partition.stream
        self._metrics = metrics
        self._status = status
        self._received_bytes = metrics.received_bytes.labels(*self._where)
        self._transaction_duration = metrics.transaction_duration.labels(*self._where)
        self._delays = metrics.delays[partition]
        self._x_ahead_of_wall_us = 0
        self._clocks: _Clocks | None = None
        self._producer = ProducerStatistics()
        self._log = structlog.get_logger().bind(stream=partition.stream, partition=partition.number)

    def assigned(self) -> None:
        """The group gave us the partition."""
        self._status.state = State.RESTORING
        self._log.info("partition_assigned")

    def is_new(self, log_begin: int, log_end: int) -> None:
        """The ledger holds no entry, and no coverage is recorded: entry 0 comes at `log_end`, or not at all."""
        self._log.info("partition_is_new", log_begin=log_begin, log_end=log_end)

    def restored(self, restored: Restored, ids: int, covered_until_us: int, duration_s: float) -> None:
        """The ledger was read back, up to the offset `log_end`."""
        status = self._status
        status.state = State.RUNNING
        status.covered_until_us = status.watermark_us = covered_until_us
        status.duplicate_memory_ids = ids
        self._log.info(
            "partition_restored",
            entry=restored.placed[-1].entry.entry,
            log_begin=restored.begin,
            log_end=restored.end,
            ids=ids,
            covered_until=format_us(covered_until_us),
            duration_s=round(duration_s, 3),
        )

    def began_to_read(self, inbox_bytes: Callable[[], int]) -> None:
        """A reader fills an inbox, in which `inbox_bytes` wait."""
        self._status.inbox_bytes = inbox_bytes

    def released(self) -> None:
        """We no longer work the partition."""
        self._status.state = State.NOT_OWNED
        self._status.idle()
        self._log.info("partition_released")

    def connected(self, plan: Plan, clock_offset_us: int) -> None:
        """X granted a connection."""
        metrics, status = self._metrics, self._status
        metrics.connects.labels(*self._where).inc()
        if not isinstance(plan, Replay) and plan.backfill_minutes:
            metrics.backfills.labels(*self._where).inc()
        status.plan = describe(plan)
        status.next_attempt_us = None
        self._log.info("connected", plan=status.plan)
        self._note_clock(clock_offset_us)

    def _note_clock(self, offset_us: int) -> None:
        """Keep how far X's clock is ahead of ours: `offset_us`, or up to a second more, since X cuts seconds off."""
        self._status.clock_offset_s = offset_us / US_PER_S
        is_same = -US_PER_S < offset_us <= 0
        self._x_ahead_of_wall_us = 0 if is_same else offset_us + US_PER_S // 2
        if abs(offset_us) > CLOCK_OFFSET_WARNING_US:
            self.clock_is_off(offset_us)

    def clock_is_off(self, offset_us: int) -> None:
        """X's clock and ours differ by more than 5 s; the connector reckons in X's time."""
        self._log.warning("clock_offset", x_is_ahead_by_s=round(offset_us / US_PER_S))

    def replanned(self) -> None:
        """X's time shows that the plan it granted loses what a better one can still get: connect again."""
        self._metrics.connects.labels(*self._where).inc()
        self._metrics.disconnects.labels(*self._where, "replanned").inc()
        self._log.info("replanned")

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect did not succeed."""
        self._metrics.connect_failures.labels(*self._where, reason).inc()
        self._note_error(detail)
        self.postponed(delay_s)
        self._log.warning("connect_failed", reason=reason, detail=detail, next_attempt_s=round(delay_s, 2))

    def postponed(self, delay_s: float | None) -> None:
        """The next attempt comes after a delay, or when others are done; called about once a second while it waits."""
        self._status.next_attempt_us = None if delay_s is None else wall_us() + int(delay_s * US_PER_S)

    def disconnected(self, reason: str, tail_bytes: int) -> None:
        """A connection ended."""
        self._metrics.disconnects.labels(*self._where, reason).inc()
        if tail_bytes:
            self._metrics.truncated_tails.labels(*self._where).inc()
        self._status.plan = None
        self._log.info("disconnected", reason=reason, tail_bytes=tail_bytes)

    def slice_ended(self, *, is_whole: bool) -> None:
        """A replay slice came to its end, properly, or was interrupted and has to come again."""
        outcome = "whole" if is_whole else "interrupted"
        self._metrics.replay_slices.labels(*self._where, outcome).inc()
        self._log.info("replay_slice_ended", outcome=outcome)

    def system_message(self, problem: str, detail: str) -> None:
        """X spoke of the connection within the stream."""
        self._note_error(f"{problem}: {detail}")
        self._log.warning("system_message", problem=problem, detail=detail)

    def doubted(self, doubt: str) -> None:
        """What X brought shows that an earlier stretch may not have been whole: it is asked for once more."""
        self._metrics.doubts.labels(*self._where, doubt).inc()
        self._log.warning("coverage_doubted", doubt=doubt)

    def read(self, size_bytes: int, at_us: int) -> None:
        """Bytes came; called for each chunk, so it only takes notes."""
        self._received_bytes.inc(size_bytes)
        self._status.received_bytes += size_bytes
        self._status.last_byte_us = at_us
        self._clocks = _Clocks(at_us - monotonic_us(), wall_us() + self._x_ahead_of_wall_us - at_us)

    def drafted(self, watermark_us: int) -> None:
        """A transaction is about to be committed, with which coverage would reach `watermark_us`."""
        self._status.watermark_us = watermark_us

    def committed(self, transaction: Transaction) -> None:
        """A transaction is committed."""
        self._count_lines(transaction)
        self._metrics.transactions.labels(*self._where).inc()
        self._transaction_duration.observe(transaction.duration_s)
        status = self._status
        status.covered_until_us, status.sequence = transaction.covered_until_us, transaction.sequence
        status.mode, status.duplicate_memory_ids = transaction.mode, transaction.known_ids
        if transaction.arrivals:
            status.last_event_us = transaction.arrivals[-1].at_us
        if self._clocks is not None:
            committed_at_us = monotonic_us() + self._clocks.received_ahead_of_monotonic_us
            self._delays.add(transaction.arrivals, committed_at_us, self._clocks.x_ahead_of_received_us)

    def _count_lines(self, transaction: Transaction) -> None:
        metrics, where = self._metrics, self._where
        metrics.received.labels(*where).inc(transaction.received)
        metrics.duplicates.labels(*where).inc(transaction.duplicate)
        metrics.control.labels(*where).inc(transaction.control)
        for name, count in transaction.published.items():
            metrics.published.labels(self._stream, name).inc(count)
        for reason, count in transaction.dead_lettered.items():
            self.dead_lettered(reason, count)

    def dead_lettered(self, reason: str, count: int) -> None:
        """So many lines of a transaction are on the dead-letter topic."""
        self._metrics.dead_lettered.labels(*self._where, reason).inc(count)
        self._log.warning("dead_lettered", reason=reason, count=count)

    def drifted(self, types: Mapping[str, int], members: Mapping[str, int]) -> None:
        """So many lines and events of a transaction had types and members that the catalog does not have."""
        metrics, stream = self._metrics, self._stream
        for name, count in types.items():
            metrics.unknown_types.labels(stream).inc(count)
            if metrics.type_names.meet(stream, name)[1]:
                self.type_is_new(name)
        for name, count in members.items():
            label, is_new = metrics.field_names.meet(stream, name)
            metrics.unknown_fields.labels(stream, label).inc(count)
            if is_new:
                self.field_is_new(name)

    def type_is_new(self, name: str) -> None:
        """X sent an event of a type that the connector does not know, for the first time: see the dead letters."""
        self._log.warning("unknown_type", type=name)

    def field_is_new(self, name: str) -> None:
        """X sent a member that the connector does not know, for the first time: it is in `unknown_fields`."""
        self._log.warning("unknown_field", field=name)

    def lost(self, start_us: int, end_us: int, cause: str) -> None:
        """A gap was recorded: what X emitted in it may be missing for good."""
        self._metrics.gaps.labels(*self._where, cause).inc()
        self._metrics.lost_seconds.labels(*self._where, cause).inc((end_us - start_us) / US_PER_S)
        start, end = format_us(start_us), format_us(end_us)
        self._status.gaps_recorded += 1
        self._status.last_gap = f"{start} to {end}: {cause}"
        self._log.error("gap_recorded", start=start, end=end, cause=cause)

    def told(self, statistics: ProducerStatistics) -> None:
        """The producer told of itself; a lower count than before is that of a new one."""
        before, self._producer, self._status.producer = self._producer, statistics, statistics
        for counter, now, then in (
            (self._metrics.transmit_retries, statistics.transmit_retries, before.transmit_retries),
            (self._metrics.transmit_errors, statistics.transmit_errors, before.transmit_errors),
        ):
            counter.labels(*self._where).inc(now - then if now >= then else now)

    def not_begun(self, detail: str) -> None:
        """Kafka does not tell what is needed before there is a producer."""
        self._note_error(detail)
        self._log.warning("partition_not_begun", detail=detail)

    def producer_replaced(self, cause: str, detail: str) -> None:
        """A producer was thrown away; nothing is lost."""
        self._metrics.producers_replaced.labels(*self._where, cause).inc()
        self._producer, self._status.producer = ProducerStatistics(), None
        self._note_error(detail)
        self._log.warning("producer_replaced", cause=cause, detail=detail)

    def waiting(self, delay_s: float) -> None:
        """The partition begins again from the ledger, after a wait."""
        self._status.state = State.WAITING
        self._status.idle()
        self._status.next_attempt_us = wall_us() + int(delay_s * US_PER_S)
        self._log.info("partition_waiting", delay_s=round(delay_s, 1))

    def corrupt(self, detail: str) -> None:
        """The ledger cannot be trusted: the partition stops until a human has looked."""
        self._status.state = State.CORRUPT
        self._status.idle()
        self._note_error(detail)
        self._log.error("ledger_corrupt", detail=detail)

    def topics_changed(self, detail: str) -> None:
        """A topic has another number of partitions than it must have: the partition stops until a human has looked."""
        self._status.state = State.TOPICS_CHANGED
        self._status.idle()
        self._note_error(detail)
        self._log.error("topics_changed", detail=detail)

    def failed(self, error: Exception) -> None:
        """Something happened that nobody foresaw."""
        self._note_error(f"{type(error).__name__}: {error}")
        self._log.error("unexpected_error", exc_info=error)

    def _note_error(self, detail: str) -> None:
        self._status.last_error, self._status.last_error_at_us = detail, wall_us()
