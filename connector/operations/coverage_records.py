"""Reads the gaps, dead letters and coverage claims for a coverage report from their topics.

Owns how a record becomes one of them. Must not know which of them concern a time range. Instants are microseconds
since 1970.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from connector.coverage.gap import read_gap_record
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.times import parse_ns
from connector.kafka.digests import gap_number
from connector.kafka.ledger import REPLAYED
from connector.kafka.reading import ForeignRecordError, ReadRecord, foreign_records_refused
from connector.operations.accounts import BATCH_STREAMS, TRANSACTION_US
from connector.operations.coverage_report import ReportedDeadLetter, ReportedGap

Decode = Callable[[ReadRecord], Mapping[str, Any]]
_MARK = REPLAYED.encode()
"""The `reason` of a mark: the earlier dead letter of the same origin and id was published as an event."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something read, with the digest of its records."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class GapEvidence(Evidence):
    """A gap by its newest record; `number` is the digest by which the ledger accounts for it."""

    gap: ReportedGap
    number: int


@dataclass(frozen=True, slots=True)
class LetterEvidence(Evidence):
    """A dead letter with its date by Kafka, and the mark of its replay, if any."""

    letter: ReportedDeadLetter
    dated_us: int


def record_digest(record: ReadRecord, headers: Mapping[str, bytes] | None = None) -> bytes:
    """Return a digest of key, value and relevant headers, 32 bytes: only a dead letter has such headers."""
    hashed = blake2b(digest_size=32)
    counted = sorted((headers or {}).items())
    parts = [record.key, *(part for name, value in counted for part in (name.encode(), value))]
    for part in (*parts, record.value):
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()


def read_gaps(records: Iterable[ReadRecord], decode: Decode) -> tuple[list[GapEvidence], list[str]]:
    """Return the gaps by start, and the problem of each record that the connector did not write.

    A gap is never erased, so a record without a value is foreign and leaves it as it was.
    """
    found: dict[bytes, GapEvidence] = {}
    foreign = []
    for record in records:
        try:
            with foreign_records_refused(record):
                found[record.key] = GapEvidence(record_digest(record), *_gap(decode(record), record.key))
        except ForeignRecordError as error:
            foreign.append(str(error))
    return sorted(found.values(), key=lambda each: (each.gap.start_us, each.gap.gap_id)), foreign


def _gap(fields: Mapping[str, Any], key: bytes) -> tuple[ReportedGap, int]:
    """Return a gap, and its digest as a number."""
    read = read_gap_record(fields, key)
    gap = ReportedGap(
        gap_id=read.gap_id,
        partition=_known(StreamPartition(read.stream, read.stream_partition)),
        start_us=read.gap_start * 1000,
        end_us=read.gap_end * 1000,
        state=read.state,
        cause=read.cause,
        detail=read.detail,
        recorded_us=read.recorded_at * 1000,
        reconciled_by=read.reconciled_by or (),
        remaining=read.remaining,
        withdrawn_us=None if read.withdrawn_at is None else read.withdrawn_at * 1000,
        withdrawn_because=read.withdrawn_because,
    )
    return gap, gap_number(read.gap_id, read.gap_start, read.gap_end, read.cause, read.recorded_at)


def read_claims(records: Iterable[ReadRecord], decode: Decode) -> tuple[dict[StreamPartition, int], list[str]]:
    """Return the coverage that the newest record of each stream partition claims, and the foreign ones among these."""
    newest = {record.key: record for record in records}
    claims, foreign = {}, []
    for record in newest.values():
        try:
            with foreign_records_refused(record):
                fields = decode(record)
                partition = _known(StreamPartition(fields["stream"], fields["stream_partition"]))
                if str(partition).encode() != record.key:
                    raise ValueError("the key is not the stream partition")
                claims[partition] = fields["covered_until"] * 1000
        except ForeignRecordError as error:
            foreign.append(str(error))
    return claims, foreign


class DeadLetters:
    """The dead letters of the streams, indexed by the ids in ledger entries."""

    def __init__(self) -> None:
        self.foreign: list[str] = []
        self._letters: defaultdict[tuple[StreamPartition, bytes], deque[LetterEvidence]] = defaultdict(deque)

    def read(self, records: Iterable[ReadRecord]) -> None:
        """Read all records of the topic from an offset on."""
        for record in records:
            try:
                with foreign_records_refused(record):
                    if record.headers["reason"] == _MARK:
                        self._mark(record)
                    elif record.headers["stream"] not in BATCH_STREAMS:
                        self._take(record)
            except ForeignRecordError as error:
                self.foreign.append(str(error))

    def of_entry(self, partition: StreamPartition, ids: Collection[bytes], dated_us: int) -> list[LetterEvidence]:
        """Return the letters of a ledger entry with these ids, by its date, each once.

        Entries must be passed in order: an id may recur, and each occurrence is a separate letter.
        """
        found = []
        for each in ids:
            letters = self._letters.get((partition, each))
            while letters and letters[0].dated_us < dated_us - TRANSACTION_US:
                letters.popleft()
            if letters:
                found.append(letters.popleft())
        return found

    def _take(self, record: ReadRecord) -> None:
        letter = ReportedDeadLetter(
            event_id=record.headers["event-id"].decode(),
            reason=record.headers["reason"].decode(),
            detail=record.headers["detail"].decode(errors="replace"),
            received_us=parse_ns(record.headers["received-at"].decode()) // 1000,
            offset=record.offset,
            is_replayed=False,
        )
        self._letters[_origin(record)].append(
            LetterEvidence(record_digest(record, record.headers), letter, record.timestamp_us)
        )

    def _mark(self, record: ReadRecord) -> None:
        letters = self._letters.get(_origin(record), deque())
        for index, each in enumerate(letters):
            if not each.letter.is_replayed:
                digest = blake2b(each.digest + record_digest(record, record.headers), digest_size=32).digest()
                letters[index] = replace(each, digest=digest, letter=replace(each.letter, is_replayed=True))


def _origin(record: ReadRecord) -> tuple[StreamPartition, bytes]:
    """Return the stream partition and the id of a dead letter, or of the mark of one."""
    headers = record.headers
    partition = StreamPartition(headers["stream"].decode(), int(headers["stream-partition"]))
    return _known(partition), bytes.fromhex(headers["event-id"].decode())


def _known(partition: StreamPartition) -> StreamPartition:
    if partition not in STREAM_PARTITIONS:
        raise ValueError(f"there is no stream partition {partition}")
    return partition
