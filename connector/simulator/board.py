"""Owns the armed faults of each target, and counts those that fired. Knows nothing of sockets.

A target is a stream partition, or a type of batch jobs.

A fault is counted when it acts, not when it is armed: the code that acts takes it from here.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import TypeVar

from connector.events.catalog import StreamPartition
from connector.simulator.clock import NANOS
from connector.simulator.faults import BaseFault, DeliveryFault, EmissionFault, Mode
from connector.simulator.record import Emitted

_POLL_S = 0.02

F = TypeVar("F", bound=BaseFault)


@dataclass(slots=True, eq=False)
class Armed:
    """A fault waiting on one target; `times` None means without end, `after_lines` pass before it fires."""

    fault: BaseFault
    times: int | None
    after_lines: int


@dataclass(slots=True, eq=False)
class _Steady:
    """When an armed emission fault happens next, in simulated ns."""

    armed: Armed
    target: StreamPartition
    fault: EmissionFault
    every_ns: int
    due_ns: int


class FaultBoard:
    """The faults that are armed, for each target in the order of arming, and how many of each kind fired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: dict[Hashable, list[Armed]] = defaultdict(list)
        self._steady: list[_Steady] = []
        self._fired: Counter[str] = Counter()
        self._reordered: set[Emitted] = set()
        self._releases = 0
        self._at_fire = threading.local()

    def arm(self, fault: BaseFault) -> None:
        """Arm `fault` on each of its targets."""
        with self._lock:
            for target in fault.targets:
                self._armed[target].append(Armed(fault, fault.times, _after_lines(fault)))

    def arm_steady(self, fault: EmissionFault, every_s: float, now_ns: int) -> None:
        """Make `fault` due on each of its stream partitions every `every_s` seconds of simulated time."""
        every_ns = max(round(every_s * NANOS), 1)
        with self._lock:
            for partition in fault.targets:
                armed = Armed(fault, fault.times, 0)
                self._armed[partition].append(armed)
                self._steady.append(_Steady(armed, partition, fault, every_ns, now_ns + every_ns))

    def disarm(self, kind: str | None = None) -> None:
        """Forget the armed faults of this kind, or all."""
        with self._lock:
            for waiting in self._armed.values():
                waiting[:] = [armed for armed in waiting if kind not in {None, armed.fault.kind}]
            self._steady = [steady for steady in self._steady if kind not in {None, steady.fault.kind}]

    def disarm_steady(self) -> None:
        """Forget the emission faults that are armed."""
        with self._lock:
            for steady in self._steady:
                self._armed[steady.target].remove(steady.armed)
            self._steady.clear()

    @property
    def armed(self) -> Counter[str]:
        """How often faults of each kind are still to fire; one without end counts as 1."""
        with self._lock:
            counts: Counter[str] = Counter()
            for armed in (armed for waiting in self._armed.values() for armed in waiting):
                counts[armed.fault.kind] += 1 if armed.times is None else armed.times
            return counts

    @property
    def fired(self) -> Counter[str]:
        """How often faults of each kind fired."""
        with self._lock:
            return Counter(self._fired)

    @property
    def reordered(self) -> frozenset[Emitted]:
        """The lines delivered to some connection in a different order than emitted."""
        with self._lock:
            return frozenset(self._reordered)

    def reorder(self, lines: Collection[Emitted]) -> None:
        """Record that these are delivered in a different order."""
        with self._lock:
            self._reordered.update(lines)

    def count(self, kind: str) -> None:
        """Count a fault that needed no arming."""
        with self._lock:
            self._fired[kind] += 1

    def take(
        self,
        kind: type[F],
        target: Hashable,
        mode: Mode | None = None,
        would_act: Callable[[F], bool] = lambda _: True,
    ) -> F | None:
        """Fire the first armed fault of this kind that would act on an answer; None when there is none."""
        with self._lock:
            for armed in self._armed[target]:
                fault = armed.fault
                if isinstance(fault, kind) and getattr(fault, "mode", None) in {None, mode} and would_act(fault):
                    self._fire(target, armed)
                    return fault
        return None

    def next_delivery(self, partition: StreamPartition, mode: Mode) -> tuple[Armed, DeliveryFault] | None:
        """Return the next delivery fault without firing it."""
        with self._lock:
            for armed in self._armed[partition]:
                if isinstance(armed.fault, DeliveryFault) and armed.fault.mode in {None, mode}:
                    return armed, armed.fault
        return None

    def fire(self, partition: StreamPartition, armed: Armed) -> bool:
        """Fire a fault from `next_delivery`; False when another connection was quicker."""
        with self._lock:
            if armed not in self._armed[partition]:
                return False
            self._fire(partition, armed)
            return True

    def next_due_ns(self) -> int | None:
        """Return when a steady fault is due next, in simulated ns; None when none is armed."""
        with self._lock:
            return min((steady.due_ns for steady in self._steady), default=None)

    def due(self, now_ns: int) -> list[tuple[StreamPartition, EmissionFault]]:
        """Return the steady faults that are due, each once however much time was skipped; none of them is counted."""
        with self._lock:
            due = [steady for steady in self._steady if steady.due_ns <= now_ns]
            for steady in due:
                steady.due_ns += steady.every_ns
                if steady.due_ns <= now_ns:
                    steady.due_ns = now_ns + steady.every_ns
                self._use_up(steady.target, steady.armed)
            self._steady = [steady for steady in self._steady if steady.armed.times != 0]
            return [(steady.target, steady.fault) for steady in due]

    def _fire(self, target: Hashable, armed: Armed) -> None:
        self._at_fire.releases = self._releases
        self._fired[armed.fault.kind] += 1
        self._use_up(target, armed)

    def _use_up(self, target: Hashable, armed: Armed) -> None:
        armed.after_lines = _after_lines(armed.fault)
        if armed.times is not None:
            armed.times -= 1
            if armed.times == 0:
                self._armed[target].remove(armed)

    def release(self) -> None:
        """End every current stall, hold and endless line."""
        with self._lock:
            self._releases += 1

    def wait(self, seconds: float | None, pass_time: Callable[[float], None]) -> None:
        """Wait for `seconds`, or until released since this thread fired a fault, in short steps."""
        releases = self._at_fire.releases
        until_s = float("inf") if seconds is None else time.monotonic() + seconds
        while self.releases == releases and time.monotonic() < until_s:
            pass_time(_POLL_S)

    @property
    def releases(self) -> int:
        """How often stalls and holds were released: each ends when this moves."""
        with self._lock:
            return self._releases


def _after_lines(fault: BaseFault) -> int:
    return fault.after_lines if isinstance(fault, DeliveryFault) else 0
