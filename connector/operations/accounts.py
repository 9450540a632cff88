"""The identity of an event or a dead letter that is read back: its stream partition and its id."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.ledger import REPLAYED
from connector.kafka.reading import ReadRecord, foreign_records_refused

TRANSACTION_US = 60 * US_PER_S
"""Records of a transaction are dated this close to its ledger entry: no transaction stays open for longer."""

BATCH_STREAMS = frozenset(batch_type.name.encode() for batch_type in BATCH_TYPES)
"""The header `stream` of dead letters of batch runs."""


class Account(NamedTuple):
    """A record of `partition` with an id of 16 bytes; `sequence` is None for a dead letter."""

    partition: StreamPartition
    id: bytes
    sequence: int | None


def account_of(
    record: ReadRecord, decode: Callable[[ReadRecord], Mapping[str, Any]], *, is_dead_letter: bool
) -> Account | None:
    """Return the account of a record.

    None for a dead letter of a batch run, which belongs to no stream partition, and for the mark of a replayed one,
    whose event accounts for itself. Raises `ForeignRecordError`.
    """
    if is_dead_letter and (record.headers.get("stream") in BATCH_STREAMS or is_mark(record)):
        return None
    with foreign_records_refused(record):
        account = _dead_letter(record.headers) if is_dead_letter else _event(decode(record))
        if account.partition not in STREAM_PARTITIONS:
            raise ValueError(f"there is no stream partition {account.partition}")
    return account


def is_mark(record: ReadRecord) -> bool:
    """Return whether a record of the dead-letter topic marks a dead letter as replayed.

    Raises `ForeignRecordError`.
    """
    return record.headers.get("reason") == REPLAYED.encode()


def _event(event: Mapping[str, Any]) -> Account:
    partition = StreamPartition(event["stream"], event["stream_partition"])
    return Account(partition, bytes.fromhex(event["event_id"]), event["sequence"])


def _dead_letter(headers: Mapping[str, bytes]) -> Account:
    partition = StreamPartition(headers["stream"].decode(), int(headers["stream-partition"]))
    return Account(partition, bytes.fromhex(headers["event-id"].decode()), None)
