"""What to ask X for next, and what then cannot be had any more. Pure.

Limits are X's: a backfill reaches back 5 minutes, a replay 24 hours (X API v2, "Recovery and redundancy features").
Instants are microseconds since 1970 in X's time.
"""

from dataclasses import dataclass
from enum import StrEnum

from connector.events.times import US_PER_S

MINUTE_US = 60 * US_PER_S
BACKFILL_MAX_MINUTES = 5
BACKFILL_MARGIN_US = MINUTE_US
SLICE_US = 15 * MINUTE_US
FIRST_OVERLAP_US = 5 * MINUTE_US
NEXT_OVERLAP_US = MINUTE_US
SETTLING_US = MINUTE_US
REPLAY_REACH_US = 24 * 60 * MINUTE_US
REPLAY_MARGIN_US = 2 * MINUTE_US


class Cause(StrEnum):
    """Why a stretch of time is lost: a closed set, public."""

    OUTAGE_TOO_LONG = "outage-too-long"
    REPLAY_REFUSED = "replay-refused"
    BACKFILL_REFUSED = "backfill-refused"
    CONNECT_TOO_SLOW = "connect-too-slow"
    LEDGER_RESET = "ledger-reset"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the contract with X seems to include; a refusal (400, 403) turns one off until the next live connection."""

    backfill: bool = True
    replay: bool = True


@dataclass(frozen=True, slots=True)
class Live:
    """One live connection that first delivers the last `backfill_minutes` (0: none is asked for)."""

    backfill_minutes: int
    cause: Cause = Cause.CONNECT_TOO_SLOW


@dataclass(frozen=True, slots=True)
class Replay:
    """One slice of catching up: what X emitted from `start_us` to `end_us`, both whole seconds."""

    start_us: int
    end_us: int


Plan = Live | Replay


@dataclass(frozen=True, slots=True)
class Lost:
    """A stretch of time that the streams cannot bring back."""

    start_us: int
    end_us: int
    cause: Cause


def make_plan(covered_until_us: int, now_us: int, allowed: Allowed, *, is_catching_up: bool) -> Plan:
    """Return what to ask for; `is_catching_up` says that the slice before this one came whole."""
    away_us = now_us - covered_until_us
    needed_minutes = max(1, -(-(away_us + BACKFILL_MARGIN_US) // MINUTE_US))
    if needed_minutes <= BACKFILL_MAX_MINUTES:
        return Live(needed_minutes) if allowed.backfill else Live(0, Cause.BACKFILL_REFUSED)
    if allowed.replay:
        overlap_us = NEXT_OVERLAP_US if is_catching_up else FIRST_OVERLAP_US
        start_us = max(covered_until_us - overlap_us, now_us - REPLAY_REACH_US + REPLAY_MARGIN_US)
        end_us = min(max(covered_until_us, start_us) + SLICE_US, now_us - SETTLING_US)
        return replay(start_us, end_us)
    return Live(BACKFILL_MAX_MINUTES if allowed.backfill else 0, Cause.REPLAY_REFUSED)


def unreached(plan: Plan, covered_until_us: int, answered_at_us: int) -> Lost | None:
    """Return what the granted `plan` does not reach, judged by the time of X's answer."""
    if isinstance(plan, Replay):
        reach_us, cause = plan.start_us, Cause.OUTAGE_TOO_LONG
    else:
        reach_us, cause = answered_at_us - plan.backfill_minutes * MINUTE_US, plan.cause
    return Lost(covered_until_us, reach_us, cause) if covered_until_us < reach_us else None


def refused(allowed: Allowed, plan: Plan) -> Allowed:
    """Return what is still worth asking for after X refused the parameters of `plan`.

    When X refuses even a plain connection, the fault is not in the parameters, and all is worth asking for again.
    """
    if isinstance(plan, Replay):
        return Allowed(backfill=allowed.backfill, replay=False)
    if plan.backfill_minutes:
        return Allowed(backfill=False, replay=allowed.replay)
    return Allowed()


def replay(start_us: int, end_us: int) -> Replay:
    """Return the slice between two instants, each cut to the whole second."""
    return Replay(start_us // US_PER_S * US_PER_S, end_us // US_PER_S * US_PER_S)


def is_grantable(plan: Plan, now_us: int) -> bool:
    """Tell whether X can grant `plan` at all: no replay reaches back further than a day, or into the future."""
    return not isinstance(plan, Replay) or now_us - REPLAY_REACH_US <= plan.start_us < plan.end_us <= now_us


def is_within_reach(slice_: Replay, now_us: int) -> bool:
    """Tell whether X can still replay all of a slice."""
    return slice_.start_us >= now_us - REPLAY_REACH_US + REPLAY_MARGIN_US
