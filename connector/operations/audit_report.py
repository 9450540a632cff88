"""The report of an audit, for people and for programs. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.operations.audit import Figures, PartitionAudit
from connector.pages.words import counted

_LATE_BEGIN_US = 10 * 60 * US_PER_S
"""A ledger that begins this much later than the range was truncated, or not written."""
_SHOWN = 20
"""Findings of a stream partition in the table. A topic that was deleted makes one for each ledger entry."""


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """The audit of one stream partition: counts, findings, and what could not be audited."""

    partition: StreamPartition
    figures: Figures
    findings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """An audit of a range, microseconds since 1970, and the problem of each foreign record."""

    start_us: int
    end_us: int
    partitions: tuple[PartitionReport, ...]
    foreign: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether everything fits."""
        return not self.foreign and not any(each.findings for each in self.partitions)


def partition_report(audit: PartitionAudit, start_us: int) -> PartitionReport:
    """Return the report of an audit of a range that begins at `start_us`, once everything is read."""
    findings = tuple(audit.findings())
    return PartitionReport(audit.partition, audit.figures, findings, tuple(_notes(audit.figures, start_us)))


def lines(report: AuditReport) -> Iterator[str]:
    """Yield the report as lines: the verdict first, then one for each stream partition and each finding."""
    count = sum(len(each.findings) for each in report.partitions) + bool(report.foreign)
    verdict = "sound" if report.is_sound else f"not sound: {counted(count, 'finding')}"
    yield f"{format_us(report.start_us)} to {format_us(report.end_us)} (Kafka's clock): {verdict}"
    for each in report.partitions:
        figures = each.figures
        entries, events = counted(figures.entries, "entry", "entries"), counted(figures.events, "event")
        letters = counted(figures.dead_letters, "dead letter")
        yield f"{each.partition!s:<8} {entries:>18} {events:>18} {letters:>20}  {_verdict(each)}"
        for finding in each.findings[:_SHOWN]:
            yield f"         {finding}"
        if len(each.findings) > _SHOWN:
            yield f"         and {len(each.findings) - _SHOWN:,} more: --output json has all"
        for note in each.notes:
            yield f"         note: {note}"


def as_json(report: AuditReport) -> Iterator[str]:
    """Yield the report as one JSON object."""
    yield json.dumps(
        {
            "from": format_us(report.start_us),
            "to": format_us(report.end_us),
            "sound": report.is_sound,
            "foreign_records": list(report.foreign),
            "partitions": [_partition(each) for each in report.partitions],
        }
    )


def _partition(report: PartitionReport) -> dict[str, Any]:
    figures = report.figures
    return {
        "partition": str(report.partition),
        "verdict": _verdict(report),
        "entries": figures.entries,
        "entries_without_digests": figures.entries_by_id,
        "events": figures.events,
        "dead_letters": figures.dead_letters,
        "covered_until": None if figures.covered_until_us is None else format_us(figures.covered_until_us),
        "ledger_digest": None if figures.head is None else figures.head.hex(),
        "findings": list(report.findings),
        "notes": list(report.notes),
    }


def _verdict(report: PartitionReport) -> str:
    if report.findings:
        return "not sound"
    return "sound" if report.figures.entries else "nothing to audit"


def _notes(figures: Figures, start_us: int) -> Iterator[str]:
    if figures.first is not None:
        number, dated_us = figures.first
        if number > 0 and dated_us - start_us > _LATE_BEGIN_US:
            yield f"the first entry of the range is entry {number} of {format_us(dated_us)}"
    if figures.before_ledger:
        yield f"{counted(figures.before_ledger, 'event')} older than what the ledger still holds: cannot be audited"
    if figures.entries_by_id:
        entries = counted(figures.entries_by_id, "entry", "entries")
        yield f"{entries} without digests of their records: audited by id and sequence"
    if figures.unchecked:
        yield f"{counted(figures.unchecked, 'record')} no longer kept, or soon to be removed: not missed"
    if figures.unknown:
        yield f"{counted(figures.unknown, 'record')} of kinds that this version does not know: not audited"
    if figures.resets:
        yield f"the ledger was reset {counted(figures.resets, 'time')}: each is a gap with the cause ledger-reset"
    if figures.unaccounted:
        yield f"{counted(figures.unaccounted, 'event')} accounted for by no entry, since the ledger was reset"
