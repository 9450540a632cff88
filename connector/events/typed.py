"""Reads lines of exactly a known shape in one step: the fast path for most lines.

The catalog's types become msgspec structs that take no member but those the catalog names. So reading a line checks
its shape, and writing the struct gives the canonical body: members sorted, none of them null. `decode` checks the
texts, and classifies lines of other shapes.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from connector.events.catalog import EVENT_TYPES, STREAMS, EventType, Field, Kind

_TYPES: dict[Kind, Any] = {Kind.ID: str, Kind.IDS: list[str], Kind.TEXT: str, Kind.TEXTS: list[str]}


def read(stream: str, line: bytes) -> Any:  # noqa: ANN401 - one of `BODIES`, which are made below
    """Return the body of the event on `line`, an instance of its type's struct.

    Raises `msgspec.MsgspecError` or `ValueError` for a line with anything else, or anything more.
    """
    [body] = filter(None, msgspec.structs.astuple(_READERS[stream](line).data))
    return body


def member_tree(event_type: EventType, event_at: object, leaf: Callable[[Field], object]) -> dict[str, Any]:
    """Return the members of the type's body, nested as by X: `event_at`, and `leaf` of each field."""
    tree: dict[str, Any] = {"event_at": event_at}
    for field in event_type.fields:
        node = tree
        for name in field.path[:-1]:
            node = node.setdefault(name, {})
        node[field.path[-1]] = leaf(field)
    return tree


canonical_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode
"""Returns a body with its `event_at` as integer nanoseconds as `identity.canonical_json` does."""


def _body(event_type: EventType) -> type[msgspec.Struct]:
    return _struct(event_type.schema, member_tree(event_type, (str,), _member))


def _member(field: Field) -> tuple[Any, ...]:
    """Return the type, and the default if it has one."""
    kind = _TYPES[field.kind]
    return (kind,) if field.required else (kind | None, None)


def _struct(name: str, members: dict[str, Any]) -> type[msgspec.Struct]:
    """Return the struct of a tree of members, in the order of the canonical body."""
    return msgspec.defstruct(
        name,
        [
            (member, _struct(f"{name}_{member}", inner)) if isinstance(inner, dict) else (member, *inner)
            for member, inner in sorted(members.items())
        ],
        kw_only=True,  # or what has a default would have to come last
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _reader(stream: str) -> Callable[[bytes], Any]:
    bodies = {event_type.x_type: body for event_type, body in BODIES.items() if event_type.stream == stream}
    types = [(x_type, body | UnsetType, UNSET) for x_type, body in bodies.items()]
    data = msgspec.defstruct(f"{stream}_data", types, forbid_unknown_fields=True, gc=False)
    line = msgspec.defstruct(f"{stream}_line", [("data", data)], forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(line).decode


BODIES = {event_type: _body(event_type) for event_type in EVENT_TYPES}
"""The struct of each type's body; its members are named as X names them."""

_READERS = {stream: _reader(stream) for stream in STREAMS}
