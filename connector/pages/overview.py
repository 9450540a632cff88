"""The content of the service page, from the status of the process at one moment. Pure: a status in, values out.

Everything is bounded, whatever is on the topics: omitted rows are counted. Must not know HTML.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.newest import MOST_KEYS
from connector.pages.picture import Picture, Row, make_bands
from connector.pages.words import counted, duration
from connector.telemetry import dead_letters
from connector.telemetry.coverage_records import Covered
from connector.telemetry.dead_letters import DeadLetter, by_reason, open_letters
from connector.telemetry.group_states import IN_WORDS, WatchedGroup
from connector.telemetry.open_gaps import RecordedGap
from connector.telemetry.status import STOPPED, Look, PartitionStatus, ServiceStatus, describe

MOST_GAPS = 20
"""Gaps shown for each state, the newest first."""
MOST_STATES = 8
MOST_DEAD_LETTERS = 20
MOST_REASONS = 12
_DAY_US = 86_400 * US_PER_S
_RECENT_US = 10 * 60 * US_PER_S
"""An older error is not shown while all is well."""


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """A stream partition, whichever replica owns it; `trouble` is what needs attention, None if all is well.

    What only its owner knows is None if that is another replica; so is `next_attempt_us`, the instant of the next
    attempt to connect, if none is planned. Instants and lengths are microseconds.
    """

    partition: StreamPartition
    owner: str
    state: str | None
    mode: str
    complete_until_us: int | None
    behind_us: int | None
    written_ago_us: int | None
    trouble: str | None
    last_error: str | None
    last_error_ago_us: int | None
    last_end: str | None
    last_end_ago_us: int | None
    waits_for: str | None
    next_attempt_us: int | None

    @property
    def has_notes(self) -> bool:
        """Whether there are notes in addition to the figures."""
        return bool(self.trouble or self.waits_for or self.next_attempt_us or self.last_error or self.last_end)


@dataclass(frozen=True, slots=True)
class GapGroup:
    """Gaps of one state, the newest first; `more` are not listed."""

    state: str
    count: int
    newest: tuple[RecordedGap, ...]

    @property
    def more(self) -> int:
        """How many there are in addition to those listed."""
        return self.count - len(self.newest)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of the last days that were not replayed, by reason, and the newest of them.

    `is_least` if there may be more than those counted.
    """

    count: int
    is_least: bool
    reasons: tuple[tuple[str, int], ...]
    newest: tuple[DeadLetter, ...]

    @property
    def more(self) -> int:
        """How many there are in addition to those listed."""
        return self.count - len(self.newest)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A watched consumer group; `left_us` is what is left of X's time, None if nothing is unprocessed."""

    found: WatchedGroup
    words: str
    is_well: bool
    age_us: int
    left_us: int | None


@dataclass(frozen=True, slots=True)
class Groups:
    """The consumer groups in the settings; `unknown` are those that could not be read.

    `is_elsewhere` if another replica watches them. `age_us` is None if nothing is known at present.
    """

    watched: tuple[str, ...]
    is_elsewhere: bool
    age_us: int | None
    rows: tuple[GroupRow, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The content of the page; each age is that of the data of a part, None if unknown at present.

    `are_gaps_least` if there may be more gaps than those counted. `is_well` is about the streams; `has_work` says that
    there is something to do all the same: a gap that a batch run can make up for, or a consumer group to check.
    """

    now_us: int
    verdict: str
    is_well: bool
    has_work: bool
    partitions: tuple[PartitionRow, ...]
    coverage_age_us: int | None
    pictures: tuple[Picture, ...]
    gaps: tuple[GapGroup, ...]
    are_gaps_least: bool
    gaps_age_us: int | None
    dead_letters: DeadLetters
    dead_letters_age_us: int | None
    groups: Groups
    waiting: tuple[str, ...]
    connects_left: tuple[tuple[str, str], ...]


def make_overview(status: ServiceStatus, now_us: int) -> Overview:
    """Return the overview at `now_us`, microseconds since 1970."""
    coverage, gaps, letters = status.coverage, status.gaps, status.dead_letters
    covered = {each.partition: each for each in coverage.found} if coverage else {}
    rows = tuple(
        _row(partition, its_status, covered.get(partition), now_us, is_known=coverage is not None)
        for partition, its_status in status.partitions.items()
    )
    troubled = [row for row in rows if row.trouble]
    groups = _groups(status, now_us)
    return Overview(
        now_us=now_us,
        verdict=_verdict(status, rows, gaps.found if gaps else (), groups.rows),
        is_well=not troubled and coverage is not None,
        has_work=any(gap.is_reconcilable for gap in (gaps.found if gaps else ()))
        or not all(group.is_well for group in groups.rows),
        partitions=rows,
        coverage_age_us=_age_us(coverage, now_us),
        pictures=tuple(_pictures(tuple(status.partitions), covered, gaps, now_us)) if coverage and gaps else (),
        gaps=_grouped(gaps.found) if gaps else (),
        are_gaps_least=gaps is not None and len(gaps.found) >= MOST_KEYS,
        gaps_age_us=_age_us(gaps, now_us),
        dead_letters=_dead_letters(letters, now_us),
        dead_letters_age_us=_age_us(letters, now_us),
        groups=groups,
        waiting=tuple(_waiting(status)),
        connects_left=tuple((stream, f"{left}") for stream, left in _left(status).items()),
    )


def _row(
    partition: StreamPartition, status: PartitionStatus, covered: Covered | None, now_us: int, *, is_known: bool
) -> PartitionRow:
    is_ours = status.is_owned
    trouble = _trouble(status, covered, now_us, is_known=is_known)
    is_recent = now_us - (status.last_error_at_us or 0) < _RECENT_US
    behind_us, written_ago_us = None, None
    if covered is not None:
        behind_us, written_ago_us = covered.behind_us(now_us), max(0, now_us - covered.written_at_us)
    return PartitionRow(
        partition=partition,
        owner=_owner(status, covered, now_us),
        state=status.state.value if is_ours else None,
        mode="not known" if covered is None else covered.mode,
        complete_until_us=None if covered is None else covered.covered_until_us,
        behind_us=behind_us,
        written_ago_us=written_ago_us,
        trouble=trouble,
        last_error=status.last_error if is_recent or trouble else None,
        last_error_ago_us=_ago_us(status.last_error_at_us, now_us),
        last_end=status.last_end if trouble or status.plan is None else None,
        last_end_ago_us=_ago_us(status.last_end_at_us, now_us),
        waits_for=status.waits_for,
        next_attempt_us=_next_attempt_us(status, now_us),
    )


def _ago_us(at_us: int | None, now_us: int) -> int | None:
    return None if at_us is None else max(0, now_us - at_us)


def _next_attempt_us(status: PartitionStatus, now_us: int) -> int | None:
    """Return the instant of the next attempt to connect, None if it is due or none is planned."""
    at_us = status.next_attempt_us
    return None if at_us is None or at_us <= now_us else at_us


def _owner(status: PartitionStatus, covered: Covered | None, now_us: int) -> str:
    if status.is_owned:
        return "this replica"
    if covered is None:
        return "not known"
    return "no owner" if covered.is_silent(now_us) else "another replica"


def _trouble(status: PartitionStatus, covered: Covered | None, now_us: int, *, is_known: bool) -> str | None:
    """Return the gravest problem of a stream partition, or None."""
    if status.state in STOPPED:
        return f"stopped: {status.state.value}"
    if covered is None:
        return "no coverage was recorded in the last 8 days" if is_known else None
    silent = duration(now_us - covered.written_at_us)
    if covered.is_silent(now_us):
        return f"no update for {silent}" if status.is_owned else f"no owner: no update for {silent}"
    if covered.is_late(now_us):
        return f"{duration(covered.behind_us(now_us))} behind"
    return f"dated {duration(covered.ahead_us(now_us))} ahead of the clock" if covered.is_ahead(now_us) else None


def _verdict(
    status: ServiceStatus, rows: Sequence[PartitionRow], gaps: Sequence[RecordedGap], groups: Sequence[GroupRow]
) -> str:
    also = _also(gaps, groups)
    if troubled := [row for row in rows if row.trouble]:
        found = "; ".join(f"{row.partition}: {row.trouble}" for row in troubled)
        return f"{len(troubled)} of {counted(len(rows), 'stream partition')} need attention. {found}.{also}"
    if status.coverage is None:
        joined = (
            "" if status.has_joined else " This replica is not in the consumer group, and reads nothing from X now."
        )
        return (
            f"Coverage is not known at present: the coverage topic cannot be read, or has not been yet.{joined}{also}"
        )
    return f"All {counted(len(rows), 'stream partition')} are owned, and complete to within 4 minutes.{also}"


def _also(gaps: Sequence[RecordedGap], groups: Sequence[GroupRow]) -> str:
    """Return what needs a person though streams may be well, as sentences; nothing if nothing does."""
    count = sum(gap.is_open for gap in gaps)
    open_gaps = f" {counted(count, 'gap')} in which events may be missing: see below." if count else ""
    waiting = sum(gap.is_reconcilable for gap in gaps)
    of = "it" if count == 1 else f"{waiting:,} of them"
    runs = f" A batch run can make up for part of {of}." if waiting else ""
    late = sum(not group.is_well for group in groups)
    late_groups = f" {counted(late, 'consumer group')} to check: see below." if late else ""
    return f"{open_gaps}{runs}{late_groups}"


def _pictures(
    partitions: Sequence[StreamPartition],
    covered: Mapping[StreamPartition, Covered],
    gaps: Look[RecordedGap],
    now_us: int,
) -> Iterator[Picture]:
    drawn: dict[StreamPartition, list[RecordedGap]] = {partition: [] for partition in partitions}
    for gap in gaps.found:
        if gap.partition in drawn:
            drawn[gap.partition].append(gap)
    for title, days in (("Last 24 hours", 1), ("Last 7 days", 7)):
        start_us = now_us - days * _DAY_US
        rows = (_picture_row(each, covered.get(each), drawn[each], start_us, now_us) for each in partitions)
        yield Picture(title, start_us, now_us, tuple(rows))


def _picture_row(
    partition: StreamPartition, covered: Covered | None, gaps: Sequence[RecordedGap], start_us: int, end_us: int
) -> Row:
    since_us, until_us = (None, None) if covered is None else (covered.since_us, covered.covered_until_us)
    return Row(str(partition), make_bands(start_us, end_us, since_us, until_us, gaps))


def _grouped(gaps: Sequence[RecordedGap]) -> tuple[GapGroup, ...]:
    """Return the gaps by state, the most frequent state first."""
    counts = Counter(gap.state for gap in gaps)
    newest = sorted(gaps, key=lambda gap: gap.recorded_us, reverse=True)
    return tuple(
        GapGroup(state, count, tuple([gap for gap in newest if gap.state == state][:MOST_GAPS]))
        for state, count in counts.most_common(MOST_STATES)
    )


def _dead_letters(look: Look[DeadLetter] | None, now_us: int) -> DeadLetters:
    found = open_letters(look.found, now_us - dead_letters.DAYS * _DAY_US) if look else []
    is_least = look is not None and len(look.found) >= dead_letters.MOST_RECORDS
    return DeadLetters(len(found), is_least, tuple(by_reason(found)[:MOST_REASONS]), tuple(found[:MOST_DEAD_LETTERS]))


def _groups(status: ServiceStatus, now_us: int) -> Groups:
    look = status.groups if status.watches_groups else None
    found = look.found if look else ()
    rows = tuple(
        GroupRow(each, IN_WORDS[each.state], each.is_well(now_us), each.age_us(now_us), each.left_us(now_us))
        for each in found
    )
    known = {each.group for each in found}
    return Groups(
        watched=status.watched_groups,
        is_elsewhere=not status.watches_groups,
        age_us=_age_us(look, now_us),
        rows=rows,
        unknown=tuple(group for group in status.watched_groups if group not in known) if look else (),
    )


def _waiting(status: ServiceStatus) -> Iterator[str]:
    for waiting in status.waiting:
        least = "" if waiting.wait_s is None else f", at least {duration(int(waiting.wait_s * US_PER_S))}"
        yield f"{waiting.partition}: {describe(waiting.plan)}; waits for {waiting.reason.value}{least}"


def _left(status: ServiceStatus) -> Mapping[str, int]:
    return {} if status.limiter is None else status.limiter.remaining()


def _age_us(
    look: Look[RecordedGap] | Look[DeadLetter] | Look[Covered] | Look[WatchedGroup] | None, now_us: int
) -> int | None:
    return None if look is None else max(0, now_us - look.at_us)
