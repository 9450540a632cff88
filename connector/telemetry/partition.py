"""What can happen to a stream partition: one function each, which logs it, counts it and shows it in the status.

Levels: INFO the life cycle; WARNING something went wrong and is retried or worked around; ERROR something is lost or
may be, or the connector itself failed or stopped. Nothing here is called for each event. The docstrings say what
happened: docs/logs.md is generated from them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from connector.coverage.gap import Gap, GapCause, GapState
from connector.coverage.messages import EndReason, Verdict
from connector.coverage.plan import Plan, Replay
from connector.coverage.recovery import Refetch
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.ledger import LedgerEntry, Mode
from connector.kafka.restore import Restored
from connector.quoting import shown, without_secrets
from connector.source.connect_limiter import WaitReason
from connector.telemetry.delays import Arrival
from connector.telemetry.gauges import labels_of
from connector.telemetry.metrics import Metrics, RefusalOutcome, RestartCause
from connector.telemetry.repeats import Repeats
from connector.telemetry.status import PartitionStatus, State, describe
from connector.x.clock import wall_us
from connector.x.errors import FailureReason

CLOCK_OFFSET_WARNING_US = 5 * US_PER_S
_ERROR_INTERVAL_S = 60.0
"""Least time between two logs of an error that may come with every line."""
_FOREIGN = frozenset({FailureReason.NOT_A_STREAM, FailureReason.FOREIGN_ANSWER})
"""Answers that are not X's: an intermediary gave them."""


@dataclass(frozen=True, slots=True)
class CommitFigures:
    """The figures of one committed transaction; `committed_at_us` is the monotonic clock."""

    received: int
    duplicate: int
    control: int
    published: Mapping[str, int]
    dead_lettered: Mapping[str, int]
    arrivals: Sequence[Arrival]
    committed_at_us: int
    covered_until_us: int
    sequence: int
    mode: str
    known_ids: int
    duration_s: float


class PartitionTelemetry:
    """The telemetry of one stream partition, while one worker processes it."""

    def __init__(
        self,
        partition: StreamPartition,
        metrics: Metrics,
        status: PartitionStatus,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._wall = wall
        self._where = labels_of(partition)
        self._stream = partition.stream
        self._metrics = metrics
        self._status = status
        self._received_bytes = metrics.received_bytes.labels(*self._where)
        self._transaction_duration = metrics.transaction_duration.labels(*self._where)
        self._delays = metrics.delays[partition]
        self._repeats = Repeats(_ERROR_INTERVAL_S)
        self._log = structlog.get_logger().bind(stream=partition.stream, partition=partition.number)

    def assigned(self) -> None:
        """The consumer group assigned the partition to this process."""
        self._status.state = State.RESTORING
        self._log.info("partition_assigned")

    def found_new(self, log_begin: int, log_end: int) -> None:
        """The ledger is empty and no coverage is recorded: entry 0 must be written at `log_end`."""
        self._log.info("partition_is_new", log_begin=log_begin, log_end=log_end)

    def restored(self, restored: Restored, ids: int, covered_until_us: int, duration_s: float) -> None:
        """The state was restored from the ledger, up to the offset `log_end`."""
        status = self._status
        status.state = State.RUNNING
        status.covered_until_us = status.watermark_us = covered_until_us
        status.known_ids = ids
        self._log.info(
            "partition_restored",
            entry=restored.placed[-1].entry.entry,
            log_begin=restored.begin,
            log_end=restored.end,
            ids=ids,
            covered_until=format_us(covered_until_us),
            duration_s=round(duration_s, 3),
        )
        self._count_reset(restored.placed[0].entry, restored.placed[-1].entry)

    def _count_reset(self, oldest: LedgerEntry, newest: LedgerEntry) -> None:
        """Count the gap of a ledger reset once: in the first process that restores it, before it commits.

        Later the newest entry is another one; a process that restores the same entry again knows its writer.
        """
        counted = self._metrics.counted_resets
        if newest.mode is not Mode.RESET or newest.writer_id in counted:
            return
        counted.add(newest.writer_id)
        self._ledger_was_reset()
        if oldest.covered_until_before_us < oldest.covered_until_us:
            self.gap_recorded(Gap(oldest.covered_until_before_us, oldest.covered_until_us, GapCause.LEDGER_RESET))

    def _ledger_was_reset(self) -> None:
        """An operator has reset the ledger, and nothing was committed since; the gap of the reset is counted now."""
        self._log.warning("ledger_was_reset")

    def began_to_read(self, channel_bytes: Callable[[], int], has_own_producer: Callable[[], bool]) -> None:
        """A reader started to fill a channel; `channel_bytes` returns how much waits for the committer."""
        self._status.channel_bytes, self._status.has_own_producer = channel_bytes, has_own_producer

    def released(self) -> None:
        """The partition was released: this process no longer owns it."""
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
        status.next_attempt_us = status.waits_for = None
        self._log.info("connected", plan=status.plan)
        if abs(clock_offset_us) > CLOCK_OFFSET_WARNING_US:
            self._clock_differs(clock_offset_us)

    def _clock_differs(self, offset_us: int) -> None:
        """X's clock and the wall clock of this host differ by more than 5 s; the connector uses X's."""
        self._log.warning("clock_offset", x_is_ahead_by_s=round(offset_us / US_PER_S))

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect failed."""
        self._metrics.connect_failures.labels(*self._where, reason).inc()
        self._note_error(detail)
        self.postponed(delay_s)
        if reason in _FOREIGN:
            self._answered_by_another(reason, detail, delay_s)
        else:
            self._log.warning("connect_failed", reason=reason, detail=detail, next_attempt_s=round(delay_s, 2))

    def _answered_by_another(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect was answered by a proxy or another intermediary instead of X."""
        self._log.warning("foreign_answer", reason=reason, detail=detail, next_attempt_s=round(delay_s, 2))

    def postponed(self, delay_s: float) -> None:
        """The next attempt comes after a delay."""
        self._status.waits_for = None
        self._status.next_attempt_us = self._wall() + int(delay_s * US_PER_S)

    def disconnected(self, reason: EndReason, tail_bytes: int) -> None:
        """A connection ended; `replanned` and `out-of-reach` mean that it was given up before `connected`."""
        self._metrics.disconnects.labels(*self._where, reason.value).inc()
        if tail_bytes:
            self._metrics.truncated_tails.labels(*self._where).inc()
        self._status.plan = None
        self._status.last_end, self._status.last_end_at_us = reason.value, self._wall()
        self._log.info("disconnected", reason=reason.value, tail_bytes=tail_bytes)

    def slice_ended(self, verdict: Verdict) -> None:
        """A replay slice ended: whole, interrupted, suspected of being incomplete, or of the wrong range."""
        self._metrics.replay_slices.labels(*self._where, verdict.value).inc()
        self._log.info("replay_slice_ended", verdict=verdict.value)

    def plan_refused(self, plan: Plan, detail: str, *, is_believed: bool) -> None:
        """X refused the parameters of a request, or ignored them; believed the second time in a row."""
        kind = "replay" if isinstance(plan, Replay) else "backfill"
        outcome = RefusalOutcome.BELIEVED if is_believed else RefusalOutcome.RETRIED
        self._metrics.plans_refused.labels(*self._where, kind, outcome.value).inc()
        self._log.warning("plan_refused", plan=describe(plan), detail=detail, is_believed=is_believed)

    def waiting_to_connect(self, reason: WaitReason | None, at_least_s: float | None, waited_s: float) -> None:
        """An attempt to connect has waited another `waited_s` for its permit; called about once a second."""
        self._status.waits_for = None if reason is None else reason.value
        self._status.next_attempt_us = None if at_least_s is None else self._wall() + int(at_least_s * US_PER_S)
        if reason is not None:
            self._metrics.connect_wait.labels(*self._where, reason.value).inc(waited_s)

    def system_message(self, problem: str, detail: str) -> None:
        """X sent an in-stream system message."""
        self._metrics.system_messages.labels(*self._where).inc()
        self._note_error(f"{problem}: {detail}")
        self._log.warning("system_message", problem=problem, detail=detail)

    def secrets_hidden(self, lines: int) -> None:
        """X repeated the token, or the credentials of the proxy, in lines: it is `[secret]` in what is published."""
        self._metrics.secrets_hidden.labels(*self._where).inc(lines)
        held_back = self._repeats.held_back_before("secret_repeated")
        if held_back is not None:
            self._log.error("secret_repeated", lines=lines)

    def range_refetched(self, refetch: Refetch) -> None:
        """A time range is re-requested because its completeness is in doubt."""
        start, end = format_us(refetch.start_us), format_us(refetch.end_us)
        self._metrics.refetches.labels(*self._where, refetch.suspicion.value).inc()
        self._log.warning("range_refetched", suspicion=refetch.suspicion.value, start=start, end=end)

    def read(self, size_bytes: int, at_us: int) -> None:
        """Bytes were read; called for each chunk, so it logs nothing."""
        self._received_bytes.inc(size_bytes)
        self._status.received_bytes += size_bytes
        self._status.last_byte_us = at_us

    def prepared(self, watermark_us: int) -> None:
        """A transaction was prepared, with which coverage reaches `watermark_us` once it is committed."""
        self._status.watermark_us = watermark_us

    def committed(self, transaction: CommitFigures) -> None:
        """A transaction was committed."""
        self._count_lines(transaction)
        self._metrics.transactions.labels(*self._where).inc()
        self._transaction_duration.observe(transaction.duration_s)
        status = self._status
        status.covered_until_us, status.sequence = transaction.covered_until_us, transaction.sequence
        status.mode, status.known_ids = transaction.mode, transaction.known_ids
        if transaction.arrivals:
            status.last_event_us = transaction.arrivals[-1].at_us
            self._delays.add(transaction.arrivals, transaction.committed_at_us)

    def _count_lines(self, transaction: CommitFigures) -> None:
        metrics, where = self._metrics, self._where
        metrics.received.labels(*where).inc(transaction.received)
        metrics.duplicates.labels(*where).inc(transaction.duplicate)
        metrics.control.labels(*where).inc(transaction.control)
        for name, count in transaction.published.items():
            metrics.published.labels(self._stream, name).inc(count)
        for reason, count in transaction.dead_lettered.items():
            self.dead_lettered(reason, count)

    def dead_lettered(self, reason: str, count: int) -> None:
        """`count` lines were sent to the dead-letter topic."""
        self._metrics.dead_lettered.labels(*self._where, reason).inc(count)
        self._log.warning("dead_lettered", reason=reason, count=count)

    def drifted(self, types: Mapping[str, int], members: Mapping[str, int]) -> None:
        """Lines and events of a transaction had types and members that the catalog does not have; counted by name."""
        metrics, stream = self._metrics, self._stream
        for name, count in _counted_without_secrets(types):
            metrics.unknown_types.labels(stream).inc(count)
            if metrics.type_names.meet(stream, name)[1]:
                self._type_is_new(name)
        for name, count in _counted_without_secrets(members):
            label, is_new = metrics.field_names.meet(stream, name)
            metrics.unknown_fields.labels(stream, label).inc(count)
            if is_new:
                self._field_is_new(name)

    def _type_is_new(self, name: str) -> None:
        """X sent an event of a type that the connector does not know, for the first time: see the dead letters."""
        self._log.warning("unknown_type", type=name)

    def _field_is_new(self, name: str) -> None:
        """X sent a member that the connector does not know, for the first time: it is in `unknown_fields`."""
        self._log.warning("unknown_field", field=name)

    def gap_recorded(self, gap: Gap) -> None:
        """A gap was recorded."""
        where = (*self._where, gap.state.value, gap.cause.value)
        start, end = format_us(gap.start_us), format_us(gap.end_us)
        self._metrics.gaps.labels(*where).inc()
        self._metrics.gap_seconds.labels(*where).inc((gap.end_us - gap.start_us) / US_PER_S)
        self._status.gaps_recorded += 1
        self._status.last_gap = f"{start} to {end}: {gap.state.value}, {gap.cause.value}"
        log = self._gap_suspected if gap.state is GapState.SUSPECTED else self._gap_lost
        log(start, end, gap.cause.value)

    def _gap_lost(self, start: str, end: str, cause: str) -> None:
        """A gap was recorded: the streams cannot deliver what X emitted in it."""
        self._log.error("gap_recorded", start=start, end=end, cause=cause)

    def _gap_suspected(self, start: str, end: str, cause: str) -> None:
        """A gap was recorded as suspected: X's answers leave it in doubt whether the range is complete."""
        self._log.error("gap_suspected", start=start, end=end, cause=cause)

    def start_failed(self, detail: str) -> None:
        """The partition could not start, usually because Kafka provided no producer, limits or ledger; it retries."""
        self._metrics.start_failures.labels(*self._where).inc()
        self._note_error(detail)
        self._log.warning("partition_start_failed", detail=detail)

    def restarting(self, cause: RestartCause, detail: str) -> None:
        """The partition dropped uncommitted work and restarts from its ledger; X is asked for that time again."""
        self._metrics.restarts.labels(*self._where, cause.value).inc()
        self._note_error(detail)
        self._log.warning("partition_restarting", cause=cause.value, detail=detail)

    def waiting(self, delay_s: float) -> None:
        """The partition waits, then restores from the ledger."""
        self._status.state = State.WAITING
        self._status.idle()
        self._status.next_attempt_us = self._wall() + int(delay_s * US_PER_S)
        self._log.info("partition_waiting", delay_s=round(delay_s, 1))

    def corrupt(self, detail: str) -> None:
        """The ledger cannot be trusted; the partition stopped and needs a person."""
        self._status.state = State.CORRUPT
        self._status.idle()
        self._note_error(detail)
        self._log.error("ledger_corrupt", detail=detail)

    def topics_changed(self, detail: str) -> None:
        """A topic has the wrong number of partitions; the stream partition stopped and needs a person."""
        self._status.state = State.TOPICS_CHANGED
        self._status.idle()
        self._note_error(detail)
        self._log.error("topics_changed", detail=detail)

    def failed(self, error: Exception) -> None:
        """An unexpected exception ended an attempt or stopped the partition; it retries."""
        self._metrics.unexpected_errors.labels(*self._where).inc()
        self._note_error(shown(f"{type(error).__name__}: {error}"))
        self._log.error("unexpected_error", exc_info=error)

    def _note_error(self, detail: str) -> None:
        self._status.last_error, self._status.last_error_at_us = detail, self._wall()


def _counted_without_secrets(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield names from X as a log and a label may show them: they may still hold a short secret."""
    return ((without_secrets(name), count) for name, count in counts.items())
