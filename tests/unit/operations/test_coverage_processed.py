"""Until when consumer groups have processed what a report covers, and what each form of a report says of it."""

import csv
import io
import json
from dataclasses import replace

import pytest

from connector.kafka.backlog import Backlog
from connector.operations.coverage_forms import as_csv, as_json, as_table
from connector.operations.coverage_html import render
from connector.operations.coverage_processed import find_processed, with_groups
from connector.operations.coverage_report import PartitionCoverage, Processed, Verdict
from tests.unit.operations.coverage_values import COVERAGE, ENDED_US, HOUR_US, PARTITION, REPORT, SECOND_US

_COMPLETE = replace(COVERAGE, verdict=Verdict.COMPLETE, gaps=(), dead_letters=(), notes=())
_UNTIL_US = ENDED_US + SECOND_US
_ALL = Processed("g", _UNTIL_US)
_SHORT = Processed("g", ENDED_US - HOUR_US // 2)
_NOTHING = Processed("h", None, unread=("tweet.edit",), overtaken=("tweet.drop",))
_LEFT = Backlog("g", {PARTITION: 7}, unread=("tweet.edit", "user.delete"), overtaken=("tweet.drop", "user.delete"))


def _before(sequence: int) -> int | None:
    return sequence * SECOND_US


def test_group_that_has_left_nothing_is_done_as_far_as_coverage_reaches() -> None:
    """Of whatever topics; without coverage it has processed nothing."""
    nothing = Backlog("g", {}, (), ())
    assert find_processed(PARTITION, nothing, _UNTIL_US, _before, {}) == _ALL
    assert find_processed(PARTITION, nothing, None, _before, {}) == Processed("g", None)


def test_group_that_has_left_an_event_is_done_up_to_the_coverage_before_it() -> None:
    """Types of other streams do not matter, nor what retention removed from before the range."""
    assert find_processed(PARTITION, _LEFT, _UNTIL_US, _before, {}) == Processed("g", 7 * SECOND_US, ("tweet.edit",))
    assert find_processed(PARTITION, _LEFT, _UNTIL_US, lambda _: None, {}).until_us is None


def test_group_that_may_have_lost_events_of_the_range_cannot_be_said_to_have_processed_it() -> None:
    """Whatever it has committed since."""
    found = find_processed(PARTITION, _LEFT, _UNTIL_US, _before, {"tweet.drop": True, "tweet.edit": True})
    assert (found.until_us, found.overtaken) == (None, ("tweet.drop",))


@pytest.mark.parametrize(
    ("processed", "found", "verdict", "words"),
    [
        ((), _COMPLETE, Verdict.COMPLETE, "complete"),
        ((_ALL,), _COMPLETE, Verdict.COMPLETE, "complete"),
        ((Processed("g", ENDED_US),), _COMPLETE, Verdict.COMPLETE, "complete"),
        ((Processed("g", ENDED_US - 1),), _COMPLETE, Verdict.NOT_YET, "not processed yet"),
        ((_ALL, _NOTHING), _COMPLETE, Verdict.NOT_YET, "not processed yet"),
        ((_SHORT,), COVERAGE, Verdict.NOT_YET, "not processed yet"),
        ((_ALL,), COVERAGE, Verdict.GAPS, "complete but for gaps"),
        ((_SHORT,), replace(_COMPLETE, verdict=Verdict.NOT_YET), Verdict.NOT_YET, "not covered yet"),
    ],
)
def test_verdict_is_not_yet_unless_every_group_has_processed_the_range(
    processed: tuple[Processed, ...], found: PartitionCoverage, verdict: Verdict, words: str
) -> None:
    """A person reads whether coverage is wanting, or a group."""
    judged = with_groups(found, processed, ENDED_US)
    assert (judged.verdict, judged.words, judged.processed) == (verdict, words, processed)


def test_verdict_in_all_blames_groups_only_where_nothing_else_is_wanting() -> None:
    """One stream partition that is not covered is enough for the other words."""
    unprocessed = with_groups(_COMPLETE, [_SHORT], ENDED_US)
    uncovered = replace(_COMPLETE, verdict=Verdict.NOT_YET)
    report = replace(REPORT, verdict=Verdict.NOT_YET, partitions=(unprocessed, _COMPLETE))
    assert report.words == "not processed yet"
    assert replace(report, partitions=(unprocessed, uncovered)).words == "not covered yet"
    assert replace(report, verdict=Verdict.COMPLETE, partitions=(_COMPLETE,)).words == "complete"


def test_every_form_says_how_far_each_group_is() -> None:
    """And why it is no further."""
    judged = with_groups(_COMPLETE, [_SHORT, _NOTHING], ENDED_US)
    report = replace(REPORT, verdict=judged.verdict, partitions=(judged,), groups=("g", "h"))
    table = list(as_table(report))
    assert table[0].startswith("not processed yet: ")
    assert (table[2].split()[-2:], table[3].split()[-1]) == (["processed", "until"], "never")
    start = "NOT PROCESSED YET  tweet/1: "
    assert [line.removeprefix(start) for line in table if line.startswith(start)] == [
        "group g has not processed all since 2026-03-14T09:50:00Z (30 min short of the end of the range)",
        "group h has not provably processed anything",
        "group h has committed nothing of tweet.edit",
        "retention removed events that group h had not processed: tweet.drop",
    ]
    assert table[-1].endswith(" --group g --group h")
    [row] = csv.DictReader(io.StringIO(as_csv(report)))
    assert (row["verdict"], row["processed_until"]) == ("not yet", "")
    [partition] = json.loads(as_json(report))["partitions"]
    assert partition["processed"] == [
        {
            "group": "g",
            "processed_until": "2026-03-14T09:50:00.000000Z",
            "is_processed": False,
            "never_committed": [],
            "overtaken_by_retention": [],
        },
        {
            "group": "h",
            "processed_until": None,
            "is_processed": False,
            "never_committed": ["tweet.edit"],
            "overtaken_by_retention": ["tweet.drop"],
        },
    ]
    page = render(report)
    assert "Some events may be missing or unprocessed." in page
    assert "Processed by g until 2026-03-14 09:50:00 UTC." in page
    assert "--group g --group h" in page


def test_forms_without_groups_are_as_they_were() -> None:
    """No column more."""
    assert "processed" not in "".join(as_table(REPORT)) + as_csv(REPORT)
    assert "processed" not in render(replace(REPORT, partitions=(_COMPLETE,)))


def test_name_of_a_group_is_a_word_of_the_command() -> None:
    """Whatever it is."""
    assert [*as_table(replace(REPORT, groups=("a b; rm",)))][-1].endswith(" --group 'a b; rm'")
