"""Owns one stream response: lines from the log to the client, keep-alives, and the faults armed for it.

A connection is a position in the log that moves on. Nothing is queued: what a client has yet to get is what lies
between its position and the end of the log. Knows nothing of who may connect.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from connector.simulator.access import StreamRequest
from connector.simulator.answers import stream_error
from connector.simulator.clock import NANOS
from connector.simulator.connections import Slot
from connector.simulator.encoding import BodyEncoder
from connector.simulator.faults import (
    AcceptAndClose,
    Armed,
    Close,
    DeliveryFault,
    Drop,
    Duplicate,
    Ending,
    EndReplayEarly,
    IgnoreBackfill,
    Reorder,
    SlowBackfill,
    Stall,
    StreamError,
    Truncate,
)
from connector.simulator.http import ClientGoneError, Headers, HttpConnection, SlowClientError
from connector.simulator.record import Emitted
from connector.simulator.world import World

_POLL_S = 0.02
_LINES_PER_WRITE = 500
_LINE_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class End:
    """How a response ends, and why in a word."""

    how: Ending
    why: str


class Delivery:
    """The body of one stream response, from its first line to its end."""

    def __init__(
        self, world: World, http: HttpConnection, encoder: BodyEncoder, request: StreamRequest, slot: Slot
    ) -> None:
        self._http = http
        self._encoder = encoder
        self._log = world.emission.logs[slot.partition]
        self._slot = slot
        self._faults = world.faults
        self._config = world.config
        self._random = random.Random(f"{self._config.seed}/{slot.partition}/delivery")  # noqa: S311 - shuffles lines
        self._stop_at: int | None = None
        self._pace: float | None = None
        self._live_from = self._log.end
        self._position = self._start(request, slot.opened_at)
        self._sent_at_s = time.monotonic()

    def _start(self, request: StreamRequest, now_ns: int) -> int:
        """Return the position to begin at, and note where a replay ends and how fast a backfill goes."""
        partition = self._slot.partition
        if request.replay is not None:
            start, end = map(self._log.position_at, (request.replay.start_ns, request.replay.end_ns))
            ends_early = end > start and self._faults.take(EndReplayEarly, partition, "replay")
            self._stop_at = self._live_from = (start + end) // 2 if ends_early else end
            return start
        if not request.backfill_minutes or self._faults.take(IgnoreBackfill, partition, "live"):
            return self._live_from
        if slow := self._faults.take(SlowBackfill, partition, "live"):
            self._pace = slow.lines_per_second
        return min(self._log.position_at(now_ns - request.backfill_minutes * 60 * NANOS), self._live_from)

    def run(self, headers: Headers, release: Callable[[str], None]) -> Ending:
        """Deliver until the end and return which it is to be; `release` is told why before the client can notice."""
        try:
            self._http.begin(headers)
            end = self._deliver()
            if end.how == "close" and (tail := self._encoder.tail()):
                self._http.send_chunk(tail, self._is_hopeless)
        except ClientGoneError:
            end = End("drop", "client-gone")
        except SlowClientError:
            end = End("drop", "slow-reader")
        release(end.why)
        return end.how

    def _deliver(self) -> End:
        if at_once := self._faults.take(AcceptAndClose, self._slot.partition, self._slot.mode):
            return End(at_once.ending, at_once.kind)
        while (end := self._step()) is None:
            pass
        return end

    def _step(self) -> End | None:
        most = _LINES_PER_WRITE if self._pace is None or self._position >= self._live_from else 1
        if (due := self._faults.next_delivery(self._slot.partition, self._slot.mode)) is not None:
            armed, fault = due
            before = max(armed.after_lines, fault.lines - self._slot.lines if isinstance(fault, Duplicate) else 0)
            if before <= 0 and self._has_lines_for(fault):
                return self._apply(fault) if self._faults.fire(self._slot.partition, armed) else None
            most = min(most, before)
        lines = self._read(most)
        if not lines:
            return self._idle()
        self._send_lines(lines)
        if due is not None:
            _count_down(due[0], len(lines))
        if self._pace is not None and self._position < self._live_from:
            self._pause(1 / self._pace)
        elif self._pace is not None:
            self._forgive_backlog()
        return None

    def _has_lines_for(self, fault: DeliveryFault) -> bool:
        wanted = fault.lines if isinstance(fault, Reorder) else 1 if isinstance(fault, Truncate) else 0
        return len(self._read(wanted)) == wanted

    def _apply(self, fault: DeliveryFault) -> End | None:
        match fault:
            case Drop():
                return End("reset" if fault.reset else "drop", fault.kind)
            case Close():
                return End("close", fault.kind)
            case Stall():
                self._stall(fault.seconds)
            case Duplicate():
                self._write(_join(self._log.read(self._position - fault.lines, self._position)))
                self._slot.lines += fault.lines
            case Reorder():
                self._send_lines(self._shuffled(self._read(fault.lines)))
            case Truncate():
                (emitted,) = self._read(1)
                self._write(emitted.line[: max(len(emitted.line) // 2, 1)])
                return End(fault.ending, fault.kind)
            case StreamError():
                message = fault.body.encode() if fault.body is not None else stream_error(wrapped=fault.wrapped)
                self._write(message + fault.terminator.encode())
                return None if fault.ending == "open" else End(fault.ending, fault.kind)
        return None

    def _stall(self, seconds: float | None) -> None:
        self._faults.wait(seconds, self._http.wait)
        self._forgive_backlog()

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._http.wait(min(left_s, _POLL_S))

    def _idle(self) -> End | None:
        if self._stop_at is not None and self._position >= self._stop_at:
            return End("close", "replayed")
        self._http.wait(_POLL_S)
        if time.monotonic() - self._sent_at_s >= self._config.keep_alive_s:
            self._write(_LINE_END)
        return None

    def _read(self, count: int) -> list[Emitted]:
        end = self._position + count
        return self._log.read(self._position, end if self._stop_at is None else min(end, self._stop_at))

    def _shuffled(self, lines: list[Emitted]) -> list[Emitted]:
        shuffled = self._random.sample(lines, len(lines))
        return shuffled if shuffled != lines else lines[::-1]

    def _send_lines(self, lines: list[Emitted]) -> None:
        self._write(_join(lines))
        self._position += len(lines)
        self._slot.lines += len(lines)

    def _write(self, data: bytes) -> None:
        for chunk in self._encoder.chunks(data):
            self._http.send_chunk(chunk, self._is_hopeless)
        self._sent_at_s = time.monotonic()

    def _is_hopeless(self) -> bool:
        """Whether more live events wait for this client than are held for anyone; backfill and replay do not count."""
        waiting = self._log.read(max(self._position, self._live_from), self._log.end)
        return sum(len(emitted.line) for emitted in waiting) > self._config.buffer_limit_bytes

    def _forgive_backlog(self) -> None:
        """Do not hold against the client what waits because of a fault."""
        self._pace = None
        self._live_from = self._log.end


def _join(lines: list[Emitted]) -> bytes:
    return b"".join(emitted.line + _LINE_END for emitted in lines)


def _count_down(armed: Armed, lines: int) -> None:
    armed.after_lines = max(armed.after_lines - lines, 0)
