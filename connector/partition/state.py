"""One stream partition since its last restore: messages of the reader in, transactions out.

Owns sequence, known ids, coverage and the pending batch; what a connection proves is up to its session. Pure except for
its own state: no clock, thread, network or Kafka. After a failed commit the state is discarded and a new one restored.
Instants are microseconds since 1970 in X's time, except `written_at`, which is from the wall clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connector.coverage.known_dates import KnownDates
from connector.coverage.known_ids import KnownIds
from connector.coverage.live_session import LiveSession
from connector.coverage.messages import (
    Ended,
    EndReason,
    KeepAlive,
    LastConnection,
    LinesRead,
    Message,
    Opened,
    Progress,
)
from connector.coverage.plan import FIRST_OVERLAP_US, REPLAY_REACH_US, Plan, Replay
from connector.coverage.recovery import Recovery
from connector.coverage.replay_session import ReplaySession
from connector.coverage.session import FUTURE_TOLERANCE_US, Coverage
from connector.events.catalog import StreamPartition
from connector.events.decode import DeadLetter, Event, LongLine, decode, unencodable
from connector.events.identity import pack_ids
from connector.events.times import US_PER_S
from connector.kafka.digests import entry_digest
from connector.kafka.ledger import Counts, LedgerEntry, Mode, RecordSet, Writer
from connector.kafka.records import UnencodableError
from connector.kafka.restore import OffsetEntry
from connector.partition.batch import PendingBatch, Transaction
from connector.partition.records import RecordBuilder
from connector.telemetry.delays import Arrival

COVERAGE_INTERVAL_US = 10 * US_PER_S
_NS_PER_US = 1000


@dataclass(slots=True)
class _Connection:
    """The connection that messages come from: what X granted, what it proves, and the reason to end it, if any.

    Once `is_refused`, what still comes is left out: it has to come again over another connection.
    """

    opened: Opened
    session: LiveSession | ReplaySession
    end_reason: EndReason | None = None
    is_refused: bool = False

    @property
    def replayed(self) -> Replay | None:
        """The range that X replays, or None if it delivers live."""
        return self.opened.plan if isinstance(self.opened.plan, Replay) else None

    def hang_up(self, reason: EndReason | None) -> None:
        """Record a reason to end the connection; the first one counts."""
        self.end_reason = self.end_reason or reason


class PartitionState:
    """Applies messages in order and prepares the transactions that persist them.

    `covered_until_us` is committed; the next commit would move it to `_position_us`. Ids of a transaction stay known
    until coverage passes its `covers_to_us`, the latest instant that its lines may be from.
    """

    def __init__(
        self,
        partition: StreamPartition,
        records: RecordBuilder,
        writer: Writer,
        restored: Sequence[OffsetEntry],
        *,
        window_us: int,
    ) -> None:
        """`restored` are the ledger entries whose ids matter, the newest last; ids are kept for `window_us`."""
        newest = restored[-1].entry
        self._previous = restored[-1].digest
        self._partition = partition
        self._records = records
        self._writer = writer
        self._entry = newest.entry
        self._sequence = newest.sequence
        self.has_begun = newest.entry > 0
        """Whether X was ever reached: before that, coverage is a guess by the wall clock and must not be committed."""
        self.covered_until_us = self._position_us = newest.covered_until_us
        self._recovery = newest.recovery
        self._known_ids = KnownIds(window_us)
        self._known_dates = KnownDates()
        for offset, entry, *_ in restored:
            self._known_ids.remember(offset, entry.covers_to_us, entry.ids)
            if _is_dated(entry):
                self._known_dates.add((entry.covered_until_us,))
        self._known_ids.forget(self._forgettable_until_us(self.covered_until_us))
        self._seen_until_us = 0
        self._unconfirmed = restored[-1] if self.has_begun else None
        self._connection: _Connection | None = None
        self._last: LastConnection | None = None
        self._covered_as: tuple[Mode, int] | None = None
        self._batch = PendingBatch()

    @property
    def entry(self) -> int:
        """The number of the ledger entry committed last."""
        return self._entry

    @property
    def pending(self) -> int:
        """The number of lines waiting for the next commit."""
        return self._batch.received

    @property
    def pending_bytes(self) -> int:
        """The bytes of records waiting for the next commit."""
        return self._batch.size_bytes

    @property
    def known_ids(self) -> int:
        """The number of known ids."""
        return len(self._known_ids)

    @property
    def mode(self) -> Mode:
        """What the stream partition is doing."""
        if self._connection is None:
            return Mode.DISCONNECTED
        return Mode.REPLAY if self._connection.replayed else Mode.LIVE

    @property
    def progress(self) -> Progress:
        """What the reader needs to know, as of the last commit."""
        return Progress(self.covered_until_us, self._recovery, self._last)

    def apply(self, message: Message) -> EndReason | None:
        """Apply a message; return the reason to end the connection now, or None.

        Raises `OwnCorruptionError` when X's time shows that what was restored cannot be true.
        """
        connection = self._connection
        match message:
            case Opened():
                self._open(message)
            case Ended():
                self._end(message)
            case LinesRead() if connection is not None and not connection.is_refused:
                connection.hang_up(self._apply_lines(message, connection))
            case KeepAlive() if connection is not None and not connection.is_refused:
                connection.hang_up(connection.session.note_keep_alive(message))
        self._collect()
        return self._connection.end_reason if self._connection else None

    def prepare(self, written_at_us: int) -> Transaction:
        """Return the transaction of everything applied so far."""
        batch = self._batch
        published = batch.published()
        records = [*batch.records, *(self._records.gap(gap, written_at_us) for gap in batch.gaps)]
        has_coverage = self._coverage_is_due(written_at_us)
        if has_coverage:
            records.append(self._records.coverage(self._position_us, self._sequence, self.mode, written_at_us))
        sets = self._records.sets(records, batch.gaps, written_at_us)
        entry = self._ledger_entry(sets, published.total(), written_at_us)
        entry.check()
        return Transaction(
            records,
            entry,
            self._records.ledger(entry),
            published,
            batch.dead_lettered,
            batch.unknown_types,
            batch.unknown_fields,
            batch.arrivals,
            batch.gaps,
            batch.refetches,
            has_coverage,
        )

    def committed(self, transaction: Transaction, ledger_offset: int) -> None:
        """Record that `transaction`, the newest one, is committed, its entry at `ledger_offset`."""
        entry = transaction.entry
        self._previous = entry_digest(transaction.entry_record.value)
        self._entry, self.covered_until_us = entry.entry, entry.covered_until_us
        if transaction.has_coverage:
            self._covered_as = (entry.mode, entry.written_at_us)
        self._known_ids.remember(ledger_offset, entry.covers_to_us, entry.ids)
        self._known_ids.forget(self._forgettable_until_us(entry.covered_until_us))
        self._batch = PendingBatch()

    def _ledger_entry(self, sets: Mapping[str, RecordSet], published: int, written_at_us: int) -> LedgerEntry:
        batch, plan = self._batch, self._plan or self._batch.ended
        return LedgerEntry(
            entry=self._entry + 1,
            writer_id=self._writer.id,
            partition=self._partition,
            covered_until_before_us=self.covered_until_us,
            covered_until_us=self._position_us,
            covers_to_us=max(batch.covers_to_us, self._position_us),
            counts=Counts(batch.received, published, batch.duplicate, batch.dead_lettered.total(), batch.control),
            sequence=self._sequence,
            mode=self.mode,
            slice_us=(plan.start_us, plan.end_us) if isinstance(plan, Replay) else None,
            ids=pack_ids(batch.ids_in_order()),
            oldest_offset=self._known_ids.oldest_offset,
            written_at_us=written_at_us,
            recovery=self._recovery,
            records=sets,
            previous=self._previous,
            owner=self._writer.owner,
        )

    @property
    def _plan(self) -> Plan | None:
        return self._connection.opened.plan if self._connection else None

    def _coverage_is_due(self, written_at_us: int) -> bool:
        if self._covered_as is None:
            return True
        mode, last_us = self._covered_as
        return mode is not self.mode or not 0 <= written_at_us - last_us < COVERAGE_INTERVAL_US

    def _forgettable_until_us(self, covered_until_us: int) -> int:
        """Return the coverage up to which ids may be forgotten; those that may have to come again are kept."""
        ranges = (self._recovery.refetch, self._recovery.last_slice)
        return min([covered_until_us, *(each.start_us + FIRST_OVERLAP_US for each in ranges if each is not None)])

    def _open(self, opened: Opened) -> None:
        self._hold_against_x(opened)
        if not self.has_begun:
            self._position_us = min(self._position_us, opened.at.earliest_us)
            self.has_begun = True
        before = Coverage(self._position_us, self._recovery, self._known_dates, self._seen_until_us)
        if isinstance(opened.plan, Replay):
            self._connection = _Connection(opened, ReplaySession(opened, opened.plan, before))
        else:
            self._connection = _Connection(opened, LiveSession(opened, opened.plan, before))

    def _hold_against_x(self, opened: Opened) -> None:
        """Check what was restored against X's first answer: until then only a wall clock vouched, which may be fast.

        A slow `Date` from X rejects nothing that Kafka's timestamp vouches for.
        """
        if self._unconfirmed is not None:
            _, entry, dated_us, _ = self._unconfirmed
            entry.check_plausible(max(dated_us, opened.at.latest_us), opened.at.wall_us)
            self._unconfirmed = None

    def _end(self, ended: Ended) -> None:
        connection = self._connection
        if connection is not None:
            session, is_stop = connection.session, ended.reason is EndReason.STOPPED
            reason = ended.reason if is_stop else connection.end_reason or ended.reason
            self._last = session.end(replace(ended, reason=reason))
            self._collect()
            self._seen_until_us = session.seen_until_us or self._seen_until_us
        self._batch.ended = self._plan
        self._connection = self._covered_as = None

    def _collect(self) -> None:
        """Take over the findings of the session, so that the next commit persists them."""
        if self._connection is None:
            return
        session = self._connection.session
        refetch = session.recovery.refetch
        if refetch is not None and refetch.end_us != _end_us(self._recovery):
            self._batch.refetches.append(refetch)
        self._position_us, self._recovery = session.position_us, session.recovery
        if session.gaps:
            self._batch.gaps += session.gaps
            session.gaps = []

    def _apply_lines(self, read: LinesRead, connection: _Connection) -> EndReason | None:
        """Apply lines up to the first one that the session refuses: a range in doubt has to come again first."""
        session, replayed = connection.session, connection.replayed
        delivered_by = "replay" if replayed else "stream"
        best_us, latest_us = read.at.best_us, self._latest_date_us(read)
        dates_us, new_us = [], []
        reason: EndReason | None = None
        for line in read.lines:
            decoded = decode(self._partition.stream, line)
            if isinstance(decoded, Event):
                date_us = decoded.event_at_ns // _NS_PER_US
                is_dated = date_us <= latest_us  # a later date does not show when the event happened
                if self._count_known(decoded.id):
                    if is_dated and decoded.id not in self._batch.ids:  # these came over this connection
                        session.note_repeated(date_us)
                elif is_dated and (refusal := session.refuses(date_us)) is not None:
                    reason, connection.is_refused = reason or refusal, True
                    break
                elif self._publish(decoded, line, _read_at_us(best_us, date_us), delivered_by):
                    new_us.append(date_us)
                dates_us.append(date_us)
            elif isinstance(decoded, DeadLetter):
                self._dead_letter(decoded, best_us, session)
            else:
                self._batch.received += 1
                self._batch.control += 1
                reason = session.note_message(decoded)
        self._keep_known(read, dates_us, replayed)
        if new_us:
            self._arrived(read, new_us, is_live=replayed is None)
            session.learn_lateness(new_us, read.at)
        if connection.is_refused:
            return reason
        held = session.note_lines(dates_us, read.at)
        return reason or held

    def _keep_known(self, read: LinesRead, dates_us: Sequence[int], replayed: Replay | None) -> None:
        """Record how long the ids of these lines must stay known.

        That is until the later of the slice's end and the dates that came: X may select by emission or by date. Here
        dates are believed up to the wall clock: after a suspend, our idea of X's time is behind by more than any
        tolerance, and what is read on waking comes again during catch-up. No replay reaches back further than a day.
        """
        limit_us = self._latest_date_us(read, min(read.at.wall_us, read.at.latest_us + REPLAY_REACH_US))
        latest_us = max((date_us for date_us in dates_us if date_us <= limit_us), default=0)
        covers_to_us = max(replayed.end_us if replayed else read.at.latest_us, latest_us)
        self._batch.covers_to_us = max(self._batch.covers_to_us, covers_to_us)

    def _latest_date_us(self, read: LinesRead, clock_us: int = 0) -> int:
        """Return the latest believable date of an event; a later one does not show when it happened."""
        answer_us = self._connection.opened.answer_us if self._connection else 0
        return max(read.at.latest_us, clock_us) + answer_us + FUTURE_TOLERANCE_US

    def _arrived(self, read: LinesRead, new_us: Sequence[int], *, is_live: bool) -> None:
        self._batch.arrivals.append(Arrival(read.at.best_us, read.at.monotonic_us, new_us, is_live=is_live))
        limit_us = self._latest_date_us(read)
        self._known_dates.add(date_us for date_us in new_us if date_us <= limit_us)

    def _count_known(self, id_: bytes) -> bool:
        """Count a line that is known; return whether it is."""
        if id_ in self._batch.ids or id_ in self._known_ids:
            self._batch.received += 1
            self._batch.duplicate += 1
            return True
        return False

    def _publish(self, event: Event, line: bytes | LongLine, at_us: int, delivered_by: str) -> bool:
        """Add the record of a new event, or of its dead letter; return whether it is an event."""
        batch = self._batch
        try:
            record = self._records.event(event, at_us, self._sequence + 1, delivered_by)
        except UnencodableError as error:
            head = line if isinstance(line, bytes) else line.head
            self._add_dead_letter(unencodable(event, head, str(error)), at_us)
            return False
        self._sequence += 1
        batch.received += 1
        batch.types.append(event.type)
        if event.unknown_names:
            batch.unknown_fields.update(event.unknown_names)
        batch.add(event.id, record)
        return True

    def _dead_letter(self, letter: DeadLetter, at_us: int, session: LiveSession | ReplaySession) -> None:
        is_known = self._count_known(letter.id)
        if letter.has_data:
            session.note_data()
        else:
            session.note_foreign_line(is_known=is_known)
        if not is_known:
            self._add_dead_letter(letter, at_us)

    def _add_dead_letter(self, letter: DeadLetter, at_us: int) -> None:
        batch = self._batch
        batch.received += 1
        batch.dead_lettered[letter.reason.value] += 1
        if letter.unknown_type is not None:
            batch.unknown_types[letter.unknown_type] += 1
        batch.letter_ids.append(letter.id)
        batch.add(letter.id, self._records.dead_letter(letter, at_us))


def _read_at_us(best_us: int, date_us: int) -> int:
    """Return when an event was read: by the best clock, which may be as coarse as X's `Date`, not before its date."""
    return date_us if best_us < date_us <= best_us + US_PER_S else best_us


def _is_dated(entry: LedgerEntry) -> bool:
    """Return whether coverage shows when the events of `entry` happened.

    A live connection moves coverage only by the dates of its events: an entry that published some and did not move it
    holds a backfill or stragglers. Dead letters have no date.
    """
    has_moved = entry.covered_until_us > entry.covered_until_before_us
    return entry.slice_us is None and has_moved and entry.counts.published > 0


def _end_us(recovery: Recovery) -> int | None:
    return recovery.refetch.end_us if recovery.refetch else None
