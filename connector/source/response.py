"""The body of one connection: bytes in, messages into the channel, until it ends.

Owns the meaning of keep-alives and read times, and the watch for a body that brings bytes but no line.
"""

from collections.abc import Sequence
from dataclasses import replace

from connector.coverage.messages import ClockReading, EndReason, KeepAlive, LinesRead
from connector.events.decode import LongLine
from connector.events.times import US_PER_S
from connector.quoting import Secrets
from connector.source.channel import Channel
from connector.source.observer import ReaderObserver
from connector.source.stall import TICK_S, StallWatch
from connector.x.backoff import Curve
from connector.x.client import Connection
from connector.x.clock import XClock
from connector.x.errors import ConnectFailedError, Failure
from connector.x.framing import Framer

MAX_LINES = 500
"""Most lines put at once, so that a transaction can be closed between groups."""
LINE_OVERHEAD_BYTES = 100
MIN_WAIT_US = 5 * US_PER_S
"""A keep-alive is evidence about time only to a reader that waited at least this long for it."""
_MAX_BYTES = 1024 * 1024


class ResponseReader:
    """Reads one connection. A line must end at least every `line_timeout_s` of waiting, whatever bytes come."""

    def __init__(  # noqa: PLR0913 - the parts of a reader, wired in one place
        self,
        connection: Connection,
        framer: Framer,
        *,
        channel: Channel,
        clock: XClock,
        stall_watch: StallWatch,
        line_timeout_s: float,
        observer: ReaderObserver,
    ) -> None:
        self._connection = connection
        self._framer = framer
        self._channel = channel
        self._clock = clock
        self._stall_watch = stall_watch
        self._line_timeout_s = line_timeout_s
        self._observer = observer
        self._is_waiting = True
        self._waited_ticks = 0

    @property
    def tail_bytes(self) -> int:
        """The number of bytes of an unfinished line."""
        return self._framer.tail_bytes

    def read(self) -> Failure | None:
        """Read to the end; return why the end is not a proper one, or None. Raises `ChannelClosedError`."""
        try:
            with self._stall_watch.each_tick(self._tick):
                self._read()
        except ConnectFailedError as error:
            return self._silence() or error.failure
        finally:
            self._is_waiting = False  # a tick under way must not hang up the next connection
        return self._silence()

    def _silence(self) -> Failure | None:
        if not self._is_overdue:
            return None
        detail = f"bytes came, but no line ended for {self._line_timeout_s:g} s"
        return Failure(Curve.NETWORK, EndReason.SILENT.value, detail)

    @property
    def _is_overdue(self) -> bool:
        return self._waited_ticks * TICK_S > self._line_timeout_s

    def _tick(self) -> None:
        if self._is_waiting:  # for X, not for the channel
            self._waited_ticks += 1
            if self._is_overdue:
                self._channel.hang_up(EndReason.SILENT)

    def _read(self) -> None:
        began = self._clock.read()
        for chunk in self._connection.chunks():
            self._is_waiting = False
            at = self._clock.read()
            self._observer.read(len(chunk), at.best_us)
            lines = self._framer.feed(chunk)
            contents = [line for line in lines if line]
            if contents:
                self._hand_on(self._without_secrets(contents, chunk), at)
            elif lines:
                self._channel.put(KeepAlive(at, self._waited_since_us(began, at)))
            if lines:
                self._waited_ticks = 0
            self._is_waiting = True
            began = self._clock.read()

    def _waited_since_us(self, began: ClockReading, at: ClockReading) -> int | None:
        """Return since when the reader has waited, undisturbed, for a keep-alive; None if it has not."""
        has_waited = at.monotonic_us - began.monotonic_us >= MIN_WAIT_US and not self._framer.tail_bytes
        return began.earliest_us if has_waited and not self._stall_watch.was_stalled_since(began.monotonic_us) else None

    def _without_secrets(self, lines: list[bytes | LongLine], chunk: bytes) -> list[bytes | LongLine]:
        """Return the lines with secrets of the request hidden that X repeats: all lines may be published.

        Of these lines only the first may have begun in an earlier chunk.
        """
        secrets = self._connection.secrets
        if not (secrets.are_in(chunk) or secrets.are_in(_content(lines[0]))):
            return lines
        hidden = [_without(secrets, line) if secrets.are_in(_content(line)) else line for line in lines]
        if (count := sum(before != after for before, after in zip(lines, hidden, strict=True))) > 0:
            self._observer.secrets_hidden(count)
        return hidden

    def _hand_on(self, lines: Sequence[bytes | LongLine], at: ClockReading) -> None:
        """Put lines into the channel in groups that a transaction can take whole."""
        group: list[bytes | LongLine] = []
        size_bytes = 0
        for line in lines:
            line_bytes = len(_content(line)) + LINE_OVERHEAD_BYTES
            if group and (len(group) == MAX_LINES or size_bytes + line_bytes > _MAX_BYTES):
                self._channel.put(LinesRead(group, at), size_bytes)
                group, size_bytes = [], 0
            group.append(line)
            size_bytes += line_bytes
        self._channel.put(LinesRead(group, at), size_bytes)


def _content(line: bytes | LongLine) -> bytes:
    """Return the part of a line that is kept."""
    return line if isinstance(line, bytes) else line.head


def _without(secrets: Secrets, line: bytes | LongLine) -> bytes | LongLine:
    if isinstance(line, bytes):
        return secrets.hide_in(line)
    return replace(line, head=secrets.hide_in(line.head))
