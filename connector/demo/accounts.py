"""What gaps and batch runs record about events that did not arrive, and whether the results of a run are true.

Pure. Believes a gap only as far as the runs it names have published each result once, and nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import StreamPartition

_NS_PER_MS = 1_000_000


class Fate(Enum):
    """The fate of an event that did not arrive."""

    MADE_UP_FOR = auto()
    """A run answers for its type: what X asks because of it is among the results, or is not asked any more."""
    REMAINS = auto()
    """No run can bring it back, and the gap names its type."""
    LOST = auto()
    """Anything else: nothing that was published accounts for it."""


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """A gap, by its newest record: `runs` make up for all of its event types except `remaining`."""

    partition: StreamPartition
    start_ms: int
    end_ms: int
    runs: frozenset[str] = frozenset()
    remaining: frozenset[str] = frozenset()

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "RecordedGap":
        """Return the gap of a record as `Gap.avsc` has it."""
        return cls(
            StreamPartition(value["stream"], value["stream_partition"]),
            value["gap_start"],
            value["gap_end"],
            frozenset(value["reconciled_by"] or ()),
            frozenset(value["remaining"] or ()),
        )

    def holds(self, partition: StreamPartition, at_ns: int) -> bool:
        """Return whether an event of this date may be missing from the stream partition."""
        return partition == self.partition and self.start_ms * _NS_PER_MS <= at_ns < self.end_ms * _NS_PER_MS


class Result(NamedTuple):
    """One record of a run: X's request to everyone who stores this id."""

    run_id: str
    id: str
    action: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.action} ({self.reason or 'no reason'}) of {self.id}"


@dataclass(frozen=True, slots=True)
class Run:
    """A run about everything that X knows, and the results that it should have."""

    run_id: str
    job_type: str
    truth: tuple[Result, ...]

    @property
    def answers(self) -> frozenset[str]:
        """The event types that it answers for."""
        return BY_JOB_TYPE[self.job_type].answers


@dataclass(frozen=True, slots=True)
class Accounts:
    """The newest records of all gaps, the runs that were made, and the results that were read."""

    gaps: Sequence[RecordedGap] = ()
    runs: Sequence[Run] = ()
    results: Sequence[Result] = ()

    def wrong_results(self) -> tuple[str, ...]:
        """Return missing and surplus results, a line each."""
        missing, surplus = self._differences()
        return tuple(
            f"{result} is {what} in run {result.run_id}{'' if times == 1 else f', {times} times'}"
            for what, results in (("missing", missing), ("too many", surplus))
            for result, times in results.items()
        )

    def fates(self, events: Iterable[tuple[StreamPartition, str, int]]) -> list[Fate]:
        """Return the fates of events that did not arrive, each with its stream partition, type and date in ns."""
        missing, surplus = self._differences()
        wrong = {result.run_id for result in (*missing, *surplus)}
        answers = {run.run_id: run.answers for run in self.runs if run.run_id not in wrong}
        return [self._fate(answers, *event) for event in events]

    def _fate(
        self, answers: Mapping[str, frozenset[str]], partition: StreamPartition, type_name: str, at_ns: int
    ) -> Fate:
        """Return the fate of an event; if several gaps hold it, all of them must account for it."""
        fates = {_fate_in(gap, answers, type_name) for gap in self.gaps if gap.holds(partition, at_ns)}
        if not fates or Fate.LOST in fates:
            return Fate.LOST
        return Fate.REMAINS if Fate.REMAINS in fates else Fate.MADE_UP_FOR

    def _differences(self) -> tuple[Counter[Result], Counter[Result]]:
        """Return the missing results, and the surplus ones."""
        expected = Counter(result for run in self.runs for result in run.truth)
        found = Counter(self.results)
        return expected - found, found - expected


def _fate_in(gap: RecordedGap, answers: Mapping[str, frozenset[str]], type_name: str) -> Fate:
    if type_name in gap.remaining:
        return Fate.REMAINS
    is_answered = any(type_name in answers.get(run_id, ()) for run_id in gap.runs)
    return Fate.MADE_UP_FOR if is_answered else Fate.LOST
