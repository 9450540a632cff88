"""Reads ledger records: entries of this version, and those of other versions by the schema that they name.

Owns what a valid record is. Must not know where records are read from.
"""

from collections.abc import Callable, Mapping
from typing import Any

from connector import __version__
from connector.coverage.recovery import Recovery
from connector.errors import NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroDecoder, split_prefix
from connector.events.catalog import StreamPartition
from connector.events.identity import ID_BYTES
from connector.events.schemas import LEDGER, AvroSchema
from connector.kafka.ledger import Counts, LedgerEntry, Mode, RecordSet
from connector.quoting import shown

_DECODER = AvroDecoder(LEDGER.parsed)


def decode_shipped(value: bytes) -> Mapping[str, Any]:
    """Return a ledger record, decoded with the shipped schema. Raises `ValueError` for bytes that do not fit it."""
    _, body = split_prefix(value)
    return _DECODER.decode(body)


class EntryDecoder:
    """Decodes ledger records with the shipped schema, or else with the schema that they name.

    So a restore needs the registry only for entries of another version of the connector. None of those fits the shipped
    schema by chance: schemas grow only at their end (ADR 27). `writer_schema` asks the registry for the schema of an
    id; `shipped` is another schema for another ledger.
    """

    def __init__(self, writer_schema: Callable[[int], Mapping[str, Any]], shipped: AvroSchema = LEDGER) -> None:
        self._writer_schema = writer_schema
        self._shipped = shipped.parsed
        self._decoder = AvroDecoder(shipped.parsed)
        self._others: dict[int, AvroDecoder] = {}

    def decode(self, value: bytes) -> Mapping[str, Any]:
        """Return the record.

        Raises `ValueError` for bytes that are not a record, `DependencyUnavailableError` if the registry is needed and
        does not answer.
        """
        schema_id, body = split_prefix(value)
        try:
            return self._decoder.decode(body)
        except ValueError:
            return self._look_up(schema_id).decode(body)

    def _look_up(self, schema_id: int) -> AvroDecoder:
        if schema_id not in self._others:
            try:
                written = self._writer_schema(schema_id)
            except NotProvisionedError as error:
                raise ValueError(str(error)) from error
            self._others[schema_id] = AvroDecoder(written, self._shipped)
        return self._others[schema_id]


def read_entry(
    value: bytes | None, partition: StreamPartition, decode: Callable[[bytes], Mapping[str, Any]]
) -> LedgerEntry:
    """Return the entry in a ledger record's value. Raises `OwnCorruptionError` unless it is whole and sound."""
    try:
        entry = _from_record(decode(value or b""))
    except ValueError as error:
        raise OwnCorruptionError(f"ledger {partition}: an entry cannot be read: {error}") from error
    if entry.partition != partition:
        raise OwnCorruptionError(f"ledger {partition}: found an entry of {entry.partition} instead")
    entry.check()
    return entry


def _from_record(record: Mapping[str, Any]) -> LedgerEntry:
    """Raise `ValueError` for values that no writer writes."""
    ids, slice_start, slice_end = record["ids"], record["slice_start"], record["slice_end"]
    if len(ids) % ID_BYTES:
        raise ValueError("ids are cut off")
    if (slice_start is None) != (slice_end is None):
        raise ValueError("a slice has one end")
    return LedgerEntry(
        entry=record["entry"],
        writer_id=record["writer_id"],
        partition=StreamPartition(record["stream"], record["stream_partition"]),
        covered_until_before_us=record["covered_until_before"],
        covered_until_us=record["covered_until"],
        covers_to_us=record["covers_to"],
        counts=Counts(
            record["received"],
            record["published"],
            record["duplicate"],
            record["dead_lettered"],
            record["control"],
        ),
        sequence=record["sequence"],
        mode=_mode(record["mode"]),
        slice_us=None if slice_start is None else (slice_start, slice_end),
        ids=ids,
        oldest_offset=record["oldest_offset"],
        written_at_us=record["written_at"] * 1000,
        recovery=_recovery(record["recovery"]),
        records=None
        if record["records"] is None
        else {each["kind"]: RecordSet(each["count"], each["digest"]) for each in record["records"]},
        previous=record["previous"],
        owner=record["owner"],
    )


def _mode(word: str) -> Mode:
    """Return the mode of an entry. A later version uses a new mode if no earlier one may continue from the entry."""
    try:
        return Mode(word)
    except ValueError:
        raise ValueError(
            f"its mode is {shown(word)}, which version {__version__} does not know: another version wrote it; "
            "run that one, and do not reset this ledger"
        ) from None


def _recovery(text: str | None) -> Recovery:
    try:
        return Recovery.from_text(text)
    except ValueError as error:
        raise ValueError(f"{error}; it is damaged, or another version than {__version__} wrote it") from error
