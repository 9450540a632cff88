"""Classifies one line of a compliance stream: an event, a system message from X, or a dead letter.

Pure and total: `decode` returns a result for any bytes. Shapes: X API v2 reference, compliance streams.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec

from connector.events import typed
from connector.events.catalog import EventType
from connector.events.identity import (
    UnreadableTimeError,
    canonical_body,
    canonical_json,
    digest,
    event_id,
    line_id,
)
from connector.events.shape import BY_BODY, SHAPES, Member, Shape
from connector.events.times import parse_ns

_DETAIL_LIMIT = 300
_DATA = re.compile(rb'\s*\{\s*"data"')
_NAME_LIMIT = 60
_MOST_NAMES = 20


class Reason(StrEnum):
    """Why a line is a dead letter: a closed set, public."""

    NOT_JSON = "not-json"
    UNKNOWN_TYPE = "unknown-type"
    INVALID_BODY = "invalid-body"
    TOO_LONG = "too-long"
    UNENCODABLE = "unencodable"


class Event(msgspec.Struct, frozen=True, gc=False):
    """A complete and well-formed event of a known type.

    `values` are those of the type's own record fields, in their order, and of `unknown_fields`; `event_at` is X's text
    for `event_at_ns`; `unknown_names` are the first of the members that the type does not have, as dotted paths.
    """

    type: EventType
    id: bytes
    key: str
    event_at: str
    event_at_ns: int
    values: tuple[Any, ...]
    unknown_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line kept as bytes: `line` is only its beginning if `length`, in bytes, is more.

    `unknown_type` is X's name of a type that the catalog does not have. A line that `has_data` looks like an event: one
    object, of one type, under `data`. Any other is about the connection, from X or an intermediary.
    """

    id: bytes
    reason: Reason
    detail: str
    line: bytes
    length: int
    has_data: bool
    unknown_type: str | None = None


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """A line from X about the connection, not about content; `problem` is X's most specific word for it."""

    problem: str
    detail: str


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line over the limit: its first bytes, its id and its true length in bytes."""

    head: bytes
    id: bytes
    length: int


def decode(stream: str, line: bytes | LongLine) -> Event | DeadLetter | SystemMessage:
    """Return the class of `line`, given without its line end."""
    if isinstance(line, LongLine):
        detail, has_data = f"{line.length} bytes", _begins_with_data(line.head)
        return DeadLetter(line.id, Reason.TOO_LONG, detail, line.head, line.length, has_data)
    return decode_typed(stream, line) or decode_any(stream, line)


def decode_typed(stream: str, line: bytes) -> Event | None:
    """Return the event that `decode_any` would return, at a lower cost, or None if that has to decide.

    Such an event has known members only.
    """
    try:
        body = typed.read(stream, line)
        shape = BY_BODY[type(body)]
        event_at, *values = shape.read(body)
        body.event_at = event_at_ns = parse_ns(event_at)
    except (ValueError, msgspec.MsgspecError):
        return None
    for place, fits in shape.checks:
        if values[place] is not None and not fits(values[place]):
            return None
    id_ = digest(shape.id_prefix, typed.canonical_json(body))
    return Event(shape.type, id_, _key(shape, values), event_at, event_at_ns, (*values, None))


def decode_any(stream: str, line: bytes) -> Event | DeadLetter | SystemMessage:
    """Return the class of any `line`."""
    try:
        return _decode(stream, line)
    except Exception as error:  # noqa: BLE001 - one bad line must never be more than its own dead letter
        return _dead(line, line_id(stream, line), Reason.NOT_JSON, _describe(error))


def unencodable(event: Event, line: bytes, detail: str) -> DeadLetter:
    """Return the dead letter of an event that could be read but not written."""
    return _dead(line, event.id, Reason.UNENCODABLE, detail)


def _decode(stream: str, line: bytes) -> Event | DeadLetter | SystemMessage:
    message = msgspec.json.decode(line)
    if not isinstance(message, dict):
        return _dead(line, line_id(stream, line), Reason.NOT_JSON, "not an object")
    data = message.get("data")
    if data is None and (system_message := _system_message(message)):
        return system_message
    if not isinstance(data, dict) or len(data) != 1:
        count = len(data) if isinstance(data, dict) else "no"
        detail = f"{count or 'no'} types under data"
        return _dead(line, line_id(stream, line), Reason.UNKNOWN_TYPE, detail, has_data=False)
    [(x_type, body)] = data.items()
    shape = SHAPES.get((stream, x_type))
    if shape is None:
        id_ = _any_id(stream, x_type, body, line)
        detail = f"type {x_type}"[:_DETAIL_LIMIT]
        return DeadLetter(
            id_,
            Reason.UNKNOWN_TYPE,
            detail,
            line,
            len(line),
            has_data=isinstance(body, dict),
            unknown_type=x_type[:_NAME_LIMIT],
        )
    try:
        return _event(shape, body)
    except ValueError as error:
        return _dead(line, _any_id(stream, x_type, body, line), Reason.INVALID_BODY, str(error))


def _any_id(stream: str, x_type: str, body: object, line: bytes) -> bytes:
    """Return the event's id if type and body can be read, else the line's."""
    if not x_type or "\0" in x_type or not isinstance(body, dict):
        return line_id(stream, line)
    try:
        return event_id(stream, x_type, body)
    except UnreadableTimeError:
        return line_id(stream, line)


def _event(shape: Shape, body: object) -> Event:
    """Return the event. Raises `ValueError` when the body does not fit the type."""
    if not isinstance(body, dict):
        raise ValueError("the body is not an object")  # noqa: TRY004 - bad input of X, not a fault of the caller
    canonical = canonical_body(body)
    event_at_ns: Any = canonical.get("event_at")
    if event_at_ns is None:
        raise ValueError("event_at: missing")
    values = [_value(member, canonical) for member in shape.members]
    unknown = _unknown(canonical, shape.known)
    unknown_fields = msgspec.json.encode(unknown, order="sorted").decode() if unknown else None
    names = tuple(islice(_names(unknown, shape.known), _MOST_NAMES)) if unknown else ()
    id_ = digest(shape.id_prefix, canonical_json(canonical))
    return Event(shape.type, id_, _key(shape, values), body["event_at"], event_at_ns, (*values, unknown_fields), names)


def _value(member: Member, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the field's kind is
    value: Any = body
    for name in member.field.path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        if member.field.required:
            raise ValueError(f"{'.'.join(member.field.path)}: missing")
        return None
    if not member.fits(value):
        raise ValueError(f"{'.'.join(member.field.path)}: expected {member.expected}")
    return value


def _key(shape: Shape, values: Sequence[Any]) -> str:
    parts = shape.key_of(values)
    return parts if isinstance(parts, str) else ":".join(parts)


def _unknown(body: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of `body` that the tree `known` does not name, in their place."""
    unknown = {}
    for name, value in body.items():
        if name not in known:
            unknown[name] = value
        elif known[name] is not None and (inner := _unknown(value, known[name])):
            unknown[name] = inner
    return unknown


def _names(unknown: Mapping[str, Any], known: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield the paths of unknown members, each cut to a bounded length."""
    for name, value in unknown.items():
        if known.get(name) is None:
            yield f"{path}{name}"[:_NAME_LIMIT]
        else:
            yield from _names(value, known[name], f"{path}{name}.")


def _system_message(message: Mapping[str, Any]) -> SystemMessage | None:
    """Return the system message in a line, if any: X sends problems bare, or as the first of a list of errors."""
    errors = message.get("errors")
    if isinstance(errors, list) and errors:
        problem = errors[0]
    elif isinstance(message.get("title"), str) and isinstance(message.get("type"), str):
        problem = message
    else:
        return None
    if not isinstance(problem, dict):
        return SystemMessage("error", str(problem)[:_DETAIL_LIMIT])
    words = (problem.get("disconnect_type"), problem.get("connection_issue"), problem.get("title"))
    word = next((word for word in words if isinstance(word, str)), "error")
    detail = problem.get("detail") or problem.get("message") or ""
    return SystemMessage(word[:_DETAIL_LIMIT], str(detail)[:_DETAIL_LIMIT])


def _dead(line: bytes, id_: bytes, reason: Reason, detail: str, *, has_data: bool | None = None) -> DeadLetter:
    has_data = _begins_with_data(line) if has_data is None else has_data
    return DeadLetter(id_, reason, detail[:_DETAIL_LIMIT], line, len(line), has_data)


def _begins_with_data(line: bytes) -> bool:
    """Return whether a line that cannot be parsed looks like one of X's events."""
    return _DATA.match(line) is not None


def _describe(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
