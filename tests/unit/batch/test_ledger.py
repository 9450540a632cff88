"""The ledger of the batch runs: an entry reads back as itself, and nothing else reads back as one."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.batch.ledger import BatchLedgerEntry, read_entry
from connector.errors import DependencyUnavailableError, NotProvisionedError, OwnCorruptionError
from connector.events.avro import AvroEncoder
from connector.events.schemas import BATCH_LEDGER, LEDGER, AvroSchema
from connector.kafka.ledger_decoding import EntryDecoder
from connector.kafka.topics import MESSAGE_MAX_BYTES
from connector.x.batch_api import JobType
from tests.fakes.x import NOW_US

ENTRY = BatchLedgerEntry(7, JobType.TWEETS, "a1b2c3d4e5f6", "host-0, process 17", '{"a":[1]}', 5, 4, NOW_US)
COUNTS = st.integers(0, 2**63 - 1)


def value_of(written: BatchLedgerEntry, /, **changes: Any) -> bytes:  # noqa: ANN401 - whatever a field may hold
    """Return an entry as a ledger record has it, some fields changed."""
    return AvroEncoder(BATCH_LEDGER, 9).encode(written.as_record() | changes)


def _refuse(schema_id: int) -> dict[str, Any]:
    raise NotProvisionedError(f"schema id {schema_id} is not in the registry")


def _read(value: bytes | None, kind: JobType) -> BatchLedgerEntry:
    return read_entry(value, kind, EntryDecoder(_refuse, BATCH_LEDGER).decode)


@pytest.mark.slow
@given(
    kind=st.sampled_from(JobType),
    run_id=st.from_regex("[0-9A-Za-z-]{1,64}", fullmatch=True),
    runner=st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=300),
    state=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()).map(json.dumps),
    counts=st.tuples(COUNTS, COUNTS, COUNTS),
)
def test_entry_reads_back_as_itself(
    kind: JobType, run_id: str, runner: str, state: str, counts: tuple[int, int, int]
) -> None:
    """Whatever is in it."""
    number, published, sequence = counts
    entry = BatchLedgerEntry(number, kind, run_id, runner, state, published, sequence, NOW_US)
    entry.check()
    assert _read(value_of(entry), kind) == entry


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"entry": -1}, "the entry number is negative"),
        ({"published": -1}, "a count is negative"),
        ({"sequence": -1}, "a count is negative"),
        ({"run_id": ""}, "the run id is invalid"),
        ({"run_id": "../../run"}, "the run id is invalid"),
        ({"run_id": "a" * 65}, "the run id is invalid"),
        ({"runner": "host\n\x1b[2J"}, "the runner is not a short printable text"),
        ({"runner": "x" * 301}, "the runner is not a short printable text"),
        ({"state": ""}, "the state is not a JSON object"),
        ({"state": "[]"}, "the state is not a JSON object"),
        ({"state": '{"a":1'}, "the state is not a JSON object"),
        ({"state": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"}, "the state is not a JSON object"),
        ({"entry": -1, "run_id": ""}, "the entry number is negative, the run id is invalid"),
    ],
)
def test_entry_that_no_run_writes_is_corruption(changes: dict[str, Any], fault: str) -> None:
    """It is foreign or damaged: its texts go into paths, and onto screens."""
    with pytest.raises(OwnCorruptionError, match=rf"^batch ledger tweets entry -?\d: {fault}$"):
        _read(value_of(ENTRY, **changes), JobType.TWEETS)


def test_entry_of_another_kind_is_corruption() -> None:
    """Each has a partition of its own."""
    with pytest.raises(OwnCorruptionError, match="batch ledger users: found an entry of tweets instead"):
        _read(value_of(ENTRY), JobType.USERS)


def test_entry_of_a_kind_that_there_is_not_is_corruption() -> None:
    """What it says of it is shown on one line."""
    with pytest.raises(OwnCorruptionError, match=r"cannot be read: 'li\\x00kes' is not a valid JobType"):
        _read(value_of(ENTRY, type="li\x00kes"), JobType.TWEETS)


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"\0\0\0\0\x09", value_of(ENTRY) + b"\0", b"\1" + value_of(ENTRY)[1:]]
)
def test_value_that_is_no_entry_is_corruption(value: bytes | None) -> None:
    """A tombstone, too: the ledger has none."""
    with pytest.raises(OwnCorruptionError, match="batch ledger tweets: an entry cannot be read"):
        _read(value, JobType.TWEETS)


@pytest.mark.parametrize("cut", range(len(value_of(ENTRY))))
def test_entry_cut_anywhere_is_corruption(cut: int) -> None:
    """It is whole or it is rejected."""
    with pytest.raises(OwnCorruptionError):
        _read(value_of(ENTRY)[:cut], JobType.TWEETS)


@pytest.mark.slow
@given(body=st.binary(max_size=200))
def test_any_bytes_are_an_entry_or_corruption(body: bytes) -> None:
    """No other exception comes out."""
    try:
        _read(b"\0\0\0\0\x09" + body, JobType.TWEETS).check()
    except OwnCorruptionError:
        return


def test_entry_larger_than_any_record_is_corruption() -> None:
    """It is not decoded at all."""
    with pytest.raises(OwnCorruptionError, match=r"an entry has \d+ bytes, more than are ever written"):
        _read(value_of(ENTRY, state=json.dumps({"a": "x" * MESSAGE_MAX_BYTES})), JobType.TWEETS)


def _newer() -> AvroSchema:
    """Return the schema of a later version, with one more field."""
    declared = json.loads(BATCH_LEDGER.text)
    declared["fields"].append({"name": "note", "type": ["null", "string"], "default": None, "doc": "Later."})
    return AvroSchema(BATCH_LEDGER.name, json.dumps(declared), declared)


def test_entry_of_a_later_version_is_read_with_the_schema_it_names() -> None:
    """After a rollback; fields that this version does not know are passed over."""
    newer = _newer()
    value = AvroEncoder(newer, 10).encode(ENTRY.as_record() | {"note": "n" * 40})
    with pytest.raises(OwnCorruptionError):
        _read(value, JobType.TWEETS)
    decode = EntryDecoder({10: newer.parsed}.__getitem__, BATCH_LEDGER).decode
    assert read_entry(value, JobType.TWEETS, decode) == ENTRY
    assert read_entry(value_of(ENTRY), JobType.TWEETS, decode) == ENTRY


def test_registry_that_is_needed_and_away_is_no_corruption() -> None:
    """It is waited for."""

    def be_away(_: int) -> dict[str, Any]:
        raise DependencyUnavailableError("registry does not answer")

    with pytest.raises(DependencyUnavailableError):
        read_entry(value_of(ENTRY)[:-1], JobType.TWEETS, EntryDecoder(be_away, BATCH_LEDGER).decode)


def test_entry_of_the_service_s_ledger_is_corruption() -> None:
    """Neither ledger is taken for the other."""
    record = dict.fromkeys(("entry", "covered_until_before", "covered_until", "covers_to", "received"), 0)
    record |= dict.fromkeys(("published", "duplicate", "dead_lettered", "control", "sequence", "written_at"), 0)
    texts = {"writer_id": "w", "stream": "tweet", "mode": "live", "ids": b""}
    value = AvroEncoder(LEDGER, 1).encode({**record, **texts, "stream_partition": 1})
    with pytest.raises(OwnCorruptionError):
        _read(value, JobType.TWEETS)


def test_written_at_is_in_whole_milliseconds() -> None:
    """Rounded down, as all instants of the connector's."""
    assert _read(value_of(replace(ENTRY, written_at_us=NOW_US + 999)), JobType.TWEETS) == ENTRY
