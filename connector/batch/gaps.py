"""The gap topic, as a run reads and writes it.

A gap is written again only at the end of the topic as it was read, so of two runs that end at once neither undoes the
other's records.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import TopicPartition

from connector.batch.records import BatchRecords
from connector.batch.state import RunState
from connector.coverage.gap import read_gap_record
from connector.coverage.reconciliation import can_reconcile, reconciled
from connector.events.batch import BY_JOB_TYPE
from connector.events.catalog import StreamPartition
from connector.events.schemas import GAP
from connector.events.times import format_us
from connector.kafka.cluster import Cluster
from connector.kafka.reading import ForeignRecordError, TopicReader, entry_decoder, foreign_records_refused
from connector.kafka.registry import RegistryClient
from connector.kafka.topics import TopicNames
from connector.kafka.transaction import Part, Record
from connector.settings import KafkaSettings
from connector.x.batch_api import JobType


@dataclass(frozen=True, slots=True)
class RecordedGap:
    """A gap, by its newest record, and its partition; `first_offset` is that of its first record."""

    partition: int
    first_offset: int
    gap: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps on the topic, and its end before they were read, by partition."""

    gaps: Sequence[RecordedGap]
    ends: Mapping[int, int]

    def open_for(self, kind: JobType) -> list[RecordedGap]:
        """Return those that a run of this type can make up for, at least in part."""
        return [each for each in self.gaps if can_reconcile(each.gap, BY_JOB_TYPE[kind])]

    def closed_by(self, state: RunState, checked_from_us: int) -> list[RecordedGap]:
        """Return those that a run makes up for that is done, has no result in doubt, and covers all held ids.

        They were recorded before the run read its ids, and all of its jobs, the earliest of them at `checked_from_us`,
        were created after their end.
        """
        return [
            each
            for each in self.open_for(state.kind)
            if each.first_offset < state.gaps_end.get(each.partition, 0)
            and each.gap["gap_end"] * 1000 <= checked_from_us
        ]


class GapTopic:
    """Every method raises the errors of Kafka and the registry."""

    def __init__(self, settings: KafkaSettings, registry: RegistryClient) -> None:
        self._settings = settings
        self._topic = TopicNames(settings.topic_prefix).gap
        self._decode = entry_decoder(registry, self._topic, GAP)

    def ends(self) -> dict[int, int]:
        """Return the ends of the topic, by partition."""
        cluster = Cluster(self._settings)
        count = cluster.count_partitions([self._topic]).get(self._topic, 0)
        ends = cluster.ends([TopicPartition(self._topic, number) for number in range(count)])
        return {number or 0: end for (_, number), end in ends.items()}

    def read(self) -> Gaps:
        """Return the gaps. Foreign records are ignored, and no record erases a gap."""
        ends = self.ends()
        found: dict[tuple[int, bytes], RecordedGap] = {}
        with TopicReader(self._settings, [self._topic]) as reader:
            for record in reader.to_end():
                key = record.partition, record.key
                try:
                    with foreign_records_refused(record):
                        gap = self._decode(record.value)
                        read_gap_record(gap, record.key)
                except ForeignRecordError:
                    continue
                first = found[key].first_offset if key in found else record.offset
                found[key] = RecordedGap(record.partition, first, gap)
        return Gaps(list(found.values()), ends)


def reconciling_parts(gaps: Gaps, closed: Sequence[RecordedGap], state: RunState, records: BatchRecords) -> list[Part]:
    """Return the parts of a transaction that record a run's reconciliations, each in the place that was read."""
    by_partition: defaultdict[int, list[Record]] = defaultdict(list)
    for each in closed:
        by_partition[each.partition].append(records.gap(_reconciled(each, state), each.partition))
    return [
        Part(StreamPartition("gap", number + 1), written[:-1], written[-1], gaps.ends[number] + len(written) - 1)
        for number, written in by_partition.items()
    ]


def _reconciled(each: RecordedGap, state: RunState) -> dict[str, Any]:
    return reconciled(each.gap, BY_JOB_TYPE[state.kind], state.run_id)


def outcome(each: RecordedGap, state: RunState) -> str:
    """Return what a run has made of a gap, as text: which one it is, and the event types that remain."""
    remaining = ", ".join(_reconciled(each, state)["remaining"])
    if not remaining:
        return f"reconciled: gap of {described(each)}"
    return f"partly reconciled: gap of {described(each)}; remaining: {remaining}"


def described(each: RecordedGap) -> str:
    """Return the identity of a gap, as text."""
    gap = each.gap
    start, end = (format_us(gap[name] * 1000) for name in ("gap_start", "gap_end"))
    return f"{gap['stream']}/{gap['stream_partition']} from {start} to {end}"
