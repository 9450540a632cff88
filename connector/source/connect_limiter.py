"""Permits to connect to X, shared by all readers of a process: one pure decision under one lock.

Owns who waits, who goes first, and how many replays run at the same time; what an endpoint grants is in `rate_budget`.
Attempts that have waited longer than their fair share go first, the longest wait first; among the others the oldest
coverage, since it is the next to leave X's reach. Live and replay are treated alike. An attempt that cannot go yet,
because of its budget or of `max_replays`, delays no other.
Must not know readers, sockets, or how coverage is reached.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from connector.coverage.plan import Plan, Replay
from connector.events.catalog import STREAMS, StreamPartition
from connector.events.times import US_PER_S
from connector.source.rate_budget import Budget, Sent
from connector.x.clock import monotonic_us
from connector.x.errors import RateLimit

PLACE_S = 5.0
"""A reader that has not asked for this long (it restores, or waits for Kafka) keeps its place, and delays no other."""
LOOK_AGAIN_S = 1.0
"""How long a thread sleeps at most, in real seconds, before it checks again whether its attempt may go."""


class WaitReason(StrEnum):
    """What an attempt waits for."""

    CONNECT_BUDGET = "connect-budget"
    QUEUED = "queued"
    OTHER_REPLAYS = "other-replays"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A place in the queue: what is wanted, since when, and when its reader last asked."""

    partition: StreamPartition
    plan: Plan
    covered_until_us: int
    waiting_since_s: float
    asked_at_s: float

    @property
    def is_replay(self) -> bool:
        """Whether it counts against the replays."""
        return isinstance(self.plan, Replay)


@dataclass(frozen=True, slots=True)
class Replays:
    """How many permits for replays are held, and how many may be."""

    running: int
    limit: int


@dataclass(frozen=True, slots=True)
class Go:
    """The attempt may be made now."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The attempt has to wait, at least `seconds` if that is known."""

    reason: WaitReason
    seconds: float | None


def decide(
    attempt: Attempt, waiting: Collection[Attempt], budgets: Mapping[str, Budget], replays: Replays, now_s: float
) -> Go | Wait:
    """Return whether `attempt` may go now, given who else waits; `budgets` are by stream."""
    obstacle = _obstacle(attempt, budgets, replays, now_s)
    if obstacle is not None:
        return obstacle
    rank = _rank(attempt, budgets, now_s)
    for other in waiting:
        if (
            _is_rival(other, attempt, now_s)
            and _rank(other, budgets, now_s) < rank
            and _obstacle(other, budgets, replays, now_s) is None
        ):
            return Wait(WaitReason.QUEUED, None)
    return Go()


def _obstacle(attempt: Attempt, budgets: Mapping[str, Budget], replays: Replays, now_s: float) -> Wait | None:
    """Return what an attempt would have to wait for if it were alone."""
    wait_s = budgets[attempt.partition.stream].wait_s(now_s, attempt.partition.number)
    if wait_s > 0:
        return Wait(WaitReason.CONNECT_BUDGET, wait_s)
    if attempt.is_replay and replays.running >= replays.limit:
        return Wait(WaitReason.OTHER_REPLAYS, None)
    return None


def _is_rival(other: Attempt, attempt: Attempt, now_s: float) -> bool:
    """Return whether both compete: for a connect of the endpoint, or for a place among the replays."""
    if other.partition == attempt.partition or now_s - other.asked_at_s > PLACE_S:
        return False
    return other.partition.stream == attempt.partition.stream or (other.is_replay and attempt.is_replay)


def _rank(attempt: Attempt, budgets: Mapping[str, Budget], now_s: float) -> tuple[float, int, StreamPartition]:
    """Return a key by which lower ones go first."""
    beyond_share_s = now_s - attempt.waiting_since_s - budgets[attempt.partition.stream].share_s(now_s)
    return min(0.0, -beyond_share_s), attempt.covered_until_us, attempt.partition


@dataclass(frozen=True, slots=True)
class Waiting:
    """An attempt that waits, since `waiting_since_s` of the monotonic clock, and at least `wait_s` where known."""

    partition: StreamPartition
    plan: Plan
    reason: WaitReason
    wait_s: float | None
    waiting_since_s: float


class Permit:
    """Permission for one attempt; a context manager that lasts as long as the connection."""

    def __init__(self, limiter: "ConnectLimiter", partition: StreamPartition, sent: Sent, *, is_replay: bool) -> None:
        self._limiter = limiter
        self._partition = partition
        self._sent = sent
        self._is_replay = is_replay
        self._is_answered = False

    def answered(self, limit: RateLimit | None, *, is_sent: bool = True) -> None:
        """Record the result of the attempt: the rate limit in X's answer, and whether X can have received it.

        Only the first call counts.
        """
        if not self._is_answered:
            self._is_answered = True
            self._limiter.record_answer(self._partition, self._sent, limit, is_sent=is_sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answered(None)
        self._limiter.record_end(is_replay=self._is_replay)


class ConnectLimiter:
    """Shared by all readers of a process; `monotonic` is in microseconds."""

    def __init__(self, max_replays: int, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._budgets = {name: Budget(stream.partitions or 1) for name, stream in STREAMS.items()}
        self._attempts: dict[StreamPartition, Attempt] = {}
        self._replays = Replays(0, max_replays)

    def acquire(self, partition: StreamPartition, plan: Plan, covered_until_us: int, timeout_s: float) -> Permit | None:
        """Return a permit to ask X for `plan`, or None after `timeout_s` without one.

        The caller then plans again and retries; it keeps its place until it gets a permit or releases it.
        """
        until_s = self._now_s + timeout_s
        with self._changed:
            while True:
                attempt = self._attempt(partition, plan, covered_until_us)
                decision = decide(attempt, self._attempts.values(), self._budgets, self._replays, attempt.asked_at_s)
                if isinstance(decision, Go):
                    return self._grant(attempt)
                self._attempts[partition] = attempt
                left_s = until_s - attempt.asked_at_s
                if left_s <= 0:
                    return None
                self._changed.wait(min(left_s, decision.seconds or LOOK_AGAIN_S, LOOK_AGAIN_S))

    def release(self, partition: StreamPartition) -> None:
        """Give up a place in the queue."""
        with self._changed:
            self._attempts.pop(partition, None)
            self._changed.notify_all()

    def record_answer(self, partition: StreamPartition, sent: Sent, limit: RateLimit | None, *, is_sent: bool) -> None:
        """Record the result of an attempt; for `Permit`."""
        with self._changed:
            budget = self._budgets[partition.stream]
            self._budgets[partition.stream] = budget.answer(sent, self._now_s, limit, is_sent=is_sent)
            self._changed.notify_all()

    def record_end(self, *, is_replay: bool) -> None:
        """Record that a permit is given back; for `Permit`."""
        with self._changed:
            self._replays = Replays(self._replays.running - is_replay, self._replays.limit)
            self._changed.notify_all()

    def waiting(self) -> Sequence[Waiting]:
        """Return which attempts wait for what: by stream, the first to go first."""
        with self._changed:
            now_s = self._now_s
            attempts = sorted(
                self._attempts.values(), key=lambda each: (each.partition.stream, _rank(each, self._budgets, now_s))
            )
            return [waiting for attempt in attempts if (waiting := self._as_waiting(attempt, now_s)) is not None]

    def wait_reason(self, partition: StreamPartition) -> WaitReason | None:
        """Return what a stream partition waits for, or None if it does not wait."""
        waiting = self._waiting_of(partition)
        return None if waiting is None else waiting.reason

    def wait_s(self, partition: StreamPartition) -> float | None:
        """Return the least time a stream partition has to wait, or None if it does not or that is unknown."""
        waiting = self._waiting_of(partition)
        return None if waiting is None else waiting.wait_s

    def remaining(self) -> dict[str, int]:
        """Return how many connects are left, by stream, as far as X has reported it."""
        with self._changed:
            left = {stream: budget.remaining(self._now_s) for stream, budget in self._budgets.items()}
            return {stream: number for stream, number in left.items() if number is not None}

    @property
    def _now_s(self) -> float:
        return self._monotonic() / US_PER_S

    def _attempt(self, partition: StreamPartition, plan: Plan, covered_until_us: int) -> Attempt:
        now_s, before = self._now_s, self._attempts.get(partition)
        return Attempt(partition, plan, covered_until_us, now_s if before is None else before.waiting_since_s, now_s)

    def _grant(self, attempt: Attempt) -> Permit:
        partition, sent = attempt.partition, Sent(attempt.partition.number, attempt.asked_at_s)
        self._attempts.pop(partition, None)
        self._budgets[partition.stream] = self._budgets[partition.stream].send(sent)
        self._replays = Replays(self._replays.running + attempt.is_replay, self._replays.limit)
        self._changed.notify_all()
        return Permit(self, partition, sent, is_replay=attempt.is_replay)

    def _waiting_of(self, partition: StreamPartition) -> Waiting | None:
        with self._changed:
            attempt = self._attempts.get(partition)
            return None if attempt is None else self._as_waiting(attempt, self._now_s)

    def _as_waiting(self, attempt: Attempt, now_s: float) -> Waiting | None:
        """Return an attempt with what it waits for; None if it may go as soon as its reader asks."""
        decision = decide(attempt, self._attempts.values(), self._budgets, self._replays, now_s)
        if isinstance(decision, Go):
            return None
        return Waiting(attempt.partition, attempt.plan, decision.reason, decision.seconds, attempt.waiting_since_s)
