"""A coverage report that has one of everything."""

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.operations.coverage_report import (
    CoverageReport,
    Ownership,
    PartitionCoverage,
    ReportedDeadLetter,
    ReportedGap,
    Verdict,
)

_H = 3_600 * US_PER_S
START = 1_700_000_000 * US_PER_S
_TWEET = StreamPartition("tweet", 1)
GAP = ReportedGap(
    gap_id="tweet/1/a/b",
    partition=_TWEET,
    start_us=START + 2 * _H,
    end_us=START + 5 * _H,
    state="partly-reconciled",
    cause="outage-too-long",
    detail="longer than X can replay",
    recorded_us=START + 6 * _H,
    reconciled_by=("run-1",),
    remaining=("tweet.withheld",),
)
LETTER = ReportedDeadLetter("ab" * 16, "not-json", "no object", START + _H, 7, is_replayed=False)
FOUND = PartitionCoverage(
    partition=_TWEET,
    verdict=Verdict.GAPS,
    covered_from_us=START - _H,
    known_from_us=START - _H,
    complete_until_us=START + 24 * _H,
    has_owner=True,
    gaps=(GAP,),
    dead_letters=(LETTER,),
    events={"tweet.delete": 5, "tweet.drop": 2},
    received=10,
    duplicates=2,
    control=1,
    owners=(Ownership("pod-0", START, START + _H),),
    notes=("the ledger begins later",),
)
REPORT = CoverageReport(
    start_us=START,
    end_us=START + 24 * _H,
    made_at_us=START + 25 * _H,
    version="1.4.2",
    topic_prefix="x.compliance",
    verdict=Verdict.GAPS,
    partitions=(FOUND,),
    foreign=("x.compliance-gap partition 0 offset 3: ValueError",),
    digest="0123abcd",
)
