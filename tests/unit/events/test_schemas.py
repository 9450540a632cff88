"""The schema files say exactly what the catalog and the contract say."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest

from connector.events.catalog import EVENT_TYPES, EventType, Field, Kind
from connector.events.schemas import COVERAGE, GAP, LEDGER, AvroSchema, event_schema

_FOLDER = Path(__file__).parents[3] / "schemas"
_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_TYPES = {
    Kind.ID: "string",
    Kind.TEXT: "string",
    Kind.IDS: {"type": "array", "items": "string"},
    Kind.TEXTS: {"type": "array", "items": "string"},
}
_FIRST_FIELDS = [
    ("event_id", "string"),
    ("event_type", "string"),
    ("event_at", _MILLIS),
    ("received_at", _MILLIS),
    ("stream", "string"),
    ("stream_partition", "int"),
    ("sequence", "long"),
    ("delivered_by", "string"),
]
_ALL = [*map(event_schema, EVENT_TYPES), COVERAGE, GAP, LEDGER]
_INSTANT = datetime(2022, 6, 27, 23, 49, 41, 839_000, tzinfo=UTC)
_EXAMPLES: dict[str, Any] = {"string": "é", "int": 2**31 - 1, "long": -(2**63), "bytes": b"\x00\xff"}

by_schema = pytest.mark.parametrize("schema", _ALL, ids=lambda schema: schema.name)
by_event_type = pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)


def _fields(schema: AvroSchema) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = json.loads(schema.text)["fields"]
    return fields


def _names_and_types(schema: AvroSchema) -> list[tuple[str, Any]]:
    return [(field["name"], field["type"]) for field in _fields(schema)]


def _expected(field: Field) -> tuple[str, Any]:
    plain = _TYPES[field.kind]
    return field.name, plain if field.required else ["null", plain]


def _example(avro_type: Any) -> Any:  # noqa: ANN401 - whatever the type holds
    if isinstance(avro_type, list):
        return _example(avro_type[1])
    if isinstance(avro_type, dict):
        return [_example(avro_type["items"])] if avro_type["type"] == "array" else _INSTANT
    return _EXAMPLES[avro_type]


def test_schema_files_are_one_for_each_record() -> None:
    """There is no file without a use, and none missing."""
    stems = {path.stem for path in _FOLDER.iterdir()}
    assert stems == {event_type.schema for event_type in EVENT_TYPES} | {"Coverage", "Gap", "LedgerEntry"}


@by_event_type
def test_event_schema_fields_are_those_of_the_catalog(event_type: EventType) -> None:
    """Names, types and order: the common fields, then the catalog's, then unknown_fields."""
    assert _names_and_types(event_schema(event_type)) == [
        *_FIRST_FIELDS,
        *map(_expected, event_type.fields),
        ("unknown_fields", ["null", "string"]),
    ]


@by_event_type
def test_event_schema_name_is_that_of_the_catalog(event_type: EventType) -> None:
    """The record is called what its file and the catalog call it, in the namespace of the first version."""
    assert event_schema(event_type).name == f"x.compliance.v1.{event_type.schema}"


@by_event_type
def test_event_schema_docs_name_their_event_and_stream(event_type: EventType) -> None:
    """The docs that state constants state the right ones."""
    docs = {field["name"]: field["doc"] for field in _fields(event_schema(event_type))}
    assert docs["event_type"] == f"Always {event_type.name}."
    assert docs["stream"].endswith(f"always {event_type.stream}.")
    assert docs["stream_partition"].startswith("Partition") == (event_type.stream in {"tweet", "user"})


@by_schema
def test_schema_has_a_doc_on_record_and_every_field(schema: AvroSchema) -> None:
    """Whoever reads a schema alone can tell what it holds."""
    docs = [json.loads(schema.text)["doc"], *(field.get("doc", "") for field in _fields(schema))]
    assert all(doc[:1].strip() and doc.endswith(".") for doc in docs)


@by_schema
def test_schema_optional_fields_default_to_null(schema: AvroSchema) -> None:
    """A union is null and one type, null first, default null; nothing else has a default."""
    for field in _fields(schema):
        optional = isinstance(field["type"], list)
        assert optional == ("default" in field)
        if optional:
            assert field["type"][0] == "null"
            assert len(field["type"]) == 2
            assert field["default"] is None


@by_schema
def test_schema_text_is_the_whole_file(schema: AvroSchema) -> None:
    """What is registered is what is in the repository, docs and logical types included."""
    path = _FOLDER / f"{schema.name.rpartition('.')[2]}.avsc"
    assert json.loads(schema.text) == json.loads(path.read_text(encoding="utf-8"))


@by_schema
@pytest.mark.parametrize("is_full", [True, False], ids=["all fields", "optional fields null"])
def test_record_written_by_fastavro_is_read_by_apache_avro(schema: AvroSchema, is_full: bool) -> None:  # noqa: FBT001 - parametrized
    """Both libraries accept the schema, and Apache's reads what ours wrote."""
    optional = {field["name"] for field in _fields(schema) if "default" in field}
    record = {
        name: None if name in optional and not is_full else _example(avro_type)
        for name, avro_type in _names_and_types(schema)
    }
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema.parsed, record)
    buffer.seek(0)
    apache = avro.schema.parse(schema.text)
    assert avro.io.DatumReader(apache).read(avro.io.BinaryDecoder(buffer)) == record
    assert buffer.read() == b""


def test_coverage_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order."""
    assert _names_and_types(COVERAGE) == [
        ("stream", "string"),
        ("stream_partition", "int"),
        ("covered_until", _MILLIS),
        ("sequence", "long"),
        ("mode", "string"),
        ("written_at", _MILLIS),
    ]


def test_gap_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order."""
    assert _names_and_types(GAP) == [
        ("gap_id", "string"),
        ("stream", "string"),
        ("stream_partition", "int"),
        ("gap_start", _MILLIS),
        ("gap_end", _MILLIS),
        ("state", "string"),
        ("cause", "string"),
        ("detail", "string"),
        ("recorded_at", _MILLIS),
    ]


def test_ledger_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order; the three times of coverage to the microsecond."""
    assert _names_and_types(LEDGER) == [
        ("entry", "long"),
        ("writer_id", "string"),
        ("stream", "string"),
        ("stream_partition", "int"),
        ("covered_until_before", _MICROS),
        ("covered_until", _MICROS),
        ("covers_to", _MICROS),
        *((count, "long") for count in ("received", "published", "duplicate", "dead_lettered", "control")),
        ("sequence", "long"),
        ("mode", "string"),
        ("slice_start", ["null", _MICROS]),
        ("slice_end", ["null", _MICROS]),
        ("ids", "bytes"),
        ("oldest_offset", ["null", "long"]),
        ("written_at", _MILLIS),
        ("recovery", ["null", "string"]),
    ]
