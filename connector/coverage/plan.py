"""What to request from X next, and what the granted connection does not reach. Pure.

Limits are X's: a backfill reaches back 5 minutes, a replay 24 hours (X API v2, "Recovery and redundancy features").
Instants are microseconds since 1970 in X's time.
"""

from dataclasses import dataclass

from connector.coverage.gap import Gap, GapCause
from connector.coverage.recovery import MINUTE_US, Recovery
from connector.events.times import US_PER_S

BACKFILL_MAX_MINUTES = 5
BACKFILL_MAX_US = BACKFILL_MAX_MINUTES * MINUTE_US
BACKFILL_MARGIN_US = MINUTE_US
FIRST_OVERLAP_US = 5 * MINUTE_US
NEXT_OVERLAP_US = MINUTE_US
SETTLING_US = MINUTE_US
REPLAY_REACH_US = 24 * 60 * MINUTE_US
REPLAY_MARGIN_US = 2 * MINUTE_US
LEAST_MARGIN_US = 30 * US_PER_S
REFUSALS_BELIEVED = 2


@dataclass(frozen=True, slots=True)
class Live:
    """One live connection that first delivers the last `backfill_minutes` (0: no backfill is requested).

    `cause` is why it may not reach back far enough.
    """

    backfill_minutes: int
    cause: GapCause = GapCause.CONNECT_TOO_SLOW


@dataclass(frozen=True, slots=True)
class Replay:
    """One slice of catching up: what X emitted from `start_us` to `end_us`, both whole seconds.

    A refetch is requested because the completeness of its range is in doubt.
    """

    start_us: int
    end_us: int
    is_refetch: bool = False


Plan = Live | Replay


@dataclass(frozen=True, slots=True)
class Contract:
    """What X seems to grant: how often in a row it refused a backfill, and a replay.

    One refusal proves nothing, since it may be momentary; the second in a row is believed until the next live
    connection has ended.
    """

    backfill_refusals: int = 0
    replay_refusals: int = 0

    @property
    def has_backfill(self) -> bool:
        """Whether a backfill is worth requesting."""
        return self.backfill_refusals < REFUSALS_BELIEVED

    @property
    def has_replay(self) -> bool:
        """Whether a replay is worth requesting."""
        return self.replay_refusals < REFUSALS_BELIEVED

    def allows(self, plan: Plan) -> bool:
        """Return whether what `plan` requests beyond a plain connection is worth requesting again."""
        return self.has_replay if isinstance(plan, Replay) else self.has_backfill

    def refused(self, plan: Plan) -> "Contract":
        """Count X's refusal of `plan`.

        When X refuses even a plain connection, the parameters are not at fault: all may be requested again.
        """
        if isinstance(plan, Replay):
            return Contract(self.backfill_refusals, self.replay_refusals + 1)
        if plan.backfill_minutes:
            return Contract(self.backfill_refusals + 1, self.replay_refusals)
        return Contract()

    def granted(self, plan: Plan) -> "Contract":
        """Forget refusals that a honoured plan disproves."""
        if isinstance(plan, Replay):
            return Contract(self.backfill_refusals, 0)
        return Contract(0, self.replay_refusals) if plan.backfill_minutes else self


def next_plan(covered_until_us: int, recovery: Recovery, now_us: int, contract: Contract) -> Plan:
    """Return what to request: the range in doubt first, then what follows coverage.

    X may select by `event_at`: a late event comes only if its date is requested, so overlaps allow for that, and for
    clocks that differ.
    """
    if contract.has_replay and (refetch := _refetch(recovery, now_us)) is not None:
        return refetch
    away_us = now_us - covered_until_us
    minutes = max(1, -(-(away_us + BACKFILL_MARGIN_US + recovery.lateness_us) // MINUTE_US))
    is_settled = recovery.settled_us == covered_until_us
    is_enough = is_settled and _is_fresh(recovery, now_us) and away_us + BACKFILL_MARGIN_US <= BACKFILL_MAX_US
    if minutes > BACKFILL_MAX_MINUTES and is_enough:
        minutes = BACKFILL_MAX_MINUTES  # a replay has just brought late events; another one would bring no more
    if minutes <= BACKFILL_MAX_MINUTES:
        return Live(minutes) if contract.has_backfill else Live(0, GapCause.BACKFILL_REFUSED)
    if contract.has_replay:
        return _next_slice(covered_until_us, recovery, now_us, is_settled=is_settled)
    return Live(BACKFILL_MAX_MINUTES if contract.has_backfill else 0, GapCause.REPLAY_REFUSED)


def _is_fresh(recovery: Recovery, now_us: int) -> bool:
    """Return whether a backfill reaches all that was emitted since X answered the last replay.

    Rests on how late events are, whatever happened since: a restart, a wait for a permit, a live connection. A minute
    is always fresh, since going live must not wait for a replay that takes no time at all.
    """
    return now_us - recovery.settled_at_us <= max(BACKFILL_MAX_US - recovery.lateness_us, MINUTE_US)


def _refetch(recovery: Recovery, now_us: int) -> Replay | None:
    """Return what X can still replay of the range in doubt, at most a slice and its overlap."""
    if recovery.refetch is None:
        return None
    start_us = max(recovery.refetch.start_us, now_us - REPLAY_REACH_US + REPLAY_MARGIN_US)
    end_us = min(recovery.refetch.end_us, start_us + recovery.slice_us + recovery.slice_us // 3, now_us)
    piece = replay(start_us, end_us, is_refetch=True)
    return piece if piece.start_us < piece.end_us else None


def _next_slice(covered_until_us: int, recovery: Recovery, now_us: int, *, is_settled: bool) -> Replay:
    overlap_us = NEXT_OVERLAP_US + recovery.lateness_us if is_settled else FIRST_OVERLAP_US
    overlap_us = max(recovery.lateness_us, min(overlap_us, recovery.slice_us))
    start_us = max(covered_until_us - overlap_us, now_us - REPLAY_REACH_US + REPLAY_MARGIN_US)
    end_us = min(max(covered_until_us, start_us) + recovery.slice_us, now_us - SETTLING_US)
    return replay(start_us, end_us)


def unreached(plan: Plan, covered_until_us: int, answered_at_us: int) -> Gap | None:
    """Return what the granted `plan` does not reach, judged by the time of X's answer."""
    if isinstance(plan, Replay):
        if plan.is_refetch:
            return None
        reach_us, cause = plan.start_us, GapCause.OUTAGE_TOO_LONG
    else:
        reach_us, cause = answered_at_us - plan.backfill_minutes * MINUTE_US, plan.cause
    return Gap(covered_until_us, reach_us, cause) if covered_until_us < reach_us else None


def is_outdated(plan: Plan, covered_until_us: int, recovery: Recovery, answered_at_us: int, contract: Contract) -> bool:
    """Return whether the granted live `plan` does not reach back, with some margin, while a better one can be made.

    Judged by the time of X's answer, since the plan was made by an earlier one.
    """
    needed_us = covered_until_us - recovery.lateness_us - LEAST_MARGIN_US
    is_short = isinstance(plan, Live) and unreached(plan, needed_us, answered_at_us) is not None
    return is_short and next_plan(covered_until_us, recovery, answered_at_us, contract) != plan


def replay(start_us: int, end_us: int, *, is_refetch: bool = False) -> Replay:
    """Return the slice between two instants, each cut to the whole second."""
    return Replay(start_us // US_PER_S * US_PER_S, end_us // US_PER_S * US_PER_S, is_refetch)


def is_grantable(plan: Plan, now_us: int) -> bool:
    """Return whether X can grant `plan` at all: no replay reaches back further than a day, or into the future."""
    return not isinstance(plan, Replay) or now_us - REPLAY_REACH_US <= plan.start_us < plan.end_us <= now_us
