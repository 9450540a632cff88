"""The messages between a reader and its committer: frozen values, in the order of events.

Instants are microseconds since 1970 in X's time unless their name says otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from connector.coverage.plan import Plan
from connector.coverage.recovery import NOTHING_LEARNED, Recovery
from connector.events.decode import LongLine, SystemMessage


class EndReason(StrEnum):
    """Why a connection ended: a closed set, public. The first reason counts."""

    CLOSED = "closed"
    NETWORK = "network"
    SILENT = "silent"
    SYSTEM_MESSAGE = "system-message"
    STOPPED = "stopped"
    REPLANNED = "replanned"
    OUT_OF_REACH = "out-of-reach"
    REPLAY_IDLE = "replay-idle"
    REPLAY_SLOW = "replay-slow"
    PARAMETERS_IGNORED = "parameters-ignored"
    SUSPICION = "suspicion"
    COVERAGE_HELD_BACK = "coverage-held-back"
    INTERNAL_ERROR = "internal-error"


class Verdict(StrEnum):
    """What a replay slice turned out to be: a closed set, public."""

    WHOLE = "whole"
    INTERRUPTED = "interrupted"
    SUSPECTED = "suspected"
    IGNORED = "parameters-ignored"


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One look at the clocks: the bounds of X's time, and the monotonic clock.

    `earliest_us` is X's latest `Date`, truncated to a second, continued by the monotonic clock; `estimate_us` is that
    rounded up; `latest_us` allows for a machine that was suspended; `best_us` is the most precise clock that agrees.
    `wall_us` is the wall clock, if known: no claim rests on it.
    """

    earliest_us: int
    estimate_us: int
    latest_us: int
    best_us: int
    monotonic_us: int
    wall_us: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """X granted `plan`. X's time may be later than the `Date` of the answer by as much as that took: `answer_us`."""

    plan: Plan
    at: ClockReading
    answer_us: int


@dataclass(frozen=True, slots=True)
class LinesRead:
    """Lines that were read together, without line ends."""

    lines: Sequence[bytes | LongLine]
    at: ClockReading


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A keep-alive; the reader had waited for it since `waited_since_us`, None if it had hardly waited."""

    at: ClockReading
    waited_since_us: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection ended at `at_us`; `is_proper` if X ended the body properly, not within a line."""

    reason: EndReason
    is_proper: bool
    at_us: int


Message = Opened | LinesRead | KeepAlive | Ended


@dataclass(frozen=True, slots=True)
class LastConnection:
    """What the last connection achieved.

    `has_proved` if X behaved like a stream on it; `verdict` is None for a live connection.
    """

    has_proved: bool
    verdict: Verdict | None
    system_message: SystemMessage | None


@dataclass(frozen=True, slots=True)
class Progress:
    """The committed result of everything that was read: all that the next request depends on."""

    covered_until_us: int
    recovery: Recovery = NOTHING_LEARNED
    last: LastConnection | None = None
