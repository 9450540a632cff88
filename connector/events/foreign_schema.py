"""Checks which foreign schemas a decoder may use: those with which a record's size bounds the cost of decoding it.

Must not know where a schema comes from, nor what it describes.
"""

from typing import Any

MOST_LEVELS = 16
"""How deep a schema may be nested; those shipped here are flat. Decoding takes some C stack for each level."""
_PRIMITIVES = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})


def check_decodable(schema: Any) -> None:  # noqa: ANN401 - a schema is any JSON
    """Raise `ValueError` unless each value of `schema` takes at least a byte, at a depth bounded by the schema itself.

    A type that takes no bytes, such as null beside a union, may be repeated without end in a few bytes. A type that is
    used by its name may contain itself, which exhausts the decoder's stack, or others that contain others, which
    multiplies the output of few bytes. An event, a gap and a ledger entry need neither.
    """
    _check(schema, MOST_LEVELS)


def _check(avro_type: Any, levels: int) -> None:  # noqa: ANN401 - a schema is any JSON
    if levels == 0:
        raise ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
    match avro_type:
        case "null" | {"type": "record", "fields": []}:
            raise ValueError("it has values that take no bytes")
        case {"type": "fixed", "size": size} if not (isinstance(size, int) and size > 0):
            raise ValueError("it has values that take no bytes")
        case str() if avro_type not in _PRIMITIVES:
            raise ValueError(f"it uses the type {avro_type:.80} by its name, which may be a part of itself")
        case str() | {"type": "enum" | "fixed"}:
            parts = []
        case list():
            parts = [branch for branch in avro_type if branch != "null"]
        case {"type": "record", "fields": [*fields]}:
            parts = [field.get("type") if isinstance(field, dict) else None for field in fields]
        case {"type": "array", "items": inner} | {"type": "map", "values": inner} | {"type": inner}:
            parts = [inner]
        case _:
            raise ValueError("it has a type that Avro does not know")
    for part in parts:
        _check(part, levels - 1)
