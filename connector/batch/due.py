"""Whether a run is due: for a command on a schedule, which does nothing most of the time.

Pure except `read_runs`. Runs are records of `BatchRun.avsc`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from connector.batch.gaps import RecordedGap, described
from connector.batch.ids import IdSource
from connector.batch.records import RunStatus
from connector.events.times import format_us
from connector.kafka.reading import AvroReader, ForeignRecordError, TopicReader, foreign_records_refused
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.settings import KafkaSettings
from connector.x.batch_api import JobType

_CLOCKS_APART_MS = 5 * 60 * 1000
"""Gaps are dated by X's time, the start of a run by the clock of its machine."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command would run: a run of another type or source does not replace it.

    Nor does one about a part of the held ids, if `covers_all`: files differ. `may_reconcile` is whether the run can
    close gaps; `every_us` is how often it is wanted.
    """

    kind: JobType
    source: IdSource
    covers_all: bool
    may_reconcile: bool
    every_us: int


@dataclass(frozen=True, slots=True)
class Due:
    """Whether a run is due, and why or why not, as text."""

    is_due: bool
    why: str


def decide(wanted: Wanted, runs: Iterable[Mapping[str, Any]], open_gaps: Sequence[RecordedGap], now_us: int) -> Due:
    """Return whether a run is due, if no run is unfinished.

    It is if the answers of all equivalent runs are too old, or if a gap is open that it can reconcile and that the last
    run did not find: a gap left open by one run would most likely be left open by the next.
    """
    last = max((run for run in runs if _stands_in(run, wanted, now_us)), key=_as_of_ms, default=None)
    new = (gap for gap in open_gaps if last is None or gap.gap["recorded_at"] > last["started_at"] - _CLOCKS_APART_MS)
    if wanted.may_reconcile and (gap := next(new, None)) is not None:
        return Due(is_due=True, why=f"the gap of {described(gap)} can be reconciled")
    if last is None:
        return Due(is_due=True, why="no such run has finished yet")
    as_of_us = _as_of_ms(last) * 1000
    due_us = as_of_us + wanted.every_us
    answers = f"run {last['run_id']} is done, with answers as of {format_us(as_of_us)}"
    if now_us >= due_us:
        return Due(is_due=True, why=answers)
    return Due(is_due=False, why=f"{answers}; the next one is due at {format_us(due_us)}")


def _as_of_ms(run: Mapping[str, Any]) -> int:
    """Return the time of a run's answers: it may finish much later."""
    as_of: int = run["checked_from"] or run["started_at"]
    return as_of


def _stands_in(run: Mapping[str, Any], wanted: Wanted, now_us: int) -> bool:
    """Return whether a run makes another one unnecessary for a while; one dated in the future is not believed."""
    return (
        run["state"] == RunStatus.DONE
        and _as_of_ms(run) * 1000 <= now_us + _CLOCKS_APART_MS * 1000
        and (run["type"], run["source"]) == (wanted.kind, wanted.source)
        and run["covers_all"] >= wanted.covers_all
    )


def read_runs(settings: KafkaSettings, registry: RegistryClient) -> list[dict[str, Any]]:
    """Return the newest record of each run, by start. Foreign records are ignored.

    Raises the errors of Kafka and the registry.
    """
    decode = AvroReader(registry).decode
    runs: dict[bytes, dict[str, Any]] = {}
    with TopicReader(settings, [TopicNames(settings.topic_prefix).batch_run]) as reader:
        for record in reader.to_end():
            try:
                with foreign_records_refused(record):
                    runs[record.key] = decode(record)
            except ForeignRecordError:
                continue
    return sorted(runs.values(), key=itemgetter("started_at"))
