"""Owns what the tests of the coverage report are made of: entries, gaps, dead letters and reports with every field."""

from dataclasses import replace
from typing import Any

from connector.events.catalog import StreamPartition
from connector.events.identity import pack_ids
from connector.kafka.ledger import Counts, LedgerEntry, Mode, RecordSet
from connector.operations.coverage_report import (
    CoverageReport,
    Ownership,
    PartitionCoverage,
    ReportedDeadLetter,
    ReportedGap,
    Verdict,
)

PARTITION = StreamPartition("tweet", 1)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
BEGAN_US = 1_773_480_000 * SECOND_US
ENDED_US = BEGAN_US + HOUR_US
GAP = ReportedGap(
    gap_id="tweet/1/a/b",
    partition=PARTITION,
    start_us=BEGAN_US + SECOND_US,
    end_us=BEGAN_US + 2 * SECOND_US,
    state="lost",
    cause="replay-refused",
    detail="X refused to replay this range",
    recorded_us=BEGAN_US + 3 * SECOND_US,
    reconciled_by=(),
    remaining=None,
)
LETTER = ReportedDeadLetter(
    event_id="0a" * 16,
    reason="unknown-type",
    detail="entity_archive",
    received_us=BEGAN_US + 4 * SECOND_US,
    offset=7,
    is_replayed=False,
)
COVERAGE = PartitionCoverage(
    partition=PARTITION,
    verdict=Verdict.GAPS,
    covered_from_us=BEGAN_US - HOUR_US,
    known_from_us=BEGAN_US - HOUR_US,
    complete_until_us=ENDED_US + SECOND_US,
    has_owner=True,
    gaps=(GAP, replace(GAP, gap_id="tweet/1/c/d", state="reconciled", reconciled_by=("run",), remaining=())),
    dead_letters=(LETTER, replace(LETTER, event_id="0b" * 16, is_replayed=True)),
    events={"tweet.delete": 5, "tweet.edit": 2},
    received=12,
    duplicates=2,
    control=1,
    owners=(Ownership("connector-0", BEGAN_US, ENDED_US),),
    notes=("a note",),
)
REPORT = CoverageReport(
    start_us=BEGAN_US,
    end_us=ENDED_US,
    made_at_us=ENDED_US + 5 * SECOND_US,
    version="1.4.2",
    topic_prefix="x.compliance",
    verdict=Verdict.GAPS,
    partitions=(COVERAGE,),
    foreign=(),
    digest="12" * 32,
)


def entry(number: int, before_us: int, until_us: int, **changes: Any) -> LedgerEntry:  # noqa: ANN401 - any field
    """Return an entry of `PARTITION` that moves coverage so, and counts nothing."""
    made = LedgerEntry(
        entry=number,
        writer_id="w",
        partition=PARTITION,
        covered_until_before_us=before_us,
        covered_until_us=until_us,
        covers_to_us=until_us,
        counts=Counts(),
        sequence=0,
        mode=Mode.LIVE,
        slice_us=None,
        ids=b"",
        oldest_offset=None,
        written_at_us=until_us,
    )
    return replace(made, **changes)


def full_entry(number: int, before_us: int, until_us: int) -> LedgerEntry:
    """Return an entry with three events, a dead letter, two duplicates and a system message, by `connector-0`."""
    kinds = {"tweet.delete": 2, "tweet.edit": 1, "dead-letter": 1, "coverage": 1, "gap": 1, "replayed": 1}
    return entry(
        number,
        before_us,
        until_us,
        counts=Counts(received=7, published=3, duplicate=2, dead_lettered=1, control=1),
        ids=pack_ids(bytes([each]) * 16 for each in range(4)),
        records={kind: RecordSet(count, b"") for kind, count in kinds.items()},
        owner="connector-0",
    )
