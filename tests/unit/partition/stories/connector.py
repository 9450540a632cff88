"""One stream partition of the connector against the model of X: the order of things of a reader and its committer.

Everything that decides is the product's own; this plays the threads. Instants are microseconds since 1970.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.coverage.grant import judge_grant
from connector.coverage.messages import ClockReading, Ended, EndReason, KeepAlive, LinesRead, Opened, Progress, Verdict
from connector.coverage.plan import Contract, Live, Plan, is_grantable, next_plan
from connector.coverage.recovery import MINUTE_US
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.ledger_decoding import decode_shipped, read_entry
from connector.kafka.restore import OffsetEntry
from connector.partition.batch import Transaction
from connector.partition.state import PartitionState
from connector.source.response import MIN_WAIT_US
from connector.x.backoff import Backoff, Curve
from connector.x.clock import WINDOW_US
from tests.fakes.partition import PARTITION, WRITER, builder
from tests.unit.partition.stories.clocks import Clocks
from tests.unit.partition.stories.x import TRANSIT_US, Lie, Manner, X

if TYPE_CHECKING:
    from connector.coverage.gap import Gap

WINDOW_MINUTES = 10
IDLE_COMMIT_US = 10 * US_PER_S


@dataclass(frozen=True, slots=True)
class Answer:
    """How X answers one request: granted, unless it refuses the plan or gives something that is no stream.

    `date_off_us` is by how much its `Date` is wrong, None where it cannot be read.
    """

    is_refused: bool = False
    is_html: bool = False
    takes_ms: int = 200
    date_off_us: int | None = 0
    grants_future: bool = False


@dataclass(frozen=True, slots=True)
class Crash:
    """When the process dies: after a number of messages of a connection."""

    after: int


class Connector:
    """Reads one stream partition of `x`; `on_commit` sees each transaction."""

    def __init__(self, x: X, clocks: Clocks, on_commit: Callable[[Transaction, int], None]) -> None:
        self.x = x
        self.clocks = clocks
        self._on_commit = on_commit
        first = first_entry(PARTITION, "w", clocks.wall_us())
        self.entries = [OffsetEntry(0, first)]
        self.gaps: list[Gap] = []
        self.granted = 0
        self.has_been_live = False
        self.began_us: int | None = None
        self.is_live_us: int | None = None
        self.restart()

    def restart(self) -> None:
        """Begin from the ledger in a new process, which knows what the one before had committed, and no more."""
        self._begin()

    def _begin(self) -> None:
        newest = self.entries[-1]
        oldest = newest.offset if newest.entry.oldest_offset is None else newest.entry.oldest_offset
        needed = [each for each in self.entries[-5000:] if each.offset >= oldest]
        assert needed[0].offset == oldest
        self.state = PartitionState(PARTITION, _RECORDS, WRITER, needed, window_us=WINDOW_MINUTES * MINUTE_US)
        self.clock = self.clocks.x_clock()
        self.backoff = Backoff(lambda: 0.0)
        self.contract = Contract()
        if len(self.entries) == 1:
            self.began_us = None
        self._dated_at_suspended_us: int | None = None
        self._is_date_odd = False
        self._committed_us = self.clocks.now_us

    def commit(self) -> None:
        """Commit what is pending, as soon as X was ever reached."""
        if not self.state.has_begun:
            return
        transaction = self.state.prepare(self.clocks.wall_us())
        entry = read_entry(transaction.entry_record.value, PARTITION, decode_shipped)
        entry.check_follows(self.entries[-1].entry)
        entry.check_plausible(self.clocks.now_us)  # as Kafka dates it, whatever the machine's clocks show
        self.entries.append(OffsetEntry(self.entries[-1].offset + 2, entry, self.clocks.now_us))
        self.state.committed(transaction, self.entries[-1].offset)
        self.gaps += transaction.gaps
        self._committed_us = self.clocks.now_us
        self._on_commit(transaction, self.entries[-1].offset)

    def attempt(self, answer: Answer, manner: Manner, *, commit_every: int = 1, crash: Crash | None = None) -> None:
        """Ask X once, read to the end, and wait as long as is due; a crash begins a new process at once."""
        self.has_been_live = False
        progress = self.state.progress
        plan = self._next_plan(progress, self.clock.read())
        asked_us = self.clock.read().monotonic_us
        self.clocks.advance(answer.takes_ms * 1000)
        date_us = self._date_us(answer)
        if (refusal := self._refusal(answer, plan)) is not None:
            self.clock.synchronise(date_us, self._reset_us, answer.takes_ms * 1000)
            self._wait(refusal(plan))
            return
        self.clock.synchronise(date_us, self._reset_us, answer.takes_ms * 1000)
        at = self.clock.read()
        if judge_grant(plan, progress, at, self.contract) is not None:
            self._wait(self.backoff.failed(Curve.NETWORK))
            return
        self.granted += 1
        self.began_us = self.began_us or self.clocks.now_us
        self.state.apply(Opened(plan, at, at.monotonic_us - asked_us))
        if isinstance(plan, Live):
            self.is_live_us = self.clocks.now_us
        is_alive = self._read(plan, manner, commit_every, crash)
        self.is_live_us = None
        if is_alive:
            self._wait(self._conclude(plan))
        else:
            self.restart()

    def _date_us(self, answer: Answer) -> int | None:
        """Return the `Date` of an answer: no two in a row are wrong, nor that after a start or a suspension."""
        is_needed = self._dated_at_suspended_us != self.clocks.suspended_us
        off_us = 0 if is_needed or self._is_date_odd else answer.date_off_us
        self._dated_at_suspended_us, self._is_date_odd = self.clocks.suspended_us, off_us != 0
        return None if off_us is None else (self.clocks.now_us - TRANSIT_US + off_us) // US_PER_S * US_PER_S

    @property
    def _reset_us(self) -> int:
        """When X's present rate-limit window ends: each answer says so, by the clock that counts requests."""
        return (self.clocks.now_us // WINDOW_US + 1) * WINDOW_US

    def _refusal(self, answer: Answer, plan: Plan) -> Callable[[Plan], float] | None:
        """Return what follows from an answer that is no stream; X refuses by itself what it cannot grant."""
        if answer.is_html:
            return lambda _: self.backoff.failed(Curve.HTTP)
        is_possible = answer.grants_future or is_grantable(plan, self.clocks.now_us)
        return self._refused if answer.is_refused or not is_possible else None

    def _refused(self, plan: Plan) -> float:
        if not is_grantable(plan, self.clock.read().earliest_us):
            return self.backoff.failed(Curve.NETWORK)
        self.contract = self.contract.refused(plan)
        if isinstance(plan, Live) and not plan.backfill_minutes:
            return self.backoff.failed(Curve.CONFIGURATION)
        return self.backoff.failed(Curve.HTTP) if self.contract.allows(plan) else 0.0

    def _next_plan(self, progress: Progress, at: ClockReading) -> Plan:
        return next_plan(progress.covered_until_us, progress.recovery, at.estimate_us, self.contract)

    def _read(self, plan: Plan, manner: Manner, commit_every: int, crash: Crash | None) -> bool:
        """Read one connection to its end; return whether the process lives on.

        What X had sent when the connector hangs up is still read: two deliveries more.
        """
        reason: EndReason | None = None
        began = self.clock.read()
        read_on = 2
        for place, (at_us, lines) in enumerate(self.x.deliver(plan, manner, self.clocks.now_us)):
            if crash is not None and place >= crash.after:
                return False
            if reason is not None:
                read_on -= 1
                if read_on < 0:
                    break
            self._idle_until(at_us)
            at = self.clock.read()
            message = LinesRead(lines, at) if lines else KeepAlive(at, _waited_since_us(began, at))
            found = self.state.apply(message)
            reason = reason or found
            if place % commit_every == 0:
                self.commit()
            began = self.clock.read()
        self.has_been_live = isinstance(plan, Live) and reason is None
        is_proper = reason is None and manner.is_proper and manner.lie is not Lie.CUT
        reason = reason or (EndReason.CLOSED if is_proper else EndReason.NETWORK)
        self.state.apply(Ended(reason, is_proper=is_proper, at_us=self.clock.read().estimate_us))
        self.commit()
        return True

    def _idle_until(self, at_us: int) -> None:
        """Let time pass, and commit every ten seconds of it as an idle committer does."""
        if at_us - self._committed_us > IDLE_COMMIT_US:
            self.clocks.advance(at_us - self.clocks.now_us)
            self.commit()
        self.clocks.advance(at_us - self.clocks.now_us)

    def _conclude(self, plan: Plan) -> float:
        last = self.state.progress.last
        if isinstance(plan, Live):
            self.contract = Contract()
        elif last is not None and last.verdict is Verdict.IGNORED:
            self.contract = self.contract.refused(plan)
        elif last is not None and last.verdict is Verdict.WHOLE:
            self.contract = self.contract.granted(plan)
        if last is not None and last.has_proved:
            self.backoff.delivered()
            return 0.0
        return self.backoff.failed(Curve.NETWORK)

    def _wait(self, delay_s: float) -> None:
        self.clocks.advance(int(delay_s * US_PER_S))


_RECORDS = builder()


def _waited_since_us(began: ClockReading, at: ClockReading) -> int | None:
    return began.earliest_us if at.monotonic_us - began.monotonic_us >= MIN_WAIT_US else None
