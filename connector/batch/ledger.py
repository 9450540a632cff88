"""The ledger of the batch runs: one entry per transaction, with what is published and what a resume needs.

Owns the entry, and what makes a record that is read back a valid one. Must not know how entries are read from or sent
to Kafka, nor what is in the state of a run. Instants are microseconds since 1970.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from connector.errors import OwnCorruptionError
from connector.kafka.topics import MESSAGE_MAX_BYTES
from connector.quoting import QUOTE_LIMIT, shown
from connector.x.batch_api import JobType

EntryDecode = Callable[[bytes], Mapping[str, Any]]
"""Decodes the value of a ledger record. Raises `ValueError` for bytes that are not a record."""
_RUN_ID = re.compile("[0-9A-Za-z-]{1,64}")
_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class BatchLedgerEntry:
    """One transaction of a run.

    `entry` counts from 0 over all runs of a kind; `published` is the number of findings on the bus, `sequence` that of
    the last one. `runner` names host and process, in one printable line; `state` is a JSON object.
    """

    entry: int
    kind: JobType
    run_id: str
    runner: str
    state: str
    published: int
    sequence: int
    written_at_us: int

    def check(self) -> None:
        """Raise `OwnCorruptionError` if no run can have written this."""
        faults = [
            fault
            for fault, is_there in (
                ("the entry number is negative", self.entry < 0),
                ("a count is negative", min(self.published, self.sequence) < 0),
                ("the run id is invalid", _RUN_ID.fullmatch(self.run_id) is None),
                (
                    "the runner is not a short printable text",
                    len(self.runner) > QUOTE_LIMIT or not self.runner.isprintable(),
                ),
                ("the state is not a JSON object", not _is_json_object(self.state)),
            )
            if is_there
        ]
        if faults:
            raise OwnCorruptionError(f"batch ledger {self.kind} entry {self.entry}: {', '.join(faults)}")

    def as_record(self) -> dict[str, Any]:
        """Return the entry as the Avro record of `BatchLedgerEntry.avsc`."""
        return {
            "entry": self.entry,
            "type": self.kind.value,
            "run_id": self.run_id,
            "runner": self.runner,
            "state": self.state,
            "published": self.published,
            "sequence": self.sequence,
            "written_at": self.written_at_us // 1000,
        }


def read_entry(value: bytes | None, kind: JobType, decode: EntryDecode) -> BatchLedgerEntry:
    """Return the entry in a ledger record's value. Raises `OwnCorruptionError` unless it is valid and of `kind`.

    `decode` raises `ValueError` for bytes that are not a record; its other exceptions pass through.
    """
    if value is not None and len(value) > MESSAGE_MAX_BYTES:
        raise OwnCorruptionError(f"batch ledger {kind}: an entry has {len(value)} bytes, more than are ever written")
    try:
        entry = _from_record(decode(value or b""))
    except ValueError as error:
        raise OwnCorruptionError(f"batch ledger {kind}: an entry cannot be read: {shown(str(error))}") from error
    if entry.kind != kind:
        raise OwnCorruptionError(f"batch ledger {kind}: found an entry of {entry.kind} instead")
    entry.check()
    return entry


def _from_record(record: Mapping[str, Any]) -> BatchLedgerEntry:
    """Raise `ValueError` for an unknown type of job."""
    return BatchLedgerEntry(
        entry=record["entry"],
        kind=JobType(record["type"]),
        run_id=record["run_id"],
        runner=record["runner"],
        state=record["state"],
        published=record["published"],
        sequence=record["sequence"],
        written_at_us=record["written_at"] * 1000,
    )


def _is_json_object(text: str) -> bool:
    try:
        _read_object(text)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
    return True
