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

from connector.events.batch import BATCH_TYPES, BatchType
from connector.events.catalog import EVENT_TYPES, EventType, Field, Kind
from connector.events.schemas import (
    BATCH_LEDGER,
    BATCH_RUN,
    COVERAGE,
    GAP,
    LEDGER,
    AvroSchema,
    batch_schema,
    event_schema,
)

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
_TEXTS_OR_NULL = ["null", {"type": "array", "items": "string"}]
_OWN = [COVERAGE, GAP, LEDGER, BATCH_RUN, BATCH_LEDGER]
_ALL = [*map(event_schema, EVENT_TYPES), *map(batch_schema, BATCH_TYPES), *_OWN]
_INSTANT = datetime(2022, 6, 27, 23, 49, 41, 839_000, tzinfo=UTC)
_EXAMPLES: dict[str, Any] = {
    "string": "é",
    "int": 2**31 - 1,
    "long": -(2**63),
    "bytes": b"\x00\xff",
    "boolean": True,
}

by_schema = pytest.mark.parametrize("schema", _ALL, ids=lambda schema: schema.name)
by_event_type = pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)
by_batch_type = pytest.mark.parametrize("batch_type", BATCH_TYPES, ids=lambda batch_type: batch_type.name)


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
    match avro_type:
        case {"type": "array", "items": items}:
            return [_example(items)]
        case {"type": "record", "fields": fields}:
            return {field["name"]: _example(field["type"]) for field in fields}
        case {"type": "long"}:
            return _INSTANT
    return _EXAMPLES[avro_type]


def _parts(schema: AvroSchema) -> list[dict[str, Any]]:
    """Return the records of a schema, those within it too, and all their fields."""
    within = [
        field["type"]["items"]
        for field in _fields(schema)
        if isinstance(field["type"], dict) and isinstance(field["type"].get("items"), dict)
    ]
    return [
        json.loads(schema.text),
        *_fields(schema),
        *within,
        *(field for record in within for field in record["fields"]),
    ]


def test_schema_files_are_one_for_each_record() -> None:
    """There is no file without a use, and none missing."""
    stems = {path.stem for path in _FOLDER.iterdir()}
    assert stems == {schema.name.rpartition(".")[2] for schema in _ALL}
    assert {"Coverage", "Gap", "LedgerEntry", "BatchRun", "BatchLedgerEntry"} <= stems


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
    """A schema alone says what it holds."""
    docs = [part.get("doc", "") for part in _parts(schema)]
    assert all(doc[:1].strip() and doc.endswith(".") for doc in docs)


@by_schema
def test_schema_optional_fields_default_to_null(schema: AvroSchema) -> None:
    """A union is null and one type, null first, default null; nothing else has a default."""
    for field in [part for part in _parts(schema) if part["type"] != "record"]:
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


@by_batch_type
def test_batch_schema_fields_are_those_of_the_contract(batch_type: BatchType) -> None:
    """Names, types and order: what says where it comes from, the id, and what X answers about it."""
    assert _names_and_types(batch_schema(batch_type)) == [
        ("event_id", "string"),
        ("event_type", "string"),
        ("received_at", _MILLIS),
        ("checked_at", _MILLIS),
        ("run_id", "string"),
        ("job_id", "string"),
        ("sequence", "long"),
        (batch_type.id_field, "string"),
        ("action", "string"),
        ("reason", ["null", "string"]),
        ("created_at", ["null", _MILLIS]),
        ("redacted_at", ["null", _MILLIS]),
        ("unknown_fields", ["null", "string"]),
    ]


@by_batch_type
def test_batch_schema_names_its_type(batch_type: BatchType) -> None:
    """The record is called what its file is called, and its docs state the right constant."""
    schema = batch_schema(batch_type)
    assert schema.name == f"x.compliance.v1.{batch_type.schema}"
    docs = {field["name"]: field["doc"] for field in _fields(schema)}
    assert docs["event_type"] == f"Always {batch_type.name}."


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
        ("reconciled_by", _TEXTS_OR_NULL),
        ("remaining", _TEXTS_OR_NULL),
        ("withdrawn_at", ["null", _MILLIS]),
        ("withdrawn_because", ["null", "string"]),
    ]


def test_ledger_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order; the three times of coverage to the microsecond."""
    types = dict(_names_and_types(LEDGER))
    [_, sets] = types.pop("records")
    assert list(types.items()) == [
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
        ("previous", ["null", "bytes"]),
        ("owner", ["null", "string"]),
    ]
    record_set = [(field["name"], field["type"]) for field in sets["items"]["fields"]]
    assert record_set == [("kind", "string"), ("count", "long"), ("digest", "bytes")]


def test_batch_run_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order; the counts are the only records within a record."""
    types = dict(_names_and_types(BATCH_RUN))
    counts = types.pop("counts")
    assert list(types.items()) == [
        ("run_id", "string"),
        ("type", "string"),
        ("source", "string"),
        ("state", "string"),
        ("started_at", _MILLIS),
        ("finished_at", ["null", _MILLIS]),
        *((count, "long") for count in ("ids", "clean", "rejected", "unclear", "shards")),
        ("checked_from", ["null", _MILLIS]),
        ("covers_all", "boolean"),
        *((count, "long") for count in ("first_sequence", "last_sequence", "dead_letters")),
    ]
    assert [(field["name"], field["type"]) for field in counts["items"]["fields"]] == [
        ("action", "string"),
        ("reason", ["null", "string"]),
        ("count", "long"),
    ]


def test_batch_ledger_schema_fields_are_those_of_the_contract() -> None:
    """Names, types and order."""
    assert _names_and_types(BATCH_LEDGER) == [
        ("entry", "long"),
        ("type", "string"),
        ("run_id", "string"),
        ("runner", "string"),
        ("state", "string"),
        ("published", "long"),
        ("sequence", "long"),
        ("written_at", _MILLIS),
    ]
