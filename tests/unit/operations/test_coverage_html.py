"""The coverage report as a file: all of the report is in it, in words, and nothing that anyone wrote is obeyed."""

from dataclasses import replace
from html import unescape

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.operations.coverage_html import command_line, render
from connector.operations.coverage_report import (
    CoverageReport,
    Ownership,
    PartitionCoverage,
    ReportedDeadLetter,
    ReportedGap,
    Verdict,
)
from tests.rig.crowded import HOSTILE

_H = 3_600 * US_PER_S
_START = 1_700_000_000 * US_PER_S
_TWEET = StreamPartition("tweet", 1)
_GAP = ReportedGap(
    gap_id="tweet/1/a/b",
    partition=_TWEET,
    start_us=_START + 2 * _H,
    end_us=_START + 5 * _H,
    state="partly-reconciled",
    cause="outage-too-long",
    detail="longer than X can replay",
    recorded_us=_START + 6 * _H,
    reconciled_by=("run-1",),
    remaining=("tweet.withheld",),
)
_LETTER = ReportedDeadLetter("ab" * 16, "not-json", "no object", _START + _H, 7, is_replayed=False)
_FOUND = PartitionCoverage(
    partition=_TWEET,
    verdict=Verdict.GAPS,
    covered_from_us=_START - _H,
    known_from_us=_START - _H,
    complete_until_us=_START + 24 * _H,
    has_owner=True,
    gaps=(_GAP,),
    dead_letters=(_LETTER,),
    events={"tweet.delete": 5, "tweet.drop": 2},
    received=10,
    duplicates=2,
    control=1,
    owners=(Ownership("pod-0", _START, _START + _H),),
    notes=("the ledger begins later",),
)
_REPORT = CoverageReport(
    start_us=_START,
    end_us=_START + 24 * _H,
    made_at_us=_START + 25 * _H,
    version="0.1.0",
    topic_prefix="x.compliance",
    verdict=Verdict.GAPS,
    partitions=(_FOUND,),
    foreign=("x.compliance-gap partition 0 offset 3: ValueError",),
    digest="0123abcd",
)


def _words(report: CoverageReport) -> str:
    """Return the text of a file, on one line."""
    return " ".join(unescape(render(report)).split())


@pytest.mark.parametrize(
    "words",
    [
        "Complete but for gaps.",
        "2023-11-14 22:13:20 UTC, included, to 2023-11-15 22:13:20 UTC, excluded",
        "2023-11-15 23:13:20 UTC",
        "x-compliance-connector 0.1.0",
        "0123abcd",
        "the ledger begins later",
        "outage-too-long: longer than X can replay",
        "(3 h)",
        "Made up for by run-1.",
        "Still missing: tweet.withheld.",
        "not-json</strong>, no object",
        "1 dead letter, each of which may be an instruction that no consumer has seen.",
        "10 received: 7 published, 2 duplicates, 1 control",
        "tweet.drop: 2",
        "pod-0: 2023-11-14 22:13:20 UTC to 2023-11-14 23:13:20 UTC",
        "x.compliance-gap partition 0 offset 3: ValueError",
        "connector coverage --from 2023-11-14T22:13:20.000000Z --to 2023-11-15T22:13:20.000000Z --output html",
    ],
)
def test_file_says_all_that_the_report_has(words: str) -> None:
    """In words that an officer can read."""
    assert words in _words(_REPORT)


def test_verdict_of_a_complete_range_is_plain() -> None:
    """And nothing in the file is loud."""
    found = replace(_FOUND, verdict=Verdict.COMPLETE, gaps=(), dead_letters=())
    words = _words(replace(_REPORT, verdict=Verdict.COMPLETE, partitions=(found,), foreign=()))
    assert "Everything that X put on these streams in the range is on the topics." in words
    assert 'class="loud"' not in words
    assert "No open gap in the range. No dead letter that waits." in words


def test_partition_without_owner_or_coverage_is_named() -> None:
    """In the sentence at the top, and with what is wrong."""
    user = replace(
        _FOUND,
        partition=StreamPartition("user", 1),
        verdict=Verdict.NOT_YET,
        covered_from_us=None,
        complete_until_us=None,
        has_owner=False,
    )
    words = _words(replace(_REPORT, verdict=Verdict.NOT_YET, partitions=(_FOUND, user)))
    assert "Not everything can be vouched for. Read what is said below of tweet/1, user/1." in words
    assert "There is no coverage of it. No replica owns it: it is not being read." in words


def test_file_stands_alone_and_obeys_no_one() -> None:
    """Nothing in it is loaded or run, whatever is in the texts."""
    hostile = replace(_GAP, cause=HOSTILE, detail=HOSTILE, gap_id=HOSTILE)
    letter = replace(_LETTER, reason=HOSTILE, detail=HOSTILE)
    found = replace(_FOUND, gaps=(hostile,), dead_letters=(letter,), notes=(HOSTILE,), events={HOSTILE: 1})
    html = render(replace(_REPORT, partitions=(found,), foreign=(HOSTILE,)))
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "://" not in html
    assert "default-src 'none'" in unescape(html)


def test_command_reads_the_same_range() -> None:
    """To the microsecond."""
    assert "--from 2023-11-14T22:13:20.000001Z" in command_line(replace(_REPORT, start_us=_START + 1))
