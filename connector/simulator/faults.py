"""Owns what can be made to go wrong: the faults by name, those armed, and a count of those that fired.

Knows nothing of sockets; whoever fires a fault asks here and does it.

Three families: faults of a delivery wait, in the order armed, for a connection of their stream partition; faults of an
answer wait for the next request; faults of the emission happen when armed, whoever is connected.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition

Mode = Literal["live", "replay"]
Ending = Literal["open", "close", "drop", "reset"]
"""What becomes of the connection: stays open, ends properly, is closed abruptly, or is reset (TCP RST)."""

_POLL_S = 0.02

Positive = Annotated[int, Meta(ge=1)]


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Happens `times` times on every stream partition that `stream` and `partition` (None: all) name."""

    stream: str | None = None
    partition: int | None = None
    times: Positive = 1

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError(f"no such stream partition: stream {self.stream!r}, partition {self.partition!r}")

    @property
    def kind(self) -> str:
        """The name under which the fault is armed and counted."""
        return str(self.__struct_config__.tag)

    @property
    def targets(self) -> tuple[StreamPartition, ...]:
        """The stream partitions concerned."""
        return tuple(
            target
            for target in STREAM_PARTITIONS
            if self.stream in {None, target.stream} and self.partition in {None, target.number}
        )


class DeliveryFault(_Fault, frozen=True, kw_only=True):
    """Hits a connection of `mode` (None: any) after it got `after_lines` more lines."""

    mode: Mode | None = None
    after_lines: Annotated[int, Meta(ge=0)] = 0


class Drop(DeliveryFault, frozen=True, kw_only=True, tag="drop"):
    """The connection is closed abruptly, or `reset`."""

    reset: bool = False


class Close(DeliveryFault, frozen=True, kw_only=True, tag="close"):
    """The response ends properly."""


class Stall(DeliveryFault, frozen=True, kw_only=True, tag="stall"):
    """The socket stays open and nothing is sent for `seconds`, or until released."""

    seconds: float | None = None


class Duplicate(DeliveryFault, frozen=True, kw_only=True, tag="duplicate"):
    """The last `lines` lines are delivered again, once the connection has got as many."""

    lines: Positive = 1


class Reorder(DeliveryFault, frozen=True, kw_only=True, tag="reorder"):
    """The next `lines` lines, once there are as many, are delivered in another order."""

    lines: Annotated[int, Meta(ge=2)] = 2


class Truncate(DeliveryFault, frozen=True, kw_only=True, tag="truncate"):
    """The next line is cut in the middle and the connection ends."""

    ending: Literal["close", "drop", "reset"] = "drop"


class StreamError(DeliveryFault, frozen=True, kw_only=True, tag="stream-error"):
    """A system message comes down the stream: `body`, or a disconnect wrapped in `errors`, or a bare exception."""

    wrapped: bool = True
    body: str | None = None
    terminator: Literal["\r\n", "\n"] = "\r\n"
    ending: Ending = "open"


class Refuse(_Fault, frozen=True, kw_only=True, tag="refuse"):
    """A stream request is answered with `status`; a 429 is the spent budget unless `too_many_connections`."""

    status: Annotated[int, Meta(ge=400, le=599)] = 503
    too_many_connections: bool = False
    mode: Mode | None = None


class AcceptAndClose(_Fault, frozen=True, kw_only=True, tag="accept-and-close"):
    """A stream request gets its 200 and an end at once."""

    ending: Literal["close", "drop", "reset"] = "close"
    mode: Mode | None = None


class HoldAnswer(_Fault, frozen=True, kw_only=True, tag="hold-answer"):
    """A stream request that would be granted is not answered for `seconds`, or until released."""

    seconds: float | None = None
    mode: Mode | None = None


class IgnoreBackfill(_Fault, frozen=True, kw_only=True, tag="ignore-backfill"):
    """A connection that asks for backfill gets live events only."""


class SlowBackfill(_Fault, frozen=True, kw_only=True, tag="slow-backfill"):
    """A connection that asks for backfill gets it at this pace."""

    lines_per_second: Annotated[float, Meta(gt=0)] = 100.0


class EndReplayEarly(_Fault, frozen=True, kw_only=True, tag="end-replay-early"):
    """A replay ends properly after half of its lines (rounded down); one without lines is left alone."""


class UnknownType(_Fault, frozen=True, kw_only=True, tag="unknown-type"):
    """Lines are emitted whose type nobody knows, or that have none or several."""


class InvalidBody(_Fault, frozen=True, kw_only=True, tag="invalid-body"):
    """Lines are emitted whose body does not fit its type."""


class Broken(_Fault, frozen=True, kw_only=True, tag="broken"):
    """Lines are emitted that are not JSON objects."""


class Burst(_Fault, frozen=True, kw_only=True, tag="burst"):
    """`events` events at once on each stream partition concerned."""

    events: Positive = 1000


EmissionFault = UnknownType | InvalidBody | Broken | Burst
Fault = (
    Drop
    | Close
    | Stall
    | Duplicate
    | Reorder
    | Truncate
    | StreamError
    | Refuse
    | AcceptAndClose
    | HoldAnswer
    | IgnoreBackfill
    | SlowBackfill
    | EndReplayEarly
    | EmissionFault
)

F = TypeVar("F", bound=_Fault)


@dataclass(slots=True, eq=False)
class Armed:
    """A fault waiting on one stream partition: how often it may still fire and how many lines are to pass first."""

    fault: _Fault
    times: int
    after_lines: int


class FaultBoard:
    """The faults that are armed, for each stream partition in the order of arming, and how many of each kind fired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[StreamPartition, list[Armed]] = {partition: [] for partition in STREAM_PARTITIONS}
        self._fired: Counter[str] = Counter()
        self._releases = 0

    def arm(self, fault: _Fault) -> None:
        """Let `fault` wait on each of its stream partitions."""
        after_lines = fault.after_lines if isinstance(fault, DeliveryFault) else 0
        with self._lock:
            for partition in fault.targets:
                self._armed[partition].append(Armed(fault, fault.times, after_lines))

    def disarm(self) -> None:
        """Forget all armed faults."""
        with self._lock:
            for waiting in self._armed.values():
                waiting.clear()

    @property
    def armed(self) -> Counter[str]:
        """How often faults of each kind are still to fire."""
        with self._lock:
            counts: Counter[str] = Counter()
            for armed in (armed for waiting in self._armed.values() for armed in waiting):
                counts[armed.fault.kind] += armed.times
            return counts

    @property
    def fired(self) -> Counter[str]:
        """How often faults of each kind fired."""
        with self._lock:
            return Counter(self._fired)

    def count(self, kind: str) -> None:
        """Count a fault that needed no arming."""
        with self._lock:
            self._fired[kind] += 1

    def take(self, kind: type[F], partition: StreamPartition, mode: Mode) -> F | None:
        """Fire the first armed fault of this kind for an answer; None when there is none."""
        with self._lock:
            for armed in self._armed[partition]:
                if isinstance(armed.fault, kind) and getattr(armed.fault, "mode", None) in {None, mode}:
                    self._fire(partition, armed)
                    return armed.fault
        return None

    def next_delivery(self, partition: StreamPartition, mode: Mode) -> tuple[Armed, DeliveryFault] | None:
        """Return the delivery fault whose turn it is, without firing it."""
        with self._lock:
            for armed in self._armed[partition]:
                if isinstance(armed.fault, DeliveryFault) and armed.fault.mode in {None, mode}:
                    return armed, armed.fault
        return None

    def fire(self, partition: StreamPartition, armed: Armed) -> bool:
        """Fire a fault from `next_delivery`; False when another connection was quicker."""
        with self._lock:
            if armed not in self._armed[partition]:
                return False
            self._fire(partition, armed)
            return True

    def _fire(self, partition: StreamPartition, armed: Armed) -> None:
        self._fired[armed.fault.kind] += 1
        armed.times -= 1
        if armed.times == 0:
            self._armed[partition].remove(armed)

    def release(self) -> None:
        """End every stall and every hold that is going on."""
        with self._lock:
            self._releases += 1

    def wait(self, seconds: float | None, pass_time: Callable[[float], None]) -> None:
        """Pass the time for `seconds`, or until released, in short pieces."""
        releases = self.releases
        until_s = float("inf") if seconds is None else time.monotonic() + seconds
        while self.releases == releases and time.monotonic() < until_s:
            pass_time(_POLL_S)

    @property
    def releases(self) -> int:
        """How often stalls and holds were released: each ends when this moves."""
        with self._lock:
            return self._releases
