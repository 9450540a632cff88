"""Polls the topics behind metrics and the page: batch runs, gaps, coverage and dead letters.

A batch run is a separate process that ends before anyone scrapes it, and other replicas write about what they own. A
failure here is logged and leaves the values absent, and must do nothing else: streams, health and start do not depend
on it.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from connector.errors import ConnectorError
from connector.events.times import US_PER_S
from connector.kafka.newest import LatestRecords, NewestRecords
from connector.kafka.reading import ReadRecord
from connector.kafka.topics import TopicNames
from connector.settings import Settings
from connector.telemetry import dead_letters
from connector.telemetry.batch_runs import BatchRun, last_runs, read_run
from connector.telemetry.coverage_records import Covered
from connector.telemetry.coverage_topic import CoverageTopic
from connector.telemetry.dead_letters import DeadLetter, read_dead_letter
from connector.telemetry.open_gaps import RecordedGap, oldest_gaps, read_gap
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import Look, ServiceStatus
from connector.x.clock import wall_us

LOOK_S = 60.0
COVERAGE_LOOK_S = 10.0
"""As often as coverage is written."""
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Records(Protocol[T_co]):
    """The records of a topic."""

    def read(self, should_stop: Callable[[], bool]) -> Collection[T_co]:
        """Return the present records, or fewer when asked to stop."""


class RecordWatch(Generic[T]):
    """Shows the records of `topic`: `show` receives them after each look, or None after a look that failed.

    A look follows every `look_s` seconds.
    `open_records` starts a reader of the topic, and another one after a failure.
    """

    def __init__(
        self,
        topic: str,
        open_records: Callable[[], AbstractContextManager[Records[T]]],
        show: Callable[[Collection[T] | None], None],
        telemetry: ServiceTelemetry,
        look_s: float,
    ) -> None:
        self.topic = topic
        self._open_records = open_records
        self._show = show
        self._telemetry = telemetry
        self._look_s = look_s
        self._is_failing = False

    def run(self, stop: threading.Event) -> None:
        """Look periodically until `stop` is set; retry after any failure."""
        while not stop.is_set():
            try:
                self._follow(stop)
            except Exception as error:  # noqa: BLE001 - metrics are no reason to end a thread, let alone the process
                self._fail(error)
                stop.wait(self._look_s)

    def _follow(self, stop: threading.Event) -> None:
        """Show the topic until `stop` is set. Raises what a look raises."""
        with self._open_records() as records:
            while not stop.is_set():
                found = records.read(stop.is_set)
                if stop.is_set():
                    return
                self._show(found)
                self._succeed()
                stop.wait(self._look_s)

    def _fail(self, error: Exception) -> None:
        self._show(None)
        if not self._is_failing:
            detail = str(error) if isinstance(error, ConnectorError) else f"{type(error).__name__}: {error}"
            self._telemetry.topic_unreadable(self.topic, detail)
        self._is_failing = True

    def _succeed(self) -> None:
        if self._is_failing:
            self._telemetry.topic_readable(self.topic)
        self._is_failing = False


def record_watches(
    settings: Settings, status: ServiceStatus, telemetry: ServiceTelemetry
) -> tuple[RecordWatch[BatchRun], RecordWatch[RecordedGap], RecordWatch[Covered], RecordWatch[DeadLetter]]:
    """Return the watches that update `status` from topics."""
    names = TopicNames(settings.kafka.topic_prefix)

    def show_runs(runs: Collection[BatchRun] | None) -> None:
        status.last_runs = None if runs is None else last_runs(runs)

    def show_gaps(gaps: Collection[RecordedGap] | None) -> None:
        status.oldest_gaps = None if gaps is None else oldest_gaps(gaps)
        status.gaps = _look(gaps)

    def show_coverage(coverage: Collection[Covered] | None) -> None:
        status.coverage = _look(coverage)

    def show_dead_letters(letters: Collection[DeadLetter] | None) -> None:
        status.dead_letters = _look(letters)

    def open_runs() -> NewestRecords[BatchRun]:
        return open_records(names.batch_run, lambda fields, _: read_run(fields))

    def open_records(topic: str, read_value: Callable[[Mapping[str, Any], ReadRecord], T | None]) -> NewestRecords[T]:
        return NewestRecords(settings, topic, read_value, partial(telemetry.foreign_record, topic))

    def open_coverage() -> CoverageTopic:
        return CoverageTopic(settings, status.partitions, partial(telemetry.foreign_record, names.coverage))

    def open_dead_letters() -> LatestRecords[DeadLetter]:
        on_foreign = partial(telemetry.foreign_record, names.dead_letter)
        start_us, most = wall_us() - dead_letters.DAYS * 86_400 * US_PER_S, dead_letters.MOST_RECORDS
        return LatestRecords(settings.kafka, names.dead_letter, read_dead_letter, on_foreign, start=start_us, most=most)

    return (
        RecordWatch(names.batch_run, open_runs, show_runs, telemetry, LOOK_S),
        RecordWatch(names.gap, partial(open_records, names.gap, read_gap), show_gaps, telemetry, LOOK_S),
        RecordWatch(names.coverage, open_coverage, show_coverage, telemetry, COVERAGE_LOOK_S),
        RecordWatch(names.dead_letter, open_dead_letters, show_dead_letters, telemetry, LOOK_S),
    )


def _look(found: Collection[T] | None) -> Look[T] | None:
    return None if found is None else Look(wall_us(), tuple(found))
