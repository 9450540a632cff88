"""What makes two lines the same event. The recipe is public and frozen: docs/contract.md.

The id of an event is BLAKE2b-128 over stream, NUL, X's type, NUL and the canonical body. A line that cannot be read
as one type with an object body and a readable time has an id too, over stream, NUL, NUL and its bytes.
"""

import struct
from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from connector.events.times import parse_ns

ID_BYTES = 16
_ID = f"{ID_BYTES}s"
MAX_DEPTH = 64
"""Deeper nesting counts as unreadable, so that readability does not depend on the available stack."""


class UnreadableTimeError(ValueError):
    """The body has an `event_at` that is not an RFC 3339 time."""


class TooDeepError(ValueError):
    """The body is nested deeper than `MAX_DEPTH`."""


def event_id(stream: str, x_type: str, body: Mapping[str, object]) -> bytes:
    """Return the 16-byte id of the event with this parsed `body`.

    Raises `UnreadableTimeError` or `TooDeepError`.
    """
    return digest(id_prefix(stream, x_type), canonical_json(canonical_body(body)))


def canonical_body(body: Mapping[str, object]) -> dict[str, object]:
    """Return `body` without null members, `event_at` as integer nanoseconds since 1970.

    Raises `UnreadableTimeError` or `TooDeepError`.
    """
    canonical = _without_null_members(body, 0)
    event_at = canonical.get("event_at")
    if event_at is not None:
        if not isinstance(event_at, str):
            raise UnreadableTimeError(f"event_at: expected text, got {type(event_at).__name__}")
        try:
            canonical["event_at"] = parse_ns(event_at)
        except ValueError as error:
            raise UnreadableTimeError(f"event_at: {error}") from None
    return canonical


def id_prefix(stream: str, x_type: str) -> bytes:
    """Return the bytes hashed before the canonical body."""
    return b"%b\0%b\0" % (stream.encode(), x_type.encode())


def canonical_json(canonical: Mapping[str, object]) -> bytes:
    """Return a canonical body as the bytes that are hashed."""
    return msgspec.json.encode(canonical, order="sorted")


def digest(prefix: bytes, canonical: bytes) -> bytes:
    """Return the 16-byte id of the event with this `id_prefix` and canonical JSON."""
    return blake2b(prefix + canonical, digest_size=ID_BYTES).digest()


def line_digest(stream: str) -> "blake2b":
    """Return a hash to be fed the bytes of a line, without its end; its digest is the line's id.

    A type that is empty or holds a NUL counts as unreadable, so these ids are never an event's.
    """
    return blake2b(b"%b\0\0" % stream.encode(), digest_size=ID_BYTES)


def line_id(stream: str, line: bytes) -> bytes:
    """Return the 16-byte id of a line that cannot be read as an event."""
    digest = line_digest(stream)
    digest.update(line)
    return digest.digest()


def pack_ids(ids: Iterable[bytes]) -> bytes:
    """Return 16-byte ids one after the other."""
    return b"".join(ids)


def unpack_ids(packed: bytes) -> tuple[bytes, ...]:
    """Return the ids that were packed. Raises `struct.error` for any other bytes."""
    return struct.unpack(_ID * (len(packed) // ID_BYTES), packed)


def _without_null_members(members: Mapping[str, object], depth: int) -> dict[str, object]:
    if depth > MAX_DEPTH:
        raise TooDeepError(f"nested deeper than {MAX_DEPTH}")
    return {
        name: value if isinstance(value, str) else _without_nulls(value, depth + 1)
        for name, value in members.items()
        if value is not None
    }


def _without_nulls(value: object, depth: int) -> object:
    if isinstance(value, dict):
        return _without_null_members(value, depth)
    if isinstance(value, list):
        if depth > MAX_DEPTH:
            raise TooDeepError(f"nested deeper than {MAX_DEPTH}")
        return [_without_nulls(element, depth + 1) for element in value]
    return value
