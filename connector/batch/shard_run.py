"""The run of one shard: create a job, upload the ids, wait for X, download the results, account for them.

If an answer was lost, the job's name shows what X has done before a call is repeated.
"""

import math
from http import HTTPStatus

import msgspec

from connector.batch.accounting import Tally, join
from connector.batch.calls import Calls, Failures, Tools
from connector.batch.durations import Durations
from connector.batch.results import Finding, NotWholeError, Results, read_results
from connector.batch.state import Keeper, Outcome, RunFolder, RunState, ShardState
from connector.events.times import US_PER_S, format_us
from connector.files import open_private
from connector.quoting import shown
from connector.x.batch_api import CallFailedError, Job, JobStatus, Transfer
from connector.x.clock import wall_us
from connector.x.transfers import TransferNotAllowedError, Transfers

_MOST_DOWNLOADS = 5
_SUSPICIOUSLY_MANY = 10_000
"""Empty results for this many ids are fetched twice: an empty file may be a fault of X."""
_OVERDUE_US = 30 * 60 * US_PER_S
"""A job still waiting for its ids this long after its creation has lost them: its window is 15 minutes."""
_LEAST_MEASURED_S = 1.0
_WINDOW_IS_OVER = {HTTPStatus.FORBIDDEN, HTTPStatus.GONE}
_OVER = {JobStatus.FAILED, JobStatus.EXPIRED}


class RetryShardError(Exception):
    """The job of a shard is no longer usable; the message says why."""


class SplitShardError(Exception):
    """A shard exceeds X's limit, or cannot be uploaded within its window; the message says why."""


class ShardRun:
    """Takes the shards of a run through their jobs, one at a time, as X allows one active job of a type.

    Every method raises `RetryShardError` and `SplitShardError`; `CallFailedError` for a lasting failure;
    `TransferNotAllowedError`; `OutOfTimeError`; `OSError` if the disk is full. The next call resumes.
    """

    def __init__(self, folder: RunFolder, keeper: Keeper, state: RunState, tools: Tools) -> None:
        self._folder = folder
        self._keeper = keeper
        self._state = state
        self._api = tools.api
        self._calls = Calls(tools)
        self._transfers = Transfers(tools.api)
        self._pace = tools.pace
        self._reporter = tools.reporter
        self._sort = tools.sort
        self._durations = Durations(folder.path.parent)
        self._speed_bytes_s: float | None = None

    def submit(self, shard: ShardState) -> Job:
        """Return the job of a shard once X has the ids."""
        return self._upload(shard, self._job_of(shard))

    def finish(self, shard: ShardState) -> Outcome:
        """Return the outcome of a shard, with its findings in the folder."""
        return self._take_results(shard, self._await_results(shard, self.submit(shard)))

    # --- the job

    def _job_of(self, shard: ShardState) -> Job:
        """Return the job of a shard: the known one, one whose creation was never confirmed, or a new one."""
        if shard.job_id is not None:
            return self._found(shard.job_id)
        name = self._state.name_of(shard)
        job = _named(name, self._calls.active(self._state.kind)) or self._make(name)
        shard.job_id, shard.created_us = job.id, job.created_us or self._now_us()
        self._keeper.save(self._state)
        self._say(shard, f"job {job.id}, ids: {shard.ids:,}")
        return job

    def _make(self, name: str) -> Job:
        """Create a job once the slot is free: cancel an orphan of this run, wait for any other job."""
        kind, looks, reported = self._state.kind, 0, ""
        cancelled: set[str] = set()
        while (made := self._calls.create(kind, name)) is None:
            active = self._calls.active(kind)
            if (made := _named(name, active)) is not None:
                break
            orphans = {job.id for job in active if (job.name or "").startswith(self._state.prefix)} - cancelled
            for job_id in orphans:
                self._calls.cancel(job_id)
            cancelled |= orphans
            if not orphans:
                others = "; ".join(map(_description_of, active)) or "one that X does not list"
                if others != reported:
                    self._reporter.say(f"waiting: X allows one active {kind.value} job, and there is {others}")
                looks, reported = looks + 1, others
                self._pace.poll(looks)
        return made

    def _found(self, job_id: str) -> Job:
        found = self._calls.find(job_id)
        if found is None:
            raise RetryShardError(f"X no longer knows job {job_id}")
        return found

    # --- the ids

    def _upload(self, shard: ShardState, job: Job) -> Job:
        """Return the job once X has the ids."""
        failures = Failures()
        while job.status == JobStatus.CREATED and not self._has_sent(shard, job):
            self._check_window(shard, job)
            try:
                self._send(shard, job)
            except TransferNotAllowedError:
                self._calls.cancel(job.id)
                raise
            except CallFailedError as error:
                self._judge_upload(shard, error, failures)
            else:
                shard.is_uploaded = True
                self._keeper.save(self._state)
            job = self._found(job.id)  # even if the upload failed, the ids may have arrived
        return job

    def _has_sent(self, shard: ShardState, job: Job) -> bool:
        """Return whether the ids are uploaded, and the job may be about to show it."""
        return shard.is_uploaded and self._now_us() - (job.created_us or self._now_us()) < _OVERDUE_US

    def _check_window(self, shard: ShardState, job: Job) -> None:
        """Raise if the upload cannot end in time, at the speed of the last one."""
        left_s = self._left_s(job.upload)
        if left_s <= 0:
            raise RetryShardError(f"the upload window of job {job.id} has closed")
        if self._speed_bytes_s is not None and shard.size_bytes > self._speed_bytes_s * left_s:
            raise SplitShardError(f"{shard.size_bytes:,} bytes cannot be uploaded in the {left_s:.0f} s left")

    def _send(self, shard: ShardState, job: Job) -> None:
        began_s = self._pace.now_s()

        def show(sent_bytes: int) -> None:
            seconds = self._pace.now_s() - began_s
            if seconds >= _LEAST_MEASURED_S:
                self._speed_bytes_s = sent_bytes / seconds
            share = 100 * sent_bytes // shard.size_bytes
            self._reporter.show(f"{self._label(shard)}: {share} % uploaded{self._window(job)}")

        self._transfers.upload(job, self._folder.shard(shard).path, show)

    def _judge_upload(self, shard: ShardState, error: CallFailedError, failures: Failures) -> None:
        """Wait for the next try, or raise what to do with the shard."""
        if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise SplitShardError(f"the upload is too large for X: {error}") from error
        if error.status in _WINDOW_IS_OVER:
            raise RetryShardError(f"X refuses the upload: {error}") from error
        if error.status == HTTPStatus.OK:
            raise RetryShardError(str(error)) from error
        delay_s = failures.add(error)
        self._say(shard, f"the upload failed; retrying in {delay_s:.0f} s: {error}")
        self._pace.wait(delay_s)

    # --- the wait

    def _await_results(self, shard: ShardState, job: Job) -> Job:
        """Return the job once it is complete; also wait during undocumented statuses."""
        looks, reported = 0, ""
        while job.status != JobStatus.COMPLETE:
            if job.status in _OVER:
                raise RetryShardError(f"X reports job {job.id} as {job.status}")
            if job.status == JobStatus.CREATED and not self._has_sent(shard, job):
                raise RetryShardError(f"X lost the ids of job {job.id}")
            if job.status != reported:
                reported = job.status
                self._say(shard, f"job {job.id} is {shown(job.status)}")
            self._reporter.show(self._waiting(shard, job))
            looks += 1
            self._pace.poll(looks)
            job = self._found(job.id)
        if looks:
            self._durations.record(self._state.kind, shard.ids, self._age_s(job))
        return job

    def _waiting(self, shard: ShardState, job: Job) -> str:
        last_s = self._durations.last_s(self._state.kind, shard.ids)
        usual = "" if last_s is None else f"; the last job of about this size took {last_s / 60:.0f} min"
        return f"{self._label(shard)}: waiting for X, {self._age_s(job) / 60:.0f} min so far{usual}"

    # --- the results

    def _take_results(self, shard: ShardState, job: Job) -> Outcome:
        """Return the outcome of a shard; empty results for very many ids are fetched twice."""
        outcome = self._accounted(shard, job)
        if not outcome.lines and shard.ids >= _SUSPICIOUSLY_MANY:
            again = self._accounted(shard, self._found(job.id))
            differs = again.digest != outcome.digest
            what = "differ; the second one counts" if differs else f"are empty, for {shard.ids:,} ids"
            self._say(shard, f"warning: two downloads of job {job.id} {what}")
            return again
        return outcome

    def _accounted(self, shard: ShardState, job: Job) -> Outcome:
        """Return the outcome of a shard from a whole download; one that is not whole is repeated."""
        failures = 0
        while True:
            try:
                return self._accounted_once(shard, job)
            except NotWholeError as error:
                problem = CallFailedError(str(error))
            except CallFailedError as error:
                problem = error
            failures += 1
            if failures >= _MOST_DOWNLOADS:
                if problem.status in _WINDOW_IS_OVER or self._left_s(job.download) <= 0:
                    raise RetryShardError(f"the results of job {job.id} are no longer available: {problem}")
                raise problem
            delay_s = self._pace.retry_s(failures, problem)
            self._say(shard, f"the download failed; retrying in {delay_s:.0f} s: {problem}")
            self._pace.wait(delay_s)
            job = self._found(job.id)  # the URL may have expired, and X may give a new one

    def _accounted_once(self, shard: ShardState, job: Job) -> Outcome:
        target = self._folder.results(shard)
        label = self._label(shard)
        self._transfers.download(job, target, lambda size: self._reporter.show(f"{label}: {size:,} bytes downloaded"))
        checked_us = job.created_us or shard.created_us or self._state.started_us
        with (
            target.open("rb") as file,
            read_results(file, self._folder.path, self._sort, secrets=self._api.sent_secrets) as results,
        ):
            tally = self._write(shard, results)
            return _outcome(job.id, checked_us, results, tally)

    def _write(self, shard: ShardState, results: Results) -> Tally:
        """Write the answers as JSON lines; the files are whole once the state has an outcome for the shard."""
        joined = join(self._folder.shard(shard), results)
        with open_private(self._folder.findings(shard)) as findings, open_private(self._folder.dead(shard)) as dead:
            while True:
                try:
                    answer = next(joined)
                except StopIteration as end:
                    tally: Tally = end.value
                    return tally
                file = findings if isinstance(answer, Finding) else dead
                file.write(msgspec.json.encode(answer) + b"\n")

    # --- all of it

    def _window(self, job: Job) -> str:
        """Return the time left of the upload's window, as text, if known."""
        left_s = self._left_s(job.upload)
        return "" if math.isinf(left_s) else f", {max(0.0, left_s) / 60:.0f} min left of its window"

    def _left_s(self, transfer: Transfer | None) -> float:
        """Return the seconds left for a transfer, as far as known."""
        if transfer is None or transfer.expires_us is None:
            return math.inf
        return (transfer.expires_us - self._now_us()) / US_PER_S

    def _age_s(self, job: Job) -> float:
        """Return the age of a job, 0 if unknown."""
        now_us = self._now_us()
        return max(0, now_us - (job.created_us or now_us)) / US_PER_S

    def _now_us(self) -> int:
        return self._api.date_us or wall_us()

    def _say(self, shard: ShardState, text: str) -> None:
        self._reporter.say(f"{self._label(shard)}: {text}")

    def _label(self, shard: ShardState) -> str:
        shards = self._state.shards
        return f"shard {shards.index(shard) + 1} of {len(shards)}"


def _named(name: str, jobs: list[Job]) -> Job | None:
    return next((job for job in jobs if job.name == name), None)


def _description_of(job: Job) -> str:
    created = "" if job.created_us is None else f", created {format_us(job.created_us)}"
    name = shown(job.name or "")
    return f"job {job.id}, {shown(job.status)}, {f'named {name}' if name else 'without a name'}{created}"


def _outcome(job_id: str, checked_us: int, results: Results, tally: Tally) -> Outcome:
    by_action = [(action, reason, count) for (action, reason), count in sorted(tally.by_action.items(), key=str)]
    return Outcome(
        job_id,
        checked_us,
        results.digest,
        results.lines,
        tally.clean,
        tally.rejected,
        tally.unclear,
        tally.dead,
        tally.repeated,
        by_action,
    )
