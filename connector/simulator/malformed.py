"""Owns lines that do not hold a well-formed event, by what is wrong with them. Each is unlike any other."""

import itertools
import json
from collections.abc import Callable
from typing import Any

MALFORMED_KINDS = ("unknown-type", "invalid-body", "broken")

Shape = Callable[[str, str, str], bytes]
"""Makes a line of a stream, a unique id and an RFC 3339 time."""

_DEEP = 100_000


def _document(data: object) -> bytes:
    return json.dumps({"data": data}, ensure_ascii=False).encode()


def _event(stream: str, entity_id: object, **members: object) -> tuple[str, dict[str, Any]]:
    """Return X's name and the body of an event that would be valid, were it not for the arguments."""
    match stream:
        case "user":
            return "user_delete", {"user": {"id": entity_id}, **members}
        case "like":
            return "delete", {"favorite": {"id": entity_id, "user_id": "12"}, **members}
        case "label":
            x_type = "public_tweet_unviewable"
            return x_type, {"tweet": {"id": entity_id, "author_id": "12"}, "application": "apply", **members}
        case _:
            return "delete", {"tweet": {"id": entity_id, "author_id": "12"}, **members}


def _unknown(_stream: str, unique: str, at: str) -> bytes:
    return _document({"entity_archive": {"entity": {"id": unique}, "event_at": at}})


def _two_types(stream: str, unique: str, at: str) -> bytes:
    x_type, body = _event(stream, unique, event_at=at)
    return _document({x_type: body, "entity_archive": body})


def _no_type(_stream: str, unique: str, _at: str) -> bytes:
    return json.dumps({"data": {}, "number": unique}).encode()


def _no_data(_stream: str, unique: str, at: str) -> bytes:
    return json.dumps({"event": {"id": unique, "event_at": at}}).encode()


def _no_time(stream: str, unique: str, _at: str) -> bytes:
    return _document(dict([_event(stream, unique)]))


def _senseless_time(stream: str, unique: str, _at: str) -> bytes:
    return _document(dict([_event(stream, unique, event_at="yesterday")]))


def _number_for_an_id(stream: str, unique: str, at: str) -> bytes:
    return _document(dict([_event(stream, int(unique), event_at=at)]))


def _other_entity(stream: str, unique: str, at: str) -> bytes:
    x_type, _ = _event(stream, unique)
    return _document({x_type: {"status": {"id": unique}, "event_at": at}})


def _list_for_a_body(stream: str, unique: str, _at: str) -> bytes:
    x_type, _ = _event(stream, unique)
    return _document({x_type: [unique]})


def _cut_short(stream: str, unique: str, at: str) -> bytes:
    return _document(dict([_event(stream, unique, event_at=at)]))[:-3]


def _not_utf_8(stream: str, unique: str, at: str) -> bytes:
    return _document(dict([_event(stream, unique, event_at=at, note="NOTE")])).replace(b"NOTE", b"\xff\xfe")


def _lone_surrogate(stream: str, unique: str, at: str) -> bytes:
    return _document(dict([_event(stream, unique, event_at=at, note="NOTE")])).replace(b"NOTE", b"\\ud83d")


def _not_an_object(_stream: str, unique: str, _at: str) -> bytes:
    return f'"{unique}"'.encode()


def _html(_stream: str, unique: str, _at: str) -> bytes:
    return f"<html>{unique}</html>".encode()


def _nested_deep(_stream: str, unique: str, _at: str) -> bytes:
    return b'{"number":"%b","data":%b%b}' % (unique.encode(), b"[" * _DEEP, b"]" * _DEEP)


_SHAPES: dict[str, tuple[Shape, ...]] = {
    "unknown-type": (_unknown, _two_types, _no_type, _no_data),
    "invalid-body": (_other_entity, _number_for_an_id, _no_time, _senseless_time, _list_for_a_body),
    "broken": (_cut_short, _not_utf_8, _not_an_object, _lone_surrogate, _html, _nested_deep),
}


class MalformedSource:
    """Makes malformed lines, taking the shapes of a kind in turn."""

    def __init__(self) -> None:
        self._numbers = itertools.count(9_990_000_000_000_000_000)
        self._shapes = {kind: itertools.cycle(shapes) for kind, shapes in _SHAPES.items()}

    def line(self, kind: str, stream: str, event_at: str) -> bytes:
        """Return a line of `kind` (one of `MALFORMED_KINDS`) for `stream`, without its ending."""
        return next(self._shapes[kind])(stream, str(next(self._numbers)), event_at)
