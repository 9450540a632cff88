"""Owns what the tests of results share: X's answer as bytes, and everything that comes of it."""

import io
import json
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

from connector.batch.accounting import Tally, join
from connector.batch.results import DeadResult, Finding, Results, Sort, read_results


@dataclass(frozen=True)
class Shard:
    """A file of ids, and how many it is said to hold."""

    path: Path
    ids: int


@dataclass(frozen=True)
class Joined:
    """What a download comes to: its outcomes in their order, and the tally."""

    outcomes: list[Finding | DeadResult]
    tally: Tally
    lines: int
    digest: str

    @property
    def findings(self) -> list[Finding]:
        """The findings in their order."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, Finding)]

    @property
    def dead(self) -> list[DeadResult]:
        """The dead results in their order."""
        return [outcome for outcome in self.outcomes if isinstance(outcome, DeadResult)]


def sort_in_memory(lines: Iterable[bytes], _folder: Path) -> Generator[bytes, None, None]:
    """Sort lines as `sorting.sorted_lines` does, without files."""
    yield from sorted(lines)


def line(id_: object, action: object = "delete", reason: object = "deleted", **members: object) -> bytes:
    """Return a result line without its end."""
    return json.dumps({"id": id_, "action": action, "reason": reason, **members}).encode()


def ended(*lines: bytes) -> bytes:
    """Return lines as a download."""
    return b"".join(one + b"\n" for one in lines)


def shard_of(folder: Path, ids: Iterable[str]) -> Shard:
    """Return the shard of these ids, sorted and without repeats."""
    path, lines = folder / "shard", sorted({f"{id_}\n" for id_ in ids})
    path.write_text("".join(lines))
    return Shard(path, len(lines))


def join_all(shard: Shard, results: Results) -> tuple[list[Finding | DeadResult], Tally]:
    """Return all outcomes of a join, and its tally."""
    outcomes: list[Finding | DeadResult] = []
    joining = join(shard, results)
    while True:
        try:
            outcomes.append(next(joining))
        except StopIteration as end:
            return outcomes, end.value


def joined(folder: Path, ids: Iterable[str], download: bytes, sort: Sort = sort_in_memory) -> Joined:
    """Return what a download about these ids comes to."""
    with read_results(io.BytesIO(download), folder, sort) as results:
        outcomes, tally = join_all(shard_of(folder, ids), results)
        return Joined(outcomes, tally, results.lines, results.digest)
