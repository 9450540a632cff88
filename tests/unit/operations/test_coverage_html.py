"""The coverage report as a file: all of the report is in it, in words, and nothing that anyone wrote is obeyed."""

from dataclasses import replace
from html import unescape

import pytest

from connector.events.catalog import StreamPartition
from connector.operations.coverage_html import command_line, render
from connector.operations.coverage_report import CoverageReport, Verdict
from tests.rig.crowded import HOSTILE
from tests.rig.oracle import EVENTS
from tests.rig.sample_report import FOUND, GAP, LETTER, REPORT, START


def _words(report: CoverageReport) -> str:
    """Return the text of a file, on one line."""
    return " ".join(unescape(render(report)).split())


@pytest.mark.parametrize(
    "words",
    [
        "Complete but for gaps.",
        "2023-11-14 22:13:20 UTC, included, to 2023-11-15 22:13:20 UTC, excluded, by X's clock",
        "2023-11-15 23:13:20 UTC",
        "x-compliance-connector 1.4.2",
        "0123abcd",
        "the ledger begins later",
        "outage-too-long: longer than X can replay. Recorded ",
        "(3 h)",
        "Made up for by run-1.",
        "Possibly missing: tweet.withheld.",
        "not-json</strong>, no object",
        "1 dead letter: it may be an instruction that no consumer has seen.",
        "10 received: 7 published, 2 duplicates, 1 control, 1 dead letter with a date in the range.",
        "tweet.drop: 2",
        "Written by (times by Kafka's clock)</h3> <ul> <li>pod-0: 2023-11-14 22:13:20 UTC to 2023-11-14 23:13:20 UTC",
        "x.compliance-gap partition 0 offset 3: ValueError",
        "connector coverage --from 2023-11-14T22:13:20.000000Z --to 2023-11-15T22:13:20.000000Z --output html",
        "A gap that was recorded, made up for or withdrawn since,",
        "An event that X never sent, or that a replay left out without a trace, cannot be detected.",
        "<code>connector ledger verify</code> checks, and this report does not.",
    ],
)
def test_file_says_all_that_the_report_has(words: str) -> None:
    """In words that an officer can read."""
    assert words in _words(REPORT)


def test_verdict_of_a_complete_range_is_plain() -> None:
    """And nothing in the file is loud."""
    found = replace(FOUND, verdict=Verdict.COMPLETE, gaps=(), dead_letters=())
    words = _words(replace(REPORT, verdict=Verdict.COMPLETE, partitions=(found,), foreign=()))
    assert "Everything that X put on these streams in the range is on the topics." in words
    assert 'class="loud"' not in words
    assert "No open gap in the range. No dead letters." in words


def test_partition_without_owner_or_coverage_is_named() -> None:
    """In the sentence at the top, and with what is wrong."""
    user = replace(
        FOUND,
        partition=StreamPartition("user", 1),
        verdict=Verdict.NOT_YET,
        covered_from_us=None,
        complete_until_us=None,
        has_owner=False,
    )
    words = _words(replace(REPORT, verdict=Verdict.NOT_YET, partitions=(FOUND, user)))
    assert "Some events may be missing. See tweet/1, user/1 below." in words
    assert "There is no coverage of it. No replica owned it when the report was made: it was not being read." in words


def test_section_of_a_partition_says_why_it_is_not_covered_yet() -> None:
    """From when on, beside the verdict and in its own section; its gap names the event types that may be missing."""
    user = replace(
        FOUND,
        partition=StreamPartition("user", 1),
        verdict=Verdict.NOT_YET,
        complete_until_us=REPORT.end_us - 79 * 10**6,
        gaps=(),
    )
    lost = replace(GAP, state="lost", remaining=None)
    words = _words(replace(REPORT, verdict=Verdict.NOT_YET, partitions=(replace(FOUND, gaps=(lost,)), user)))
    assert "<strong>Not covered yet.</strong>" in words
    reason = "Not covered since 2023-11-15 22:12:01 UTC (1 min 19 s short of the end of the range)."
    assert words.count(reason) == 2
    assert f"<h2>user/1</h2> <p>{reason}</p>" in words
    assert f"Possibly missing: {', '.join(event for event in EVENTS if event.startswith('tweet.'))}." in words


def test_time_of_which_too_little_is_kept_is_unknown() -> None:
    """In words and in the picture: a ledger that was cut proves nothing of what it no longer has."""
    found = replace(FOUND, known_from_us=START + 3_600 * 10**6, gaps=(), verdict=Verdict.BEGINS_LATER)
    words = _words(replace(REPORT, partitions=(found,), verdict=Verdict.BEGINS_LATER))
    assert "Time before 2023-11-14 23:13:20 UTC can no longer be checked" in words
    assert "tweet/1: unknown from 2023-11-14 22:13:20 UTC to 2023-11-14 23:13:20 UTC." in words


def test_file_is_self_contained_and_runs_no_script() -> None:
    """Nothing in it is loaded or run, whatever is in the texts."""
    hostile = replace(GAP, cause=HOSTILE, detail=HOSTILE, gap_id=HOSTILE)
    letter = replace(LETTER, reason=HOSTILE, detail=HOSTILE)
    found = replace(FOUND, gaps=(hostile,), dead_letters=(letter,), notes=(HOSTILE,), events={HOSTILE: 1})
    html = render(replace(REPORT, partitions=(found,), foreign=(HOSTILE,)))
    assert "<script" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    assert "://" not in html
    assert "default-src 'none'" in unescape(html)


def test_command_reads_the_same_range() -> None:
    """To the microsecond."""
    assert "--from 2023-11-14T22:13:20.000001Z" in command_line(replace(REPORT, start_us=START + 1))
