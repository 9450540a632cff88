"""Owns the faults of streams, by name, with their fields. Knows nothing of how they are carried out.

Three families: a delivery fault waits, in the order of arming, for a connection of its stream partition; an answer
fault waits for the next request it fits; an emission fault happens when armed, or steadily, with or without readers.

The docstrings are public: `GET /control/` and docs/simulator.md show them.
"""

import re
from collections.abc import Hashable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.simulator.config import Chunking

Mode = Literal["live", "replay"]
Ending = Literal["open", "close", "drop", "reset"]
"""What becomes of the connection: stays open, ends properly, is closed abruptly, or is reset (TCP RST)."""

Coding = Literal["gzip", "x-gzip", "br", "zstd"]
"""What a `Content-Encoding` header can claim."""

Answered = Literal["grant", "refusal"]
"""Which answers to stream requests a fault hits: a 200, or anything else."""

Framing = Literal["length", "chunked", "eof"]
"""How a body ends: after its `Content-Length`, with the last chunk, or where the connection ends."""

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]

_FAR_S = 10 * 365 * 86_400
"""Ten years: dates further off are in no calendar we can write."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"([!-~]([ -~]*[!-~])?)?")


class BaseFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Happens `times` times (null: every time, until disarmed) on each target."""

    times: Positive | None = 1

    @property
    def kind(self) -> str:
        """The name under which the fault is armed and counted."""
        return str(self.__struct_config__.tag)

    @property
    def targets(self) -> tuple[Hashable, ...]:
        """What is concerned; the fault waits on each by itself."""
        raise NotImplementedError


class StreamFault(BaseFault, frozen=True, kw_only=True):
    """Has as its targets the stream partitions named (null: all)."""

    stream: str | None = None
    partition: int | None = None

    def __post_init__(self) -> None:
        if not self.targets:
            known = ", ".join(f"{stream.name} 1-{stream.partitions or 1}" for stream in STREAMS.values())
            raise ValueError(
                f"no such stream partition: stream {self.stream!r}, partition {self.partition!r}; there are {known}"
            )

    @property
    def targets(self) -> tuple[StreamPartition, ...]:
        """The stream partitions concerned."""
        return tuple(
            target
            for target in STREAM_PARTITIONS
            if self.stream in {None, target.stream} and self.partition in {None, target.number}
        )


class DeliveryFault(StreamFault, frozen=True, kw_only=True):
    """Hits a connection of `mode` (null: any) each time `after_lines` more lines were delivered."""

    mode: Mode | None = None
    after_lines: Annotated[int, Meta(ge=0)] = 0


class AnswerFault(StreamFault, frozen=True, kw_only=True):
    """Hits the answer to the next stream request that it fits."""


class EmissionFault(StreamFault, frozen=True, kw_only=True):
    """Happens at once, `times` times, or every `every_s` seconds of simulated time."""

    every_s: Seconds | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.times is None and self.every_s is None:
            raise ValueError("a fault without end needs `every_s`; or give `times`")


class Drop(DeliveryFault, frozen=True, kw_only=True, tag="drop"):
    """The connection is closed abruptly, or `reset`."""

    reset: bool = False


class Close(DeliveryFault, frozen=True, kw_only=True, tag="close"):
    """The response ends properly."""


class Stall(DeliveryFault, frozen=True, kw_only=True, tag="stall"):
    """The socket stays open and nothing is sent for `seconds` (null: until released)."""

    seconds: float | None = None


class Duplicate(DeliveryFault, frozen=True, kw_only=True, tag="duplicate"):
    """The last `lines` lines are delivered again, once the connection has got as many."""

    lines: Positive = 1


class Redeliver(DeliveryFault, frozen=True, kw_only=True, tag="redeliver"):
    """The newest `lines` lines that were emitted `older_than_s` seconds ago or earlier are delivered again.

    It waits until there are as many.
    """

    lines: Positive = 1
    older_than_s: Seconds = 600.0


class Reorder(DeliveryFault, frozen=True, kw_only=True, tag="reorder"):
    """The next `lines` lines, once there are as many, are delivered in another order."""

    lines: Annotated[int, Meta(ge=2)] = 2


class Truncate(DeliveryFault, frozen=True, kw_only=True, tag="truncate"):
    """The next line is cut in the middle and the connection ends."""

    ending: Literal["close", "drop", "reset"] = "drop"


class StreamError(DeliveryFault, frozen=True, kw_only=True, tag="stream-error"):
    """A line that is not an event comes down the stream: `body` as given, JSON, HTML or anything.

    Without a `body` it is one of X's system messages: a disconnect `wrapped` in `errors`, or a bare exception.
    """

    wrapped: bool = True
    body: str | None = None
    terminator: Literal["\r\n", "\n"] = "\r\n"
    ending: Ending = "open"


class EndlessLine(DeliveryFault, frozen=True, kw_only=True, tag="endless-line"):
    """A line begins like an event and never ends: its bytes drip for `seconds` (null: until released).

    Then the connection ends, still within that line.
    """

    seconds: float | None = None
    bytes_per_second: Seconds = 100.0
    ending: Literal["close", "drop", "reset"] = "drop"


class Refuse(AnswerFault, frozen=True, kw_only=True, tag="refuse"):
    """X refuses a stream request with `status` and X's own text, or with the JSON `body`.

    A 429 is the spent budget unless `too_many_connections`. `retry_after_s` adds a `Retry-After`. `reset_in_s` puts
    `x-rate-limit-reset` that far from now, negative in the past; `reset_unit` writes it in seconds or milliseconds.
    """

    status: Annotated[int, Meta(ge=400, le=599)] = 503
    too_many_connections: bool = False
    body: str | None = None
    retry_after_s: Annotated[int, Meta(ge=0)] | None = None
    reset_in_s: int | None = None
    reset_unit: Literal["s", "ms"] = "s"
    mode: Mode | None = None


class ForeignAnswer(AnswerFault, frozen=True, kw_only=True, tag="foreign-answer"):
    """An intermediary answers instead of X: any `status`, `headers` and body; X never sees the request.

    Without `body` (text) or `body_bytes` (base64 in JSON) it is an HTML page. `headers` are added to `Date` and
    `Content-Type: text/html`, or replace them. `framing` says how the body ends; 204 and 304 have none.
    """

    status: Annotated[int, Meta(ge=200, le=599)] = 200
    headers: dict[str, str] = {}
    body: str | None = None
    body_bytes: bytes | None = None
    framing: Framing = "length"
    mode: Mode | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.body is not None and self.body_bytes is not None:
            raise ValueError("give `body` or `body_bytes`, not both")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"not an HTTP header: {name!r}: {value!r}")
            if name.lower() in {"content-length", "transfer-encoding"}:
                raise ValueError(f"`framing` decides about {name}")


class WrongDate(AnswerFault, frozen=True, kw_only=True, tag="wrong-date"):
    """The answer's `Date` is `offset_s` seconds off, or is `text`; with neither, it is missing.

    `on` names the answers: grants, refusals, or (null) both.
    """

    offset_s: Annotated[float, Meta(ge=-_FAR_S, le=_FAR_S)] | None = None
    text: str | None = None
    on: Answered | None = None
    mode: Mode | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.offset_s is not None and self.text is not None:
            raise ValueError("give `offset_s` or `text`, not both")
        if self.text is not None and not _HEADER_VALUE.fullmatch(self.text):
            raise ValueError(f"not the value of an HTTP header: {self.text!r}")


class AcceptAndClose(AnswerFault, frozen=True, kw_only=True, tag="accept-and-close"):
    """A stream request gets its 200 and an end at once."""

    ending: Literal["close", "drop", "reset"] = "close"
    mode: Mode | None = None


class HoldAnswer(AnswerFault, frozen=True, kw_only=True, tag="hold-answer"):
    """A stream request that would be granted is not answered for `seconds` (null: until released)."""

    seconds: float | None = None
    mode: Mode | None = None


class ForeignEncoding(AnswerFault, frozen=True, kw_only=True, tag="foreign-encoding"):
    """A stream comes with `Content-Encoding: encoding`, whatever the client accepts.

    `gzip` and `x-gzip` are gzip, with `member_per_write` a separate member for each write; `br` and `zstd` are bytes
    that are neither that nor text. `chunking` cuts this body differently from the others.
    """

    encoding: Coding = "br"
    member_per_write: bool = False
    chunking: Chunking | None = None
    mode: Mode | None = None


class UnframedBody(AnswerFault, frozen=True, kw_only=True, tag="unframed-body"):
    """A stream comes with neither a length nor chunks: it ends where the connection ends."""

    mode: Mode | None = None


class IgnoreBackfill(AnswerFault, frozen=True, kw_only=True, tag="ignore-backfill"):
    """A connection that asks for backfill gets live events only."""


class SlowBackfill(AnswerFault, frozen=True, kw_only=True, tag="slow-backfill"):
    """A connection that asks for backfill gets it at this pace."""

    lines_per_second: Seconds = 100.0


class IgnoreReplay(AnswerFault, frozen=True, kw_only=True, tag="ignore-replay"):
    """A request for a replay is answered with a live stream, as if it had no `start_time` and `end_time`."""


class EndReplayEarly(AnswerFault, frozen=True, kw_only=True, tag="end-replay-early"):
    """A replay ends properly after this `share` of its lines (rounded down); one without lines is left alone.

    With 0 it is empty though there are lines.
    """

    share: Annotated[float, Meta(ge=0, lt=1)] = 0.5


class OvershootReplay(AnswerFault, frozen=True, kw_only=True, tag="overshoot-replay"):
    """A replay goes on for `seconds` past its end, then ends properly; one with no more lines there is left alone."""

    seconds: Seconds = 60.0


class KeepReplayOpen(AnswerFault, frozen=True, kw_only=True, tag="keep-replay-open"):
    """A replay that has delivered all of its lines sends keep-alives instead of its end."""


class GrantFutureEnd(AnswerFault, frozen=True, kw_only=True, tag="grant-future-end"):
    """A replay whose `end_time` is in the future is granted, and ends properly with what there is so far."""


class UnknownType(EmissionFault, frozen=True, kw_only=True, tag="unknown-type"):
    """Lines are emitted whose type is unknown, or that have none or several."""


class InvalidBody(EmissionFault, frozen=True, kw_only=True, tag="invalid-body"):
    """Lines are emitted whose body does not fit its type."""


class Broken(EmissionFault, frozen=True, kw_only=True, tag="broken"):
    """Lines are emitted that are not JSON objects."""


class Burst(EmissionFault, frozen=True, kw_only=True, tag="burst"):
    """`events` events at once on each stream partition concerned."""

    events: Positive = 1000


class Straggler(EmissionFault, frozen=True, kw_only=True, tag="straggler"):
    """`events` events are emitted now and dated `late_s` seconds earlier than usual."""

    events: Positive = 1
    late_s: Annotated[float, Meta(ge=0, le=_FAR_S)] = 3600.0


class Twin(EmissionFault, frozen=True, kw_only=True, tag="twin"):
    """The newest line is emitted again on the next partition of its stream, after the last on the first.

    A stream of one partition, and a partition without lines, are left alone.
    """


Fault = (
    Drop
    | Close
    | Stall
    | Duplicate
    | Redeliver
    | Reorder
    | Truncate
    | StreamError
    | EndlessLine
    | Refuse
    | ForeignAnswer
    | WrongDate
    | AcceptAndClose
    | HoldAnswer
    | ForeignEncoding
    | UnframedBody
    | IgnoreBackfill
    | SlowBackfill
    | IgnoreReplay
    | EndReplayEarly
    | OvershootReplay
    | KeepReplayOpen
    | GrantFutureEnd
    | UnknownType
    | InvalidBody
    | Broken
    | Burst
    | Straggler
    | Twin
)
