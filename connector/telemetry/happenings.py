"""What can happen to a stream partition: one function each, which logs it, counts it and shows it in the status.

Levels: INFO the life cycle, WARNING odd but nothing lost, ERROR lost or a human is needed. Nothing here is called
once an event.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from connector.compliance.catalog import StreamPartition
from connector.compliance.instants import US_PER_S, format_us
from connector.telemetry.metrics import Metrics
from connector.telemetry.status import PartitionStatus, State
from connector.x.clock import wall_us

CLOCK_OFFSET_WARNING_US = 5 * US_PER_S


class Happenings:
    """The happenings of one stream partition."""

    def __init__(self, partition: StreamPartition, metrics: Metrics, status: PartitionStatus) -> None:
        self._where = (partition.stream, str(partition.number))
        self._stream = partition.stream
        self._metrics = metrics
        self._status = status
        self._counted_bytes = 0
        self._log = structlog.get_logger().bind(stream=partition.stream, partition=partition.number)

    def assigned(self) -> None:
        """The group gave us the partition."""
        self._status.state = State.RESTORING
        self._log.info("partition_assigned")

    def restored(self, entry: int, ids: int, covered_until_us: int, duration_s: float) -> None:
        """The ledger was read back."""
        self._status.state = State.RUNNING
        self._status.covered_until_us = covered_until_us
        self._log.info(
            "partition_restored",
            entry=entry,
            ids=ids,
            covered_until=format_us(covered_until_us),
            duration_s=round(duration_s, 3),
        )

    def released(self) -> None:
        """We no longer work the partition."""
        self._status.state = State.NOT_OWNED
        self._status.mode = "disconnected"
        self._log.info("partition_released")

    def connected(self, plan: str, clock_offset_us: int) -> None:
        """X granted a connection."""
        self._metrics.connects.labels(*self._where).inc()
        self._metrics.clock_offset.labels(*self._where).set(clock_offset_us / US_PER_S)
        self._status.next_attempt_us = None
        self._status.last_error = None
        self._log.info("connected", plan=plan)
        if abs(clock_offset_us) > CLOCK_OFFSET_WARNING_US:
            self._log.warning("clock_offset", x_is_ahead_by_s=round(clock_offset_us / US_PER_S))

    def replanned(self) -> None:
        """X's time shows that the plan it granted loses what a better one can still get: connect again."""
        self._metrics.connects.labels(*self._where).inc()
        self._metrics.disconnects.labels(*self._where, "replanned").inc()
        self._log.info("replanned")

    def connect_failed(self, reason: str, detail: str, delay_s: float) -> None:
        """An attempt to connect did not succeed."""
        self._metrics.connect_failures.labels(*self._where, reason).inc()
        self._status.last_error = detail
        self._status.next_attempt_us = wall_us() + int(delay_s * US_PER_S)
        self._log.warning("connect_failed", reason=reason, detail=detail, next_attempt_s=round(delay_s, 2))

    def disconnected(self, reason: str, tail_bytes: int) -> None:
        """A connection ended."""
        self._metrics.disconnects.labels(*self._where, reason).inc()
        if tail_bytes:
            self._metrics.truncated_tails.labels(*self._where).inc()
        self._log.info("disconnected", reason=reason, tail_bytes=tail_bytes)

    def system_message(self, problem: str, detail: str) -> None:
        """X spoke of the connection within the stream."""
        self._status.last_error = f"{problem}: {detail}"
        self._log.warning("system_message", problem=problem, detail=detail)

    def doubted(self, doubt: str) -> None:
        """What X brought shows that an earlier stretch may not have been whole: it is asked for once more."""
        self._metrics.doubts.labels(*self._where, doubt).inc()
        self._log.warning("coverage_doubted", doubt=doubt)

    def read(self, size_bytes: int, at_us: int) -> None:
        """Bytes came; called for each chunk, so it only takes notes."""
        self._status.received_bytes += size_bytes
        self._status.last_byte_us = at_us

    def committed(  # noqa: PLR0913 - the figures of one transaction
        self,
        *,
        received: int,
        duplicate: int,
        control: int,
        published: Mapping[str, int],
        dead_lettered: Mapping[str, int],
        covered_until_us: int,
        sequence: int,
        mode: str,
    ) -> None:
        """A transaction is committed."""
        metrics, status, where = self._metrics, self._status, self._where
        metrics.transactions.labels(*where).inc()
        metrics.received.labels(*where).inc(received)
        metrics.duplicates.labels(*where).inc(duplicate)
        metrics.control.labels(*where).inc(control)
        for name, count in published.items():
            metrics.published.labels(self._stream, name).inc(count)
        for reason, count in dead_lettered.items():
            metrics.dead_lettered.labels(*where, reason).inc(count)
            self._log.warning("dead_lettered", reason=reason, count=count)
        received_bytes = status.received_bytes
        metrics.received_bytes.labels(*where).inc(received_bytes - self._counted_bytes)
        self._counted_bytes = received_bytes
        status.covered_until_us, status.sequence, status.mode = covered_until_us, sequence, mode

    def lost(self, start_us: int, end_us: int, cause: str) -> None:
        """A gap was recorded: what X emitted in it may be missing for good."""
        self._metrics.gaps.labels(*self._where, cause).inc()
        self._metrics.lost_seconds.labels(*self._where, cause).inc((end_us - start_us) / US_PER_S)
        self._log.error("gap_recorded", start=format_us(start_us), end=format_us(end_us), cause=cause)

    def producer_replaced(self, cause: str, detail: str) -> None:
        """A producer was thrown away; nothing is lost."""
        self._metrics.producers_replaced.labels(*self._where, cause).inc()
        self._status.last_error = detail
        self._log.warning("producer_replaced", cause=cause, detail=detail)

    def waiting(self, delay_s: float) -> None:
        """The partition begins again from the ledger, after a wait."""
        self._status.state = State.WAITING
        self._log.info("partition_waiting", delay_s=round(delay_s, 1))

    def corrupt(self, detail: str) -> None:
        """The ledger cannot be trusted: the partition stops until a human has looked."""
        self._status.state = State.CORRUPT
        self._status.last_error = detail
        self._log.error("ledger_corrupt", detail=detail)

    def failed(self, error: Exception) -> None:
        """Something happened that nobody foresaw."""
        fields: dict[str, Any] = {"exc_info": error}
        self._log.error("unexpected_error", **fields)
