"""Owns the control endpoints under `/control/`: the simulator's library calls as JSON over HTTP, and who may call them.

The docstrings are public: `GET /control/` and docs/simulator.md show them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import BaseFault
from connector.simulator.http import HttpRequest, Origin
from connector.simulator.manual import (
    FAULTS,
    FieldDescription,
    describe_families,
    describe_faults,
    describe_fields,
    meaning,
    no_such_fault,
    read,
    read_fault,
)
from connector.simulator.world import LoggedRequest, World

PREFIX = "/control/"

_LINES_PER_CHUNK = 1000
_CLOSED = (
    "/control/ is for the simulator's own machine; to open it to others start it with --control-token, "
    "and send that as `Authorization: Bearer`"
)
_FORBIDDEN = 403
_NOT_FOUND = 404


class ControlError(Exception):
    """A control request that cannot be carried out; the message says what would be right."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Set the clock forward, with events emitted meanwhile or without; `rate` null is the current one."""

    advance_seconds: Annotated[float, Meta(ge=0)]
    emitting: bool = False
    rate: Annotated[float, Meta(ge=0)] | None = None


class BurstRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Emit `events` events at once, on one stream partition or (both null) spread over all."""

    events: Annotated[int, Meta(ge=1)]
    stream: str | None = None
    partition: int | None = None


class DisarmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Forget the armed faults of this kind, or (null) all."""

    kind: str | None = None


class EmptyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No members; no body at all means the same."""


class AskedFor(msgspec.Struct, frozen=True):
    """A request, `at` simulated ns, which port it came to, and whether it had a header `Authorization`."""

    at: int
    origin: Origin
    method: str
    path: str
    has_authorization: bool
    status: int

    @classmethod
    def of(cls, request: LoggedRequest) -> Self:
        """Return what a request comes to without its headers and its query."""
        return cls(request.at, request.origin, request.method, request.path, request.has_authorization, request.status)


class EndpointDescription(msgspec.Struct, frozen=True):
    """An endpoint, and the fields of the JSON it takes."""

    method: str
    path: str
    meaning: str
    fields: list[FieldDescription]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What `call` does with a body of type `takes`; its docstring is public."""

    method: str
    name: str
    takes: Any
    call: Callable[[World, Any], object]

    @property
    def path(self) -> str:
        """The whole path."""
        return PREFIX + self.name

    def describe(self) -> EndpointDescription:
        """Return what a client needs to know."""
        return EndpointDescription(self.method, self.path, meaning(self.call), describe_fields(self.takes))


def obey(world: World, request: HttpRequest) -> object:
    """Carry out a request and return the JSON of the answer, or the lines of NDJSON. Raises `ControlError`."""
    if not _may_control(world.config, request):
        raise ControlError(_CLOSED, _FORBIDDEN)
    name = f"{request.path}/".removeprefix(PREFIX).removesuffix("/")
    endpoint = next((each for each in ENDPOINTS if (each.method, each.name) == (request.method, name)), None)
    if endpoint is None:
        known = ", ".join(f"{each.method} {each.path}" for each in ENDPOINTS)
        raise ControlError(f"there is no {request.method} {request.path}; there are {known}", _NOT_FOUND)
    body = request.body or b"{}"
    try:
        return endpoint.call(world, read_fault(body) if endpoint.takes is BaseFault else read(body, endpoint.takes))
    except ValueError as error:  # what is not JSON is one as well
        raise ControlError(str(error)) from error


def _may_control(config: SimulatorConfig, request: HttpRequest) -> bool:
    """Return whether a request comes from this machine, or with the token that others need."""
    token = config.control_token
    return request.is_local or (token is not None and request.headers.get("authorization") == f"Bearer {token}")


def _manual(_world: World, _body: EmptyRequest) -> object:
    """List the endpoints and all faults with their fields."""
    return {
        "endpoints": [endpoint.describe() for endpoint in ENDPOINTS],
        "families": describe_families(),
        "faults": describe_faults(),
    }


def _status(world: World, _body: EmptyRequest) -> object:
    """Show the time, the rate, what was emitted and answered, who is connected, and which faults are armed or fired."""
    return world.status()


def _record(world: World, _body: EmptyRequest) -> Iterator[bytes]:
    """Return every emitted line as NDJSON, stream partition by stream partition; `line` is base64."""
    encode = msgspec.json.Encoder().encode_lines
    for log in world.emission.logs.values():
        start, end = log.first, log.end
        while start < end:
            stop = min(start + _LINES_PER_CHUNK, end)
            if lines := log.read(start, stop):
                yield encode(lines)
            start = stop


def _requests(world: World, _body: EmptyRequest) -> Iterator[bytes]:
    """Return every request but those for control as NDJSON, without the secrets of URLs and headers."""
    return _ndjson([AskedFor.of(request) for request in world.requests])


def _population(world: World, _body: EmptyRequest) -> Iterator[bytes]:
    """Return every Tweet and user that an event names as NDJSON, with its present state in batch compliance."""
    return _ndjson(world.population.entities())


def _tweets(world: World, _body: EmptyRequest) -> Iterator[bytes]:
    """Return the id of every Tweet that an event names, one a line."""
    yield _id_lines(world.population.ids("tweets"))


def _users(world: World, _body: EmptyRequest) -> Iterator[bytes]:
    """Return the id of every user that an event names, one a line."""
    yield _id_lines(world.population.ids("users"))


def _ndjson(items: Sequence[object]) -> Iterator[bytes]:
    encode = msgspec.json.Encoder().encode_lines
    for start in range(0, len(items), _LINES_PER_CHUNK):
        yield encode(items[start : start + _LINES_PER_CHUNK])


def _id_lines(ids: list[str]) -> bytes:
    return "".join(f"{each}\n" for each in ids).encode("ascii")


def _faults(world: World, fault: BaseFault) -> object:
    """Arm a fault, or run an emission fault at once; the fields are those of its `kind`."""
    world.inject(fault)
    return {"armed": world.faults.armed, "fired": world.faults.fired}


def _disarm(world: World, wanted: DisarmRequest) -> object:
    """Forget the armed faults of one `kind`, or of all (null); counts of fired ones stay."""
    if wanted.kind is not None and wanted.kind not in FAULTS:
        raise ControlError(no_such_fault(wanted.kind))
    world.faults.disarm(wanted.kind)
    return {"armed": world.faults.armed, "fired": world.faults.fired}


def _clock(world: World, wanted: ClockRequest) -> object:
    """Set the clock forward, with events emitted meanwhile at `rate` (null: the current one), or without."""
    world.advance(wanted.advance_seconds, emitting=wanted.emitting, rate=wanted.rate)
    return {"now": world.clock.http_date()}


def _burst(world: World, wanted: BurstRequest) -> object:
    """Emit events at once, on one stream partition or (both null) spread over all."""
    if (wanted.stream is None) != (wanted.partition is None):
        raise ControlError("give both stream and partition, or neither")
    target = None
    if wanted.stream is not None and wanted.partition is not None:
        target = StreamPartition(wanted.stream, wanted.partition)
    world.emit(wanted.events, target)
    return {"emitted": wanted.events}


def _stop_emitting(world: World, _body: EmptyRequest) -> object:
    """Stop emitting events: the rate becomes 0, and steady faults are disarmed."""
    world.stop_emitting()
    return world.status()


def _release(world: World, _body: EmptyRequest) -> object:
    """End every current stall, held answer and endless line."""
    world.release()
    return {"armed": world.faults.armed, "fired": world.faults.fired}


ENDPOINTS = (
    Endpoint("GET", "", EmptyRequest, _manual),
    Endpoint("GET", "status", EmptyRequest, _status),
    Endpoint("GET", "record", EmptyRequest, _record),
    Endpoint("GET", "requests", EmptyRequest, _requests),
    Endpoint("GET", "population", EmptyRequest, _population),
    Endpoint("GET", "population/tweets", EmptyRequest, _tweets),
    Endpoint("GET", "population/users", EmptyRequest, _users),
    Endpoint("POST", "faults", BaseFault, _faults),
    Endpoint("POST", "disarm", DisarmRequest, _disarm),
    Endpoint("POST", "release", EmptyRequest, _release),
    Endpoint("POST", "burst", BurstRequest, _burst),
    Endpoint("POST", "clock", ClockRequest, _clock),
    Endpoint("POST", "stop-emitting", EmptyRequest, _stop_emitting),
)
