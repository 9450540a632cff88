"""One stream partition's story since its last restore: deliveries in, transactions out.

Owns sequence, duplicate memory, watermark, counts and coverage. Pure but for its own state: no clock, thread,
network or Kafka. Whoever fails to commit a draft must throw the timeline away and restore a new one.
Instants are microseconds since 1970 in X's time, but for `written_at`, which is the wall clock's.
"""

from collections.abc import Sequence

from connector.coverage.known_ids import DuplicateMemory
from connector.coverage.plan import MINUTE_US, Live, Replay
from connector.coverage.session import Doubt, Overlap
from connector.coverage.watermark import FUTURE_TOLERANCE_US, Watermark
from connector.events.catalog import StreamPartition
from connector.events.decode import DeadLetter, Event, LongLine, SystemMessage, decode, unencodable
from connector.events.times import US_PER_S
from connector.kafka.ledger import Counts, LedgerEntry, Mode
from connector.kafka.restore import Placed
from connector.partition.batch import Batch, Draft
from connector.partition.records import RecordBuilder, UnencodableError
from connector.source.deliveries import Delivery, Ended, KeptAlive, Opened, Received
from connector.telemetry.delays import Arrival

COVERAGE_INTERVAL_US = 10 * US_PER_S
_NS_PER_US = 1000


class Timeline:
    """Takes deliveries in order and drafts the transactions that make them last."""

    def __init__(
        self, partition: StreamPartition, records: RecordBuilder, writer_id: str, restored: Sequence[Placed]
    ) -> None:
        self._partition = partition
        self._records = records
        self._writer_id = writer_id
        self.memory = DuplicateMemory()
        for offset, entry in restored:
            self.memory.remember(offset, entry.covers_to_us, entry.ids)
        newest = restored[-1].entry
        self._entry = newest.entry
        self.has_begun = newest.entry > 0
        """Whether X has ever been reached: before that, coverage is a guess of the wall clock and nothing to commit."""
        self._sequence = newest.sequence
        self.covered_until_us = newest.covered_until_us
        self._watermark = Watermark(self.covered_until_us, self._is_backfill_credible)
        self._overlap = Overlap(_last_slice(restored))
        self.memory.forget(self._overlap.forgettable_until_us(self.covered_until_us))
        self._known_until_us = max(
            (entry.covers_to_us for _, entry in restored if entry.ids and entry.slice_us is None), default=0
        )
        self.doubt: Doubt | None = None
        self.mode = Mode.DISCONNECTED
        self._opened: Opened | None = None
        self.system_message: SystemMessage | None = None
        self._covered_as: tuple[Mode, int] | None = None
        self._batch = Batch()

    @property
    def pending(self) -> int:
        """How many lines wait for the next commit."""
        return self._batch.received

    @property
    def pending_bytes(self) -> int:
        """How many bytes of records wait for the next commit."""
        return self._batch.size_bytes

    @property
    def again(self) -> Replay | None:
        """The stretch that X has to bring once more, before anything else."""
        return self._overlap.again

    def take(self, delivery: Delivery) -> None:
        """Take up a delivery."""
        match delivery:
            case Received():
                self._received(delivery)
            case KeptAlive() if self.mode is Mode.LIVE:  # in a replay it says nothing of the slice
                self._watermark.keep_alive(delivery.at_us, delivery.waited_since_us)
            case Opened():
                self._open(delivery)
            case Ended():
                self._end(delivery)

    def draft(self, written_at_us: int) -> Draft:
        """Return the transaction of everything taken up so far."""
        batch = self._batch
        published = batch.published()
        covered_until_us = self._watermark.position_us
        records = [*batch.records, *(self._records.gap(lost, written_at_us) for lost in batch.lost)]
        has_coverage = self._coverage_is_due(written_at_us)
        if has_coverage:
            records.append(self._records.coverage(covered_until_us, self._sequence, self.mode, written_at_us))
        plan = self._opened.plan if self._opened else batch.ended
        entry = LedgerEntry(
            entry=self._entry + 1,
            writer_id=self._writer_id,
            partition=self._partition,
            covered_until_before_us=self.covered_until_us,
            covered_until_us=covered_until_us,
            covers_to_us=max(batch.covers_to_us, covered_until_us),
            counts=Counts(
                batch.received, published.total(), batch.duplicate, batch.dead_lettered.total(), batch.control
            ),
            sequence=self._sequence,
            mode=self.mode,
            slice_us=(plan.start_us, plan.end_us) if isinstance(plan, Replay) else None,
            ids=tuple(batch.ids),
            oldest_offset=self.memory.oldest_offset,
            written_at_us=written_at_us,
        )
        entry.check()
        return Draft(
            records,
            entry,
            self._records.ledger(entry),
            published,
            batch.dead_lettered,
            batch.unknown_types,
            batch.unknown_fields,
            batch.arrivals,
            batch.lost,
            has_coverage,
        )

    def committed(self, draft: Draft, ledger_offset: int) -> None:
        """Take note that `draft`, the newest one, is committed, its entry at `ledger_offset`."""
        entry = draft.entry
        self._entry, self.covered_until_us = entry.entry, entry.covered_until_us
        if draft.has_coverage:
            self._covered_as = (entry.mode, entry.written_at_us)
        self.memory.remember(ledger_offset, entry.covers_to_us, entry.ids)
        self.memory.forget(self._overlap.forgettable_until_us(entry.covered_until_us))
        self._batch = Batch()

    def _coverage_is_due(self, written_at_us: int) -> bool:
        if self._covered_as is None:
            return True
        mode, last_us = self._covered_as
        return mode is not self.mode or not 0 <= written_at_us - last_us < COVERAGE_INTERVAL_US

    def _open(self, opened: Opened) -> None:
        self._opened = opened
        self.system_message = self.doubt = None
        self._overlap.opened(opened.plan, self.covered_until_us, opened.at_us, self._known_until_us)
        if not self.has_begun:
            self._watermark.set_back(opened.at_us)
            self.has_begun = True
        if opened.lost is not None:
            self._batch.lost.append(opened.lost)
            self._watermark.advance(min(opened.lost.end_us, _reach_us(opened)))
        if isinstance(opened.plan, Live):
            self.mode = Mode.LIVE
            self._watermark.connected(opened.at_us, has_backfill=opened.plan.backfill_minutes > 0)
        else:
            self.mode = Mode.REPLAY

    def _end(self, ended: Ended) -> None:
        plan = self._opened.plan if self._opened else None
        if isinstance(plan, Replay) and ended.is_whole and self.system_message is None and self.doubt is None:
            self.doubt = self._overlap.doubt_slice()
            if self.doubt is None:
                self._watermark.advance(plan.end_us)
        self.mode, self._covered_as = Mode.DISCONNECTED, None
        self._opened, self._batch.ended = None, plan

    def _received(self, received: Received) -> None:
        """Take lines up to the first one that casts doubt on what came before: that has to come again first."""
        plan = self._opened.plan if self._opened else None
        replayed = plan if isinstance(plan, Replay) else None
        at_us = received.at_us
        dates_us, new_us = [], []
        delivered_by = "replay" if replayed else "stream"
        for line in received.lines:
            if self.doubt is not None:
                break
            decoded = decode(self._partition.stream, line)
            if isinstance(decoded, Event):
                date_us = decoded.event_at_ns // _NS_PER_US
                dates_us.append(date_us)
                if self._take_event(decoded, line, date_us, at_us, delivered_by):
                    new_us.append(date_us)
            elif isinstance(decoded, SystemMessage):
                self._heed(decoded)
            else:
                self._take_dead_letter(decoded, at_us)
        batch = self._batch
        if new_us:
            batch.arrivals.append(Arrival(at_us, new_us, is_live=replayed is None))
        batch.covers_to_us = max(batch.covers_to_us, replayed.end_us if replayed else received.latest_us)
        if dates_us and self.doubt is None:
            self._date(at_us, dates_us, is_replay=replayed is not None)

    def _date(self, at_us: int, dates_us: Sequence[int], *, is_replay: bool) -> None:
        """Let the dates of events move the watermark."""
        answer_us = self._opened.answer_us if self._opened else 0
        credible_us = at_us + answer_us + FUTURE_TOLERANCE_US
        latest_us = max((date_us for date_us in dates_us if date_us <= credible_us), default=None)
        if latest_us is not None:
            self._known_until_us = max(self._known_until_us, latest_us)
        if not is_replay:
            self._watermark.events(at_us, min(dates_us), latest_us)

    def _take_event(self, event: Event, line: bytes | LongLine, date_us: int, at_us: int, delivered_by: str) -> bool:
        """Take up an event; tell whether it is new, and published."""
        batch = self._batch
        if event.id in batch.ids or event.id in self.memory:
            self._repeated()
            return False
        if doubt := self._overlap.doubt_new_event(date_us):
            self._give_up(doubt)
            return False
        try:
            record = self._records.event(event, at_us, self._sequence + 1, delivered_by)
        except UnencodableError as error:
            head = line if isinstance(line, bytes) else line.head
            self._take_dead_letter(unencodable(event, head, str(error)), at_us)
            return False
        self._sequence += 1
        batch.received += 1
        batch.types.append(event.type)
        if event.unknown_names:
            batch.unknown_fields.update(event.unknown_names)
        batch.add(event.id, record)
        return True

    def _take_dead_letter(self, letter: DeadLetter, at_us: int) -> None:
        batch = self._batch
        if letter.id in batch.ids or letter.id in self.memory:
            self._repeated()
            return
        batch.received += 1
        batch.dead_lettered[letter.reason.value] += 1
        if letter.unknown_type is not None:
            batch.unknown_types[letter.unknown_type] += 1
        batch.add(letter.id, self._records.dead_letter(letter, at_us))

    def _repeated(self) -> None:
        self._batch.received += 1
        self._batch.duplicate += 1
        self._overlap.repeated()

    def _heed(self, message: SystemMessage) -> None:
        """X speaks of closing the connection, and does not always do it: we do."""
        self._batch.received += 1
        self._batch.control += 1
        if self._opened is not None and self.system_message is None:
            self.system_message = message
            self._opened.connection.close()

    def _is_backfill_credible(self) -> bool:
        if self.doubt is None and (doubt := self._overlap.doubt_backfill()):
            self._give_up(doubt)
        return self.doubt is None

    def _give_up(self, doubt: Doubt) -> None:
        """End the connection, so that what is in doubt comes first."""
        self.doubt = doubt
        if self._opened is not None:
            self._opened.connection.close()


def _last_slice(restored: Sequence[Placed]) -> Replay | None:
    """Return the slice that coverage ends with, if it does: what comes next may show that it was not whole."""
    covered_until_us = restored[-1].entry.covered_until_us
    slices = (entry.slice_us for _, entry in reversed(restored) if entry.slice_us)
    return next((Replay(*slice_us) for slice_us in slices if slice_us[1] == covered_until_us), None)


def _reach_us(opened: Opened) -> int:
    """Return from when on X brings everything, at the earliest that X's time can be."""
    plan = opened.plan
    return plan.start_us if isinstance(plan, Replay) else opened.at_us - plan.backfill_minutes * MINUTE_US
