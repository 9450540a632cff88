"""Reads parts of the ledger topic: the oldest and the newest entries of a stream partition, and those of a time range.

Owns where reading begins and ends. Must not know how the entries are used. Instants are microseconds since 1970.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from connector.errors import NotProvisionedError, OwnCorruptionError
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.clients import ClientProperties, OwnsConsumer, make, reader_config
from connector.kafka.cluster import Cluster
from connector.kafka.ledger import LedgerEntry
from connector.kafka.ledger_decoding import read_entry
from connector.kafka.reading import SILENCE_S, ReadRecord, as_record, is_end, is_of_use, silent, take, unavailable
from connector.kafka.topics import LEDGER_PARTITIONS, TopicNames
from connector.settings import KafkaSettings

_TIMEOUT_S = 10.0
_FIRST_STEP_BACK = 16
_NO_WAIT = {"fetch.wait.max.ms": 10}
"""Kafka reports the end of a log after this wait for more, and each reading here meets one."""
_EARLIER_US = 10 * 60 * US_PER_S
"""An entry is rarely dated this long before the time that it covers: brokers and X have different clocks."""


class Bounds(NamedTuple):
    """The offset from which a ledger partition is kept, and that of its next record."""

    begin: int
    end: int


class LedgerLog(OwnsConsumer):
    """The committed entries of all stream partitions, inside a `with`.

    No entry may be from long after both its date and `now_us`. Making one and every method raise
    `DependencyUnavailableError` if Kafka does not answer, and `NotProvisionedError` if the topic or a right on it is
    missing.
    """

    def __init__(self, settings: KafkaSettings, decode: Callable[[bytes], Mapping[str, Any]], now_us: int) -> None:
        self._topic = TopicNames(settings.topic_prefix).ledger
        self._decode = decode
        self._now_us = now_us
        self._cluster = Cluster(settings)
        if self._cluster.count_partitions([self._topic]).get(self._topic, 0) < LEDGER_PARTITIONS:
            raise NotProvisionedError(f"missing: {self._topic}; create with: connector provision")
        self._consumer = make(Consumer, ClientProperties(reader_config(settings) | _NO_WAIT))

    def bounds(self, partitions: Collection[StreamPartition]) -> dict[StreamPartition, Bounds]:
        """Return the present bounds of the ledgers, including open transactions."""
        places = {partition: TopicPartition(self._topic, partition.ledger_partition) for partition in partitions}
        begins, ends = self._cluster.begins(places.values()), self._cluster.ends(places.values())
        return {
            partition: Bounds(begins[self._topic, place.partition], ends[self._topic, place.partition])
            for partition, place in places.items()
        }

    def oldest(self, partition: StreamPartition, bounds: Bounds, count: int) -> list[ReadRecord]:
        """Return the first `count` records within `bounds`, or fewer if there are no more."""
        return list(islice(self.read(partition, bounds.begin, bounds.end), count))

    def newest(self, partition: StreamPartition, bounds: Bounds) -> ReadRecord | None:
        """Return the last record within `bounds`, None if there is none."""
        start, step = bounds.end, _FIRST_STEP_BACK
        while start > bounds.begin:
            start = max(bounds.begin, bounds.end - step)
            step *= 2
            if found := list(self.read(partition, start, bounds.end)):
                return found[-1]
        return None

    def find(self, partition: StreamPartition, bounds: Bounds, covered_us: int) -> ReadRecord | None:
        """Return the record within `bounds` from which to read for coverage after `covered_us`.

        It begins at or before that, or is the oldest one; None if there is none. Dates only decide where the search
        begins, so no clock of a broker can hide an entry.
        """
        start, step = self._dated(partition, bounds, covered_us - _EARLIER_US), _FIRST_STEP_BACK
        while True:
            found = next(self.read(partition, start, bounds.end), None)
            if start <= bounds.begin or (found is not None and self._begins_before(found, partition, covered_us)):
                return found
            start = max(bounds.begin, start - step)
            step *= 2

    def before(self, partition: StreamPartition, bounds: Bounds, sequence: int) -> LedgerEntry | None:
        """Return the last entry within `bounds` whose events all come before `sequence`, None if there is none.

        Raises `OwnCorruptionError` for an entry that cannot be trusted.
        """
        low, high, found = bounds.begin, bounds.end, None
        while low < high:
            middle = (low + high) // 2
            record = next(self.read(partition, middle, bounds.end), None)
            entry = None if record is None else self.entry(record, partition)
            if record is not None and entry is not None and entry.sequence < sequence:
                low, found = record.offset + 1, entry
            else:
                high = middle
        return found

    def read(self, partition: StreamPartition, start: int, end: int) -> Iterator[ReadRecord]:
        """Yield the records from offset `start` to `end`, excluded, waiting for open transactions there.

        Only one range is read at a time: the next call ends the previous one.
        """
        if start >= end:
            return
        number = partition.ledger_partition
        self._consumer.assign([TopicPartition(self._topic, number, start)])
        deadline = time.monotonic() + SILENCE_S
        while True:
            for message in filter(is_of_use, take(self._consumer)):
                offset = message.offset() or 0
                if offset >= end:
                    return
                if not is_end(message):
                    yield as_record(message)
                    deadline = time.monotonic() + SILENCE_S
            if time.monotonic() > deadline:
                raise silent(self._topic, number)

    def entry(self, record: ReadRecord, partition: StreamPartition) -> LedgerEntry:
        """Return the entry in a record. Raises `OwnCorruptionError` unless it is whole, sound and plausible."""
        try:
            entry = read_entry(record.value, partition, self._decode)
            entry.check_plausible(max(record.timestamp_us, self._now_us))
        except OwnCorruptionError as error:
            raise OwnCorruptionError(f"{record.place}: {error}") from error
        return entry

    def _dated(self, partition: StreamPartition, bounds: Bounds, dated_us: int) -> int:
        """Return the offset of the first record within `bounds` with that date or a later one."""
        wanted = TopicPartition(self._topic, partition.ledger_partition, max(0, dated_us) // 1000)
        try:
            [found] = self._consumer.offsets_for_times([wanted], timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise unavailable(error) from error
        return min(max(found.offset, bounds.begin), bounds.end) if found.offset >= 0 else bounds.end

    def _begins_before(self, record: ReadRecord, partition: StreamPartition, covered_us: int) -> bool:
        try:
            return self.entry(record, partition).covered_until_before_us <= covered_us
        except OwnCorruptionError:
            return False
