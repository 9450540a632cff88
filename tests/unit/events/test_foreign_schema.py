"""Which writer's schemas are followed: ours and what may become of them, and none that makes much of few bytes."""

from typing import Any

import pytest

from connector.events.foreign_schema import MOST_LEVELS, check_decodable
from connector.events.schemas import AvroSchema
from connector.kafka.topics import TopicNames

_EMPTY = {"type": "record", "name": "Empty", "fields": []}


def _record(*types: Any) -> dict[str, Any]:  # noqa: ANN401 - an Avro type is any JSON
    fields = [{"name": f"field{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": "Node", "fields": fields}


def _nested(levels: int) -> dict[str, Any]:
    """Return a schema with `levels` levels, the record and its strings among them."""
    inner: Any = "string"
    for _ in range(levels - 2):
        inner = {"type": "array", "items": inner}
    return _record(inner)


@pytest.mark.parametrize(
    "schema",
    TopicNames("x.compliance").schemas().values(),
    ids=lambda schema: schema.name.rpartition(".")[2],
)
def test_schema_that_is_shipped_is_followed(schema: AvroSchema) -> None:
    """Other versions of the connector read by it."""
    check_decodable(schema.parsed)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(_record("boolean", "int", "long", "float", "double", "bytes", "string"), id="primitives"),
        pytest.param(_record({"type": "long", "logicalType": "timestamp-micros"}), id="logical type"),
        pytest.param(_record(["null", "string"], ["null", {"type": "array", "items": "long"}]), id="unions"),
        pytest.param(_record({"type": "map", "values": ["null", "string"]}), id="map"),
        pytest.param(_record({"type": "enum", "name": "E", "symbols": ["A"]}), id="enum"),
        pytest.param(_record({"type": "fixed", "name": "F", "size": 16}), id="fixed"),
        pytest.param(_record({**_record("int"), "name": "Inner"}), id="record within"),
        pytest.param(_nested(MOST_LEVELS), id="as deep as allowed"),
    ],
)
def test_schema_that_a_later_version_may_have_is_followed(schema: dict[str, Any]) -> None:
    """Anything that takes bytes for what it makes, at a depth of its own."""
    check_decodable(schema)


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        pytest.param(_record("Node"), "uses the type Node by its name", id="itself"),
        pytest.param(_record(["null", "Node"]), "uses the type Node", id="itself, or null"),
        pytest.param(_record({"type": "array", "items": {"type": "Node"}}), "uses the type Node", id="array of itself"),
        pytest.param(_record({**_record("int"), "name": "A"}, "A", "A"), "uses the type A", id="another, again"),
        pytest.param(_nested(MOST_LEVELS + 1), "nested more than 16 levels", id="one level too deep"),
        pytest.param(_nested(900), "nested more than 16 levels", id="very deep"),
        pytest.param(_record({"type": "array", "items": "null"}), "take no bytes", id="array of null"),
        pytest.param(_record({"type": "map", "values": "null"}), "take no bytes", id="map of null"),
        pytest.param(
            _record({"type": "array", "items": {"type": "null"}}), "take no bytes", id="array of null, wrapped"
        ),
        pytest.param(_record({"type": "array", "items": _EMPTY}), "take no bytes", id="array of empty records"),
        pytest.param(
            _record({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
            "take no bytes",
            id="array of empty fixed",
        ),
        pytest.param(_record({"type": "fixed", "name": "F", "size": -1}), "take no bytes", id="fixed of negative size"),
        pytest.param(_record("int", *["null"] * 1000), "take no bytes", id="a byte and many nulls"),
        pytest.param(_EMPTY, "take no bytes", id="empty record"),
        pytest.param({"type": "record", "name": "R", "fields": ["int"]}, "does not know", id="invalid field"),
        pytest.param({"type": "array"}, "by its name", id="array of nothing"),
        pytest.param(7, "does not know", id="number"),
    ],
)
def test_schema_that_makes_much_of_few_bytes_is_refused(schema: Any, fault: str) -> None:  # noqa: ANN401 - any JSON
    """Before it comes near a decoder, which follows a type into itself until the process ends by SIGSEGV."""
    with pytest.raises(ValueError, match=fault):
        check_decodable(schema)
