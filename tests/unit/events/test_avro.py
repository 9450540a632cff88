"""Avro on the wire: what is written reads back in fastavro and in Apache's own library; rubbish does not."""

import io
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.avro import AvroDecoder, AvroEncoder, EventEncoder, split_prefix, without_logical_types
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES
from connector.events.decode import Event, decode
from connector.events.schemas import LEDGER, AvroSchema, batch_schema, event_schema
from tests.fakes.bodies import SAMPLES, Sample, fields_of

_SCHEMA_ID = 0x01020304


def _record(sample: Sample) -> tuple[Event, dict[str, Any]]:
    event = decode(sample.stream, sample.line)
    assert isinstance(event, Event)
    common = {
        "event_id": event.id.hex(),
        "event_type": event.type.name,
        "event_at": event.event_at_ns // 1_000_000,
        "received_at": 0,
        "stream": sample.stream,
        "stream_partition": 1,
        "sequence": 2**40,
        "delivered_by": "stream",
    }
    return event, common | fields_of(event)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_encoded_event_is_read_back_by_fastavro_and_apache_avro(sample: Sample) -> None:
    """Behind the prefix stands the record, whole, for each type."""
    event, record = _record(sample)
    schema = event_schema(event.type)
    value = AvroEncoder(schema, _SCHEMA_ID).encode(record)
    assert value[:5] == b"\x00\x01\x02\x03\x04"
    schema_id, body = split_prefix(value)
    assert schema_id == _SCHEMA_ID
    plain = without_logical_types(schema.parsed)
    assert fastavro.schemaless_reader(io.BytesIO(body), plain, None) == record
    assert AvroDecoder(schema.parsed).decode(body) == record
    apache = avro.io.DatumReader(avro.schema.parse(schema.text)).read(avro.io.BinaryDecoder(io.BytesIO(body)))
    assert isinstance(apache, dict)
    assert apache.pop("event_at").timestamp() * 1000 == record.pop("event_at")
    assert apache.pop("received_at").timestamp() == record.pop("received_at")
    assert apache == record


@pytest.mark.parametrize("wrong", [{"tweet_id": None}, {"tweet_id": 1}, {"event_at": "soon"}, {"sequence": 2**63}])
def test_record_that_does_not_fit_its_schema_is_not_encoded(wrong: dict[str, Any]) -> None:
    """The encoder objects, so that nothing unreadable is published."""
    event, record = _record(SAMPLES[0])
    with pytest.raises((TypeError, ValueError, OverflowError, AttributeError)):
        AvroEncoder(event_schema(event.type), 1).encode(record | wrong)


@pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x01body", b"{}"])
def test_value_without_prefix_is_not_split(value: bytes) -> None:
    """Another magic byte, or too few bytes."""
    with pytest.raises(ValueError, match="wire format"):
        split_prefix(value)


def _ledger_body() -> bytes:
    record = dict.fromkeys(("entry", "covered_until_before", "covered_until", "covers_to", "received"), 0)
    record |= dict.fromkeys(("published", "duplicate", "dead_lettered", "control", "sequence", "written_at"), 0)
    texts = {"writer_id": "w", "stream": "tweet", "mode": "live", "ids": b"i" * 16}
    return AvroEncoder(LEDGER, 1).encode({**record, **texts, "stream_partition": 1})[5:]


def test_plain_record_holds_times_as_integers_beyond_any_calendar() -> None:
    """No instant fails to be read for being absurd."""
    event, record = _record(SAMPLES[0])
    schema = event_schema(event.type)
    body = AvroEncoder(schema, 1).encode(record | {"event_at": 2**62})[5:]
    assert AvroDecoder(schema.parsed).decode(body)["event_at"] == 2**62


@pytest.mark.parametrize("cut", range(len(_ledger_body())))
def test_plain_record_cut_anywhere_is_rejected(cut: int) -> None:
    """A record is whole or it is rejected."""
    with pytest.raises(ValueError, match="LedgerEntry"):
        AvroDecoder(LEDGER.parsed).decode(_ledger_body()[:cut])


def test_plain_record_with_bytes_left_over_is_rejected() -> None:
    """A record stands alone."""
    with pytest.raises(ValueError, match="left over"):
        AvroDecoder(LEDGER.parsed).decode(_ledger_body() + b"\x00")


@given(body=st.binary(max_size=80))
def test_plain_record_of_any_bytes_is_read_or_raises_value_error(body: bytes) -> None:
    """No other exception comes out."""
    try:
        assert "entry" in AvroDecoder(LEDGER.parsed).decode(body)
    except ValueError:
        return


_LONGS = st.integers(-(2**63), 2**63 - 1)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def _values(avro_type: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - an Avro type is text, a list or an object
    match avro_type:
        case "string":
            return _TEXTS
        case "int":
            return st.integers(1, 4)
        case "long" | {"type": "long"}:
            return _LONGS
        case ["null", other]:
            return st.none() | _values(other)
        case {"type": "array", "items": items}:
            return st.lists(_values(items))
    raise AssertionError(avro_type)


def _records(schema: AvroSchema) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({field["name"]: _values(field["type"]) for field in schema.parsed["fields"]})


@pytest.mark.slow
@pytest.mark.parametrize(
    "schema", [*map(event_schema, EVENT_TYPES), *map(batch_schema, BATCH_TYPES)], ids=lambda schema: schema.name
)
@given(data=st.data())
def test_event_encoder_of_any_record_writes_the_bytes_of_fastavro(schema: AvroSchema, data: st.DataObject) -> None:
    """Whatever the values are, and whichever fields are constants: none, some, or all."""
    record = data.draw(_records(schema))
    constants = {name: record[name] for name in data.draw(st.sets(st.sampled_from(sorted(record))))}
    names = [field["name"] for field in schema.parsed["fields"]]
    values = [record[name] for name in names if name not in constants]
    written = EventEncoder(schema, _SCHEMA_ID, constants).encode(values)
    assert written == AvroEncoder(schema, _SCHEMA_ID).encode(record)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tweet_id": None},
        {"tweet_id": 1},
        {"tweet_id": b"1"},
        {"tweet_id": "\ud800"},
        {"quote_tweet_id": 1},
        {"event_at": "soon"},
        {"event_at": 0.5},
        {"sequence": 2**63},
        {"sequence": -(2**63) - 1},
        {"sequence": None},
    ],
)
def test_event_encoder_of_a_record_that_does_not_fit_raises(wrong: dict[str, Any]) -> None:
    """What fastavro objects to, or turns into what it is not, is not written."""
    event, record = _record(SAMPLES[0])
    with pytest.raises((TypeError, OverflowError, AttributeError, UnicodeError)):
        EventEncoder(event_schema(event.type), _SCHEMA_ID, {}).encode([*(record | wrong).values()])


def test_event_encoder_of_too_few_values_raises() -> None:
    """Values are distinguished by their place alone, so none can be left out."""
    event, record = _record(SAMPLES[0])
    with pytest.raises(TypeError, match="not enough"):
        EventEncoder(event_schema(event.type), _SCHEMA_ID, {}).encode([*record.values()][:-1])


@pytest.mark.parametrize("schema_id", [0x25, 0x25252525])
def test_event_encoder_of_a_schema_id_that_is_text_writes_that_id(schema_id: int) -> None:
    """An id may have the bytes of a percent sign."""
    event, record = _record(SAMPLES[0])
    value = EventEncoder(event_schema(event.type), schema_id, {"event_type": "%b"}).encode(
        [value for name, value in record.items() if name != "event_type"]
    )
    assert split_prefix(value)[0] == schema_id


@pytest.mark.parametrize("bits", range(64))
def test_event_encoder_of_integers_around_each_power_of_two_writes_the_bytes_of_fastavro(bits: int) -> None:
    """Where a number takes one more byte, and where the lowest of them are written apart."""
    event, record = _record(SAMPLES[0])
    schema = event_schema(event.type)
    for value in (2**bits - 2, 2**bits - 1, 1 - 2**bits, -(2**bits)):
        changed = record | {"sequence": value, "tweet_id": "9" * (value % 1000)}
        assert EventEncoder(schema, 1, {}).encode([*changed.values()]) == AvroEncoder(schema, 1).encode(changed)


def test_event_encoder_of_a_schema_with_other_types_is_refused() -> None:
    """A type that events do not have is noticed when the encoder is made, not with the first event."""
    schema = AvroSchema("Odd", "", {"fields": [{"name": "odd", "type": "double"}]})
    with pytest.raises(TypeError, match="double"):
        EventEncoder(schema, _SCHEMA_ID, {})
