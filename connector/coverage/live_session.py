"""Coverage of a live connection: what its events and keep-alives prove, and how a backfill holds it."""

from collections.abc import Sequence

from msgspec.structs import replace

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.messages import ClockReading, Ended, EndReason, KeepAlive, LastConnection, Opened
from connector.coverage.plan import FIRST_OVERLAP_US, Live, unreached
from connector.coverage.recovery import LATENESS_LIMIT_US, MINUTE_US
from connector.coverage.session import LATENESS_US, Coverage, Session
from connector.events.times import US_PER_S

BACKFILL_QUIET_US = 60 * US_PER_S
HOLD_LIMIT_US = 10 * MINUTE_US


class LiveSession(Session):
    """A live connection, which may begin with a backfill."""

    def __init__(self, opened: Opened, plan: Live, before: Coverage) -> None:
        super().__init__(before)
        at = opened.at
        self._answer_us = opened.answer_us
        self._connected_us = at.earliest_us
        self._answered_by_us = at.estimate_us + opened.answer_us
        self._reach_us = at.earliest_us - plan.backfill_minutes * MINUTE_US
        self._open_gaps(plan, at)
        self._settle_unreached_slice(plan)
        self._can_refetch = plan.cause is not GapCause.REPLAY_REFUSED
        self._is_held = plan.backfill_minutes > 0
        self._old_at_us = self._moved_at_us = at.monotonic_us
        self._expect(self._reach_us, min(before.until_us, at.earliest_us))
        self._seen_before_us = before.seen_until_us

    def _open_gaps(self, plan: Live, at: ClockReading) -> None:
        """Record a gap for what this connection does not reach; a range still in doubt can no longer be requested."""
        if gap := unreached(plan, self._owed_since_us(plan), at.estimate_us):
            self.gaps.append(gap)
            self.position_us = max(self.position_us, min(gap.end_us, self._reach_us))
        self.recovery, gaps = self.recovery.without_refetch()
        self.gaps += gaps

    def _owed_since_us(self, plan: Live) -> int:
        """Return the earliest date of events that are still to come.

        Rests on coverage; and on how late events are, when a backfill replaces a replay, which X refuses or has just
        answered: X may select by date, and then an event emitted since and dated before the backfill does not come.
        """
        recovery, since_us = self.recovery, self.position_us
        if plan.backfill_minutes and plan.cause is GapCause.REPLAY_REFUSED:
            return min(since_us, max(since_us, self._reach_us) - recovery.lateness_us)
        if plan.backfill_minutes and recovery.settled_at_us and recovery.settled_us == since_us:
            return min(since_us, recovery.settled_at_us - recovery.lateness_us)
        return since_us

    def _settle_unreached_slice(self, plan: Live) -> None:
        """Stop doubting the last slice if this connection brings nothing of it.

        Rests on the requested backfill: new events on a connection without one, or with one that begins after the
        slice, were not emitted within the slice. Until then the ids of the slice, and all since, must stay known.
        """
        last = self.recovery.last_slice
        if last is not None and (not plan.backfill_minutes or last.end_us <= self._reach_us):
            self.recovery = replace(self.recovery, last_slice=None)

    def note_repeated(self, date_us: int) -> None:
        """Record that a known event came again: the backfill is honoured, and the last slice was complete."""
        self._has_data = True
        self._count_repeated(date_us)
        if date_us < self._connected_us:
            self._confirm(date_us)
            if self.recovery.distrusts_backfill:
                self.recovery = replace(self.recovery, distrusts_backfill=False)

    def refuses(self, date_us: int) -> EndReason | None:
        """Judge an unknown event: if it should be known, the slice that coverage ends with was incomplete."""
        return self._doubt_last_slice(date_us, self._reach_us)

    def note_lines(self, dates_us: Sequence[int], at: ClockReading) -> EndReason | None:
        """Record the dates of events that came together.

        Rests on X's order, older generally before newer: what was emitted before the newest of them is here.
        """
        self._has_data = self._has_data or bool(dates_us)
        latest_us = self._latest_credible(dates_us, at, self._answer_us)
        if self._is_held and any(self._is_of_backfill(date_us) for date_us in dates_us):
            self._old_at_us = at.monotonic_us
        if latest_us is not None:
            seen_us = min(latest_us, at.earliest_us)
            self.seen_until_us = max(self.seen_until_us, seen_us)
            if (reason := self._release(at)) is not None:
                return reason
            self._move(seen_us, at)
        return self._overdue(at)

    def note_keep_alive(self, keep_alive: KeepAlive) -> EndReason | None:
        """Record a keep-alive.

        Rests on X sending one when nothing waits to be sent: what was emitted before the reader began to wait is here.
        """
        self._has_keep_alive = True
        if keep_alive.waited_since_us is not None:
            if (reason := self._release(keep_alive.at)) is not None:
                return reason
            self._move(keep_alive.waited_since_us, keep_alive.at)
        return self._overdue(keep_alive.at)

    def _move(self, to_us: int, at: ClockReading) -> None:
        if not self._is_held and to_us > self.position_us:
            self.position_us, self._moved_at_us = to_us, at.monotonic_us

    def _is_of_backfill(self, date_us: int) -> bool:
        """Return whether an event may be part of the backfill; one dated before its start is a straggler.

        Rests on how late events may be: X may select by emission, and the events may be dated that much earlier.
        """
        return self._reach_us - LATENESS_LIMIT_US <= date_us < self._connected_us

    def learn_lateness(self, dates_us: Sequence[int], at: ClockReading) -> None:
        """Learn how late events are emitted.

        Rests on new events that cannot be part of the backfill: one that comes again does not show when it was emitted.
        Stragglers, which no overlap can wait for, hide nothing.
        """
        earliest_us = min(
            (
                date_us
                for date_us in dates_us
                if date_us >= at.earliest_us - LATENESS_LIMIT_US
                and not (self._is_held and self._is_of_backfill(date_us))
            ),
            default=at.earliest_us,
        )
        if at.earliest_us - earliest_us > LATENESS_US:
            self.recovery = self.recovery.late(at.earliest_us - earliest_us, at.earliest_us)

    def _confirm(self, date_us: int) -> None:
        """Advance coverage across short connections, none of which lasts for a quiet minute.

        Rests on two deliveries: an earlier connection brought everything up to its newest event in one run, and this
        backfill, which began before that, has brought that event again, and known ones before it. What the first left
        out came with the second.
        """
        is_that_event = 0 <= date_us - self._seen_before_us <= US_PER_S  # observed in whole seconds of X's time
        has_all = self._reach_us <= self.position_us and not self._has_repeated_nothing
        if self._is_held and is_that_event and has_all:
            self.position_us = max(self.position_us, self._seen_before_us)

    def _release(self, at: ClockReading) -> EndReason | None:
        """End the hold of the backfill after a quiet minute, once it is credible.

        Rests on a minute without an event of the backfill's range, and on something live that came behind it.
        """
        if not self._is_held or at.monotonic_us - self._old_at_us < BACKFILL_QUIET_US:
            return None
        if self._has_repeated_nothing:
            return self._doubt_backfill()
        self._end_hold()
        return None

    def _end_hold(self) -> None:
        self._is_held = False
        self.recovery = replace(self.recovery.caught_up(), last_slice=None, settled_us=0, settled_at_us=0)

    def _doubt_backfill(self) -> EndReason | None:
        """Refetch what a backfill left out; if X did so before, record a gap instead.

        Rests on known events dated within the backfill's range, of which none came again. X gives its time in whole
        seconds: the gap ends at the latest possible time of the connect, coverage at the earliest.
        """
        recovery, end_us = self.recovery, max(self._connected_us, self.position_us)
        is_settled = recovery.settled_us == self.position_us
        if self._can_refetch and not (recovery.distrusts_backfill and is_settled):
            recovery = recovery.suspected(
                self.position_us - FIRST_OVERLAP_US, end_us // US_PER_S * US_PER_S, Suspicion.BACKFILL_UNCONFIRMED
            )
            self.recovery = replace(recovery, distrusts_backfill=True)
            return EndReason.SUSPICION
        gap_end_us = max(self._answered_by_us, self.position_us)
        if gap_end_us > self.position_us:
            self.gaps.append(Gap(self.position_us, gap_end_us, GapCause.BACKFILL_UNCONFIRMED))
        self.position_us, self.recovery = end_us, replace(recovery, distrusts_backfill=True)
        self._end_hold()
        return None

    def _overdue(self, at: ClockReading) -> EndReason | None:
        """Hang up if coverage did not move for too long: a replay can vouch for what a live connection cannot.

        Rests on the bound alone, by X's time and by the monotonic clock: neither stragglers nor old dates nor a wrong
        `Date` must hold coverage forever. If X grants no replay, the held range becomes a gap, and the connection goes
        on.
        """
        behind_us = at.estimate_us - max(self.position_us, self._connected_us)
        if max(behind_us, at.monotonic_us - self._moved_at_us) <= HOLD_LIMIT_US:
            return None
        if self._can_refetch:
            return EndReason.COVERAGE_HELD_BACK
        if at.earliest_us > self.position_us:
            self.gaps.append(Gap(self.position_us, at.earliest_us, GapCause.COVERAGE_HELD_BACK))
        self._end_hold()
        self._move(at.earliest_us, at)
        return None

    def end(self, _ended: Ended) -> LastConnection:
        """Return what the connection achieved; how it ended does not matter."""
        return LastConnection(self.has_proved, None, self.system_message)
