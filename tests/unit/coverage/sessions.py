"""Sessions without a stream partition around them: openings, and what is known before them."""

from collections.abc import Iterable

from connector.coverage.known_dates import KnownDates
from connector.coverage.live_session import LiveSession
from connector.coverage.messages import Ended, EndReason
from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import NOTHING_LEARNED, Recovery
from connector.coverage.replay_session import ReplaySession
from connector.coverage.session import Coverage
from connector.events.times import US_PER_S
from tests.fakes.partition import opened
from tests.fakes.x import NOW_US

CLOSED = Ended(EndReason.CLOSED, is_proper=True, at_us=NOW_US)
CUT = Ended(EndReason.NETWORK, is_proper=False, at_us=NOW_US)
COVERED_US = NOW_US - 30 * US_PER_S
"""How far coverage reaches when a connection is made."""


def at(seconds: float) -> int:
    """Return the time so many seconds after a connection is made."""
    return NOW_US + int(seconds * US_PER_S)


def coverage(
    until_us: int, recovery: Recovery = NOTHING_LEARNED, known_us: Iterable[int] = (), seen_until_us: int = 0
) -> Coverage:
    """Return what a session begins with; `known_us` are the dates of known events."""
    dates = KnownDates()
    dates.add(known_us)
    return Coverage(until_us, recovery, dates, seen_until_us)


def live(plan: Live, before: Coverage, at_us: int, answer_us: int = 0) -> LiveSession:
    """Return the session of a live connection granted at `at_us`."""
    return LiveSession(opened(plan, at_us, answer_us), plan, before)


def plain(until_us: int = COVERED_US) -> LiveSession:
    """Return a connection without a backfill, its gap taken over."""
    session = live(Live(0), coverage(until_us), NOW_US)
    session.gaps = []
    return session


def replaying(plan: Replay, before: Coverage, at_us: int) -> ReplaySession:
    """Return the session of a replay granted at `at_us`."""
    return ReplaySession(opened(plan, at_us), plan, before)
