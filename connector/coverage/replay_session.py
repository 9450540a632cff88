"""Coverage of a replay of one slice: when it is whole, and what follows when it is not."""

from collections.abc import Sequence

from msgspec.structs import replace

from connector.coverage import recovery as after
from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.messages import ClockReading, Ended, EndReason, KeepAlive, LastConnection, Opened, Verdict
from connector.coverage.plan import Replay, unreached
from connector.coverage.recovery import MINUTE_US, Asked, Settled
from connector.coverage.session import LATENESS_US, Coverage, Session
from connector.events.times import US_PER_S

REPLAY_IDLE_US = 2 * MINUTE_US
REPLAY_FITS_BEHIND_LOSS = 6
"""How often the slice after a lost one must fit into its own length, so that three tries still catch up."""
OVERSHOOT_US = 5 * MINUTE_US
OVERSHOOT_AT_FIRST_US = 30 * US_PER_S


class ReplaySession(Session):
    """A replay of one slice."""

    def __init__(self, opened: Opened, plan: Replay, before: Coverage) -> None:
        super().__init__(before)
        self._plan = plan
        self._open_gaps(plan, opened.at)
        self._expect(plan.start_us, plan.end_us if plan.is_refetch else min(before.until_us, plan.end_us))
        self._answered_us = opened.at.estimate_us
        self._newest_inside_us = plan.start_us
        self._opened_at_us = self._line_at_us = opened.at.monotonic_us
        self._has_events = False
        self._has_event_inside = False
        self._has_event_far_outside = False
        self._has_undated = False

    def _open_gaps(self, plan: Replay, at: ClockReading) -> None:
        """Record a gap for what this replay does not reach: beyond 24 hours, or the beginning of a range in doubt."""
        if gap := unreached(plan, self.position_us, at.estimate_us):
            self.gaps.append(gap)
            self.position_us = max(self.position_us, gap.end_us)
        refetch = self.recovery.refetch
        if refetch is None:
            return
        if not plan.is_refetch:
            self.recovery, gaps = self.recovery.without_refetch()
            self.gaps += gaps
        elif refetch.start_us < plan.start_us:
            self.gaps.append(Gap(refetch.start_us, plan.start_us, GapCause(refetch.suspicion.value)))
            rest = replace(refetch, start_us=plan.start_us)
            self.recovery = replace(self.recovery, refetch=rest)

    def note_repeated(self, date_us: int) -> None:
        """Record that a known event came again."""
        self._has_data = self._has_events = True
        self._count_repeated(date_us)
        if date_us <= self._plan.end_us:
            self._came_inside(date_us)
        elif date_us > self._plan.end_us + OVERSHOOT_AT_FIRST_US:
            self._has_event_far_outside = True

    def note_data(self) -> None:
        """Record an undecodable line with `data`: it has no date, but shows that the slice is not empty."""
        self._has_data = self._has_undated = True

    def refuses(self, date_us: int) -> EndReason | None:
        """Judge an event that is not known, by its date.

        Rests on the parameters: an event that X emitted before the end of the slice is not dated far beyond it. If one
        is, X ignores the parameters. Before any event of the slice itself the smallest sign is enough.
        """
        self._has_events = True
        beyond_us = date_us - self._plan.end_us
        if beyond_us > (OVERSHOOT_US if self._has_event_inside else OVERSHOOT_AT_FIRST_US):
            return EndReason.PARAMETERS_IGNORED
        if beyond_us <= 0:
            self._came_inside(date_us)
        return None if self._plan.is_refetch else self._doubt_last_slice(date_us, self._plan.start_us)

    def _came_inside(self, date_us: int) -> None:
        self._has_event_inside = True
        self._newest_inside_us = max(self._newest_inside_us, date_us)

    def note_lines(self, dates_us: Sequence[int], at: ClockReading) -> EndReason | None:
        """Record the time of lines; in a replay only its end moves coverage, not dates."""
        self._has_data = self._has_data or bool(dates_us)
        self._line_at_us = at.monotonic_us
        return self._overdue(at)

    def note_keep_alive(self, keep_alive: KeepAlive) -> EndReason | None:
        """Hang up a replay that brings nothing but keep-alives for two minutes: X does not close it."""
        self._has_keep_alive = True
        is_idle = keep_alive.at.monotonic_us - self._line_at_us > REPLAY_IDLE_US
        return EndReason.REPLAY_IDLE if is_idle else self._overdue(keep_alive.at)

    def _overdue(self, at: ClockReading) -> EndReason | None:
        """Hang up a replay that takes too long: it delays those of others, and a shorter one may succeed.

        Rests on its length alone: a slice that takes as long as the time it covers does not catch up.
        """
        fits = REPLAY_FITS_BEHIND_LOSS if self.recovery.lost_in_row else 1
        limit_us = max(REPLAY_IDLE_US, self.recovery.slice_us // fits)
        return EndReason.REPLAY_SLOW if at.monotonic_us - self._opened_at_us > limit_us else None

    def end(self, ended: Ended) -> LastConnection:
        """Settle the result of the replay, and return what it achieved."""
        asked = Asked(
            self._plan.start_us, self._plan.end_us, self.position_us, self._plan.is_refetch, self._answered_us
        )
        verdict, settled = self._judge(asked, ended)
        if settled is not None:
            self.recovery, self.position_us = settled.recovery, settled.covered_until_us
            self.gaps += settled.gaps
        return LastConnection(verdict is Verdict.WHOLE, verdict, self.system_message)

    def _judge(self, asked: Asked, ended: Ended) -> tuple[Verdict, Settled | None]:
        """Judge the slice by its end and its content.

        A proper end within its own bounds makes it whole; a message or a line outside `data` in it does not, and
        neither does an overlap in which known events should have come again and did not.
        """
        has_only_outside = self._has_event_far_outside and not self._has_event_inside
        if ended.reason is EndReason.PARAMETERS_IGNORED or (self._is_complete(ended) and has_only_outside):
            return Verdict.IGNORED, None
        if ended.reason in {EndReason.SUSPICION, EndReason.STOPPED}:
            return Verdict.INTERRUPTED, None
        if suspicion := self._suspicion(ended):
            return Verdict.SUSPECTED, after.doubted(self.recovery, asked, suspicion)
        if not self._is_complete(ended):
            has_brought = self._has_events or self._has_keep_alive or self._has_foreign_line
            settled = after.interrupted(self.recovery, asked, ended.at_us, has_brought=has_brought)
            return Verdict.INTERRUPTED, settled
        return Verdict.WHOLE, after.whole(self.recovery, asked, has_brought=self._has_event_inside or self._has_undated)

    def _is_complete(self, ended: Ended) -> bool:
        has_foreign = self._has_foreign_line or (self._has_known_foreign_line and not self._has_events)
        return ended.is_proper and self.system_message is None and not has_foreign

    def _suspicion(self, ended: Ended) -> Suspicion | None:
        """Return why a slice is suspected although it was not interrupted, or None."""
        if ended.reason is EndReason.REPLAY_IDLE:
            return Suspicion.REPLAY_NOT_CLOSED
        is_empty_again = self.recovery.distrusts_replay and not (self._has_events or self._has_undated)
        is_unconfirmed = is_empty_again or self._has_repeated_nothing or self._has_left_out_known
        return Suspicion.REPLAY_UNCONFIRMED if self._is_complete(ended) and is_unconfirmed else None

    @property
    def _has_left_out_known(self) -> bool:
        """Whether the slice ended before known events of it came again.

        Rests on known events dated after everything that came and well before the end of the slice.
        """
        lateness_us = max(LATENESS_US, self.recovery.lateness_us)
        return self.known_dates.has_any(self._newest_inside_us + LATENESS_US, self._plan.end_us - lateness_us)
