"""What people and programs are shown of an audit."""

import json

import pytest

from connector.events.catalog import StreamPartition
from connector.operations.audit import AuditRange, Figures, PartitionAudit
from connector.operations.audit_report import AuditReport, PartitionReport, as_json, lines, partition_report

_PARTITION = StreamPartition("tweet", 1)
_HOUR_US = 3600 * 1_000_000
_FIGURES = Figures(entries=3, events=40, dead_letters=1, first=(7, 0), covered_until_us=_HOUR_US, head=b"\xab" * 32)


def _report(findings: tuple[str, ...] = (), foreign: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> AuditReport:
    return AuditReport(0, _HOUR_US, (PartitionReport(_PARTITION, _FIGURES, findings, notes),), foreign)


def test_sound_report_says_so_first() -> None:
    """With the range that was audited, then one line a stream partition."""
    first, second = lines(_report())
    assert first == "1970-01-01T00:00:00.000000Z to 1970-01-01T01:00:00.000000Z (Kafka's clock): sound"
    assert second.split() == ["tweet/1", "3", "entries", "40", "events", "1", "dead", "letter", "sound"]


def test_findings_and_notes_have_a_line_each() -> None:
    """Below their stream partition; a note is no finding."""
    first, _, finding, note = lines(_report(("torn",), notes=("cut",)))
    assert (first.endswith(": not sound: 1 finding"), finding.strip(), note.strip()) == (True, "torn", "note: cut")


def test_table_shows_the_first_findings_and_counts_the_others() -> None:
    """A topic that was deleted makes one for each ledger entry; JSON has them all."""
    findings = tuple(f"torn {number}" for number in range(1021))
    head, _, *shown, more = lines(_report(findings))
    assert head.endswith(": not sound: 1,021 findings")
    assert [line.strip() for line in shown] == list(findings[:20])
    assert more.strip() == "and 1,001 more: --output json has all"
    assert [*lines(_report(findings[:20]))][-1].strip() == "torn 19"
    assert json.loads(next(iter(as_json(_report(findings)))))["partitions"][0]["findings"] == list(findings)


@pytest.mark.parametrize(("findings", "foreign"), [(("torn",), ()), ((), ("t partition 0 offset 1: junk",))])
def test_one_finding_or_foreign_record_is_enough(findings: tuple[str, ...], foreign: tuple[str, ...]) -> None:
    """Nothing that is not ours may be there."""
    assert _report().is_sound
    assert not _report(findings, foreign).is_sound


def test_json_has_everything() -> None:
    """For programs; the digest of the newest entry covers all before it."""
    [text] = as_json(_report(("torn",), ("foreign",), ("cut",)))
    assert json.loads(text) == {
        "from": "1970-01-01T00:00:00.000000Z",
        "to": "1970-01-01T01:00:00.000000Z",
        "sound": False,
        "foreign_records": ["foreign"],
        "partitions": [
            {
                "partition": "tweet/1",
                "verdict": "not sound",
                "entries": 3,
                "entries_without_digests": 0,
                "events": 40,
                "dead_letters": 1,
                "covered_until": "1970-01-01T01:00:00.000000Z",
                "ledger_digest": "ab" * 32,
                "findings": ["torn"],
                "notes": ["cut"],
            }
        ],
    }


def test_partition_without_entries_is_not_called_sound() -> None:
    """There is nothing that an audit could rest on."""
    audit = PartitionAudit(_PARTITION, AuditRange())
    [_, line] = lines(AuditReport(0, 1, (partition_report(audit, 0),), ()))
    assert line.endswith("nothing to audit")


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (Figures(first=(7, _HOUR_US)), "the first entry of the range is entry 7 of 1970-01-01T01:00:00.000000Z"),
        (Figures(before_ledger=2), "2 events older than what the ledger still holds"),
        (Figures(entries_by_id=3), "3 entries without digests of their records"),
        (Figures(unchecked=4), "4 records no longer kept"),
        (Figures(unknown=5), "5 records of kinds that this version does not know: not audited"),
        (Figures(unaccounted=1), "1 event accounted for by no entry, since the ledger was reset"),
    ],
)
def test_what_could_not_be_audited_is_said(figures: Figures, expected: str) -> None:
    """It is neither sound nor a finding."""
    audit = PartitionAudit(_PARTITION, AuditRange())
    audit.figures = figures
    [note] = partition_report(audit, 0).notes
    assert note.startswith(expected)
