"""Whether X brings again what it must have brought before: the only sign of a slice or a backfill that was not whole.

X's word is all there is: a replay that ends properly counts as whole, a granted backfill as given. What overlaps with
time that is covered already can tell otherwise, and then a stretch is asked for once more. Pure; instants are
microseconds since 1970 in X's time.
"""

from enum import StrEnum

from connector.coverage.plan import FIRST_OVERLAP_US, MINUTE_US, Live, Plan, Replay, replay
from connector.events.times import US_PER_S

LATENESS_US = 10 * US_PER_S
"""X may emit an event this long after its date; only what is dated earlier must be known."""


class Doubt(StrEnum):
    """Why a stretch is asked for once more."""

    NEW_WHERE_ALL_IS_KNOWN = "new-where-all-is-known"
    NOTHING_REPEATED = "nothing-repeated"


class Overlap:
    """Watches the overlaps of one stream partition, connection after connection.

    `again` is the stretch to ask for once more, or None. No stretch is asked for more than once again, and a backfill
    is not doubted a second time before one has been seen to work. `last_slice` is the one that coverage ended with
    when this life began, if it did.
    """

    def __init__(self, last_slice: Replay | None = None) -> None:
        self.again: Replay | None = None
        self._plan: Plan = Live(0)
        self._last_slice = self._slice_before = last_slice
        self._covered_us = 0
        self._reach_us = 0
        self._at_us = 0
        self._must_repeat = False
        self._has_repeated = False
        self._trusts_backfill = False

    def opened(self, plan: Plan, covered_until_us: int, at_us: int, known_until_us: int) -> None:
        """Begin a connection answered at `at_us`; `known_until_us` is the date of the newest known event."""
        was_doubted = self.again is not None
        if plan != self.again:
            self.again = None
        self._plan, self._covered_us, self._at_us = plan, covered_until_us, at_us
        if isinstance(plan, Replay):
            self._reach_us = plan.start_us
        else:
            self._reach_us = at_us - plan.backfill_minutes * MINUTE_US
        if self._reach_us >= covered_until_us:
            self._slice_before = None
        self._must_repeat = not was_doubted and known_until_us > self._reach_us + LATENESS_US
        self._has_repeated = False

    def forgettable_until_us(self, covered_until_us: int) -> int:
        """Return what coverage is to count as when known ids are forgotten: what may have to come again stays known.

        The slice that coverage ends with may be doubted after a restart, though it no longer is in this life.
        """
        last = self._last_slice
        is_end = last is not None and last.end_us == covered_until_us
        stretches = (self.again, self._slice_before, last if is_end else None)
        return min([covered_until_us, *(stretch.start_us + FIRST_OVERLAP_US for stretch in stretches if stretch)])

    def repeated(self) -> None:
        """Take note that a known event came again."""
        self._has_repeated = True
        if isinstance(self._plan, Live):
            self._trusts_backfill = False

    def doubt_new_event(self, event_at_us: int) -> Doubt | None:
        """Judge an event that was not known: should it have been, the slice before was not whole."""
        if self.again is not None or self._slice_before is None:
            return None
        if not self._reach_us <= event_at_us < self._covered_us - LATENESS_US:
            return None
        self.again, self._slice_before = self._slice_before, None
        return Doubt.NEW_WHERE_ALL_IS_KNOWN

    def doubt_backfill(self) -> Doubt | None:
        """Judge a live connection whose backfill is over: it must have brought something that is known.

        The answer's time is the earliest that X's time can be, which with a wall clock far behind is before what is
        covered; coverage is never ahead of X's time, so the stretch ends there at least, and X can always grant it.
        """
        if not isinstance(self._plan, Live):
            return None
        self._slice_before = None
        if not self._must_repeat or self._has_repeated or self._trusts_backfill:
            return None
        end_us = max(self._at_us, self._covered_us)
        self.again, self._trusts_backfill = replay(self._covered_us - FIRST_OVERLAP_US, end_us), True
        return Doubt.NOTHING_REPEATED

    def doubt_slice(self) -> Doubt | None:
        """Judge a replay slice that came to its proper end: unless there is a doubt, it counts as whole."""
        if not isinstance(self._plan, Replay):
            return None
        if self._plan == self.again:
            self.again = self._slice_before = None
        elif self._must_repeat and not self._has_repeated:
            self.again, self._slice_before = self._plan, None
            return Doubt.NOTHING_REPEATED
        else:
            self._slice_before = self._plan
        self._last_slice = self._plan
        return None
