"""Records of the coverage topic: how far each stream partition is complete. Pure.

Instants are microseconds since 1970.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.ledger import is_plausible
from connector.kafka.reading import ReadRecord
from connector.quoting import shown

SILENT_US = 60 * US_PER_S
"""A stream partition without a record for longer has no owner, as in the contract."""
LATE_US = 4 * 60 * US_PER_S
"""Coverage that is further behind needs attention, as in the objective."""
_LATE_WITHOUT_X_US = 2 * 60 * US_PER_S
"""The same for a stream partition that is not connected."""
AHEAD_US = 5 * 60 * US_PER_S
"""A record that is further ahead of a clock was dated by a wrong one."""
_DISCONNECTED = "disconnected"
_US_PER_MS = 1000


class _Record(msgspec.Struct, frozen=True):
    """The fields of a record that are read here; instants are milliseconds since 1970."""

    stream: str
    stream_partition: int
    covered_until: int
    mode: str
    written_at: int


@dataclass(frozen=True, slots=True)
class Covered:
    """The newest coverage record of a stream partition.

    `since_us` is the coverage of its oldest kept record: coverage begins there or earlier. `dated_us` is Kafka's
    timestamp of the record, None if unknown.
    """

    partition: StreamPartition
    covered_until_us: int
    mode: str
    written_at_us: int
    since_us: int | None = None
    dated_us: int | None = None

    def behind_us(self, now_us: int) -> int:
        """Return how far coverage is behind, 0 if it is not."""
        return max(0, now_us - self.covered_until_us)

    def is_late(self, now_us: int) -> bool:
        """Return whether it is behind by more than 4 minutes, or by 2 and not connected."""
        return self.behind_us(now_us) > (_LATE_WITHOUT_X_US if self.mode == _DISCONNECTED else LATE_US)

    def ahead_us(self, now_us: int) -> int:
        """Return how far its instants are ahead of `now_us` or of Kafka's timestamp, 0 if they are not."""
        earliest_us = now_us if self.dated_us is None else min(now_us, self.dated_us)
        return max(0, max(self.covered_until_us, self.written_at_us) - earliest_us)

    def is_ahead(self, now_us: int) -> bool:
        """Return whether it is ahead by more than 5 minutes: then its instants prove nothing."""
        return self.ahead_us(now_us) > AHEAD_US

    def is_silent(self, now_us: int) -> bool:
        """Return whether the newest record is so old that no replica can own the stream partition."""
        return now_us - self.written_at_us > SILENT_US


def read_covered(fields: Mapping[str, Any], record: ReadRecord) -> Covered | None:
    """Return the coverage in the fields of a record, None for an unknown stream partition.

    Raises `ValueError` if it is no record of coverage, has another key, or has an instant that no clock can have
    shown.
    """
    read = msgspec.convert(fields, _Record)
    partition = StreamPartition(read.stream, read.stream_partition)
    if str(partition).encode() != record.key:
        raise ValueError("the key is not the stream partition")
    if partition not in STREAM_PARTITIONS:
        return None
    covered_us, written_us = read.covered_until * _US_PER_MS, read.written_at * _US_PER_MS
    if not is_plausible(max(covered_us, written_us), record.timestamp_us):
        raise ValueError(f"an instant is {format_us(max(covered_us, written_us))}, which no clock shows")
    return Covered(partition, covered_us, shown(read.mode), written_us, dated_us=record.timestamp_us)
