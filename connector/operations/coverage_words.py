"""Why a stream partition does not cover a range, in words. Pure.

Must not know the output format: the caller formats instants, microseconds since 1970.
"""

from collections.abc import Callable, Iterator

from connector.events.times import US_PER_S
from connector.operations.coverage_report import CoverageReport, PartitionCoverage, Verdict
from connector.pages.words import duration

Instant = Callable[[int], str]


def why_not_yet(report: CoverageReport, partition: PartitionCoverage, instant: Instant) -> Iterator[str]:
    """Yield since when a stream partition does not cover the range, if its verdict is `not yet`."""
    until_us = partition.complete_until_us
    if partition.verdict is not Verdict.NOT_YET or partition.is_unprocessed:
        return
    if until_us is None or partition.known_from_us is None:
        yield "no coverage"
    elif until_us >= report.end_us:
        yield "the ledger cannot be trusted"
    elif report.end_us > report.made_at_us:
        ago = duration(report.made_at_us - until_us)
        yield f"not covered since {instant(until_us)} ({ago} ago; the range ends in the future)"
    else:
        short = duration(report.end_us - until_us)
        yield f"not covered since {instant(until_us)} ({short} short of the end of the range)"


def why_unprocessed(report: CoverageReport, partition: PartitionCoverage, instant: Instant) -> Iterator[str]:
    """Yield for each requested group since when it has not processed the range, and why."""
    for each in partition.processed:
        if each.reaches(report.end_us):
            continue
        if each.until_us is None:
            yield f"group {each.group} has not provably processed anything"
        else:
            short = duration(report.end_us - each.until_us)
            until = instant(each.until_us)
            yield f"group {each.group} has not processed all since {until} ({short} short of the end of the range)"
        if each.unread:
            yield f"group {each.group} has committed nothing of {', '.join(each.unread)}"
        if each.overtaken:
            yield f"retention removed events that group {each.group} had not processed: {', '.join(each.overtaken)}"


def why_later(partition: PartitionCoverage, instant: Instant) -> Iterator[str]:
    """Yield since when the data for a verdict exists, to the next second, if the verdict is `begins later`."""
    if partition.verdict is not Verdict.BEGINS_LATER or partition.known_from_us is None:
        return
    since = instant(partition.known_from_us + US_PER_S - 1)
    if partition.known_from_us == partition.covered_from_us:
        yield f"recorded only since {since}; nothing is known before that"
    else:
        yield f"known only since {since}; events or dead letters from before that are no longer kept"
