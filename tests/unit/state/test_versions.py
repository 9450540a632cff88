"""State across versions: what a released one wrote is read today, and what is written today a released one can read."""

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connector.batch.bus_ledger import unfinished
from connector.batch.ledger import read_entry as read_batch_entry
from connector.coverage.gap import CLOSED, read_gap_record
from connector.coverage.recovery import Recovery
from connector.errors import NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroDecoder, AvroEncoder, split_prefix
from connector.events.catalog import EVENT_TYPES
from connector.events.schemas import BATCH_LEDGER, GAP, LEDGER, AvroSchema
from connector.kafka.ledger import OWN_KINDS, LedgerEntry, RecordSet, is_event
from connector.kafka.ledger_decoding import EntryDecoder, read_entry
from connector.x.batch_api import JobType
from tests.unit.state.snapshot import (
    FOLDER,
    MUST_BE_KNOWN,
    PARTITION,
    SCHEMAS,
    batch_entry,
    gaps,
    ledger_entries,
    write,
)

_READ_BUT_NOT_WRITTEN = frozenset[str]()
"""Words of `MUST_BE_KNOWN` that this version reads, and that only the next minor version may write (ADR 27)."""
_RELEASED = sorted(FOLDER.glob("*.json"), key=lambda path: tuple(map(int, path.stem.split("."))))
_ENTRIES = ledger_entries()
_GAPS = gaps()
by_version = pytest.mark.parametrize("path", _RELEASED, ids=lambda path: path.stem)


def _kept(path: Path) -> dict[str, Any]:
    snapshot: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return snapshot


def _value(path: Path, name: str) -> bytes:
    return bytes.fromhex(_kept(path)["records"][name]["value"])


def _decode(path: Path, schema: AvroSchema) -> Callable[[bytes], Mapping[str, Any]]:
    """Return what decodes a record of a released version as the connector does: only that version's schema is known."""
    return EntryDecoder({1: _kept(path)["schemas"][schema.name]}.__getitem__, schema).decode


def _later(schema: AvroSchema) -> AvroSchema:
    """Return the schema of a later version, whose records have one more field."""
    declared = json.loads(schema.text)
    declared["fields"].append({"name": "added_later", "type": ["string", "null"], "default": "later"})
    return AvroSchema(schema.name, json.dumps(declared), declared)


def _decode_later(schema: AvroSchema) -> Callable[[bytes], Mapping[str, Any]]:
    return EntryDecoder({9: _later(schema).parsed}.__getitem__, schema).decode


def _refuse(schema_id: int) -> dict[str, Any]:
    raise NotProvisionedError(f"schema id {schema_id} is not in the registry")


def _read(entry: LedgerEntry, **changes: Any) -> LedgerEntry:  # noqa: ANN401 - fields of the record
    value = AvroEncoder(LEDGER, 1).encode(entry.as_record() | changes)
    return read_entry(value, PARTITION, EntryDecoder(_refuse).decode)


def test_there_is_a_released_version() -> None:
    """Or the tests below would compare with nothing."""
    assert _RELEASED


@by_version
@pytest.mark.parametrize("name", _ENTRIES)
def test_ledger_entry_of_a_released_version_is_read(path: Path, name: str) -> None:
    """From its very bytes, in every mode, with all that recovery knew."""
    entry = read_entry(_value(path, f"ledger: {name}"), PARTITION, _decode(path, LEDGER))
    assert entry == _ENTRIES[name]


@by_version
@pytest.mark.parametrize("name", _GAPS)
def test_gap_of_a_released_version_is_read(path: Path, name: str) -> None:
    """In every state."""
    fields = _decode(path, GAP)(_value(path, f"gap: {name}"))
    record = read_gap_record(fields, _GAPS[name]["gap_id"].encode())
    assert (record.state, record.gap_start, record.cause) == (name, 1_799_999_940_000, "replay-incomplete")


@by_version
def test_batch_ledger_entry_of_a_released_version_is_read(path: Path) -> None:
    """With the state of its run."""
    entry = read_batch_entry(_value(path, "batch ledger"), JobType.TWEETS, _decode(path, BATCH_LEDGER))
    assert entry == batch_entry()
    state = unfinished(entry)
    assert state is not None
    assert state.run_id == entry.run_id


@by_version
@pytest.mark.parametrize("name", ["coverage", "batch run"])
def test_public_record_of_a_released_version_has_every_field(path: Path, name: str) -> None:
    """What a reader of this version needs is in it, or has a default."""
    kept = _kept(path)["records"][name]
    written, read = _kept(path)["schemas"][kept["schema"]], SCHEMAS[kept["schema"]].parsed
    _, body = split_prefix(_value(path, name))
    assert AvroDecoder(written, read).decode(body).keys() == {field["name"] for field in read["fields"]}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_grows_only_at_its_end_by_fields_with_a_default(name: str) -> None:
    """So a record of another version never fits by chance: it is longer or shorter than what the schema describes."""
    versions = [
        *(_kept(path)["schemas"][name]["fields"] for path in _RELEASED),
        json.loads(SCHEMAS[name].text)["fields"],
    ]
    for older, newer in pairwise(versions):
        assert [_shape(field) for field in newer[: len(older)]] == [_shape(field) for field in older]
        assert all("default" in field for field in newer[len(older) :])


def _shape(declared: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
    """Return a schema without its docs."""
    if isinstance(declared, dict):
        return {name: _shape(value) for name, value in declared.items() if name != "doc"}
    return [_shape(each) for each in declared] if isinstance(declared, list) else declared


def test_words_that_must_be_known_are_known_to_the_version_before() -> None:
    """A new one is read for one minor version before it is written: add it to `_READ_BUT_NOT_WRITTEN`."""
    released = _kept(_RELEASED[-1])["must_be_known"]
    assert {what: words - set(released[what]) - _READ_BUT_NOT_WRITTEN for what, words in MUST_BE_KNOWN.items()} == (
        dict.fromkeys(MUST_BE_KNOWN, frozenset())
    )


def test_patch_version_keeps_state_as_it_is(tmp_path: Path) -> None:
    """It writes what the minor version wrote, or is not released."""
    write(tmp_path, "0.7.0")
    write(tmp_path, "0.7.1")
    (tmp_path / "0.7.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="release a minor version"):
        write(tmp_path, "0.7.2")
    write(tmp_path, "0.7.0")


@pytest.mark.parametrize("name", _ENTRIES)
def test_ledger_entry_with_a_field_of_a_later_version_is_read(name: str) -> None:
    """The field is passed over."""
    value = AvroEncoder(_later(LEDGER), 9).encode(_ENTRIES[name].as_record())
    assert b"later" in value
    assert read_entry(value, PARTITION, _decode_later(LEDGER)) == _ENTRIES[name]


@pytest.mark.parametrize("name", _GAPS)
def test_gap_with_a_field_of_a_later_version_is_read(name: str) -> None:
    """The field is passed over; so it is by a reader that is given it."""
    value, key = AvroEncoder(_later(GAP), 9).encode(_GAPS[name]), _GAPS[name]["gap_id"].encode()
    expected = read_gap_record(_GAPS[name], key)
    assert read_gap_record(_decode_later(GAP)(value), key) == expected
    assert read_gap_record({**_GAPS[name], "added_later": "later"}, key) == expected


def test_batch_ledger_entry_with_fields_of_a_later_version_is_read() -> None:
    """In the entry and in the state of the run."""
    state = batch_entry().state.removesuffix("}") + ',"added_later":{"a":1}}'
    value = AvroEncoder(_later(BATCH_LEDGER), 9).encode(batch_entry().as_record() | {"state": state})
    entry = read_batch_entry(value, JobType.TWEETS, _decode_later(BATCH_LEDGER))
    assert unfinished(entry) == unfinished(batch_entry())


def test_recovery_with_a_member_of_a_later_version_is_read() -> None:
    """The member is passed over, as deep as it may be."""
    refetch = '{"start_us":1,"end_us":2,"suspicion":"coverage-held-back","added_later":1}'
    text = f'{{"tries":2,"refetch":{refetch},"added_later":[]}}'
    recovery = Recovery.from_text(text)
    assert recovery.tries == 2
    assert recovery.refetch is not None
    assert recovery.refetch.end_us == 2


@pytest.mark.parametrize("kind", ["promise", "tweet.promote"])
def test_records_of_kinds_that_a_later_version_writes_are_taken_for_what_they_are(kind: str) -> None:
    """Of an own topic or of an event topic: the name shows it, and the counts must agree with it."""
    entry, count = _ENTRIES["live"], 1
    records = [*entry.as_record()["records"], {"kind": kind, "count": count, "digest": bytes(32)}]
    if is_event(kind):
        with pytest.raises(OwnCorruptionError, match="records and counts differ"):
            _read(entry, records=records)
        records[0]["count"] -= count
    read = _read(entry, records=records)
    assert read.records is not None
    assert read.records[kind] == RecordSet(count, bytes(32))


def test_kinds_of_today_are_distinguished_by_their_names() -> None:
    """As those of any version."""
    assert all(is_event(event_type.name) for event_type in EVENT_TYPES)
    assert not any(map(is_event, OWN_KINDS))


def test_mode_of_a_later_version_is_refused_and_says_why() -> None:
    """It marks what this version must not go on from; nothing is guessed."""
    with pytest.raises(OwnCorruptionError, match=r"paused, which version .* does not know: another version wrote it"):
        _read(_ENTRIES["live"], mode="paused")


def test_suspicion_of_a_later_version_is_refused() -> None:
    """It would become the cause of a gap."""
    with pytest.raises(
        OwnCorruptionError, match=r"Invalid enum value 'replay-doubled' .*; it is damaged, or another version"
    ):
        _read(_ENTRIES["live"], recovery='{"refetch":{"start_us":1,"end_us":2,"suspicion":"replay-doubled"}}')


def test_gap_in_a_state_of_a_later_version_is_open() -> None:
    """So nothing that may be missing is taken for made up."""
    key = _GAPS["lost"]["gap_id"].encode()
    assert read_gap_record({**_GAPS["lost"], "state": "disputed"}, key).state not in CLOSED
