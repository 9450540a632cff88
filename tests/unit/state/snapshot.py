"""What a version of the connector keeps in Kafka: its schemas, the words that it must know, and sample records.

`python -m tests.unit.state.snapshot` writes that of this version to `released/MINOR.json`; `make release` does so.
Later versions are held against it: they must read it, and it must be able to read what they write (docs/adr/0027).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from connector import __version__
from connector.batch.ids import IdSource
from connector.batch.ledger import BatchLedgerEntry
from connector.coverage.gap import GapState, Suspicion
from connector.coverage.recovery import Range, Recovery, Refetch
from connector.events.avro import AvroEncoder
from connector.events.catalog import StreamPartition
from connector.events.identity import pack_ids
from connector.events.schemas import BATCH_LEDGER, BATCH_RUN, COVERAGE, GAP, LEDGER, AvroSchema
from connector.kafka.ledger import OWN_KINDS, Counts, LedgerEntry, Mode, RecordSet, first_entry
from connector.x.batch_api import JobType

FOLDER = Path(__file__).with_name("released")
SCHEMAS = {schema.name: schema for schema in (LEDGER, COVERAGE, GAP, BATCH_LEDGER, BATCH_RUN)}
"""Those of the connector's own topics, by their full name."""
MUST_BE_KNOWN = {
    "mode of a ledger entry": frozenset(Mode),
    "suspicion of a refetch": frozenset(Suspicion),
    "type of a batch run": frozenset(JobType),
    "source of a batch run": frozenset(IdSource),
}
"""Words that a version refuses when it does not know them."""
PARTITION = StreamPartition("user", 3)
_NOW_US = 1_800_000_000_000_000
_MINUTE_US = 60_000_000
_ENTRY = LedgerEntry(
    entry=8,
    writer_id="5d0c1b",
    partition=PARTITION,
    covered_until_before_us=_NOW_US - _MINUTE_US,
    covered_until_us=_NOW_US,
    covers_to_us=_NOW_US + 1,
    counts=Counts(received=9, published=2, duplicate=3, dead_lettered=1, control=3),
    sequence=42,
    mode=Mode.LIVE,
    slice_us=None,
    ids=pack_ids(bytes([number]) * 16 for number in range(3)),
    oldest_offset=17,
    written_at_us=_NOW_US,
    records={
        kind: RecordSet(count, bytes(range(32)))
        for kind, count in {"user.suspend": 2, **dict.fromkeys(sorted(OWN_KINDS), 1)}.items()
    },
    previous=bytes(range(32, 64)),
    owner="connector-0",
)
_RECOVERY = Recovery(
    refetch=Refetch(_NOW_US - _MINUTE_US, _NOW_US, Suspicion.REPLAY_INCOMPLETE),
    slice_us=_MINUTE_US,
    tries=2,
    trying_since_us=_NOW_US,
    lost_in_row=1,
    last_slice=Range(_NOW_US - 2 * _MINUTE_US, _NOW_US - _MINUTE_US),
    is_last_refetched=True,
    settled_us=_NOW_US,
    settled_at_us=_NOW_US,
    distrusts_replay=True,
    distrusts_backfill=True,
    lateness_us=7,
    lateness_lately_us=8,
    lateness_since_us=_NOW_US,
)


def ledger_entries() -> dict[str, LedgerEntry]:
    """Return ledger entries of every mode, the first one of a ledger, and one with all that recovery can learn."""
    quiet = Counts()
    return {
        "first": first_entry(PARTITION, "5d0c1b", _NOW_US),
        "live": _ENTRY,
        "replay": _changed(mode=Mode.REPLAY, slice_us=(_NOW_US - _MINUTE_US, _NOW_US), recovery=_RECOVERY),
        "disconnected": _changed(mode=Mode.DISCONNECTED, counts=quiet, ids=b"", oldest_offset=None, records={}),
        "reset": _changed(entry=0, mode=Mode.RESET, counts=quiet, records={}, previous=None),
    }


def gaps() -> dict[str, dict[str, Any]]:
    """Return the fields of gap records: of every state."""
    gap = {
        "gap_id": "user/3/1799999940000",
        "stream": "user",
        "stream_partition": 3,
        "gap_start": 1_799_999_940_000,
        "gap_end": 1_800_000_000_000,
        "cause": "replay-incomplete",
        "detail": "X's replay left out events that it had delivered before.",
        "recorded_at": 1_800_000_000_000,
        "reconciled_by": None,
        "remaining": None,
        "withdrawn_at": None,
        "withdrawn_because": None,
    }
    more: Mapping[GapState, dict[str, Any]] = {
        GapState.PARTLY_RECONCILED: {"reconciled_by": ["a1b2c3d4e5f6"], "remaining": ["user.scrub-geo"]},
        GapState.RECONCILED: {"reconciled_by": ["a1b2c3d4e5f6"], "remaining": []},
        GapState.WITHDRAWN: {"withdrawn_at": 1_800_000_060_000, "withdrawn_because": "The clock was wrong."},
    }
    return {state.value: {**gap, "state": state.value, **more.get(state, {})} for state in GapState}


def batch_entry() -> BatchLedgerEntry:
    """Return an entry of the batch ledger."""
    state = (
        '{"run_id":"a1b2c3d4e5f6","kind":"tweets","source":"s","started_us":1,"duplicates":0,"invalid":0,"shards":[]}'
    )
    return BatchLedgerEntry(7, JobType.TWEETS, "a1b2c3d4e5f6", "host-0/17", state, 5, 4, _NOW_US)


def _changed(**changes: Any) -> LedgerEntry:  # noqa: ANN401 - fields of the entry
    return replace(_ENTRY, **changes)


def _records() -> Iterator[tuple[str, AvroSchema, Mapping[str, Any]]]:
    """Yield name, schema and fields of each sample."""
    for name, entry in ledger_entries().items():
        yield f"ledger: {name}", LEDGER, entry.as_record()
    for name, fields in gaps().items():
        yield f"gap: {name}", GAP, fields
    yield "batch ledger", BATCH_LEDGER, batch_entry().as_record()
    coverage = {"stream": "user", "stream_partition": 3, "sequence": 42, "mode": "live"}
    instants = dict.fromkeys(("covered_until", "written_at"), 1_800_000_000_000)
    yield "coverage", COVERAGE, {**coverage, **instants}
    run: dict[str, Any] = {
        "run_id": "a1b2c3d4e5f6",
        "type": "tweets",
        "source": "topic",
        "state": "done",
        "covers_all": True,
    }
    counts = [{"action": "delete", "reason": "deleted", "count": 2}]
    numbers = ("ids", "clean", "rejected", "unclear", "shards", "first_sequence", "last_sequence", "dead_letters")
    run |= {"started_at": 1_800_000_000_000, "counts": counts}
    yield "batch run", BATCH_RUN, {**run, **dict.fromkeys(numbers, 1)}


def snapshot() -> dict[str, Any]:
    """Return what this version keeps, as JSON has it."""
    return {
        "schemas": {name: json.loads(schema.text) for name, schema in SCHEMAS.items()},
        "must_be_known": {what: sorted(words) for what, words in MUST_BE_KNOWN.items()},
        "records": {
            name: {"schema": schema.name, "value": AvroEncoder(schema, 1).encode(fields).hex()}
            for name, schema, fields in _records()
        },
    }


def minor(version: str) -> str:
    """Return the minor version of a version: 0.1 of 0.1.3."""
    return version.rpartition(".")[0]


def write(folder: Path, version: str) -> None:
    """Write what this code keeps as that of a version. Ends the process where a patch version would change it."""
    text = json.dumps(snapshot(), indent=1, ensure_ascii=False) + "\n"
    path = folder / f"{minor(version)}.json"
    if path.exists() and not version.endswith(".0") and path.read_text(encoding="utf-8") != text:
        raise SystemExit(f"what is kept in Kafka has changed since {minor(version)}.0: release a minor version")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(FOLDER, __version__)
