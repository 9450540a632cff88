"""Owns the emission of events, at a rate or at once: they go on record, with or without readers."""

import itertools
import random
import threading
import time
from datetime import UTC, datetime

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.simulator.board import FaultBoard
from connector.simulator.clock import NANOS, SimulatedClock
from connector.simulator.config import SimulatorConfig
from connector.simulator.events import EventSource
from connector.simulator.faults import Burst, EmissionFault, Straggler, Twin
from connector.simulator.malformed import MalformedSource
from connector.simulator.record import Emitted, PartitionLog

_SHARES = {"tweet": 0.80, "user": 0.13, "like": 0.06, "label": 0.01}
"""Each stream's share of the events."""

_TICK_S = 0.02
_MOST_IN_ARREARS_S = 1.0
_ONE_HOLD = 1000
"""Events emitted at most before others get their turn."""


class Emission:
    """Emits events into one log for each stream partition; its own thread does so at `rate` events a second."""

    def __init__(self, config: SimulatorConfig, clock: SimulatedClock, faults: FaultBoard) -> None:
        self._clock = clock
        self._faults = faults
        self._lock = threading.Lock()
        self._rate = config.rate
        self._random = random.Random(f"{config.seed}/emission")  # noqa: S311 - made-up events, not secrets
        self._malformed = MalformedSource()
        self.logs = {
            partition: PartitionLog(partition, config.record_limit, by_event_at=config.select_by == "event-at")
            for partition in STREAM_PARTITIONS
            if partition.stream in config.streams
        }
        self._sources = {partition: EventSource(config.seed, partition) for partition in self.logs}
        self._partitions = tuple(self.logs)
        shares = [_SHARES[p.stream] / sum(q.stream == p.stream for q in self.logs) for p in self.logs]
        self._cumulative_shares = tuple(itertools.accumulate(shares))

    @property
    def rate(self) -> float:
        """Events a second over all stream partitions."""
        return self._rate

    def set_rate(self, rate: float) -> None:
        """Emit at `rate` from now on; once this returns, nothing more comes at the old one."""
        if rate < 0:
            raise ValueError(f"rate must not be negative: {rate}")
        with self._lock:
            self._rate = rate

    def stop(self) -> None:
        """Stop emitting: no rate, and no steady faults. Once this returns, nothing more comes."""
        with self._lock:
            self._rate = 0
            self._faults.disarm_steady()

    def emit(self, count: int, partition: StreamPartition | None = None) -> None:
        """Emit `count` events now, on `partition` or spread over all."""
        for start in range(0, count, _ONE_HOLD):
            with self._lock:
                self._emit(min(_ONE_HOLD, count - start), partition)

    def emit_line(self, partition: StreamPartition, line: bytes, kind: str) -> None:
        """Emit exactly this line, given without its ending. Raises `ValueError` when it holds a line feed."""
        if b"\n" in line:
            raise ValueError("a line holds no line feed; its ending is added when it is delivered")
        with self._lock:
            self._log(partition).append(line, self._clock.now_ns(), kind)

    def emit_fault(self, fault: EmissionFault) -> None:
        """Emit what `fault` asks for on each of its stream partitions that exist, `times` times, and count it."""
        for target in fault.targets * (fault.times or 1):
            with self._lock:
                self._emit_one(fault, target)

    def advance(self, seconds: float, rate: float) -> None:
        """Set the clock forward, emitting at `rate` events a second of the skipped time, spread evenly over it."""
        count = round(seconds * rate)
        with self._lock:
            for _ in range(count):
                self._pass(seconds / count)
                self._emit(1, None)
            if count <= 0:
                self._pass(seconds)

    def record(self) -> list[Emitted]:
        """Return everything on record: stream partition by stream partition, each in the order of emission."""
        return [emitted for log in self.logs.values() for emitted in log.read(0, log.end)]

    def run(self, stop: threading.Event) -> None:
        """Emit at `rate`, and what steady faults ask for, until `stop` is set.

        If the machine falls behind for a second, that time is not made up for.
        """
        arrears, before = 0.0, time.monotonic()
        while not stop.wait(_TICK_S):
            now = time.monotonic()
            arrears = min(arrears + self._rate * (now - before), self._rate * _MOST_IN_ARREARS_S)
            before = now
            while arrears >= 1 and not stop.is_set():
                arrears -= self._emit_due(min(int(arrears), _ONE_HOLD))
            with self._lock:
                self._emit_due_faults()

    def _emit_due(self, count: int) -> int:
        with self._lock:
            if self._rate > 0:
                self._emit(count, None)
        return count

    def _pass(self, seconds: float) -> None:
        """Set the clock forward, and emit what steady faults ask for as they fall due on the way."""
        left_s = seconds
        while (due_ns := self._faults.next_due_ns()) is not None:
            step_s = max(due_ns - self._clock.now_ns(), 0) / NANOS
            if step_s > left_s:
                break
            self._clock.advance(step_s)
            left_s -= step_s
            self._emit_due_faults()
        self._clock.advance(left_s)

    def _emit_due_faults(self) -> None:
        for target, fault in self._faults.due(self._clock.now_ns()):
            self._emit_one(fault, target)

    def _emit_one(self, fault: EmissionFault, target: StreamPartition) -> None:
        """Emit what `fault` asks for once, and count it unless there was nothing to emit."""
        if target not in self.logs:
            return
        if isinstance(fault, Twin):
            if not self._emit_twin(target):
                return
        elif isinstance(fault, Burst | Straggler):
            self._emit(fault.events, target, late_ns=round(fault.late_s * NANOS) if isinstance(fault, Straggler) else 0)
        else:
            now_ns = self._clock.now_ns()
            at = datetime.fromtimestamp(now_ns / NANOS, tz=UTC).isoformat(timespec="milliseconds")
            line = self._malformed.line(fault.kind, target.stream, at)
            self.logs[target].append(line, now_ns, fault.kind)
        self._faults.count(fault.kind)

    def _emit_twin(self, target: StreamPartition) -> bool:
        newest = self.logs[target].newest()
        other = StreamPartition(target.stream, target.number % (STREAMS[target.stream].partitions or 1) + 1)
        if newest is None or other == target:
            return False
        emitted, event_at = newest
        self.logs[other].append(emitted.line, self._clock.now_ns(), emitted.kind, event_at)
        return True

    def _emit(self, count: int, partition: StreamPartition | None, late_ns: int = 0) -> None:
        now_ns = self._clock.now_ns()
        if partition is None:
            drawn = self._random.choices(self._partitions, cum_weights=self._cumulative_shares, k=count)
        else:
            self._log(partition)
            drawn = [partition] * count
        for target in drawn:
            line, event_at = self._sources[target].dated_line(now_ns, late_ns)
            self.logs[target].append(line, now_ns, "event", event_at)

    def _log(self, partition: StreamPartition) -> PartitionLog:
        if partition not in self.logs:
            raise ValueError(f"no such stream partition here: {partition}")
        return self.logs[partition]
