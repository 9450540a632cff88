"""A run: the shards of the ids, one after the other, until each has its outcome.

However it ends, the next run in the same folder resumes it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from connector.batch.calls import Calls, Tools
from connector.batch.ids import split
from connector.batch.shard_run import RetryShardError, ShardRun, SplitShardError
from connector.batch.state import Keeper, Outcome, RunFolder, RunState, ShardState
from connector.errors import ConnectorError

MOST_ATTEMPTS = 3
"""Jobs for one shard in one process: one that X fails, drops or forgets is replaced."""

T = TypeVar("T")


class JobsFailedError(ConnectorError):
    """X failed every job of a shard, or does not even accept a piece of it."""

    exit_code = os.EX_UNAVAILABLE


class ChangedResultsError(ConnectorError):
    """Results have changed since some were published; the operator must decide."""

    exit_code = os.EX_UNAVAILABLE

    def __init__(self, what: str, published: int) -> None:
        super().__init__(f"{what} have changed since {published:,} of them were published; --fresh begins again")


class Run:
    """A prepared run. However `finish` ends, calling it again resumes the run, also in another process."""

    def __init__(self, folder: RunFolder, keeper: Keeper, state: RunState, tools: Tools) -> None:
        self._folder = folder
        self._keeper = keeper
        self._state = state
        self._reporter = tools.reporter
        self._calls = Calls(tools)
        self._shards = ShardRun(folder, keeper, state, tools)
        self._jobs_lost: Counter[int] = Counter()

    def finish(self) -> None:
        """Work until every shard has its outcome.

        Raises `JobsFailedError`, `ChangedResultsError`, `TransferNotAllowedError`, `CallFailedError` for a lasting
        failure, `OutOfTimeError`, and `OSError` if the disk is full.
        """
        while (shard := self._next()) is not None:
            outcome = self._after(self._shards.finish, shard)
            if outcome is not None:
                self._keeper.deliver(self._state, shard, outcome)
                shard.outcome = outcome
                self._keeper.save(self._state)
                self._folder.results(shard).unlink(missing_ok=True)
                self._folder.shard(shard).path.unlink(missing_ok=True)
                self._reporter.say(f"shard done: {described(outcome)}")

    def submit(self) -> None:
        """Work until X has the ids of the first shard without an outcome. Raises what `finish` does."""
        while (shard := self._next()) is not None and self._after(self._shards.submit, shard) is None:
            pass

    def _next(self) -> ShardState | None:
        return next((shard for shard in self._state.shards if shard.outcome is None), None)

    def _after(self, step: Callable[[ShardState], T], shard: ShardState) -> T | None:
        """Return the result of a step, or None if the shard needs another job, or to be split."""
        try:
            return step(shard)
        except SplitShardError as error:
            self._split(shard, str(error))
        except RetryShardError as error:
            self._try_again(shard, str(error))
        return None

    def _try_again(self, shard: ShardState, why: str) -> None:
        """Give a shard another job; the previous one must not keep the slot."""
        if shard.job_id is not None:
            self._calls.cancel(shard.job_id)
        shard.attempt, shard.job_id, shard.created_us, shard.is_uploaded = shard.attempt + 1, None, None, False
        self._keeper.save(self._state)
        self._jobs_lost[shard.number] += 1
        if self._jobs_lost[shard.number] == MOST_ATTEMPTS:
            raise JobsFailedError(f"giving up after {MOST_ATTEMPTS} jobs: {why}")
        self._reporter.say(f"creating another job: {why}")

    def _split(self, shard: ShardState, why: str) -> None:
        """Replace a shard by its two halves."""
        if shard.job_id is not None:
            self._calls.cancel(shard.job_id)
        if shard.published:
            raise ChangedResultsError(f"the jobs of a shard of {shard.ids:,} ids", shard.published)
        if shard.ids == 1:
            raise JobsFailedError(f"cannot upload even a single id: {why}")
        self._reporter.say(f"splitting a shard of {shard.ids:,} ids in two: {why}")
        whole = self._folder.shard(shard)
        free = 1 + max(each.number for each in self._state.shards)
        self._state.replace(shard, split(whole, self._folder.path, number=free))
        self._keeper.save(self._state)
        whole.path.unlink()


def total(outcomes: Iterator[Outcome]) -> Outcome:
    """Return the sum of all outcomes."""
    found = list(outcomes)
    by_action: Counter[tuple[str, str | None]] = Counter()
    for outcome in found:
        by_action.update({(action, reason): count for action, reason, count in outcome.by_action})
    return Outcome(
        job_id="",
        checked_us=min((outcome.checked_us for outcome in found), default=0),
        digest="",
        lines=sum(outcome.lines for outcome in found),
        clean=sum(outcome.clean for outcome in found),
        rejected=sum(outcome.rejected for outcome in found),
        unclear=sum(outcome.unclear for outcome in found),
        dead=sum(outcome.dead for outcome in found),
        repeated=sum(outcome.repeated for outcome in found),
        by_action=[(action, reason, count) for (action, reason), count in by_action.most_common()],
    )


def described(outcome: Outcome) -> str:
    """Return what was found, as text."""
    actions = [f"{count:,} {action} ({reason or 'no reason'})" for action, reason, count in outcome.by_action]
    rejected = [f"{outcome.rejected:,} rejected as invalid"] if outcome.rejected else []
    dead = [f"{outcome.dead:,} result lines not understood"] if outcome.dead else []
    return ", ".join([f"{outcome.clean:,} clean", *actions, *rejected, *dead])
