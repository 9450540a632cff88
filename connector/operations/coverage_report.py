"""A coverage report: a verdict for each stream partition, an overall one, and the evidence. Pure.

Must not know where it was read, nor how it is printed. Instants are microseconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from connector.coverage.gap import CLOSED
from connector.events.catalog import EVENT_TYPES, StreamPartition

_UNPROCESSED = "not processed yet"


class Verdict(StrEnum):
    """Whether everything X emitted in the range is on the topics, from best to worst."""

    COMPLETE = "complete"
    GAPS = "complete but for gaps"
    BEGINS_LATER = "begins later"
    NOT_YET = "not yet"

    @property
    def words(self) -> str:
        """The verdict in words."""
        return "not covered yet" if self is Verdict.NOT_YET else self.value


@dataclass(frozen=True, slots=True)
class ReportedGap:
    """A gap, by its newest record; `start_us` is included, `end_us` excluded."""

    gap_id: str
    partition: StreamPartition
    start_us: int
    end_us: int
    state: str
    cause: str
    detail: str
    recorded_us: int
    reconciled_by: tuple[str, ...]
    remaining: tuple[str, ...] | None
    withdrawn_us: int | None = None
    withdrawn_because: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether events of it may still be missing, as for a state that this release does not know."""
        return self.state not in CLOSED

    @property
    def possibly_missing(self) -> tuple[str, ...]:
        """The event types of which events may still be missing."""
        if not self.is_open:
            return ()
        of_stream = tuple(each.name for each in EVENT_TYPES if each.stream == self.partition.stream)
        return of_stream if self.remaining is None else self.remaining

    def touches(self, start_us: int, end_us: int) -> bool:
        """Return whether it has any of the range from `start_us`, included, to `end_us`, excluded."""
        return self.start_us < end_us and start_us < self.end_us


@dataclass(frozen=True, slots=True)
class ReportedDeadLetter:
    """A line from X that could not be published, at `offset` of the dead-letter topic.

    With `is_replayed` it was published as an event since.
    """

    event_id: str
    reason: str
    detail: str
    received_us: int
    offset: int
    is_replayed: bool


@dataclass(frozen=True, slots=True)
class Ownership:
    """The replica `owner` wrote the entries that Kafka dates from `start_us` to `end_us`, both included.

    `owner` is `unknown` if the entries do not name it.
    """

    owner: str
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Processed:
    """How far a consumer group has processed a stream partition: all events before `until_us`, None for none.

    For the event types in `unread` it has committed nothing, so none of their events counts as processed. For those in
    `overtaken` retention has removed events of the range that it may not have processed.
    """

    group: str
    until_us: int | None
    unread: tuple[str, ...] = ()
    overtaken: tuple[str, ...] = ()

    def reaches(self, end_us: int) -> bool:
        """Return whether the group has processed everything before `end_us`."""
        return self.until_us is not None and self.until_us >= end_us


@dataclass(frozen=True, slots=True)
class PartitionCoverage:
    """One stream partition in the range.

    `covered_from_us` is where coverage begins, None if there never was any. `known_from_us` is since when everything
    that a verdict needs is still kept: the latest of `covered_from_us` and where ledger and dead letters begin.
    `complete_until_us` is the newest coverage in the ledger, which may lie beyond the range. `has_owner` is whether an
    entry was written in the minute before the report was made; None if the newest one cannot be read. `events` are
    counts by event type; the other counts are of lines. `processed` has each requested group, and with `is_unprocessed`
    the verdict is `not yet` only because of a group.
    """

    partition: StreamPartition
    verdict: Verdict
    covered_from_us: int | None
    known_from_us: int | None
    complete_until_us: int | None
    has_owner: bool | None
    gaps: tuple[ReportedGap, ...]
    dead_letters: tuple[ReportedDeadLetter, ...]
    events: Mapping[str, int]
    received: int
    duplicates: int
    control: int
    owners: tuple[Ownership, ...]
    notes: tuple[str, ...]
    processed: tuple[Processed, ...] = ()
    is_unprocessed: bool = False

    @property
    def words(self) -> str:
        """Its verdict in words."""
        return _UNPROCESSED if self.is_unprocessed else self.verdict.words

    def processed_until_us(self) -> int | None:
        """Return until when all requested groups have processed it, None if one has processed nothing."""
        return min((each.until_us or 0 for each in self.processed), default=0) or None


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """The range from `start_us`, included, to `end_us`, excluded; `verdict` is the worst of its partitions.

    `foreign` has the problem of each record that the connector did not write. `digest` is the hex BLAKE2b over topic
    prefix, range and everything read for the report, except the commits of `groups`: the same topics give the same
    digest again.
    """

    start_us: int
    end_us: int
    made_at_us: int
    version: str
    topic_prefix: str
    verdict: Verdict
    partitions: tuple[PartitionCoverage, ...]
    foreign: tuple[str, ...]
    digest: str
    groups: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The overall verdict in words."""
        short = [each for each in self.partitions if each.verdict is Verdict.NOT_YET]
        return _UNPROCESSED if short and all(each.is_unprocessed for each in short) else self.verdict.words
