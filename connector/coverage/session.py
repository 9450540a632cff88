"""Coverage of one connection to a stream partition: what live and replay sessions share.

The rules of evidence are methods of the sessions, each with a sentence on what it rests on. A session receives
everything that came, in order, and returns the reason to hang up, or None. Pure: no socket, clock or Kafka.
Instants are microseconds since 1970 in X's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from connector.coverage.gap import Gap, GapCause, Suspicion
from connector.coverage.known_dates import KnownDates
from connector.coverage.messages import ClockReading, EndReason
from connector.coverage.recovery import LATENESS_LIMIT_US, Range, Recovery
from connector.events.decode import SystemMessage
from connector.events.times import US_PER_S

FUTURE_TOLERANCE_US = 5 * US_PER_S
"""An `event_at` further ahead of the latest possible time of X is no evidence about time."""
LATENESS_US = 10 * US_PER_S
"""X may emit an event this long after its date; only earlier ones must be known."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The input of a session: how far coverage reaches, what recovery has learned, and the known dates.

    `seen_until_us` is the newest date that an earlier live connection brought, in one run from coverage on.
    """

    until_us: int
    recovery: Recovery
    known_dates: KnownDates
    seen_until_us: int = 0


class Session:
    """Base of live and replay sessions. Coverage reaches `position_us`, `gaps` wait to be committed."""

    def __init__(self, before: Coverage) -> None:
        self.position_us = before.until_us
        self.recovery = before.recovery
        self.seen_until_us = 0
        self.gaps: list[Gap] = []
        self.known_dates = before.known_dates
        self.system_message: SystemMessage | None = None
        self._has_data = False
        self._has_keep_alive = False
        self._has_foreign_line = self._has_known_foreign_line = False
        self._has_repeated = False
        self._overlap: Range | None = None

    @property
    def has_proved(self) -> bool:
        """Whether X behaved like a stream: a keep-alive, or a line with `data`. Anything else proves nothing."""
        return self._has_data or self._has_keep_alive

    @property
    def _has_repeated_nothing(self) -> bool:
        """Whether known events must come again, and none has."""
        return self._overlap is not None and not self._has_repeated

    def _expect(self, start_us: int, end_us: int) -> None:
        """Record the range to be delivered again, if an event of it is known: that must come again."""
        if self.known_dates.has_any(start_us + LATENESS_US, end_us):
            self._overlap = Range(start_us, end_us)

    def _count_repeated(self, date_us: int) -> None:
        """Record that an event of an earlier connection came again.

        Rests on its date: an event outside the range does not show whether X delivers the known ones inside.
        """
        overlap = self._overlap
        if overlap is not None and overlap.start_us <= date_us < overlap.end_us:
            self._has_repeated = True

    def note_data(self) -> None:
        """Record that a line with `data` came."""
        self._has_data = True

    def note_foreign_line(self, *, is_known: bool) -> None:
        """Record an unknown line without `data`: it is about the connection.

        If it is known from an earlier delivery, it belongs to the stream, provided that events came with it.
        """
        self._has_foreign_line = self._has_foreign_line or not is_known
        self._has_known_foreign_line = self._has_known_foreign_line or is_known

    def learn_lateness(self, dates_us: Sequence[int], at: ClockReading) -> None:
        """Record the dates of new events that came together; in a replay they are no evidence."""

    def note_message(self, message: SystemMessage) -> EndReason:
        """Hang up after a system message: X announces the end of the connection, but does not always close it."""
        self.system_message = self.system_message or message
        return EndReason.SYSTEM_MESSAGE

    def _latest_credible(self, dates_us: Sequence[int], at: ClockReading, answer_us: int) -> int | None:
        """Return the latest date that X's time allows.

        Rests on X dating events by its own clock, which is at most `latest_us` plus the travel time of the answer.
        """
        limit_us = at.latest_us + answer_us + FUTURE_TOLERANCE_US
        return max((date_us for date_us in dates_us if date_us <= limit_us), default=None)

    def _doubt_last_slice(self, date_us: int, reach_us: int) -> EndReason | None:
        """Hang up before an event that the last slice should have brought, so that the slice is fetched again first.

        Rests on the date: an event dated well before the end of the slice, by more than events are late here, was
        emitted within what X had ended as complete; short connections may have moved coverage on since. If the slice
        was refetched already, it was delivered twice: the event is late, and an overlap that allows for it brings the
        next such events. If later events of the slice are known, that is all; if none is, X may also have ended the
        slice early both times, and the slice is a gap.
        """
        recovery = self.recovery
        last = recovery.last_slice
        if last is None:
            return None
        lateness_us = max(LATENESS_US, recovery.lateness_us)
        if not max(reach_us, last.start_us) <= date_us < min(self.position_us, last.end_us) - lateness_us:
            return None
        if recovery.is_last_refetched:
            self.recovery = recovery.late(min(last.end_us - date_us, LATENESS_LIMIT_US), last.end_us)
            if not self.known_dates.has_any(date_us, last.end_us):
                self.gaps.append(Gap(last.start_us, last.end_us, GapCause.REPLAY_INCOMPLETE))
                self.recovery = replace(self.recovery, last_slice=None)
            return None
        self.recovery = recovery.suspected(last.start_us, last.end_us, Suspicion.REPLAY_INCOMPLETE)
        return EndReason.SUSPICION
