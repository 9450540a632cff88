"""The body of one connection: bytes in, deliveries into the inbox, until it ends.

Owns what a keep-alive and the moment of a read say, and the watch on a body that brings bytes and no line.
"""

from collections.abc import Callable, Sequence

from connector.coverage.watermark import MIN_WAIT_US
from connector.events.decode import LongLine
from connector.source.channel import Inbox
from connector.source.deliveries import KeptAlive, Received
from connector.source.ports import Report
from connector.source.stall import TICK_S, StallWatch
from connector.x.backoff import Curve
from connector.x.client import Connection
from connector.x.clock import XClock, monotonic_us
from connector.x.errors import ConnectFailedError, Failure
from connector.x.framing import Framer

MAX_LINES = 500
"""Most lines handed on at once, so that a transaction can be closed between them."""
LINE_OVERHEAD_BYTES = 100
_MAX_BYTES = 1024 * 1024


class Body:
    """Reads one connection. A line must end at least every `line_timeout_s` of waiting, whatever bytes come."""

    def __init__(  # noqa: PLR0913 - the parts of a reader, wired in one place
        self,
        connection: Connection,
        framer: Framer,
        *,
        inbox: Inbox,
        clock: XClock,
        stall_watch: StallWatch,
        line_timeout_s: float,
        report: Report,
    ) -> None:
        self._connection = connection
        self._framer = framer
        self._inbox = inbox
        self._clock = clock
        self._stall_watch = stall_watch
        self._line_timeout_s = line_timeout_s
        self._report = report
        self._is_waiting = True
        self._waited_ticks = 0
        self.lines_read = 0

    @property
    def tail_bytes(self) -> int:
        """How many bytes of an unfinished line have come."""
        return self._framer.tail_bytes

    @property
    def _is_overdue(self) -> bool:
        return self._waited_ticks * TICK_S > self._line_timeout_s

    def read(self, on_delivery: Callable[[], None]) -> Failure | None:
        """Read to the end; return why it is not a proper one, or None. Raises `InboxClosedError`.

        `on_delivery` is told each time that lines show that the connection is good: a keep-alive, or more lines than
        the one in which X may have said that it closes.
        """
        try:
            with self._stall_watch.each_tick(self._tick):
                self._read(on_delivery)
        except ConnectFailedError as error:
            if not self._is_overdue:
                return error.failure
        if self._is_overdue:
            return Failure(Curve.NETWORK, "silent", f"bytes came, but no line ended for {self._line_timeout_s:g} s")
        return None

    def _tick(self) -> None:
        if self._is_waiting:  # for X, not for the inbox
            self._waited_ticks += 1
            if self._is_overdue:
                self._connection.close()

    def _read(self, on_delivery: Callable[[], None]) -> None:
        waited_since_us, began_us = self._clock.received_at(), monotonic_us()
        for chunk in self._connection.chunks():
            self._is_waiting = False
            at_us, waited_us = self._clock.received_at(), monotonic_us() - began_us
            self._report.read(len(chunk), at_us)
            lines = self._framer.feed(chunk)
            self.lines_read += len(lines)
            contents = [line for line in lines if line]
            if contents:
                self._hand_on(contents, at_us, self._clock.now())
            elif lines and not self._framer.tail_bytes and self._waited_undisturbed(began_us, waited_us):
                self._inbox.put(KeptAlive(at_us, waited_since_us))
            if len(contents) < len(lines) or self.lines_read > 1:
                on_delivery()
            if lines:
                self._waited_ticks = 0
            self._is_waiting = True
            waited_since_us, began_us = self._clock.received_at(), monotonic_us()

    def _waited_undisturbed(self, began_us: int, waited_us: int) -> bool:
        return waited_us >= MIN_WAIT_US and not self._stall_watch.was_stalled_since(began_us)

    def _hand_on(self, lines: Sequence[bytes | LongLine], at_us: int, latest_us: int) -> None:
        """Put lines into the inbox in groups that a transaction can take whole."""
        group: list[bytes | LongLine] = []
        size_bytes = 0
        for line in lines:
            line_bytes = (len(line) if isinstance(line, bytes) else len(line.head)) + LINE_OVERHEAD_BYTES
            if group and (len(group) == MAX_LINES or size_bytes + line_bytes > _MAX_BYTES):
                self._inbox.put(Received(group, at_us, latest_us), size_bytes)
                group, size_bytes = [], 0
            group.append(line)
            size_bytes += line_bytes
        self._inbox.put(Received(group, at_us, latest_us), size_bytes)
