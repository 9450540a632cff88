"""Decides whether to read a connection that X granted."""

from connector.coverage.messages import ClockReading, EndReason, Progress
from connector.coverage.plan import Contract, Plan, is_grantable, is_outdated


def judge_grant(plan: Plan, progress: Progress, at: ClockReading, contract: Contract) -> EndReason | None:
    """Return why to give up a connection at once, None to read it.

    Judged by the time of X's answer, `at`, since the plan was made by an earlier one. A slice that ends in X's future
    or begins out of reach counts as not granted, whatever X answered.
    """
    if not is_grantable(plan, at.earliest_us):
        return EndReason.OUT_OF_REACH
    is_replanned = is_outdated(plan, progress.covered_until_us, progress.recovery, at.estimate_us, contract)
    return EndReason.REPLANNED if is_replanned else None
