"""Owns one stream response: lines from the log to the client, keep-alives, and the faults armed for it.

Knows nothing of who may connect.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connector.simulator.access import Replay, StreamRequest
from connector.simulator.answers import stream_error
from connector.simulator.board import Armed
from connector.simulator.clock import NANOS
from connector.simulator.connections import Slot
from connector.simulator.encoding import BodyEncoder
from connector.simulator.faults import (
    AcceptAndClose,
    Close,
    DeliveryFault,
    Drop,
    Duplicate,
    Ending,
    EndlessLine,
    EndReplayEarly,
    IgnoreBackfill,
    IgnoreReplay,
    KeepReplayOpen,
    OvershootReplay,
    Redeliver,
    Reorder,
    SlowBackfill,
    Stall,
    StreamError,
    Truncate,
    UnframedBody,
)
from connector.simulator.http import ClientGoneError, Headers, HttpConnection, SlowClientError
from connector.simulator.playlist import Playlist
from connector.simulator.record import Emitted
from connector.simulator.world import World

_POLL_S = 0.05
_LINES_PER_WRITE = 500
_LINE_END = b"\r\n"
_ENDLESS = b'{"data":{"delete":{"tweet":{"id":"'
"""How a line begins that never ends; digits of the id follow."""


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
        self._clock = world.clock
        self._faults = world.faults
        self._config = world.config
        self._random = random.Random(f"{self._config.seed}/{slot.partition}/delivery")  # noqa: S311 - shuffles lines
        self._is_kept_open = False
        self._pace: float | None = None
        self._playlist = self._choose(request, slot.opened_at)
        self._sent_at_s = time.monotonic()

    def _choose(self, request: StreamRequest, now_ns: int) -> Playlist:
        """Return the lines to deliver, and note how fast a backfill goes."""
        partition, end = self._slot.partition, self._log.end
        if request.replay is not None:
            if self._faults.take(IgnoreReplay, partition, "replay"):
                return Playlist(self._log, range(0), end)
            return Playlist(self._log, self._replayed(request.replay, end), None)
        if not request.backfill_minutes or self._faults.take(IgnoreBackfill, partition, "live"):
            return Playlist(self._log, range(0), end)
        if slow := self._faults.take(SlowBackfill, partition, "live"):
            self._pace = slow.lines_per_second
        start_ns = now_ns - request.backfill_minutes * 60 * NANOS
        return Playlist(self._log, self._log.select(start_ns, None, end), end)

    def _replayed(self, replay: Replay, end: int) -> Sequence[int]:
        """Return the positions that a replay is made to have."""

        def with_overshoot(overshoot: OvershootReplay) -> Sequence[int]:
            return self._log.select(replay.start_ns, replay.end_ns + round(overshoot.seconds * NANOS), end)

        partition = self._slot.partition
        chosen = self._log.select(replay.start_ns, replay.end_ns, end)
        if chosen and (early := self._faults.take(EndReplayEarly, partition, "replay")):
            return chosen[: int(len(chosen) * early.share)]
        overshoot = self._faults.take(
            OvershootReplay, partition, "replay", lambda fault: len(with_overshoot(fault)) > len(chosen)
        )
        return with_overshoot(overshoot) if overshoot else chosen

    def run(self, headers: Headers, release: Callable[[str], None]) -> Ending:
        """Deliver until the end and return which it is to be; `release` learns why before the client can notice."""
        is_unframed = self._faults.take(UnframedBody, self._slot.partition, self._slot.mode) is not None
        try:
            self._http.begin(headers, framing="eof" if is_unframed else "chunked")
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
        self._playlist.skip_forgotten()
        is_paced = self._pace is not None and self._playlist.is_in_past
        most = 1 if is_paced else _LINES_PER_WRITE
        if (due := self._faults.next_delivery(self._slot.partition, self._slot.mode)) is not None:
            armed, fault = due
            before = max(armed.after_lines, fault.lines - self._slot.lines if isinstance(fault, Duplicate) else 0)
            if before <= 0 and self._has_lines_for(fault):
                return self._apply(fault) if self._faults.fire(self._slot.partition, armed) else None
            if before > 0 or not isinstance(fault, Redeliver):  # old lines come to be without these being held back
                most = min(most, before)
        lines = self._playlist.peek(most)
        if not lines:
            return self._idle()
        self._send_lines(lines)
        if due is not None:
            _count_down(due[0], len(lines))
        if self._pace is not None:
            self._keep_pace(self._pace)
        return None

    def _has_lines_for(self, fault: DeliveryFault) -> bool:
        match fault:
            case Redeliver():
                return len(self._old_lines(fault)) == fault.lines
            case Reorder():
                return len(self._playlist.peek(fault.lines)) == fault.lines
            case Truncate():
                return bool(self._playlist.peek(1))
        return True

    def _old_lines(self, fault: Redeliver) -> list[Emitted]:
        end = self._log.position_at(self._clock.now_ns() - round(fault.older_than_s * NANOS))
        return self._log.read(end - fault.lines, end)

    def _apply(self, fault: DeliveryFault) -> End | None:
        match fault:
            case Drop():
                return End("reset" if fault.reset else "drop", fault.kind)
            case Close():
                return End("close", fault.kind)
            case Stall():
                self._faults.wait(fault.seconds, self._http.wait)
                self._forgive_backlog()
            case Duplicate():
                self._send_again(self._playlist.last(fault.lines))
            case Redeliver():
                self._send_again(self._old_lines(fault))
            case Reorder():
                lines = self._playlist.peek(fault.lines)
                self._faults.reorder(lines)
                self._send_lines(self._shuffled(lines))
            case Truncate():
                (emitted,) = self._playlist.peek(1)
                self._write(emitted.line[: max(len(emitted.line) // 2, 1)])
                return End(fault.ending, fault.kind)
            case StreamError():
                message = fault.body.encode() if fault.body is not None else stream_error(wrapped=fault.wrapped)
                self._write(message + fault.terminator.encode())
                return None if fault.ending == "open" else End(fault.ending, fault.kind)
            case EndlessLine():
                self._drip(fault)
                return End(fault.ending, fault.kind)
        return None

    def _drip(self, fault: EndlessLine) -> None:
        piece = b"1" * math.ceil(fault.bytes_per_second * _POLL_S)

        def drip(_: float) -> None:
            self._pause(len(piece) / fault.bytes_per_second)
            self._write(piece)

        self._write(_ENDLESS)
        self._faults.wait(fault.seconds, drip)

    def _keep_pace(self, lines_per_second: float) -> None:
        if self._playlist.is_in_past:
            self._pause(1 / lines_per_second)
        else:
            self._pace = None
            self._forgive_backlog()

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._http.wait(min(left_s, _POLL_S))

    def _idle(self) -> End | None:
        if self._playlist.is_over and not self._is_kept_open:
            self._is_kept_open = self._faults.take(KeepReplayOpen, self._slot.partition, "replay") is not None
            if not self._is_kept_open:
                return End("close", "replayed")
        self._http.wait(_POLL_S)
        if time.monotonic() - self._sent_at_s >= self._config.keep_alive_s:
            self._write(_LINE_END)
        return None

    def _shuffled(self, lines: list[Emitted]) -> list[Emitted]:
        shuffled = self._random.sample(lines, len(lines))
        return shuffled if shuffled != lines else lines[::-1]

    def _send_lines(self, lines: list[Emitted]) -> None:
        self._send_again(lines)
        self._playlist.advance(len(lines))

    def _send_again(self, lines: list[Emitted]) -> None:
        self._write(_join(lines))
        self._slot.lines += len(lines)

    def _write(self, data: bytes) -> None:
        for chunk in self._encoder.chunks(data):
            self._http.send_chunk(chunk, self._is_hopeless)
        self._sent_at_s = time.monotonic()

    def _is_hopeless(self) -> bool:
        """Whether more live events wait for this client than are held for any; backfill and replay do not count."""
        return self._playlist.backlog_bytes() > self._config.buffer_limit_bytes

    def _forgive_backlog(self) -> None:
        """Do not hold against the client what waits because of a fault."""
        self._pace = None
        self._playlist.forgive_backlog()


def _join(lines: list[Emitted]) -> bytes:
    return b"".join(emitted.line + _LINE_END for emitted in lines)


def _count_down(armed: Armed, lines: int) -> None:
    armed.after_lines = max(armed.after_lines - lines, 0)
