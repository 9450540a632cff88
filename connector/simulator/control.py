"""Owns the control endpoints under `/control/`: the simulator's library calls as JSON over HTTP, without a token."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connector.events.catalog import StreamPartition
from connector.simulator.faults import Fault
from connector.simulator.http import HttpRequest
from connector.simulator.world import World

PREFIX = "/control/"

_LINES_PER_CHUNK = 1000


class ControlError(Exception):
    """A control request that cannot be obeyed; the message says what would be right."""


class ClockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set the clock forward, with events emitted meanwhile or without; `rate` None is the current one."""

    advance_seconds: Annotated[float, Meta(ge=0)]
    emitting: bool = False
    rate: Annotated[float, Meta(ge=0)] | None = None


class BurstRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Emit `events` events at once, on one stream partition or (both None) spread over all."""

    events: Annotated[int, Meta(ge=1)]
    stream: str | None = None
    partition: int | None = None


class EmptyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No members; no body at all means the same."""


def obey(world: World, request: HttpRequest) -> object:
    """Do what is asked and return the JSON to answer with. Raises `ControlError`; KeyError for an unknown path."""
    try:
        return _ENDPOINTS[request.method, request.path.removeprefix(PREFIX)](world, request.body)
    except (msgspec.DecodeError, ValueError) as error:
        raise ControlError(str(error)) from error


def record_lines(world: World) -> Iterator[bytes]:
    """Yield the record as NDJSON in pieces; each line is an `Emitted`, its `line` in base64."""
    encode = msgspec.json.Encoder().encode_lines
    for log in world.emission.logs.values():
        start, end = log.first, log.end
        while start < end:
            stop = min(start + _LINES_PER_CHUNK, end)
            if lines := log.read(start, stop):
                yield encode(lines)
            start = stop


def _status(world: World, _body: bytes) -> object:
    return world.status()


def _faults(world: World, body: bytes) -> object:
    world.inject(_decode(body, Fault))
    return {"armed": world.faults.armed, "fired": world.faults.fired}


def _clock(world: World, body: bytes) -> object:
    wanted = _decode(body, ClockRequest)
    world.advance(wanted.advance_seconds, emitting=wanted.emitting, rate=wanted.rate)
    return {"now": world.clock.http_date()}


def _burst(world: World, body: bytes) -> object:
    wanted = _decode(body, BurstRequest)
    if (wanted.stream is None) != (wanted.partition is None):
        raise ControlError("give both stream and partition, or neither")
    target = None
    if wanted.stream is not None and wanted.partition is not None:
        target = StreamPartition(wanted.stream, wanted.partition)
    world.emit(wanted.events, target)
    return {"emitted": wanted.events}


def _stop_emitting(world: World, body: bytes) -> object:
    _decode(body, EmptyRequest)
    world.stop_emitting()
    return world.status()


def _release(world: World, body: bytes) -> object:
    _decode(body, EmptyRequest)
    world.release()
    return {"armed": world.faults.armed, "fired": world.faults.fired}


_ENDPOINTS: dict[tuple[str, str], Callable[[World, bytes], object]] = {
    ("GET", "status"): _status,
    ("POST", "faults"): _faults,
    ("POST", "clock"): _clock,
    ("POST", "burst"): _burst,
    ("POST", "stop-emitting"): _stop_emitting,
    ("POST", "release"): _release,
}


def _decode(body: bytes, kind: Any) -> Any:  # noqa: ANN401 - the type given is the type returned; unions are no `type`
    return msgspec.json.decode(body or b"{}", type=kind)
