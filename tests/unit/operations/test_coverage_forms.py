"""The report in words, as CSV and as JSON: the verdict first, nothing left out, and nothing a spreadsheet would run."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from connector.events.catalog import StreamPartition
from connector.operations.coverage_forms import as_csv, as_json, as_table
from connector.operations.coverage_report import CoverageReport, PartitionCoverage, ReportedGap, Verdict
from tests.rig.oracle import EVENTS
from tests.unit.operations.coverage_values import BEGAN_US, COVERAGE, ENDED_US, GAP, HOUR_US, REPORT, SECOND_US

_DAY_US = 24 * HOUR_US
_TWEET_EVENTS = tuple(event for event in EVENTS if event.startswith("tweet."))


def _report(partition: PartitionCoverage) -> CoverageReport:
    return replace(REPORT, verdict=partition.verdict, partitions=(partition,))


def test_table_says_it_all_for_people() -> None:
    """The verdict in all comes first, and the last lines say how to check it again."""
    range_ = "2026-03-14T09:20:00.000000Z", "2026-03-14T10:20:00.000000Z"
    assert list(as_table(REPORT)) == [
        f"complete but for 1 gap: x.compliance from {range_[0]} to {range_[1]} (X's clock)",
        "",
        "partition  verdict                 complete until        behind now  events  dead letters  written by",
        "tweet/1    complete but for 1 gap  2026-03-14T10:20:01Z  4 s         7       2             connector-0",
        "tweet/1: a note",
        (
            "gap  tweet/1  2026-03-14T09:20:01.000000Z  2026-03-14T09:20:02.000000Z"
            "  lost  replay-refused: X refused to replay this range"
            f"; possibly missing: {', '.join(_TWEET_EVENTS)}"
        ),
        (
            "gap  tweet/1  2026-03-14T09:20:01.000000Z  2026-03-14T09:20:02.000000Z"
            "  reconciled  replay-refused: X refused to replay this range; reconciled by run"
        ),
        "1 DEAD LETTER: it may be a delete that no consumer acts on",
        f"dead letter  tweet/1  2026-03-14T09:20:04.000000Z  {'0a' * 16}  unknown-type: entity_archive",
        (
            f"dead letter  tweet/1  2026-03-14T09:20:04.000000Z  {'0b' * 16}"
            "  unknown-type: entity_archive; published since"
        ),
        "",
        f"digest {'12' * 32}, connector 1.4.2",
        f"To repeat this report: connector coverage --from {range_[0]} --to {range_[1]}",
    ]


def test_table_says_loudly_what_is_not_covered() -> None:
    """From when on, and how much is missing to the end of the range, or to the present if that is earlier."""
    behind = replace(COVERAGE, verdict=Verdict.NOT_YET, complete_until_us=ENDED_US - 2 * HOUR_US, owners=())
    lines = list(as_table(_report(behind)))
    assert lines[0].startswith("not covered yet: ")
    assert lines[3].split()[-1] == "-"
    said = "NOT COVERED YET  tweet/1: not covered since 2026-03-14T08:20:00Z "
    assert f"{said}(2 h short of the end of the range)" in lines
    future = replace(_report(behind), end_us=ENDED_US + 9 * _DAY_US)
    assert f"{said}(2 h ago; the range ends in the future)" in list(as_table(future))
    never = replace(behind, complete_until_us=None, covered_from_us=None, known_from_us=None)
    assert "NOT COVERED YET  tweet/1: no coverage" in list(as_table(_report(never)))
    damaged = replace(behind, complete_until_us=ENDED_US)
    assert "NOT COVERED YET  tweet/1: the ledger cannot be trusted" in list(as_table(_report(damaged)))


@pytest.mark.parametrize(
    ("covered_from_us", "says"),
    [
        (BEGAN_US + 1, "recorded only since 2026-03-14T09:20:01Z; nothing is known before that"),
        (BEGAN_US, "known only since 2026-03-14T09:20:01Z; events or dead letters from before that are no longer kept"),
    ],
)
def test_table_says_since_when_coverage_is_known(covered_from_us: int, says: str) -> None:
    """To the second, never before it is; and why not since the start."""
    later = replace(COVERAGE, verdict=Verdict.BEGINS_LATER, covered_from_us=covered_from_us, known_from_us=BEGAN_US + 1)
    assert f"BEGINS LATER  tweet/1: {says}" in list(as_table(_report(later)))


def test_table_says_once_what_is_true_of_several_stream_partitions() -> None:
    """Of times that differ by seconds alone the safe one is given: the latest beginning, the earliest end."""
    covered = [BEGAN_US + offset * SECOND_US for offset in (3, 5, 65)]
    partitions = [
        replace(
            COVERAGE,
            partition=StreamPartition("user", number),
            verdict=Verdict.BEGINS_LATER,
            covered_from_us=us,
            known_from_us=us,
        )
        for number, us in enumerate(covered, 1)
    ]
    lines = list(as_table(replace(REPORT, partitions=tuple(partitions))))
    rest = "nothing is known before that"
    assert [line for line in lines if line.startswith("BEGINS LATER")] == [
        f"BEGINS LATER  user/1, user/2: recorded only since 2026-03-14T09:20:05Z; {rest}",
        f"BEGINS LATER  user/3: recorded only since 2026-03-14T09:21:05Z; {rest}",
    ]
    assert "user/1, user/2, user/3: a note" in lines
    short = [
        replace(each, verdict=Verdict.NOT_YET, complete_until_us=ENDED_US - 3 * HOUR_US - offset * SECOND_US)
        for each, offset in zip(partitions[:2], (0, 4), strict=True)
    ]
    lines = list(as_table(replace(REPORT, partitions=tuple(short))))
    assert [line for line in lines if line.startswith("NOT COVERED YET")] == [
        "NOT COVERED YET  user/1: not covered since 2026-03-14T07:20:00Z (3 h short of the end of the range)",
        "NOT COVERED YET  user/2: not covered since 2026-03-14T07:19:56Z (3 h short of the end of the range)",
    ]
    just_short = [
        replace(each, complete_until_us=ENDED_US - offset * SECOND_US)
        for each, offset in zip(short, (100, 101), strict=True)
    ]
    lines = list(as_table(replace(REPORT, partitions=tuple(just_short))))
    said = "not covered since 2026-03-14T10:18:19Z (1 min 41 s short of the end of the range)"
    assert [line for line in lines if line.startswith("NOT COVERED YET")] == [
        f"NOT COVERED YET  user/1, user/2: {said}"
    ]


@pytest.mark.parametrize(
    ("gap", "possibly_missing"),
    [
        (GAP, _TWEET_EVENTS),
        (replace(GAP, partition=StreamPartition("like", 1), state="a-state-to-come"), ("like.delete",)),
        (replace(GAP, state="partly-reconciled", remaining=("tweet.drop",)), ("tweet.drop",)),
        (replace(GAP, state="reconciled", remaining=()), ()),
        (replace(GAP, state="withdrawn"), ()),
    ],
)
def test_gap_names_the_event_types_that_may_be_missing(gap: ReportedGap, possibly_missing: tuple[str, ...]) -> None:
    """All of its stream, or those that no batch run has made up for; none where it is closed."""
    assert gap.possibly_missing == possibly_missing
    [line] = [line for line in as_table(_report(replace(COVERAGE, gaps=(gap,)))) if line.startswith("gap  ")]
    assert line.endswith(f"; possibly missing: {', '.join(possibly_missing)}") == bool(possibly_missing)


def test_table_of_very_many_gaps_says_how_many_it_leaves_out() -> None:
    """The count in the verdict is of all of them."""
    lines = list(as_table(_report(replace(COVERAGE, gaps=(GAP,) * 250))))
    assert lines[0].startswith("complete but for 250 gaps: ")
    assert sum(line.startswith("gap  ") for line in lines) == 100
    assert "and 150 more: --output json has them all" in lines


def test_csv_has_a_row_for_each_stream_partition() -> None:
    """Times are RFC 3339, what is not known is empty."""
    never = replace(
        COVERAGE, complete_until_us=None, covered_from_us=None, known_from_us=None, owners=(), has_owner=None, notes=()
    )
    first, second = csv.DictReader(io.StringIO(as_csv(replace(REPORT, partitions=(COVERAGE, never)))))
    assert first == {
        "stream": "tweet",
        "stream_partition": "1",
        "verdict": "complete but for gaps",
        "from": "2026-03-14T09:20:00.000000Z",
        "to": "2026-03-14T10:20:00.000000Z",
        "covered_from": "2026-03-14T08:20:00.000000Z",
        "known_from": "2026-03-14T08:20:00.000000Z",
        "complete_until": "2026-03-14T10:20:01.000000Z",
        "behind_s": "4.0",
        "has_owner": "true",
        "open_gaps": "1",
        "closed_gaps": "1",
        "dead_letters": "2",
        "dead_letters_replayed": "1",
        "events": "7",
        "received": "12",
        "duplicates": "2",
        "control": "1",
        "owners": "connector-0",
        "notes": "a note",
        "gaps": "2026-03-14T09:20:01.000000Z/2026-03-14T09:20:02.000000Z lost replay-refused; "
        "2026-03-14T09:20:01.000000Z/2026-03-14T09:20:02.000000Z reconciled replay-refused",
        "report_verdict": "complete but for gaps",
    }
    assert [second[name] for name in ("complete_until", "behind_s", "covered_from", "owners", "has_owner")] == [""] * 5


@pytest.mark.parametrize("hostile", ["=cmd()", "+1", "-1", "@a"])
def test_csv_runs_nothing_in_a_spreadsheet_and_keeps_its_rows(hostile: str) -> None:
    """Text of others that a spreadsheet would compute begins with an apostrophe, and breaks no line."""
    partition = replace(COVERAGE, notes=(f'{hostile}\n"x",y',))
    text = as_csv(_report(partition))
    assert len(text.splitlines()) == 2
    [row] = csv.DictReader(io.StringIO(text))
    assert row["notes"] == f'\'{hostile}\\n"x",y'


def test_json_has_every_field_of_the_report() -> None:
    """Instants as RFC 3339 text, the rest as it is."""
    said = json.loads(as_json(REPORT))
    assert said["verdict"] == "complete but for gaps"
    assert (said["from"], said["to"]) == ("2026-03-14T09:20:00.000000Z", "2026-03-14T10:20:00.000000Z")
    [partition] = said["partitions"]
    assert partition["behind_s"] == 4.0
    assert [gap["is_open"] for gap in partition["gaps"]] == [True, False]
    assert [len(gap["possibly_missing"]) for gap in partition["gaps"]] == [5, 0]
    assert partition["gaps"][1]["reconciled_by"] == ["run"]
    assert [letter["is_replayed"] for letter in partition["dead_letters"]] == [False, True]
    assert partition["events"] == {"tweet.delete": 5, "tweet.edit": 2}
    assert partition["owners"] == [
        {"owner": "connector-0", "from": "2026-03-14T09:20:00.000000Z", "to": "2026-03-14T10:20:00.000000Z"}
    ]
    assert said["foreign"] == []
    assert said["digest"] == "12" * 32


def test_page_has_every_member_of_the_json_object() -> None:
    """And no other."""
    page = (Path(__file__).parents[3] / "docs/coverage.md").read_text(encoding="utf-8")
    tables = page.partition("## Output for programs")[2].split("Of a stream partition:")
    said = json.loads(as_json(REPORT))
    for table, members in zip(tables, (said, said["partitions"][0]), strict=True):
        cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
        assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(members)
    for name in ("gaps", "dead_letters", "owners"):
        [meaning] = re.findall(rf"^\| `{name}` \| (.+) \|$", page, re.MULTILINE)
        assert set(said["partitions"][0][name][0]) <= set(re.findall(r"`(\w+)`", meaning))
