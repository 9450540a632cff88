"""The report in words, as CSV and as JSON: the verdict first, nothing left out, and nothing a spreadsheet would run."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from connector.operations.coverage_forms import as_csv, as_json, as_table, duration_words
from connector.operations.coverage_report import CoverageReport, PartitionCoverage, Verdict
from tests.unit.operations.coverage_values import BEGAN_US, COVERAGE, ENDED_US, GAP, HOUR_US, REPORT, SECOND_US

_DAY_US = 24 * HOUR_US


def _report(partition: PartitionCoverage) -> CoverageReport:
    return replace(REPORT, verdict=partition.verdict, partitions=(partition,))


@pytest.mark.parametrize(
    ("duration_us", "words"),
    [
        (-5, "0 s"),
        (999_999, "0 s"),
        (59 * SECOND_US, "59 s"),
        (60 * SECOND_US, "1 min"),
        (125 * SECOND_US, "2 min 5 s"),
        (2 * HOUR_US + 185 * SECOND_US, "2 h 3 min"),
        (2 * HOUR_US + 5 * SECOND_US, "2 h"),
        (3 * _DAY_US + 4 * HOUR_US + 60 * SECOND_US, "3 d 4 h"),
    ],
)
def test_duration_is_given_in_its_two_greatest_units(duration_us: int, words: str) -> None:
    """A unit of which there is none is left out."""
    assert duration_words(duration_us) == words


def test_table_says_it_all_for_people() -> None:
    """The verdict in all comes first, and the last lines say how to check it again."""
    range_ = "2026-03-14T09:20:00.000000Z", "2026-03-14T10:20:00.000000Z"
    assert list(as_table(REPORT)) == [
        f"complete but for 1 gap: x.compliance from {range_[0]} to {range_[1]}",
        "",
        "partition  verdict                 complete until        behind  events  dead letters  owner",
        "tweet/1    complete but for 1 gap  2026-03-14T10:20:01Z  4 s     7       2             connector-0",
        "tweet/1: a note",
        (
            "gap  tweet/1  2026-03-14T09:20:01.000000Z  2026-03-14T09:20:02.000000Z"
            "  lost  replay-refused: X refused to replay this range"
        ),
        (
            "gap  tweet/1  2026-03-14T09:20:01.000000Z  2026-03-14T09:20:02.000000Z"
            "  reconciled  replay-refused: X refused to replay this range; reconciled by run"
        ),
        "2 DEAD LETTERS: each may be a delete that nobody acts on",
        f"dead letter  tweet/1  2026-03-14T09:20:04.000000Z  {'0a' * 16}  unknown-type: entity_archive",
        (
            f"dead letter  tweet/1  2026-03-14T09:20:04.000000Z  {'0b' * 16}"
            "  unknown-type: entity_archive; published since"
        ),
        "",
        f"digest {'12' * 32}, connector 0.1.0",
        f"again: connector coverage --from {range_[0]} --to {range_[1]}",
    ]


def test_table_says_loudly_what_is_not_covered() -> None:
    """How far a stream partition is behind the range, or the present if that is earlier; whether it has an owner."""
    behind = replace(COVERAGE, verdict=Verdict.NOT_YET, complete_until_us=ENDED_US - 2 * HOUR_US, has_owner=False)
    assert "NOT YET  tweet/1: behind by 2 h; no owner" in list(as_table(_report(behind)))
    future = replace(_report(replace(behind, has_owner=True)), end_us=ENDED_US + 9 * _DAY_US)
    assert "NOT YET  tweet/1: behind by 2 h" in list(as_table(future))
    never = replace(behind, complete_until_us=None, covered_from_us=None, known_from_us=None)
    assert "NOT YET  tweet/1: no coverage; no owner" in list(as_table(_report(never)))
    later = replace(COVERAGE, verdict=Verdict.BEGINS_LATER, known_from_us=BEGAN_US + 1)
    assert "BEGINS LATER  tweet/1: what was before 2026-03-14T09:20:00.000001Z cannot be shown" in list(
        as_table(_report(later))
    )


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
        "verdict": "complete but for 1 gap",
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
