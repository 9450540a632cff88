"""The committer of one stream partition: applies the reader's messages and commits them, a transaction at a time."""

import threading
import time
from collections.abc import Callable

from connector.coverage.messages import Ended, EndReason, KeepAlive, LinesRead, Message
from connector.kafka.commits import PartitionWriter
from connector.partition.batch import Transaction
from connector.partition.state import PartitionState
from connector.settings import PipelineSettings
from connector.source.channel import Channel
from connector.telemetry.partition import CommitFigures, PartitionTelemetry
from connector.x.clock import monotonic_us, wall_us

_TICK_S = 1.0
_MAX_BYTES = 16 * 1024 * 1024
"""A transaction with this many bytes of records is closed early."""


class Committer:
    """Commits one stream partition's state until it is stopped.

    `monotonic_s` is a clock in seconds. All committers of a process commit at the same moments, multiples of the commit
    interval, so that they share their transactions.
    """

    def __init__(  # noqa: PLR0913 - the parts of a committer, wired in one place
        self,
        *,
        state: PartitionState,
        channel: Channel,
        writer: PartitionWriter,
        settings: PipelineSettings,
        telemetry: PartitionTelemetry,
        turn: threading.Lock,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._channel = channel
        self._writer = writer
        self._interval_ms = settings.commit_interval_ms
        self._idle_wait_ms = max(0, round(settings.idle_commit_interval_s * 1000) - self._interval_ms)
        self._max_events = settings.commit_max_events
        self._telemetry = telemetry
        self._turn = turn
        self._monotonic_s = monotonic_s
        self._due_at_s = monotonic_s()
        self._has_news = False

    def run(self, must_stop: Callable[[], bool]) -> None:
        """Commit until `must_stop`, which is called at least every second or two, returns True.

        Raises `WriterLostError` when the outcome of a commit is unknown.
        """
        while not must_stop():
            wait_s = min(_TICK_S, max(0.0, self._due_at_s - self._monotonic_s()))
            self._channel.wait(wait_s, is_gathering=self._has_news)
            for message in self._channel.take():
                self._apply(message)
                if must_stop():
                    return
            if self._monotonic_s() >= self._due_at_s:
                self._commit()

    def finish(self) -> None:
        """Commit what is in hand, as the last transaction. Raises `WriterLostError`."""
        self._state.apply(Ended(EndReason.STOPPED, is_proper=False, at_us=0))
        self._commit()

    def _apply(self, message: Message) -> None:
        """Apply a message; commit if the transaction would grow too large with it, or a connection has ended."""
        if isinstance(message, LinesRead) and self._state.pending + len(message.lines) > self._max_events:
            self._commit()
        with self._turn:
            reason = self._state.apply(message)
        if reason is not None:
            self._channel.hang_up(reason)
        if not self._has_news and not isinstance(message, KeepAlive):
            self._has_news = True
            self._be_due(min(self._due_at_s, self._moment_after(self._now_ms)))
        if isinstance(message, Ended) or self._state.pending_bytes >= _MAX_BYTES:
            self._commit()

    def _commit(self) -> None:
        self._has_news = False
        if not self._state.has_begun:
            self._be_idle()
            return
        transaction = self._state.prepare(wall_us())
        self._telemetry.prepared(transaction.entry.covered_until_us)
        committed = self._writer.commit(transaction.records, transaction.entry_record)
        self._state.committed(transaction, committed.ledger_offset)
        self._channel.settle(self._state.progress)
        self._be_idle()
        self._report(transaction, committed.duration_s)

    def _be_idle(self) -> None:
        """Schedule a commit of coverage alone, unless a message comes first."""
        self._be_due(self._moment_after(self._now_ms + self._idle_wait_ms))

    def _be_due(self, due_at_s: float) -> None:
        self._due_at_s = due_at_s
        self._writer.announce(due_at_s)

    @property
    def _now_ms(self) -> int:
        return round(self._monotonic_s() * 1000)

    def _moment_after(self, at_ms: int) -> float:
        """Return the first of the common moments after `at_ms`, in seconds."""
        return (at_ms // self._interval_ms + 1) * self._interval_ms / 1000

    def _report(self, transaction: Transaction, duration_s: float) -> None:
        entry = transaction.entry
        self._telemetry.committed(
            CommitFigures(
                received=entry.counts.received,
                duplicate=entry.counts.duplicate,
                control=entry.counts.control,
                published=transaction.published,
                dead_lettered=transaction.dead_lettered,
                arrivals=transaction.arrivals,
                committed_at_us=monotonic_us(),
                covered_until_us=entry.covered_until_us,
                sequence=entry.sequence,
                mode=entry.mode.value,
                known_ids=self._state.known_ids,
                duration_s=duration_s,
            )
        )
        self._telemetry.drifted(transaction.unknown_types, transaction.unknown_fields)
        for refetch in transaction.refetches:
            self._telemetry.range_refetched(refetch)
        for gap in transaction.gaps:
            self._telemetry.gap_recorded(gap)
