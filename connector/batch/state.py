"""The state of a run, kept in its folder so that a run killed at any point can resume.

Holds no URL: reading the folder is not enough to fetch results from X.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import file_digest
from os.path import samestat
from pathlib import Path
from typing import Protocol

import msgspec

from connector.batch.ids import Ids, IdSource, Prepared, Shard
from connector.batch.results import DeadResult, Finding
from connector.errors import ConnectorError
from connector.files import open_private
from connector.x.batch_api import JobType

_FILE = "run.json"
_LOCK = "lock"
_PREFIX = "xcc"
"""Prefix of the name of every job that the connector creates, so that an orphan shows its origin."""


class UnusableRunError(ConnectorError):
    """An unfinished run about which the operator must decide."""

    exit_code = os.EX_CONFIG


class FolderInUseError(ConnectorError):
    """Another process is using the folder of the run."""

    exit_code = os.EX_TEMPFAIL


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a shard with complete results: its tally, and when X created the job, in X's time.

    `by_action` counts ids by action and reason; `digest` is of the result lines.
    """

    job_id: str
    checked_us: int
    digest: str
    lines: int
    clean: int
    rejected: int
    unclear: int
    dead: int
    repeated: int
    by_action: list[tuple[str, str | None, int]]


class ShardState(msgspec.Struct):
    """A shard and its `attempt`-th job, which is created, or about to be, under a unique name.

    `created_us` is when that job was created, in X's time. `published` of its answers are on the bus, those of the
    results with this `digest`.
    """

    number: int
    ids: int
    size_bytes: int
    sha256: str
    attempt: int = 1
    job_id: str | None = None
    created_us: int | None = None
    is_uploaded: bool = False
    outcome: Outcome | None = None
    digest: str | None = None
    published: int = 0


class RunState(msgspec.Struct):
    """A run: its ids, and the outcome of each shard. `source` is the identity of the ids as given.

    `sequence` is that of the last finding on the bus; `unwritten` counts findings that fit no record, by action and
    reason. `covers_all` is whether the ids are all held ones; `gaps_end` is the end of the gap topic before the ids
    were read, by partition.
    """

    run_id: str
    kind: JobType
    source: str
    started_us: int
    duplicates: int
    invalid: int
    shards: list[ShardState]
    sequence: int = 0
    unwritten: list[tuple[str, str | None, int]] = []
    is_over: bool = False
    id_source: IdSource = IdSource.FILE
    covers_all: bool = False
    gaps_end: dict[int, int] = {}
    has_failed: bool = False

    def name_of(self, shard: ShardState) -> str:
        """Return the name of a shard's job, by which one with an unconfirmed creation is found."""
        return f"{self.prefix}{shard.number}-{shard.attempt}"

    @property
    def prefix(self) -> str:
        """The beginning of the names of all jobs of this run."""
        return f"{_PREFIX}-{self.run_id}-"

    @property
    def ids(self) -> int:
        """The number of ids to check."""
        return sum(shard.ids for shard in self.shards)

    def is_of(self, other: "RunState") -> bool:
        """Return whether this run asks about the same shards, so that it can go on with the files of `other`."""
        ours, theirs = ([(shard.number, shard.sha256) for shard in state.shards] for state in (self, other))
        return (self.kind, self.source) == (other.kind, other.source) and ours == theirs

    def replace(self, shard: ShardState, halves: tuple[Shard, Shard]) -> None:
        """Replace a shard by its halves."""
        at = self.shards.index(shard)
        self.shards[at : at + 1] = map(_state_of, halves)


class Keeper(Protocol):
    """Keeps the progress of a run, and receives its findings. Each method raises the errors of its storage."""

    def load(self) -> RunState | None:
        """Return the state of the run to resume, or None if there is none."""

    def begin(self, state: RunState) -> None:
        """Save the state of a new run."""

    def resume(self, state: RunState) -> None:
        """Record that a failed run resumes."""

    def save(self, state: RunState) -> None:
        """Save the state; after any failure either the old or the new one is there."""

    def deliver(self, state: RunState, shard: ShardState, outcome: Outcome) -> None:
        """Process the answers about a shard, which are in the folder."""

    def fail(self, state: RunState) -> None:
        """Record that a run has failed: X refused its jobs, or its results cannot be trusted; it can be resumed."""

    def end(self, state: RunState, outcome: Outcome, *, is_done: bool) -> Sequence[str]:
        """Record that the run is over, done or abandoned, and return what to report."""


class RunFolder:
    """The folder of a run, with mode 0700: its state, its shards, and their results."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []

    def make(self) -> None:
        """Create the folder if it is missing, and those above it. Raises `OSError`."""
        self._made = [each for each in (self.path, *self.path.parents) if not each.exists()]
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> RunState | None:
        """Return the state of the run, or None if none is prepared. Raises `UnusableRunError` and `OSError`."""
        try:
            return msgspec.json.decode((self.path / _FILE).read_bytes(), type=RunState)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UnusableRunError(
                f"{self.path / _FILE}: cannot be read: {error}; remove the folder to start again"
            ) from None

    def begin(self, state: RunState) -> None:
        """Save the state of a new run. Raises `OSError`."""
        self.save(state)

    def resume(self, state: RunState) -> None:
        """Save the state. Raises `OSError`."""
        self.save(state)

    def deliver(self, state: RunState, shard: ShardState, outcome: Outcome) -> None:
        """Do nothing: the answers are in the folder."""

    def fail(self, state: RunState) -> None:
        """Save the state. Raises `OSError`."""
        self.save(state)

    def end(self, state: RunState, outcome: Outcome, *, is_done: bool) -> Sequence[str]:  # noqa: ARG002 - of `Keeper`
        """Do nothing: the folder is cleared once the results are in place."""
        return ()

    def save(self, state: RunState) -> None:
        """Save the state; after any failure either the old or the new one is there. Raises `OSError`."""
        new = self.path / f"{_FILE}.new"
        with open_private(new) as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path / _FILE)

    def new_state(self, run_id: str, kind: JobType, ids: Ids, started_us: int, prepared: Prepared) -> RunState:
        """Return the state of a run whose shards are in the folder."""
        shards = list(map(_state_of, prepared.shards))
        return RunState(
            run_id,
            kind,
            ids.identity(),
            started_us,
            prepared.duplicates,
            prepared.invalid,
            shards,
            id_source=ids.source,
        )

    def holds(self, state: RunState, *, with_results: bool) -> bool:
        """Return whether the files of a run are present, and its own. Raises `OSError`.

        With a state kept elsewhere they may be missing, or those of another run.
        """
        results = (self.findings(shard) for shard in state.shards if shard.outcome is not None and with_results)
        shards = (shard for shard in state.shards if shard.outcome is None)
        return all(path.exists() for path in results) and all(map(self._holds_ids, shards))

    def _holds_ids(self, shard: ShardState) -> bool:
        try:
            with self.shard(shard).path.open("rb") as file:
                return file_digest(file, "sha256").hexdigest() == shard.sha256
        except FileNotFoundError:
            return False

    def shard(self, state: ShardState) -> Shard:
        """Return the file of a shard."""
        path = self.path / f"shard-{state.number:05}.ids"
        return Shard(state.number, path, state.ids, state.size_bytes, state.sha256)

    def results(self, shard: ShardState) -> Path:
        """Return the path of a shard's download."""
        return self.path / f"results-{shard.number:05}"

    def findings(self, shard: ShardState) -> Path:
        """Return the path of a shard's findings, as JSON lines."""
        return self.path / f"findings-{shard.number:05}.jsonl"

    def dead(self, shard: ShardState) -> Path:
        """Return the path of a shard's dead results, as JSON lines."""
        return self.path / f"dead-{shard.number:05}.jsonl"

    def answers(self, shard: ShardState) -> Iterator[Finding | DeadResult]:
        """Yield X's answers about a shard, dead results first; always in the same order."""
        for path, kind in ((self.dead(shard), DeadResult), (self.findings(shard), Finding)):
            decode = msgspec.json.Decoder(kind).decode
            with path.open("rb") as file:
                yield from map(decode, file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; remove it if nothing is in it then.

        Raises `FolderInUseError`, and `OSError`.
        """
        path = self.path / _LOCK
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_there = samestat(path.stat(), os.fstat(lock.fileno()))
            except (BlockingIOError, FileNotFoundError):
                is_there = False
            if not is_there:  # or removed by a run that has just ended: the next run locks a new file
                raise FolderInUseError(f"{self.path}: another run is using it")
            try:
                yield
            finally:
                with suppress(OSError):
                    if samestat(path.stat(), os.fstat(lock.fileno())) and [*self.path.iterdir()] == [path]:
                        self.remove()

    def clear(self) -> None:
        """Remove everything of a run except the lock: without it, another process would think the folder free."""
        for pattern in (_FILE, f"{_FILE}.new", "shard-*.ids", "results-*", "findings-*", "dead-*"):
            for path in self.path.glob(pattern):
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the locked folder, as the last operation on it, and those above it that were made for it.

        Files that are not of a run stay.
        """
        self.clear()
        (self.path / _LOCK).unlink()
        with suppress(OSError):
            for each in dict.fromkeys((self.path, *self._made)):
                each.rmdir()


def _state_of(shard: Shard) -> ShardState:
    return ShardState(shard.number, shard.ids, shard.size_bytes, shard.sha256)
