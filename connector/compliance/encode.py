"""Avro records as bytes: the registry's wire format around them, and plain numbers for times.

Wire format (Confluent Schema Registry, "Wire format"): a zero byte, the schema id in four bytes, the Avro body.
"""

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fastavro

from connector.compliance.schemas import AvroSchema

_MAGIC = 0
_PREFIX = struct.Struct(">bI")


class AvroEncoder:
    """Writes records of one schema. `encode` raises whatever fastavro does for a record that does not fit it."""

    def __init__(self, schema: AvroSchema, schema_id: int) -> None:
        self._schema = schema.parsed
        self._prefix = _PREFIX.pack(_MAGIC, schema_id)

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Return `record`, times as integers in the unit of their field, as prefix and Avro body."""
        buffer = BytesIO()
        buffer.write(self._prefix)
        fastavro.schemaless_writer(buffer, self._schema, record)
        return buffer.getvalue()


def split_prefix(value: bytes) -> tuple[int, bytes]:
    """Return the schema id and the Avro body of `value`. Raises `ValueError` when it has no such prefix."""
    if len(value) < _PREFIX.size or value[0] != _MAGIC:
        raise ValueError("not in the registry's wire format")
    return _PREFIX.unpack_from(value)[1], value[_PREFIX.size :]


class AvroDecoder:
    """Reads records of one schema, with times as the integers they are written as."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._name = schema.get("name")
        self._schema = fastavro.parse_schema(without_logical_types(schema))

    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the record of an Avro `body`.

        Raises `ValueError` when the body is not a record of the schema, whole and alone.
        """
        buffer = BytesIO(body)
        try:
            record = fastavro.schemaless_reader(buffer, self._schema, None)
        except Exception as error:  # fastavro has no error class of its own for bytes that do not fit
            raise ValueError(f"not a {self._name} record: {error}") from error
        if not isinstance(record, dict) or buffer.tell() != len(body):
            raise ValueError(f"not a {self._name} record: bytes are left over")
        return record


def without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
    """Return a copy of `schema` whose times are plain integers, which no calendar can fail to hold."""
    if isinstance(schema, Mapping):
        return {name: without_logical_types(value) for name, value in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema
