"""The gate through which every attempt to connect goes: the one place that knows all attempts of a process.

Lets an attempt pass when the connect budget of its endpoint allows it: live before catch-up, the oldest catch-up first,
since that is the next that X cannot bring any more, and only so many catch-ups at the same time.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

from connector.coverage.plan import Plan, Replay
from connector.events.catalog import STREAMS, StreamPartition
from connector.events.times import US_PER_S
from connector.source.rate_budget import Budget
from connector.x.clock import monotonic_us
from connector.x.errors import RateLimit


class WaitReason(StrEnum):
    """What an attempt waits for."""

    CONNECT_BUDGET = "connect-budget"
    OTHERS = "others-first"
    CATCH_UPS = "other-catch-ups"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An attempt that waits, and for how long still at least; for the end of another catch-up that is not known."""

    partition: StreamPartition
    plan: Plan
    waits_for: WaitReason
    wait_s: float | None

    @property
    def rank(self) -> int:
        """Lower ones go first."""
        return self.plan.start_us if isinstance(self.plan, Replay) else 0


class Permit:
    """Leave to make one attempt; a context manager that lasts as long as the connection does."""

    def __init__(self, gate: "ConnectLimiter", partition: StreamPartition, asked_s: float, *, is_replay: bool) -> None:
        self._gate = gate
        self._partition = partition
        self._asked_s = asked_s
        self._is_replay = is_replay
        self._is_asking = True

    def answered(self, limit: RateLimit | None, *, is_sent: bool = True) -> None:
        """Say how the attempt came out: what X's answer says of the rate limit, and whether X can have got it."""
        if self._is_asking:
            self._is_asking = False
            self._gate.over(self._partition, self._asked_s, limit, is_sent=is_sent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answered(None)
        self._gate.leave(is_replay=self._is_replay)


class ConnectLimiter:
    """Shared by all readers of a process; `monotonic` is in microseconds."""

    def __init__(self, max_replays: int, monotonic: Callable[[], int] = monotonic_us) -> None:
        self._max_replays = max_replays
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._budgets = {name: Budget(stream.partitions or 1) for name, stream in STREAMS.items()}
        self._waiting: dict[StreamPartition, Waiting] = {}
        self._replays = 0

    def acquire(self, partition: StreamPartition, plan: Plan, covered_until_us: int, timeout_s: float) -> Permit | None:
        """Return leave to ask X for `plan`, or None when there was none for `timeout_s`: plan anew, and come again.

        Who got None keeps its place until it enters or forgets.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_free(partition, plan), timeout_s):
                return None
            self._waiting.pop(partition, None)
            asked_s, is_replay = self._now_s, isinstance(plan, Replay)
            self._budgets[partition.stream].ask(asked_s)
            self._replays += is_replay
            return Permit(self, partition, asked_s, is_replay=is_replay)

    def release(self, partition: StreamPartition) -> None:
        """Give up a place: nobody wants to connect any more."""
        with self._changed:
            self._waiting.pop(partition, None)
            self._changed.notify_all()

    def over(self, partition: StreamPartition, asked_s: float, limit: RateLimit | None, *, is_sent: bool) -> None:
        """Take note of how an attempt came out."""
        with self._changed:
            budget = self._budgets[partition.stream]
            budget.over(asked_s, self._now_s, partition.number, limit, is_sent=is_sent)
            self._changed.notify_all()

    def leave(self, *, is_replay: bool) -> None:
        """Take note that a turn is over."""
        with self._changed:
            self._replays -= is_replay
            self._changed.notify_all()

    def waiting(self) -> Sequence[Waiting]:
        """Return who waits for what, the first one first."""
        with self._changed:
            return sorted(self._waiting.values(), key=lambda each: (each.partition.stream, each.rank))

    def wait_s(self, partition: StreamPartition) -> float | None:
        """Return how long a stream partition has to wait at least, or None where it does not wait or nobody knows."""
        with self._changed:
            waiting = self._waiting.get(partition)
            return None if waiting is None else waiting.wait_s

    def wait_reason(self, partition: StreamPartition) -> tuple[WaitReason | None, float | None]:
        """Return why a partition waits and for how long at least."""
        with self._changed:
            waiting = self._waiting.get(partition)
            return (None, None) if waiting is None else (waiting.waits_for, waiting.wait_s)

    def remaining(self) -> dict[str, int]:
        """Return how many connects are left, by stream, where X has said so."""
        with self._changed:
            left = {stream: budget.remaining(self._now_s) for stream, budget in self._budgets.items()}
            return {stream: number for stream, number in left.items() if number is not None}

    @property
    def _now_s(self) -> float:
        return self._monotonic() / US_PER_S

    def _is_free(self, partition: StreamPartition, plan: Plan) -> bool:
        """Tell whether the attempt may go; note what it waits for if not."""
        is_replay = isinstance(plan, Replay)
        wait_s = self._budgets[partition.stream].wait_s(self._now_s, partition.number, is_live=not is_replay)
        if wait_s > 0:
            waiting = Waiting(partition, plan, WaitReason.CONNECT_BUDGET, wait_s)
        elif is_replay and self._replays >= self._max_replays:
            waiting = Waiting(partition, plan, WaitReason.CATCH_UPS, None)
        else:
            waiting = Waiting(partition, plan, WaitReason.OTHERS, None)
            rivals = [other for other in self._waiting.values() if other.partition.stream == partition.stream]
            if all(waiting.rank <= other.rank for other in rivals if other.partition != partition):
                return True
        self._waiting[partition] = waiting
        return False
