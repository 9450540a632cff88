"""The shape of each event type's body: computed once from the catalog, since it is needed for every line.

Pure. Must not know how a body is read from a line.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from connector.events import typed
from connector.events.catalog import EVENT_TYPES, EventType, Field, Kind
from connector.events.identity import id_prefix

_ID_LENGTH = 19


class Member(msgspec.Struct, frozen=True):
    """A field, the check of its values, and its expected form in words."""

    field: Field
    fits: Callable[[object], bool]
    expected: str


class Shape(msgspec.Struct, frozen=True):
    """An event type, with what is needed to read its bodies.

    `read` returns the members of a typed body: its time, then the values of the fields. `checks` are for those values,
    by position, that are more than text; `key_of` returns the value or values of the key. `known` is the
    tree of the type's members, None its leaves.
    """

    type: EventType
    id_prefix: bytes
    members: tuple[Member, ...]
    known: dict[str, Any]
    read: Callable[[Any], tuple[Any, ...]]
    checks: tuple[tuple[int, Callable[[object], bool]], ...]
    key_of: Callable[[Sequence[Any]], str | Sequence[str]]


def _shape(event_type: EventType) -> Shape:
    names = [field.name for field in event_type.fields]
    return Shape(
        event_type,
        id_prefix(event_type.stream, event_type.x_type),
        tuple(Member(field, _FITS[field.kind], _EXPECTED[field.kind]) for field in event_type.fields),
        typed.member_tree(event_type, None, lambda _: None),
        attrgetter("event_at", *(".".join(field.path) for field in event_type.fields)),
        tuple(
            (place, _FITS[field.kind]) for place, field in enumerate(event_type.fields) if field.kind is not Kind.TEXT
        ),
        itemgetter(*map(names.index, event_type.key)),
    )


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isdigit() and value.isascii() and len(value) <= _ID_LENGTH


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_id, value))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


_FITS = {Kind.ID: _is_id, Kind.IDS: _are_ids, Kind.TEXT: _is_text, Kind.TEXTS: _are_texts}
_EXPECTED = {
    Kind.ID: "a string of 1 to 19 digits",
    Kind.IDS: "a list of at least one string of 1 to 19 digits",
    Kind.TEXT: "text",
    Kind.TEXTS: "a list of at least one text",
}

SHAPES = {(event_type.stream, event_type.x_type): _shape(event_type) for event_type in EVENT_TYPES}
"""By stream and X's type."""

BY_BODY = {typed.BODIES[shape.type]: shape for shape in SHAPES.values()}
"""By the struct of the type's body."""
