"""`connector batch run`: ids in, results out, and a folder that keeps what a run needs to resume."""

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from connector.batch.accounting import UnaccountedError
from connector.batch.calls import Calls, Tools
from connector.batch.ids import Ids, prepare
from connector.batch.results import DeadResult
from connector.batch.run import ChangedResultsError, JobsFailedError, Run, described, total
from connector.batch.state import Keeper, Outcome, RunFolder, RunState, ShardState, UnusableRunError
from connector.events.times import format_us
from connector.files import replace_private
from connector.quoting import shown
from connector.x.batch_api import CallFailedError, JobType
from connector.x.clock import wall_us
from connector.x.transfers import TransferNotAllowedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An operator's request: which ids to check, and where the results go: to a file, to the bus, or to both.

    Without `ids` the unfinished run `run_id` resumes. `folder` keeps what an interrupted run needs to resume, except
    what the `keeper` keeps, if there is one. `covers_all` is whether the ids are all held ones.
    """

    kind: JobType
    ids: Ids | None
    results: Path | None
    folder: Path
    run_id: str | None = None
    keeper: Keeper | None = None
    covers_all: bool = False
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a finished run; `dead_letters` is the file of the result lines that were not understood.

    `notes` are further lines of text.
    """

    run_id: str
    kind: JobType
    ids: int
    duplicates: int
    invalid: int
    outcome: Outcome
    results: Path | None
    dead_letters: Path | None
    notes: Sequence[str] = ()

    def as_json(self, requests: Mapping[str, int]) -> dict[str, Any]:
        """Return the report as a JSON object, with the requests to X by method."""
        outcome = self.outcome
        by_action = [
            {"action": action, "reason": reason, "count": count} for action, reason, count in outcome.by_action
        ]
        return {
            "run_id": self.run_id,
            "type": self.kind.value,
            "ids": self.ids,
            "duplicates": self.duplicates,
            "invalid": self.invalid,
            "clean": outcome.clean,
            "rejected": outcome.rejected,
            "unclear": outcome.unclear,
            "dead_letters": outcome.dead,
            "by_action": by_action,
            "checked_from": format_us(outcome.checked_us) if outcome.checked_us else None,
            "results": None if self.results is None else str(self.results),
            "dead_letters_file": None if self.dead_letters is None else str(self.dead_letters),
            "notes": list(self.notes),
            "requests": dict(requests),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report as lines of text."""
        yield f"run {self.run_id} is done; {self.kind.value} checked: {self.ids:,}, all accounted for"
        yield f"  {described(self.outcome)}"
        if self.duplicates or self.invalid:
            yield f"  input: {self.duplicates:,} duplicates, {self.invalid:,} invalid lines skipped"
        if self.outcome.unclear:
            yield f"  in doubt among the clean: {self.outcome.unclear:,}, whose result lines were not understood"
        if self.results is not None:
            yield f"  results: {self.results}"
        if self.dead_letters is not None:
            yield f"  result lines not understood: {self.dead_letters}"
        for note in self.notes:
            yield f"  {note}"


def run_batch(request: Request, tools: Tools) -> Report:
    """Check the ids with X, and write the results.

    Raises `InvalidIdsError`, `UnusableRunError`, `FolderInUseError`, what `Run.finish` raises, and `OSError`. However
    it ends, the same call resumes it.
    """
    output = None if request.results is None else _writable(request.results)
    with _begun(request, tools) as (folder, keeper, state):
        _work(Run(folder, keeper, state, tools).finish, keeper, state)
        report = _delivered(output, folder, state)
        notes = keeper.end(state, report.outcome, is_done=True)
        folder.remove()
        return replace(report, notes=notes)


def submit_batch(request: Request, tools: Tools) -> RunState:
    """Upload the ids, those of the first job, and return the run, which `run_batch` finishes. Raises as that does."""
    with _begun(request, tools) as (folder, keeper, state):
        _work(Run(folder, keeper, state, tools).submit, keeper, state)
        return state


def abandon_batch(request: Request, tools: Tools) -> None:
    """Discard the run `run_id`, and cancel its job. Raises `UnusableRunError` unless that run is unfinished."""
    with _locked(request) as (folder, keeper):
        _abandon(keeper, _asked_for(request, keeper.load()), tools)
        folder.remove()


@contextmanager
def _locked(request: Request) -> Iterator[tuple[RunFolder, Keeper]]:
    folder = RunFolder(request.folder)
    folder.make()
    with folder.locked():
        yield folder, request.keeper or folder


@contextmanager
def _begun(request: Request, tools: Tools) -> Iterator[tuple[RunFolder, Keeper, RunState]]:
    with _locked(request) as (folder, keeper):
        yield folder, keeper, _state(request, folder, keeper, tools)


def _work(step: Callable[[], None], keeper: Keeper, state: RunState) -> None:
    try:
        step()
    except (JobsFailedError, CallFailedError, ChangedResultsError, TransferNotAllowedError, UnaccountedError):
        state.has_failed = True
        keeper.fail(state)
        raise


def _writable(output: Path) -> Path:
    """Return the file for the results, following a link. Raises `OSError` if it cannot be one."""
    target = output.resolve() if output.is_symlink() else output
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(output))
    _new(target).close()
    _beside(target).unlink()
    return target


def _state(request: Request, folder: RunFolder, keeper: Keeper, tools: Tools) -> RunState:
    """Return the state of the run to resume, or of a new one, fully prepared."""
    kept = _found(request, keeper)
    is_whole = kept is not None and folder.holds(kept, with_results=request.results is not None)
    if request.ids is None:
        return _resumed(check_usable(_asked_for(request, kept), request, is_whole=is_whole), keeper, tools)
    if kept is not None and request.is_fresh:
        _abandon(keeper, kept, tools)
        kept = None
    if kept is not None and (is_whole or keeper is folder):
        check_same(kept, request, request.ids)
        return _resumed(check_usable(kept, request, is_whole=is_whole), keeper, tools)
    folder.clear()
    prepared = _prepared(request, request.ids, folder, tools)
    if kept is not None:  # its files are gone, as those of a pod are
        check_same(kept, request, request.ids)
        if kept.is_of(prepared):
            return _resumed(kept, keeper, tools)
        _abandon(keeper, kept, tools)  # what is held has changed
    keeper.begin(prepared)
    shards = f", in {len(prepared.shards)} shards" if len(prepared.shards) > 1 else ""
    tools.reporter.say(f"run {prepared.run_id}; {request.kind.value} to check: {prepared.ids:,}{shards}")
    return prepared


def _asked_for(request: Request, kept: RunState | None) -> RunState:
    if kept is None or kept.run_id != request.run_id:
        raise UnusableRunError(f"there is no unfinished run {shown(request.run_id or '')} of {request.kind.value}")
    return kept


def check_same(kept: RunState, request: Request, ids: Ids) -> None:
    """Raise `UnusableRunError` unless a run matches the request."""
    unfinished = f"run {kept.run_id} is unfinished"
    if (kept.kind, kept.source) != (request.kind, ids.identity()):
        raise UnusableRunError(f"{unfinished}, and was started with other ids; --fresh discards it")
    if kept.covers_all != request.covers_all:
        was = "with" if kept.covers_all else "without"
        raise UnusableRunError(f"{unfinished}, and was begun {was} --covers-all; --fresh discards it")


def check_usable(kept: RunState, request: Request, *, is_whole: bool) -> RunState:
    """Return a run. Raises `UnusableRunError` unless all its files are present."""
    if not is_whole:
        remedy = "--fresh discards it" if request.ids else "give its ids to: connector batch run"
        raise UnusableRunError(f"run {kept.run_id} is unfinished, and files of it are gone; {remedy}")
    return kept


def _resumed(state: RunState, keeper: Keeper, tools: Tools) -> RunState:
    done = sum(shard.outcome is not None for shard in state.shards)
    tools.reporter.say(f"resuming run {state.run_id}: {done} of {len(state.shards)} shards are done")
    if state.has_failed:
        state.has_failed = False
        keeper.resume(state)
    return state


def _found(request: Request, keeper: Keeper) -> RunState | None:
    """Return the state of the run to resume, if any; with `--fresh`, a state that cannot be read counts as none."""
    try:
        return keeper.load()
    except UnusableRunError:
        if request.is_fresh:
            return None
        raise


def _abandon(keeper: Keeper, state: RunState, tools: Tools) -> None:
    """Discard a run, and cancel its job if that is active."""
    tools.reporter.say(f"run {state.run_id} is discarded")
    calls = Calls(tools)
    for job in calls.active(state.kind):
        if (job.name or "").startswith(state.prefix):
            calls.cancel(job.id)
    keeper.end(state, total(shard.outcome for shard in state.shards if shard.outcome is not None), is_done=False)


def _prepared(request: Request, ids: Ids, folder: RunFolder, tools: Tools) -> RunState:
    started_us = tools.api.date_us or wall_us()
    progress = f"{ids.unit} read"
    prepared = prepare(ids, folder.path, on_progress=lambda count: tools.reporter.show(f"{count:,} {progress}"))
    state = folder.new_state(uuid.uuid4().hex[:12], request.kind, ids, started_us, prepared)
    state.covers_all = request.covers_all
    return state


def _delivered(output: Path | None, folder: RunFolder, state: RunState) -> Report:
    """Put the results in place: all of them, or none."""
    outcome = total(shard.outcome for shard in state.shards if shard.outcome is not None)
    dead_letters = None
    if output is not None:
        beside = output.with_name(f"{output.name}.dead-letters")
        beside.unlink(missing_ok=True)
        if outcome.dead:
            _put(beside, _dead_lines(folder, state))
            dead_letters = beside
        _put(output, _finding_lines(folder, state))
    return Report(state.run_id, state.kind, state.ids, state.duplicates, state.invalid, outcome, output, dead_letters)


def _finding_lines(folder: RunFolder, state: RunState) -> Iterator[bytes]:
    """Yield each finding as JSON, with the job that found it and when."""
    for shard in state.shards:
        more = b"," + msgspec.json.encode(_origin(state, shard))[1:] + b"\n"
        with folder.findings(shard).open("rb") as file:
            for line in file:
                yield line[: -len(b"}\n")] + more


def _dead_lines(folder: RunFolder, state: RunState) -> Iterator[bytes]:
    """Yield each dead result as JSON, its line as text."""
    for shard in state.shards:
        for answer in folder.answers(shard):
            if not isinstance(answer, DeadResult):
                break
            text = answer.line.decode(errors="backslashreplace")
            fields = {"reason": answer.reason.value, "detail": answer.detail, "line": text, "length": answer.length}
            yield msgspec.json.encode(fields | _origin(state, shard)) + b"\n"


def _origin(state: RunState, shard: ShardState) -> dict[str, str]:
    outcome = shard.outcome
    if outcome is None:
        raise UnaccountedError(f"shard {shard.number} has no results")
    return {"checked_at": format_us(outcome.checked_us), "run_id": state.run_id, "job_id": outcome.job_id}


def _put(target: Path, lines: Iterable[bytes]) -> None:
    with _new(target) as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    _beside(target).replace(target)


def _new(target: Path) -> BinaryIO:
    """Yield a new file that replaces `target` once it is complete."""
    return replace_private(_beside(target))


def _beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.new")
