"""A coverage report as a table for people, as CSV and as JSON. Pure.

Values from Kafka are left as they are; the caller makes them safe for a terminal.
"""

import csv
import io
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from connector.console import in_columns
from connector.events.times import US_PER_S, format_us
from connector.operations.coverage_report import (
    CoverageReport,
    PartitionCoverage,
    Processed,
    ReportedDeadLetter,
    ReportedGap,
    Verdict,
)
from connector.operations.coverage_words import why_later, why_not_yet, why_unprocessed
from connector.pages.words import counted, duration
from connector.terminal import visible

_MOST_LINES = 100
"""Most gaps or dead letters in a table; the other formats have all."""
_FORMULA = ("=", "+", "-", "@")
"""A spreadsheet treats a cell that begins like this as a formula."""
_HEADINGS = ("partition", "verdict", "complete until", "behind now", "events", "dead letters", "written by")
_PROCESSED_HEADING = "processed until"
"""A column that exists only if groups were requested."""
_PROCESSED_COLUMN = "processed_until"
_COLUMNS = (
    "stream",
    "stream_partition",
    "verdict",
    "from",
    "to",
    "covered_from",
    "known_from",
    "complete_until",
    "behind_s",
    "has_owner",
    "open_gaps",
    "closed_gaps",
    "dead_letters",
    "dead_letters_replayed",
    "events",
    "received",
    "duplicates",
    "control",
    "owners",
    "notes",
    "gaps",
    "report_verdict",
)
_SECONDS = re.compile(r"(T\d\d:\d\d):\d\d(?:\.\d+)?Z|\b\d+ s (?=ago|short)", re.ASCII)
"""Of a time, and of how long ago or how short of the end that is."""


def words(found: PartitionCoverage | CoverageReport, open_gaps: int) -> str:
    """Return a verdict in words, with the number of open gaps if it is about gaps."""
    return f"complete but for {counted(open_gaps, 'gap')}" if found.verdict is Verdict.GAPS else found.words


def total_words(report: CoverageReport) -> str:
    """Return the overall verdict in words."""
    return words(report, sum(_open_gaps(each) for each in report.partitions))


def behind_us(report: CoverageReport, partition: PartitionCoverage) -> int | None:
    """Return how far a stream partition is behind the time of the report; None if it was never read."""
    if partition.complete_until_us is None:
        return None
    return max(0, report.made_at_us - partition.complete_until_us)


def as_table(report: CoverageReport) -> Iterator[str]:
    """Yield the lines of a report for people, the overall verdict first."""
    start, end = format_us(report.start_us), format_us(report.end_us)
    yield f"{total_words(report)}: {report.topic_prefix} from {start} to {end} (X's clock)"
    yield ""
    headings = (*_HEADINGS, _PROCESSED_HEADING) if report.groups else _HEADINGS
    yield from in_columns([headings, *(_row(report, each) for each in report.partitions)])
    yield from _remarks(report)
    yield from _cut(_gap_line(gap) for each in report.partitions for gap in each.gaps)
    letters = [(each, letter) for each in report.partitions for letter in each.dead_letters]
    if waiting := sum(not letter.is_replayed for _, letter in letters):
        each_of = "it" if waiting == 1 else "each"
        yield f"{counted(waiting, 'DEAD LETTER', 'DEAD LETTERS')}: {each_of} may be a delete that no consumer acts on"
    yield from _cut(_letter_line(partition, letter) for partition, letter in letters)
    yield ""
    yield f"digest {report.digest}, connector {report.version}"
    groups = "".join(f" --group {shlex.quote(group)}" for group in report.groups)
    yield f"To repeat this report: connector coverage --from {start} --to {end}{groups}"


def _row(report: CoverageReport, partition: PartitionCoverage) -> Sequence[str]:
    behind = behind_us(report, partition)
    until_us = partition.complete_until_us
    return (
        str(partition.partition),
        words(partition, _open_gaps(partition)),
        "never" if until_us is None else _to_the_second(until_us),
        "" if behind is None else duration(behind),
        str(sum(partition.events.values())),
        str(len(partition.dead_letters)),
        visible(partition.owners[-1].owner) if partition.owners else "-",
        *([_processed_until(partition)] if report.groups else []),
    )


def _processed_until(partition: PartitionCoverage) -> str:
    until_us = partition.processed_until_us()
    return "never" if until_us is None else _to_the_second(until_us)


def _remarks(report: CoverageReport) -> Iterator[str]:
    """Yield the remarks about stream partitions, each once for all that share it."""
    named = [(str(each.partition), each) for each in report.partitions]
    not_yet = ((name, text) for name, each in named for text in why_not_yet(report, each, _to_the_second))
    short = ((name, text) for name, each in named for text in why_unprocessed(report, each, _to_the_second))
    later = ((name, text) for name, each in named for text in why_later(each, _to_the_second))
    notes = ((name, note) for name, each in named for note in each.notes)
    yield from (f"{Verdict.NOT_YET.words.upper()}  {line}" for line in _folded(not_yet, min))
    yield from (f"NOT PROCESSED YET  {line}" for line in _folded(short, min))
    yield from (f"{Verdict.BEGINS_LATER.words.upper()}  {line}" for line in _folded(later, max))
    yield from _folded(notes, max)


def _folded(remarks: Iterable[tuple[str, str]], pick: Callable[[Iterable[str]], str]) -> Iterator[str]:
    """Yield each remark after all the names that it belongs to.

    Remarks that differ only in seconds count as the same; `pick` chooses the time to show.
    """
    names, texts = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for name, text in remarks:
        key = _SECONDS.sub(r"\1", text)
        names[key].append(name)
        texts[key].append(text)
    yield from (f"{', '.join(those)}: {pick(texts[key])}" for key, those in names.items())


def _to_the_second(instant_us: int) -> str:
    return format_us(instant_us // US_PER_S * US_PER_S).replace(".000000", "")


def _gap_line(gap: ReportedGap) -> str:
    line = f"gap  {gap.partition}  {format_us(gap.start_us)}  {format_us(gap.end_us)}"
    line = f"{line}  {gap.state}  {gap.cause}: {gap.detail}"
    if gap.possibly_missing:
        line += f"; possibly missing: {', '.join(gap.possibly_missing)}"
    if gap.reconciled_by:
        line += f"; reconciled by {', '.join(gap.reconciled_by)}"
    return line + (f"; withdrawn: {gap.withdrawn_because}" if gap.withdrawn_because else "")


def _letter_line(partition: PartitionCoverage, letter: ReportedDeadLetter) -> str:
    line = f"dead letter  {partition.partition}  {format_us(letter.received_us)}  {letter.event_id}"
    return f"{line}  {letter.reason}: {letter.detail}" + ("; published since" if letter.is_replayed else "")


def _cut(lines: Iterator[str]) -> Iterator[str]:
    shown = list(lines)
    yield from shown[:_MOST_LINES]
    if len(shown) > _MOST_LINES:
        yield f"and {len(shown) - _MOST_LINES} more: --output json has them all"


def as_csv(report: CoverageReport) -> str:
    """Return a row for each stream partition below a row of headings; times are RFC 3339, lists joined by `; `."""
    text = io.StringIO()
    columns = (*_COLUMNS, _PROCESSED_COLUMN) if report.groups else _COLUMNS
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for partition in report.partitions:
        writer.writerow({name: _cell(value) for name, value in _csv_row(report, partition).items()})
    return text.getvalue()


def _csv_row(report: CoverageReport, partition: PartitionCoverage) -> dict[str, object]:
    fields = _partition(report, partition)
    return {
        **{name: fields[name] for name in _COLUMNS if name in fields},
        "from": format_us(report.start_us),
        "to": format_us(report.end_us),
        "open_gaps": _open_gaps(partition),
        "closed_gaps": len(partition.gaps) - _open_gaps(partition),
        "dead_letters": len(partition.dead_letters),
        "dead_letters_replayed": sum(letter.is_replayed for letter in partition.dead_letters),
        "events": sum(partition.events.values()),
        "owners": "; ".join(dict.fromkeys(each.owner for each in partition.owners)),
        "notes": "; ".join(partition.notes),
        "gaps": "; ".join(_gap_cell(gap) for gap in partition.gaps),
        "report_verdict": report.verdict.value,
        **({_PROCESSED_COLUMN: _instant(partition.processed_until_us())} if report.groups else {}),
    }


def _gap_cell(gap: ReportedGap) -> str:
    return f"{format_us(gap.start_us)}/{format_us(gap.end_us)} {gap.state} {gap.cause}"


def _cell(value: object) -> str:
    text = "" if value is None else visible(str(value).lower() if isinstance(value, bool) else str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_json(report: CoverageReport) -> str:
    """Return a report as one JSON object on one line; docs/coverage.md has its members."""
    return json.dumps(
        {
            "from": format_us(report.start_us),
            "to": format_us(report.end_us),
            "made_at": format_us(report.made_at_us),
            "version": report.version,
            "topic_prefix": report.topic_prefix,
            "verdict": report.verdict.value,
            "partitions": [_partition(report, each) for each in report.partitions],
            "foreign": report.foreign,
            "digest": report.digest,
            "groups": report.groups,
        }
    )


def _partition(report: CoverageReport, partition: PartitionCoverage) -> dict[str, Any]:
    behind = behind_us(report, partition)
    return {
        "stream": partition.partition.stream,
        "stream_partition": partition.partition.number,
        "verdict": partition.verdict.value,
        "covered_from": _instant(partition.covered_from_us),
        "known_from": _instant(partition.known_from_us),
        "complete_until": _instant(partition.complete_until_us),
        "behind_s": None if behind is None else behind / US_PER_S,
        "has_owner": partition.has_owner,
        "gaps": [_gap(gap) for gap in partition.gaps],
        "dead_letters": [_letter(letter) for letter in partition.dead_letters],
        "events": dict(partition.events),
        "received": partition.received,
        "duplicates": partition.duplicates,
        "control": partition.control,
        "owners": [
            {"owner": each.owner, "from": format_us(each.start_us), "to": format_us(each.end_us)}
            for each in partition.owners
        ],
        "notes": partition.notes,
        "processed": [_processed(report, each) for each in partition.processed],
    }


def _processed(report: CoverageReport, processed: Processed) -> dict[str, Any]:
    return {
        "group": processed.group,
        "processed_until": _instant(processed.until_us),
        "is_processed": processed.reaches(report.end_us),
        "never_committed": processed.unread,
        "overtaken_by_retention": processed.overtaken,
    }


def _gap(gap: ReportedGap) -> dict[str, Any]:
    return {
        "gap_id": gap.gap_id,
        "gap_start": format_us(gap.start_us),
        "gap_end": format_us(gap.end_us),
        "state": gap.state,
        "is_open": gap.is_open,
        "possibly_missing": gap.possibly_missing,
        "cause": gap.cause,
        "detail": gap.detail,
        "recorded_at": format_us(gap.recorded_us),
        "reconciled_by": gap.reconciled_by,
        "remaining": gap.remaining,
        "withdrawn_at": None if gap.withdrawn_us is None else format_us(gap.withdrawn_us),
        "withdrawn_because": gap.withdrawn_because,
    }


def _letter(letter: ReportedDeadLetter) -> dict[str, Any]:
    return {
        "event_id": letter.event_id,
        "reason": letter.reason,
        "detail": letter.detail,
        "received_at": format_us(letter.received_us),
        "offset": letter.offset,
        "is_replayed": letter.is_replayed,
    }


def _instant(instant_us: int | None) -> str | None:
    return None if instant_us is None else format_us(instant_us)


def _open_gaps(partition: PartitionCoverage) -> int:
    return sum(gap.is_open for gap in partition.gaps)
