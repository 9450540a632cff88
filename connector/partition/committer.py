"""The committer: takes what the reader delivers and commits it, a transaction at a time."""

import threading
import time
from collections.abc import Callable

from connector.kafka.transaction import SLOW_COMMIT_S, TransactionalWriter
from connector.partition.batch import Draft
from connector.partition.state import Timeline
from connector.settings import PipelineSettings
from connector.source.channel import Inbox
from connector.source.deliveries import Delivery, Ended, KeptAlive, Received
from connector.telemetry.happenings import Happenings, Transaction
from connector.x.clock import wall_us

_TICK_S = 1.0
_MAX_BYTES = 16 * 1024 * 1024
"""A transaction with this many bytes of records is closed early."""


class Committer:
    """Commits one timeline until it is stopped."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a committer, wired in one place
        self,
        timeline: Timeline,
        inbox: Inbox,
        writer: TransactionalWriter,
        settings: PipelineSettings,
        happenings: Happenings,
        turn: threading.Lock,
    ) -> None:
        self._timeline = timeline
        self._inbox = inbox
        self._writer = writer
        self._interval_s = settings.commit_interval_ms / 1000
        self._idle_interval_s = settings.idle_commit_interval_s
        self._max_events = settings.commit_max_events
        self._happenings = happenings
        self._turn = turn
        self._due_at = time.monotonic()
        self._has_news = False

    def run(self, must_stop: Callable[[], bool]) -> None:
        """Commit until `must_stop`, which is asked at least every second or two, says so.

        Raises `WriterLostError` when the outcome of a commit is unknown.
        """
        while not must_stop():
            wait_s = min(_TICK_S, max(0.0, self._due_at - time.monotonic()))
            self._inbox.wait(wait_s, is_gathering=self._has_news)
            for delivery in self._inbox.take():
                self._take(delivery)
                if must_stop():
                    return
            if time.monotonic() >= self._due_at:
                self._commit()

    def finish(self) -> None:
        """Commit what is in hand, as the last transaction. Raises `WriterLostError`."""
        self._timeline.take(Ended(is_whole=False))
        self._commit()

    def _take(self, delivery: Delivery) -> None:
        """Take a delivery up; commit where a transaction would grow too large with it, or a connection has ended."""
        if isinstance(delivery, Received) and self._timeline.pending + len(delivery.lines) > self._max_events:
            self._commit()
        with self._turn:
            self._timeline.take(delivery)
        if not self._has_news and not isinstance(delivery, KeptAlive):
            self._has_news = True
            self._due_at = min(self._due_at, time.monotonic() + self._interval_s)
        if isinstance(delivery, Ended) or self._timeline.pending_bytes >= _MAX_BYTES:
            self._commit()

    def _commit(self) -> None:
        self._has_news = False
        if not self._timeline.has_begun:
            self._due_at = time.monotonic() + self._idle_interval_s
            return
        draft = self._timeline.draft(wall_us())
        self._happenings.drafted(draft.entry.covered_until_us)
        committed = self._writer.commit(draft.records, draft.entry_record)
        self._timeline.committed(draft, committed.ledger_offset)
        self._inbox.settle()
        self._due_at = time.monotonic() + self._idle_interval_s
        self._report(draft, committed.duration_s)
        if committed.duration_s > SLOW_COMMIT_S:
            self._happenings.producer_replaced("slow-commit", f"a commit took {committed.duration_s:.1f} s")
            self._writer.renew()

    def _report(self, draft: Draft, duration_s: float) -> None:
        entry = draft.entry
        self._happenings.committed(
            Transaction(
                received=entry.counts.received,
                duplicate=entry.counts.duplicate,
                control=entry.counts.control,
                published=draft.published,
                dead_lettered=draft.dead_lettered,
                arrivals=draft.arrivals,
                covered_until_us=entry.covered_until_us,
                sequence=entry.sequence,
                mode=entry.mode.value,
                known_ids=len(self._timeline.memory),
                duration_s=duration_s,
            )
        )
        self._happenings.drifted(draft.unknown_types, draft.unknown_fields)
        for lost in draft.lost:
            self._happenings.lost(lost.start_us, lost.end_us, lost.cause.value)
