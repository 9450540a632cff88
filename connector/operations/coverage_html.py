"""The coverage report as one HTML file to keep: it loads nothing from elsewhere, and has no script.

Pure. Must not know how coverage is audited.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from connector.events.times import format_us
from connector.operations.coverage_report import CoverageReport, PartitionCoverage, Verdict
from connector.operations.coverage_words import why_later, why_not_yet, why_unprocessed
from connector.pages.picture import WORDS, Picture, Row, make_bands
from connector.pages.rendering import render as render_page
from connector.pages.words import counted, instant


@dataclass(frozen=True, slots=True)
class _Section:
    """The content of the file for a stream partition, with its sentences."""

    found: PartitionCoverage
    sentence: str
    reasons: tuple[str, ...]
    is_complete: bool


def render(report: CoverageReport) -> str:
    """Return the report as HTML."""
    return render_page(
        "report.html",
        report=report,
        sentence=_overall(report),
        is_complete=_is_complete(report.verdict) and not _undecoded(report),
        picture=_picture(report),
        legend=WORDS,
        sections=[_section(report, found) for found in report.partitions],
        command=command_line(report),
    )


def command_line(report: CoverageReport) -> str:
    """Return the command that reads the same range again, with instants to the microsecond."""
    words = ("connector", "coverage", "--from", format_us(report.start_us), "--to", format_us(report.end_us))
    groups = [word for group in report.groups for word in ("--group", group)]
    return shlex.join((*words, *groups, "--output", "html"))


def _picture(report: CoverageReport) -> Picture:
    rows = tuple(
        Row(
            str(found.partition),
            make_bands(
                report.start_us,
                report.end_us,
                _known_from_us(found),
                found.complete_until_us,
                found.gaps,
            ),
        )
        for found in report.partitions
    )
    title = f"Coverage from {instant(report.start_us)} to {instant(report.end_us)}"
    return Picture(title, report.start_us, report.end_us, rows)


def _is_complete(verdict: Verdict) -> bool:
    return verdict is Verdict.COMPLETE


def _overall(report: CoverageReport) -> str:
    """Return the overall verdict as a sentence."""
    undecoded = _undecoded(report)
    if _is_complete(report.verdict) and undecoded:
        lines = counted(sum(undecoded.values()), "line")
        return (
            f"But {lines} of X could not be decoded: each may be a delete that no consumer has acted on. "
            f"See {', '.join(undecoded)} below."
        )
    if _is_complete(report.verdict):
        also = f", and processed by {', '.join(report.groups)}" if report.groups else ""
        return f"Everything that X put on these streams in the range is on the topics{also}."
    doubtful = [str(found.partition) for found in report.partitions if not _is_complete(found.verdict)]
    also = " or unprocessed" if report.groups else ""
    return f"Some events may be missing{also}. See {', '.join(doubtful)} below."


def _undecoded(report: CoverageReport) -> dict[str, int]:
    """Return the number of lines by stream partition that could not be decoded and were not published since."""
    counts = {
        str(found.partition): sum(not letter.is_replayed for letter in found.dead_letters)
        for found in report.partitions
    }
    return {partition: count for partition, count in counts.items() if count}


def _section(report: CoverageReport, found: PartitionCoverage) -> _Section:
    reasons = (
        *why_not_yet(report, found, instant),
        *why_unprocessed(report, found, instant),
        *why_later(found, instant),
    )
    sentences = tuple(f"{reason[0].upper()}{reason[1:]}." for reason in reasons)
    return _Section(found, " ".join([*sentences, *_sentences(found)]), sentences, _is_complete(found.verdict))


def _sentences(found: PartitionCoverage) -> Iterator[str]:
    if found.complete_until_us is None or found.covered_from_us is None:
        yield "There is no coverage of it."
    else:
        yield f"Covered from {instant(found.covered_from_us)}, complete until {instant(found.complete_until_us)}."
    if (since_us := _known_from_us(found)) != found.covered_from_us:
        yield f"Time before {instant(since_us)} can no longer be checked: retention has removed what is needed."
    for each in found.processed:
        yield f"Processed by {each.group} until {instant(each.until_us)}."
    if found.has_owner is False:
        yield "No replica owned it when the report was made: it was not being read."
    is_open = [gap for gap in found.gaps if gap.is_open]
    yield f"{counted(len(is_open), 'open gap')} in the range." if is_open else "No open gap in the range."
    if withdrawn := [gap for gap in found.gaps if gap.withdrawn_because is not None]:
        yield f"{counted(len(withdrawn), 'gap')} withdrawn by an operator."
    if waiting := [letter for letter in found.dead_letters if not letter.is_replayed]:
        each_of = "it" if len(waiting) == 1 else "each"
        yield f"{counted(len(waiting), 'dead letter')}: {each_of} may be an instruction that no consumer has seen."
    else:
        yield "No dead letters."


def _known_from_us(found: PartitionCoverage) -> int | None:
    """Return since when coverage can be vouched for, None without any."""
    if found.covered_from_us is None or found.known_from_us is None:
        return found.covered_from_us
    return max(found.covered_from_us, found.known_from_us)
