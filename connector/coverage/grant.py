"""Whether a connection that X granted is one to read."""

from connector.coverage.messages import EndReason, Progress, Reading
from connector.coverage.plan import Contract, Plan, is_grantable, is_outdated


def judge_grant(plan: Plan, progress: Progress, at: Reading, contract: Contract) -> EndReason | None:
    """Return why a connection is given up at once, None where it is to be read.

    It is judged by the time of X's answer, `at`, as the plan was made by an earlier one. A slice that ends in X's
    future or begins out of reach is not granted, whatever X says.
    """
    if not is_grantable(plan, at.earliest_us):
        return EndReason.OUT_OF_REACH
    is_replanned = is_outdated(plan, progress.covered_until_us, progress.recovery, at.estimate_us, contract)
    return EndReason.REPLANNED if is_replanned else None
