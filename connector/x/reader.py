"""The reader of one stream partition: plans, connects, reads, waits, and begins again until it is stopped.

A connection is made only when everything received over the one before is committed, so a plan always starts from
what is true. Owns the order of things; policies are in `plan` and `backoff`, bytes in `framing`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from connector.compliance.catalog import StreamPartition
from connector.compliance.decode import LongLine, SystemMessage
from connector.settings import XSettings
from connector.x.backoff import Backoff, Curve
from connector.x.clock import XClock, monotonic_us
from connector.x.connection import Connection
from connector.x.deliveries import Ended, KeptAlive, Opened, Received
from connector.x.failure import TOO_MANY_CONNECTIONS, ConnectFailedError, Failure, PlanRefusedError
from connector.x.framing import Framer
from connector.x.inbox import Inbox, InboxClosedError
from connector.x.plan import (
    Allowed,
    Live,
    Plan,
    Replay,
    is_grantable,
    is_within_reach,
    make_plan,
    refused,
    unreached,
)
from connector.x.ports import Progress, Report
from connector.x.stall import StallWatch
from connector.x.watermark import MIN_WAIT_US

MAX_LINES = 500
"""Most lines handed on at once, so that a transaction can be closed between them."""
LINE_OVERHEAD_BYTES = 100
_MAX_BYTES = 1024 * 1024
_SLOT_WAIT_S = 1.0


class Reader:
    """Reads one stream partition into `inbox`; `run` is its thread."""

    def __init__(  # noqa: PLR0913 - the parts of a reader, wired in one place
        self,
        *,
        partition: StreamPartition,
        open_connection: Callable[[StreamPartition, Plan], Connection],
        inbox: Inbox,
        progress: Progress,
        settings: XSettings,
        stall_watch: StallWatch,
        replay_slots: threading.Semaphore,
        report: Report,
    ) -> None:
        self._partition = partition
        self._open_connection = open_connection
        self._inbox = inbox
        self._progress = progress
        self._line_limit = settings.line_limit_bytes
        self._stall_watch = stall_watch
        self._replay_slots = replay_slots
        self._report = report
        self._clock = XClock()
        self._backoff = Backoff()
        self._allowed = Allowed()
        self._is_catching_up = False
        self._lines_read = 0
        self._stop = threading.Event()
        self._connection: Connection | None = None

    def run(self) -> None:
        """Read until `stop`, whatever X does."""
        while not self._stop.is_set():
            try:
                delay_s = self._attempt()
            except InboxClosedError:
                return
            except Exception as error:  # noqa: BLE001 - nothing that comes from outside may end the reading
                self._report.failed(error)
                delay_s = self._backoff.failed(Curve.HTTP)
            self._stop.wait(delay_s)

    def stop(self) -> None:
        """End the reading at once, from another thread."""
        self._stop.set()
        if self._connection is not None:
            self._connection.close()

    def _attempt(self) -> float:
        """Make one connection and read it to its end; return how long to wait before the next, in seconds."""
        self._inbox.wait_until_settled()
        covered_until_us = self._progress.covered_until_us
        plan = self._plan(covered_until_us)
        if not isinstance(plan, Replay):
            return self._follow(plan, covered_until_us)
        if not self._replay_slots.acquire(timeout=_SLOT_WAIT_S):
            return 0.0
        try:
            return self._follow(plan, covered_until_us)
        finally:
            self._replay_slots.release()

    def _follow(self, plan: Plan, covered_until_us: int) -> float:
        asked_us = monotonic_us()
        try:
            connection = self._open_connection(self._partition, plan)
        except PlanRefusedError as error:
            return self._refused(error, plan)
        except ConnectFailedError as error:
            return self._failed(error.failure)
        with connection:
            self._connection = connection
            if self._stop.is_set():
                return 0.0
            self._clock.synchronise(connection.date_us)
            answer_us = monotonic_us() - asked_us
            lost = unreached(plan, covered_until_us, self._clock.estimate())
            if lost is not None and isinstance(plan, Live) and self._plan(covered_until_us) != plan:
                self._report.replanned()
                return 0.0
            self._inbox.put(Opened(connection, plan, self._clock.received_at(), answer_us, lost))
            self._report.connected(plan, self._clock.offset_us())
            return self._read_to_the_end(connection, plan)

    def _refused(self, error: PlanRefusedError, plan: Plan) -> float:
        """Ask for less at once, unless our clock was wrong: then the plan, not the contract, is at fault."""
        failure = error.failure
        self._clock.synchronise(error.date_us)
        if not is_grantable(plan, self._clock.estimate()):
            return self._failed(replace(failure, curve=Curve.NETWORK))
        self._allowed = refused(self._allowed, plan)
        if self._allowed == Allowed():
            return self._failed(failure)
        self._report.connect_failed(failure.reason, failure.detail, 0.0)
        return 0.0

    def _plan(self, covered_until_us: int) -> Plan:
        again, now_us = self._progress.again, self._clock.estimate()
        if again is not None and self._allowed.replay and is_within_reach(again, now_us):
            return again
        return make_plan(covered_until_us, now_us, self._allowed, is_catching_up=self._is_catching_up)

    def _read_to_the_end(self, connection: Connection, plan: Plan) -> float:
        framer = Framer(self._partition.stream, self._line_limit)
        failure: Failure | None = None
        try:
            self._read(connection, framer)
        except ConnectFailedError as error:
            failure = error.failure
        if self._stop.is_set():
            self._report.disconnected("stopped", framer.tail_bytes)
            return 0.0
        reason = failure.reason if failure else "closed"
        is_whole = failure is None and not framer.tail_bytes  # a line cut off is missing, however the body ended
        self._inbox.put(Ended(is_whole, reason, framer.tail_bytes))
        self._inbox.wait_until_settled()
        message, doubt = self._progress.system_message, self._progress.doubt
        if message is not None:
            self._report.system_message(message.problem, message.detail)
        if doubt is not None:
            self._report.doubted(doubt.value)
        self._report.disconnected("system-message" if message else reason, framer.tail_bytes)
        self._is_catching_up = isinstance(plan, Replay) and is_whole and message is None
        if isinstance(plan, Live):
            self._allowed = Allowed()
        else:
            self._report.slice_ended(is_whole=self._is_catching_up)
        return self._reconnect_delay_s(plan, failure, message)

    def _reconnect_delay_s(self, plan: Plan, failure: Failure | None, message: SystemMessage | None) -> float:
        """Reconnect at once after a live connection that delivered, and after a whole slice; else as after a failure.

        Part of a slice is no delivery, since it has to come again whole, nor is X's word on the connection: where that
        is all that ever comes, the delays grow.
        """
        has_delivered = isinstance(plan, Live) and self._lines_read > (0 if message is None else 1)
        if has_delivered or self._is_catching_up:
            self._backoff.delivered()
        if message is not None and message.problem == TOO_MANY_CONNECTIONS:
            return self._backoff.failed(Curve.TOO_MANY_CONNECTIONS)
        if has_delivered or self._is_catching_up:
            return 0.0
        return self._backoff.failed(failure.curve if failure else Curve.NETWORK)

    def _read(self, connection: Connection, framer: Framer) -> None:
        self._lines_read = 0
        waited_since_us, began_us = self._clock.received_at(), monotonic_us()
        for chunk in connection.chunks():
            at_us, waited_us = self._clock.received_at(), monotonic_us() - began_us
            self._report.read(len(chunk), at_us)
            lines = framer.feed(chunk)
            self._lines_read += len(lines)
            contents = [line for line in lines if line]
            if contents:
                self._hand_on(contents, at_us, self._clock.now())
            elif lines and not framer.tail_bytes and self._waited_undisturbed(began_us, waited_us):
                self._inbox.put(KeptAlive(at_us, waited_since_us))
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

    def _failed(self, failure: Failure) -> float:
        delay_s = self._backoff.failed(failure.curve, failure.at_least_s)
        self._report.connect_failed(failure.reason, failure.detail, delay_s)
        return delay_s
