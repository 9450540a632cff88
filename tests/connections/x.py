"""The X of a row: the simulator with faults armed, or a bare socket; it is good again from some attempt on."""

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from connector.events.times import US_PER_S
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.faults import Fault
from connector.x.clock import monotonic_us, wall_us
from tests.connections.peer import Peer
from tests.unit.partition.fakes import PARTITION

BEFORE, AFTER = 2, 1
"""How many events the simulator emits before the first connection, and when it is good again."""


class Time:
    """The system's clocks, which X may let run ahead of the system."""

    def __init__(self) -> None:
        self._passed_us = 0

    def pass_by(self, seconds: float) -> None:
        """Let time pass that is not waited for."""
        self._passed_us += int(seconds * US_PER_S)

    def wall_us(self) -> int:
        """Return the wall clock."""
        return wall_us() + self._passed_us

    def monotonic_us(self) -> int:
        """Return the monotonic clock."""
        return monotonic_us() + self._passed_us


class X(Protocol):
    """What a row plays, in a `with`."""

    time: Time
    base_url: str
    events: int
    """How many events are committed in the end."""

    def before_attempt(self, number: int) -> None:
        """Be told that the `number`-th attempt is about to be made, counted from 1."""

    def go_on(self, attempts: int) -> None:
        """Be told now and then how many attempts were made."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Simulated:
    """The simulator; emits its last events when it has granted the `good`-th attempt."""

    def __init__(self, *faults: Fault, good: int = 2, events: int = BEFORE + AFTER, **config: Any) -> None:  # noqa: ANN401 - any setting
        self._simulator = Simulator(SimulatorConfig(**{"rate_limit": 1_000_000, **config}))
        self._faults = faults
        self._good = good
        self._is_over = False
        self.time = Time()
        self.events = events
        self.base_url = ""

    def before_attempt(self, number: int) -> None:
        """Do nothing."""

    def go_on(self, attempts: int) -> None:
        """Emit what comes last when all is well again."""
        if self._is_over or attempts < self._good:
            return
        if any(connection.ended is None and connection.mode == "live" for connection in self._simulator.connections):
            self._is_over = True
            self._simulator.emit(AFTER, PARTITION)

    def __enter__(self) -> Self:
        self._simulator.start()
        self.base_url = self._simulator.base_url
        self._simulator.emit(BEFORE, PARTITION)
        for fault in self._faults:
            self._simulator.inject(fault)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._simulator.stop()
        assert not self._simulator.faults.armed, "a fault did not fire"


class Bare:
    """A bare socket; `good` is the attempt before which it begins to listen, where it does not from the start."""

    def __init__(
        self, peer: Peer, *, events: int, scheme: str = "http", good: int | None = None, time: Time | None = None
    ) -> None:
        self._peer = peer
        self.time = time or Time()
        self._good = good
        self._exits = ExitStack()
        self.events = events
        self.base_url = f"{scheme}://127.0.0.1:{peer.port}"

    def before_attempt(self, number: int) -> None:
        """Begin to listen."""
        if number == self._good:
            self._peer.listen()

    def go_on(self, attempts: int) -> None:
        """Do nothing."""

    def __enter__(self) -> Self:
        self._exits.enter_context(self._peer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
