"""Avro records as bytes: the registry's wire format around them, and plain numbers for times.

Wire format (Confluent Schema Registry, "Wire format"): a zero byte, the schema id in four bytes, the Avro body.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from operator import call
from typing import Any

import fastavro

from connector.events.schemas import AvroSchema

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


class EventEncoder:
    """Writes the events of one schema: the very bytes of `AvroEncoder`, in a fraction of the time.

    `constants` are the fields that are the same in every record; they are encoded once.
    """

    def __init__(self, schema: AvroSchema, schema_id: int, constants: Mapping[str, str | int]) -> None:
        parts = [_literally(_PREFIX.pack(_MAGIC, schema_id))]
        writers = []
        for field in schema.parsed["fields"]:
            name, write = field["name"], _writer(field["type"])
            if name in constants:
                parts.append(_literally(write(constants[name])))
            else:
                parts.append(b"%b")
                writers.append(write)
        self._template = b"".join(parts)
        self._writers = tuple(writers)

    def encode(self, values: Sequence[Any]) -> bytes:
        """Return a record as prefix and Avro body: `values` are those of the fields other than constants, in order.

        Times are in the unit of their field. Raises `AttributeError`, `OverflowError`, `TypeError` or `UnicodeError`
        when they do not fit.
        """
        return self._template % tuple(map(call, self._writers, values))


def _literally(part: bytes) -> bytes:
    """Return `part` escaped for a template."""
    return part.replace(b"%", b"%%")


def _writer(avro_type: object) -> Callable[[Any], bytes]:
    """Return the writer for a value of `avro_type` (Avro specification, "Binary encoding")."""
    match avro_type:
        case "string":
            return _text
        case "int" | "long" | {"type": "long"}:
            return _long
        case ["null", "string"]:
            return _optional_text
        case ["null", {"type": "long"}]:
            return _optional_long
        case {"type": "array", "items": "string"}:
            return _texts
    raise TypeError(f"events have no fields of the Avro type {avro_type}")


def _text(value: str) -> bytes:
    utf8 = value.encode()
    return _varint(len(utf8) << 1) + utf8


def _optional_text(value: str | None) -> bytes:
    return b"\0" if value is None else b"\2" + _text(value)


def _optional_long(value: int | None) -> bytes:
    return b"\0" if value is None else b"\2" + _long(value)


def _texts(values: Sequence[str]) -> bytes:
    block = _long(len(values)) + b"".join(map(_text, values)) if values else b""
    return block + b"\0"


def _long(value: int) -> bytes:
    """Zigzag, then seven bits a byte. In times and counts the lowest bits always change, the rest rarely."""
    rest = value << 1 ^ value >> 63
    if rest < 1 << 14:
        return _varint(rest)
    return _LOWEST_PAIRS[rest & 0x3FFF] + _varint(rest >> 14)


@lru_cache(maxsize=4096)
def _varint(rest: int) -> bytes:
    if rest >> 50:
        raise OverflowError("not a 64-bit integer")
    written = bytearray()
    while rest >> 7:
        written.append(rest & 0x7F | 0x80)
        rest >>= 7
    written.append(rest)
    return bytes(written)


_LOWEST_PAIRS = tuple(bytes((low | 0x80, high | 0x80)) for high in range(1 << 7) for low in range(1 << 7))
"""The first two bytes of any number that takes more, by the 14 bits that they hold."""


def split_prefix(value: bytes) -> tuple[int, bytes]:
    """Return the schema id and the Avro body of `value`. Raises `ValueError` when it has no such prefix."""
    if len(value) < _PREFIX.size or value[0] != _MAGIC:
        raise ValueError("not in the registry's wire format")
    return _PREFIX.unpack_from(value)[1], value[_PREFIX.size :]


class AvroDecoder:
    """Reads records written with one schema, with times as the integers they are written as.

    `as_schema` is the one to which they are resolved (Avro specification, "Schema Resolution"), if it is another.
    """

    def __init__(self, schema: Mapping[str, Any], as_schema: Mapping[str, Any] | None = None) -> None:
        self._name = schema.get("name")
        self._schema = fastavro.parse_schema(without_logical_types(schema))
        self._as_schema = None if as_schema is None else fastavro.parse_schema(without_logical_types(as_schema))

    def decode(self, body: bytes) -> dict[str, Any]:
        """Return the record of an Avro `body`.

        Raises `ValueError` if the body is not exactly one record of the schema.
        """
        buffer = BytesIO(body)
        try:
            record = fastavro.schemaless_reader(buffer, self._schema, self._as_schema)
        except Exception as error:  # fastavro has no error class of its own for bytes that do not fit
            raise ValueError(f"not a {self._name} record: {error}") from error
        if not isinstance(record, dict) or buffer.tell() != len(body):
            raise ValueError(f"not a {self._name} record: bytes are left over")
        return record


def without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - a schema is any JSON
    """Return a copy of `schema` with times as plain integers, beyond any calendar's limits."""
    if isinstance(schema, Mapping):
        return {name: without_logical_types(value) for name, value in schema.items() if name != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema
