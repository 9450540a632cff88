"""The reader of one stream partition: plans, connects, reads, waits, and begins again until it is stopped.

A connection is made only when everything received over the one before is committed, so a plan always starts from
what is true. Owns the order of things, which runs on the table in `lifecycle`; policies are in `plan`,
`connect_limiter` and `backoff`, bytes in `body`.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from connector.coverage.plan import Allowed, Live, Plan, is_grantable, is_within_reach, make_plan, refused, unreached
from connector.events.catalog import StreamPartition
from connector.events.decode import SystemMessage
from connector.settings import XSettings
from connector.source.body import Body
from connector.source.channel import Inbox, InboxClosedError
from connector.source.connect_limiter import ConnectLimiter, Permit
from connector.source.deliveries import Ended, Opened
from connector.source.lifecycle import Delays, Happening, State, next_step
from connector.source.ports import Progress, Report
from connector.source.stall import StallWatch
from connector.x.backoff import Backoff, Curve
from connector.x.client import Connection
from connector.x.clock import XClock, monotonic_us
from connector.x.errors import TOO_MANY_CONNECTIONS, ConnectFailedError, Failure, PlanRefusedError
from connector.x.framing import Framer
from connector.x.transport import Wire

_PERMIT_WAIT_S = 1.0
_LINE_TIMEOUT = 2.0
"""How many times the longest silence a line may take to end."""
_CONNECTED = {State.CONNECTING, State.UNPROVEN, State.ESTABLISHED}
_CLOSED = Failure(Curve.NETWORK, "closed", "X closed the connection before it delivered")
_TOO_MANY = Failure(Curve.TOO_MANY_CONNECTIONS, "too-many-connections", "X counts too many connections")
_UNFORESEEN = Failure(Curve.HTTP, "unforeseen", "an unforeseen error")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of what the reader did; `failure` says how to wait, where that follows."""

    happening: Happening
    failure: Failure = _CLOSED


class Reader:
    """Reads one stream partition into `inbox`; `run` is its thread."""

    def __init__(  # noqa: PLR0913 - the parts of a reader, wired in one place
        self,
        *,
        partition: StreamPartition,
        open_connection: Callable[[StreamPartition, Plan, Wire], Connection],
        inbox: Inbox,
        progress: Progress,
        settings: XSettings,
        stall_watch: StallWatch,
        limiter: ConnectLimiter,
        report: Report,
    ) -> None:
        self._partition = partition
        self._open_connection = open_connection
        self._inbox = inbox
        self._progress = progress
        self._settings = settings
        self._stall_watch = stall_watch
        self._limiter = limiter
        self._report = report
        self._clock = XClock()
        self._backoff = Backoff()
        self._allowed = Allowed()
        self._is_catching_up = False
        self._stop = threading.Event()
        self._state = State.PLANNING
        self._acts: dict[State, Callable[[], Outcome]] = {
            State.PLANNING: self._wait_for_a_permit,
            State.WAITING: self._wait,
        }
        self._wire = Wire()
        self._held = ExitStack()
        self._delay_s = 0.0

    def run(self) -> None:
        """Read until `stop`, whatever X does."""
        while self._state is not State.STOPPED:
            self.step()

    def step(self) -> State:
        """Do what the state asks for, and return the one that follows."""
        try:
            outcome = self._acts[self._state]()
            self._take(Outcome(Happening.STOPPED) if self._stop.is_set() else outcome)
        except InboxClosedError:
            self._take(Outcome(Happening.STOPPED))
        except Exception as error:  # noqa: BLE001 - nothing that comes from outside may end the reading
            self._report.failed(error)
            self._take(Outcome(Happening.UNFORESEEN, _UNFORESEEN))
        return self._state

    def stop(self) -> None:
        """End the reading at once, and the wait for X's answer, from another thread."""
        self._stop.set()
        self._wire.close()

    def _take(self, outcome: Outcome) -> None:
        """Go where the table leads, and let go of what is not needed there."""
        step = next_step(self._state, outcome.happening)
        if step.delays is Delays.RESET:
            self._backoff.delivered()
        elif step.delays is Delays.GROW:
            self._delay_s = self._backoff.failed(outcome.failure.curve, outcome.failure.at_least_s)
            self._report.postponed(self._delay_s)
            if self._state is State.CONNECTING and outcome.happening is not Happening.UNFORESEEN:
                self._report.connect_failed(outcome.failure.reason, outcome.failure.detail, self._delay_s)
        self._state = step.to
        if step.to not in _CONNECTED:
            self._held.close()
        if step.to in {State.WAITING, State.STOPPED}:
            self._limiter.release(self._partition)

    def _wait(self) -> Outcome:
        self._stop.wait(self._delay_s)
        return Outcome(Happening.WAITED)

    def _wait_for_a_permit(self) -> Outcome:
        """Plan, and wait for a permit, but not so long that the plan gets old."""
        self._inbox.wait_until_settled()
        covered_until_us = self._progress.covered_until_us
        plan = self._make_plan(covered_until_us)
        permit = self._limiter.acquire(self._partition, plan, covered_until_us, _PERMIT_WAIT_S)
        if permit is None:
            self._report.postponed(self._limiter.wait_s(self._partition))
            return Outcome(Happening.REPLAN)
        self._held.enter_context(permit)
        self._acts[State.CONNECTING] = partial(self._connect, permit, plan, covered_until_us)
        return Outcome(Happening.TURN_CAME)

    def _make_plan(self, covered_until_us: int) -> Plan:
        again, now_us = self._progress.again, self._clock.estimate()
        if again is not None and self._allowed.replay and is_within_reach(again, now_us):
            return again
        return make_plan(covered_until_us, now_us, self._allowed, is_catching_up=self._is_catching_up)

    def _connect(self, permit: Permit, plan: Plan, covered_until_us: int) -> Outcome:
        asked_us, self._wire = monotonic_us(), Wire()
        if self._stop.is_set():  # perhaps before there was this wire to close
            return Outcome(Happening.STOPPED)
        try:
            connection = self._open_connection(self._partition, plan, self._wire)
        except ConnectFailedError as error:
            permit.answered(error.failure.rate_limit, is_sent=error.failure.is_sent)
            return self._refused(error, plan) if isinstance(error, PlanRefusedError) else _failed(error.failure)
        permit.answered(connection.rate_limit)
        self._held.enter_context(connection)
        if self._stop.is_set():
            return Outcome(Happening.STOPPED)
        self._clock.synchronise(connection.date_us)
        answer_us = monotonic_us() - asked_us
        lost = unreached(plan, covered_until_us, self._clock.estimate())
        if lost is not None and isinstance(plan, Live) and self._make_plan(covered_until_us) != plan:
            self._report.replanned()
            return Outcome(Happening.REPLAN)
        self._inbox.put(Opened(connection, plan, self._clock.received_at(), answer_us, lost))
        self._report.connected(plan, self._clock.offset_us())
        self._acts[State.UNPROVEN] = partial(self._read_to_the_end, connection, is_live=isinstance(plan, Live))
        return Outcome(Happening.GRANTED)

    def _refused(self, error: PlanRefusedError, plan: Plan) -> Outcome:
        """Ask for less at once, unless our clock was wrong: then the plan, not the contract, is at fault."""
        failure = error.failure
        self._clock.synchronise(error.date_us)
        if not is_grantable(plan, self._clock.estimate()):
            return _failed(replace(failure, curve=Curve.NETWORK))
        self._allowed = refused(self._allowed, plan)
        if self._allowed == Allowed():
            return _failed(failure)
        self._report.connect_failed(failure.reason, failure.detail, 0.0)
        return Outcome(Happening.REPLAN)

    def _read_to_the_end(self, connection: Connection, *, is_live: bool) -> Outcome:
        body = Body(
            connection,
            Framer(self._partition.stream, self._settings.line_limit_bytes),
            inbox=self._inbox,
            clock=self._clock,
            stall_watch=self._stall_watch,
            line_timeout_s=_LINE_TIMEOUT * self._settings.silence_timeout_s,
            report=self._report,
        )
        failure = body.read(self._deliver if is_live else lambda: None)
        if self._stop.is_set():
            self._report.disconnected("stopped", body.tail_bytes)
            return Outcome(Happening.STOPPED)
        is_whole = failure is None and not body.tail_bytes  # a line cut off is missing, however the body ended
        self._inbox.put(Ended(is_whole=is_whole))
        self._inbox.wait_until_settled()
        message = self._progress.system_message
        self._is_catching_up = not is_live and is_whole and message is None
        reason = "system-message" if message else failure.reason if failure else "closed"
        self._report_end(connection, reason, body.tail_bytes)
        if is_live:
            self._allowed = Allowed()
            if body.lines_read == 1 and message is None:
                self._deliver()
        else:
            self._report.slice_ended(is_whole=self._is_catching_up)
        return self._outcome(failure, message)

    def _outcome(self, failure: Failure | None, message: SystemMessage | None) -> Outcome:
        if message is not None and message.problem == TOO_MANY_CONNECTIONS:
            return Outcome(Happening.TOO_MANY, _TOO_MANY)
        if self._is_catching_up:
            return Outcome(Happening.CAME_WHOLE)
        return Outcome(Happening.ENDED, failure or _CLOSED)

    def _deliver(self) -> None:
        """Take note that a live connection has brought something; part of a slice is nothing, as all comes again."""
        if self._state is State.UNPROVEN:
            self._take(Outcome(Happening.DELIVERED))

    def _report_end(self, connection: Connection, reason: str, tail_bytes: int) -> None:
        message, doubt = self._progress.system_message, self._progress.doubt
        if message is not None:
            self._report.system_message(connection.quoted(message.problem), connection.quoted(message.detail))
        if doubt is not None:
            self._report.doubted(doubt.value)
        self._report.disconnected(reason, tail_bytes)


def _failed(failure: Failure) -> Outcome:
    is_one_too_many = failure.curve is Curve.TOO_MANY_CONNECTIONS
    return Outcome(Happening.TOO_MANY if is_one_too_many else Happening.ENDED, failure)
