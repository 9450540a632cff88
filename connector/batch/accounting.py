"""Joins the ids of a shard with X's answers, and accounts for every id and every line.

A merge join: both sides are sorted, and neither is held in memory. Everything is counted where it happens, and the sums
are checked against the ids sent and the lines read.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter, methodcaller
from pathlib import Path
from typing import Protocol

from connector.batch.results import (
    DeadReason,
    DeadResult,
    Finding,
    Rejection,
    Results,
    dead_result,
    dead_row,
    read_line,
)
from connector.errors import ConnectorError

MOST_KINDS = 200
"""How many pairs of action and reason are counted separately."""
OTHER = ("other", None)
"""Ids with any further pair are counted together, as this one."""
_GRAVITY = {"delete": 3, "rehydrate": 2, "scrub_geo": 1}
_UNKNOWN_ACTION = 0
_NO_ACTION = -1
_END = b"\xff"
"""Sorts after every id."""
_parts = methodcaller("partition", b"\t")
_id_of = itemgetter(0)
_line_of = itemgetter(2)


class UnaccountedError(ConnectorError):
    """Ids or result lines were lost, added or reordered on this machine: none of the results can be trusted."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome of a shard: its `submitted` ids are `clean`, acted on or `rejected`.

    `by_action` counts the ids acted on, by action and reason. Of the clean ids, `unclear` have only dead results, so it
    is not known whether they are clean. `dead` and `repeated` count result lines.
    """

    submitted: int
    clean: int
    rejected: int
    by_action: Mapping[tuple[str, str | None], int]
    dead: int
    repeated: int
    unclear: int

    @property
    def acted_on(self) -> int:
        """The number of ids with a finding."""
        return sum(self.by_action.values())


class Sent(Protocol):
    """A shard: the file at `path` holds `ids` ids, one a line, in byte order, without duplicates."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def ids(self) -> int: ...  # noqa: D102


def join(shard: Sent, results: Results) -> Generator[Finding | DeadResult, None, Tally]:
    """Yield X's answers about the ids of `shard`, then return its tally.

    Findings are in the order of their ids, at most one for each id. The same ids and lines give the same sequence, in
    any order of the lines. Raises `UnaccountedError`.
    """
    with shard.path.open("rb") as file:
        account = _Account(file)
        for id_, rows in groupby(map(_parts, results.rows), _id_of):
            yield from account.enter(id_, map(_line_of, rows))
        return account.tally(shard.ids, results.lines)


class _Account:
    """The counts of a shard so far."""

    def __init__(self, sent: Iterator[bytes]) -> None:
        self._sent = _SentIds(sent)
        self._by_action: Counter[tuple[str, str | None]] = Counter()
        self._rejected = self._unclear = self._dead = self._repeated = 0

    def enter(self, id_: bytes, lines: Iterator[bytes]) -> Iterator[Finding | DeadResult]:
        """Yield the outcome of the lines about one id; lines without an id come under an empty one."""
        if not id_:
            yield from map(self._dead_counted, map(dead_row, lines))
        elif self._sent.holds(id_):
            yield from self._answered(id_.decode(), lines)
        else:
            for line in self._distinct(lines):
                yield self._dead_counted(dead_result(DeadReason.NOT_SENT, f"id {id_.decode()} was not sent", line))

    def tally(self, submitted: int, lines: int) -> Tally:
        """Return the tally. Raises `UnaccountedError` unless it adds up to `submitted` ids and `lines` lines."""
        clean = self._sent.rest() + self._unclear
        tally = Tally(
            submitted, clean, self._rejected, dict(self._by_action), self._dead, self._repeated, self._unclear
        )
        found = clean + tally.acted_on + self._rejected
        if found != submitted:
            raise UnaccountedError(f"{submitted} ids were sent, but {found} are accounted for")
        found = tally.acted_on + self._rejected + self._dead + self._repeated
        if found != lines:
            raise UnaccountedError(f"{lines} result lines were read, but {found} are accounted for")
        return tally

    def _answered(self, id_: str, lines: Iterator[bytes]) -> Iterator[Finding | DeadResult]:
        """Yield the dead results of an id that was sent, then the gravest finding, of equally grave ones the first."""
        best: Finding | Rejection | None = None
        for line in self._distinct(lines):
            answer = read_line(line, id_)
            if isinstance(answer, DeadResult):
                yield self._dead_counted(answer)
            elif best is None:
                best, best_line = answer, line
            elif answer == best:
                self._repeated += 1
            elif _gravity(answer) > _gravity(best):
                yield self._dead_counted(_contradicted(best_line, answer))
                best, best_line = answer, line
            else:
                yield self._dead_counted(_contradicted(line, best))
        match best:
            case Finding():
                self._count(best)
                yield best
            case Rejection():
                self._rejected += 1
            case None:
                self._unclear += 1

    def _distinct(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines of an id without repeats: they are sorted, so equal lines are adjacent."""
        previous = b""
        for line in lines:
            if line == previous:
                self._repeated += 1
            else:
                previous = line
                yield line

    def _count(self, finding: Finding) -> None:
        kind = finding.action, finding.reason
        is_counted = kind in self._by_action or len(self._by_action) < MOST_KINDS
        self._by_action[kind if is_counted else OTHER] += 1

    def _dead_counted(self, dead: DeadResult) -> DeadResult:
        self._dead += 1
        return dead


class _SentIds:
    """The ids that were sent, read once and in order. Raises `UnaccountedError` if they are out of order."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._at = next(lines, _END)
        self._wanted = b""
        self._passed = 0

    def holds(self, id_: bytes) -> bool:
        """Return whether `id_` was sent; each call must ask about an id after that of the previous call."""
        wanted = id_ + b"\n"
        if wanted <= self._wanted:
            raise UnaccountedError("result lines are out of order after sorting")
        self._wanted = wanted
        self._passed += self._pass_to(wanted)
        if self._at != wanted:
            return False
        self._pass_to(wanted + b"\0")
        return True

    def rest(self) -> int:
        """Return how many of the ids that were sent no call asked about."""
        self._passed += self._pass_to(_END)
        return self._passed

    def _pass_to(self, wanted: bytes) -> int:
        """Skip all ids before `wanted`, and return how many."""
        at, lines, passed = self._at, self._lines, 0
        while at < wanted:  # once for each id that was sent
            before, at = at, next(lines, _END)
            if at <= before:
                raise UnaccountedError("the ids of a shard are out of order")
            passed += 1
        self._at = at
        return passed


def _gravity(answer: Finding | Rejection) -> int:
    return _GRAVITY.get(answer.action, _UNKNOWN_ACTION) if isinstance(answer, Finding) else _NO_ACTION


def _contradicted(line: bytes, by: Finding | Rejection) -> DeadResult:
    said = f"{by.action}, {by.reason}" if isinstance(by, Finding) else "rejected"
    return dead_result(DeadReason.CONTRADICTED, f"another line about this id counts: {said}", line)
