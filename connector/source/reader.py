"""The reader of one stream partition: asks X for what is missing, reads it, waits, and asks again until it is stopped.

A connection is made only when everything received over the previous one is committed, so a request always starts from
committed facts. Owns the sequence of steps; what to ask for is in `coverage`, when in `connect_limiter` and `backoff`,
bytes in `response`.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from connector.coverage.grant import judge_grant
from connector.coverage.messages import ClockReading, Ended, EndReason, Opened, Progress, Verdict
from connector.coverage.plan import Contract, Live, Plan, is_grantable, next_plan
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.quoting import shown
from connector.settings import XSettings
from connector.source.channel import Channel, ChannelClosedError
from connector.source.connect_limiter import ConnectLimiter, Permit
from connector.source.observer import ReaderObserver
from connector.source.response import ResponseReader
from connector.source.stall import StallWatch
from connector.x.backoff import Backoff, Curve
from connector.x.client import Connection
from connector.x.clock import XClock
from connector.x.errors import TOO_MANY_CONNECTIONS, ConnectFailedError, Failure, PlanRefusedError, RateLimit
from connector.x.framing import Framer
from connector.x.transport import Wire

PERMIT_WAIT_S = 1.0
"""A plan that waits longer than this for its permit is replaced by a new one."""
_LINE_TIMEOUT = 2.0
"""Limit for a line to end, in multiples of the longest silence."""
_UNPROVEN = Failure(Curve.NETWORK, EndReason.CLOSED.value, "the connection brought no line or keep-alive of a stream")
_TOO_MANY = Failure(Curve.TOO_MANY_CONNECTIONS, "too-many-connections", "X counts too many connections")
_UNEXPECTED = Failure(Curve.HTTP, EndReason.INTERNAL_ERROR.value, "an unexpected exception")


class Reader:
    """Reads one stream partition into `channel`; `run` is its thread.

    `wait` waits for some seconds, or less when the reader is stopped.
    """

    def __init__(  # noqa: PLR0913 - the parts of a reader, wired in one place
        self,
        *,
        partition: StreamPartition,
        open_connection: Callable[[StreamPartition, Plan, Wire], Connection],
        channel: Channel,
        settings: XSettings,
        clock: XClock,
        stall_watch: StallWatch,
        limiter: ConnectLimiter,
        observer: ReaderObserver,
        backoff: Backoff | None = None,
        permit_wait_s: float = PERMIT_WAIT_S,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._partition = partition
        self._open_connection = open_connection
        self._channel = channel
        self._settings = settings
        self._clock = clock
        self._stall_watch = stall_watch
        self._limiter = limiter
        self._observer = observer
        self._backoff = backoff or Backoff()
        self._permit_wait_s = permit_wait_s
        self._contract = Contract()
        self._stop = threading.Event()
        self._wait = wait or self._stop.wait

    def run(self) -> None:
        """Read until `stop`, whatever X does."""
        try:
            while not self._stop.is_set():
                if (delay_s := self.attempt()) > 0:
                    self._limiter.release(self._partition)
                    self._wait(delay_s)
        except ChannelClosedError:
            pass
        finally:
            self._limiter.release(self._partition)

    def stop(self) -> None:
        """End the reading at once, and the wait for X's answer, from another thread."""
        self._stop.set()
        self._channel.hang_up(EndReason.STOPPED)

    def attempt(self) -> float:
        """Ask X once and read to the end; return how many seconds to wait then. Raises `ChannelClosedError`."""
        try:
            progress = self._channel.drained()
            plan = self._next_plan(progress, self._clock.read())
            permit = self._limiter.acquire(self._partition, plan, progress.covered_until_us, self._permit_wait_s)
            if permit is None:
                reason, at_least_s = self._limiter.wait_reason(self._partition), self._limiter.wait_s(self._partition)
                self._observer.waiting_to_connect(reason, at_least_s, self._permit_wait_s)
                return 0.0
            with permit:
                return self._connect(permit, plan, progress)
        except ChannelClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing that comes from outside may end the reading
            self._observer.failed(error)
            return self._back_off(_UNEXPECTED)

    def _next_plan(self, progress: Progress, at: ClockReading) -> Plan:
        return next_plan(progress.covered_until_us, progress.recovery, at.estimate_us, self._contract)

    def _connect(self, permit: Permit, plan: Plan, progress: Progress) -> float:
        asked_us, wire = self._clock.read().monotonic_us, Wire()
        try:
            self._channel.begin(wire.close)
            connection = self._open_connection(self._partition, plan, wire)
        except ChannelClosedError:
            permit.answered(None, is_sent=False)
            raise
        except ConnectFailedError as error:
            permit.answered(error.failure.rate_limit, is_sent=error.failure.is_sent)
            return 0.0 if self._stop.is_set() else self._connect_failed(error, plan, asked_us)
        with connection:
            permit.answered(connection.rate_limit)
            self._synchronise(connection.date_us, connection.rate_limit, asked_us)
            at = self._clock.read()
            if (reason := judge_grant(plan, progress, at, self._contract)) is not None:
                self._observer.disconnected(reason, 0)
                return self._back_off(_UNPROVEN)
            self._channel.put(Opened(plan, at, at.monotonic_us - asked_us))
            self._observer.connected(plan, self._clock.offset_us())
            return self._read_to_the_end(connection, plan)

    def _synchronise(self, date_us: int | None, rate_limit: RateLimit | None, asked_us: int) -> None:
        taken_us = self._clock.read().monotonic_us - asked_us
        self._clock.synchronise(date_us, rate_limit.reset_s * US_PER_S if rate_limit else None, taken_us)

    def _connect_failed(self, error: ConnectFailedError, plan: Plan, asked_us: int) -> float:
        failure = error.failure
        self._synchronise(failure.date_us, failure.rate_limit, asked_us)
        delay_s = self._refused(failure, plan) if isinstance(error, PlanRefusedError) else self._back_off(failure)
        self._observer.connect_failed(failure.reason, failure.detail, delay_s)
        return delay_s

    def _refused(self, failure: Failure, plan: Plan) -> float:
        """After a first refusal repeat the request; after a second ask for less at once.

        A plan that X could not grant at the time of its answer proves nothing about the contract: our clock was wrong.
        """
        if not is_grantable(plan, self._clock.read().earliest_us):
            return self._back_off(replace(failure, curve=Curve.NETWORK))
        self._contract = self._contract.refused(plan)
        if isinstance(plan, Live) and not plan.backfill_minutes:
            return self._back_off(failure)
        is_believed = not self._contract.allows(plan)
        self._observer.plan_refused(plan, failure.detail, is_believed=is_believed)
        return 0.0 if is_believed else self._back_off(replace(failure, curve=Curve.HTTP))

    def _back_off(self, failure: Failure) -> float:
        delay_s = self._backoff.failed(failure.curve, failure.at_least_s)
        self._observer.postponed(delay_s)
        return delay_s

    def _read_to_the_end(self, connection: Connection, plan: Plan) -> float:
        response = ResponseReader(
            connection,
            Framer(self._partition.stream, self._settings.line_limit_bytes),
            channel=self._channel,
            clock=self._clock,
            stall_watch=self._stall_watch,
            line_timeout_s=_LINE_TIMEOUT * self._settings.silence_timeout_s,
            observer=self._observer,
        )
        try:
            failure = self._read(response)
            reason = self._channel.end_reason or _end_reason(failure)
            if reason is EndReason.STOPPED:
                self._observer.disconnected(reason, response.tail_bytes)
                return 0.0
            # A line that was cut off is missing, however the body ended.
            is_proper = reason is EndReason.CLOSED and not response.tail_bytes
            self._channel.put(Ended(reason, is_proper=is_proper, at_us=self._clock.read().estimate_us))
            progress = self._channel.drained()
        except ChannelClosedError:
            self._observer.disconnected(self._channel.end_reason or EndReason.STOPPED, response.tail_bytes)
            raise
        self._report_end(progress, self._channel.end_reason or reason, response.tail_bytes)
        return self._conclude(plan, progress, failure)

    def _read(self, response: ResponseReader) -> Failure | None:
        """Read to the end, and report the end to the committer in any case."""
        try:
            return response.read()
        except ChannelClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - nothing that comes from outside may end the reading
            self._observer.failed(error)
            return _UNEXPECTED

    def _report_end(self, progress: Progress, reason: EndReason, tail_bytes: int) -> None:
        last = progress.last
        if last is not None and last.system_message is not None:
            message = last.system_message
            self._observer.system_message(shown(message.problem), shown(message.detail))
        if last is not None and last.verdict is not None:
            self._observer.slice_ended(last.verdict)
        self._observer.disconnected(reason, tail_bytes)

    def _conclude(self, plan: Plan, progress: Progress, failure: Failure | None) -> float:
        """Learn from a connection that has ended, and return how long to wait before the next attempt."""
        last = progress.last
        if isinstance(plan, Live):
            self._contract = Contract()
        elif last is not None and last.verdict is Verdict.IGNORED:
            self._contract = self._contract.refused(plan)
            detail = "X ignored the requested range"
            self._observer.plan_refused(plan, detail, is_believed=not self._contract.allows(plan))
        elif last is not None and last.verdict is Verdict.WHOLE:
            self._contract = self._contract.granted(plan)
        message = last.system_message if last is not None else None
        if message is not None and message.problem == TOO_MANY_CONNECTIONS:
            return self._back_off(_TOO_MANY)
        if last is not None and last.has_proved and failure is not _UNEXPECTED:
            self._backoff.delivered()
            return 0.0
        return self._back_off(failure or _UNPROVEN)


def _end_reason(failure: Failure | None) -> EndReason:
    if failure is None:
        return EndReason.CLOSED
    if failure is _UNEXPECTED:
        return EndReason.INTERNAL_ERROR
    return EndReason.SILENT if failure.reason == EndReason.SILENT.value else EndReason.NETWORK
