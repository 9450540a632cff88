"""The X of a row: the simulator with faults armed, or a bare socket; it is good again from some attempt on."""

import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from connector.events.times import US_PER_S
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.faults import Fault
from connector.x.clock import monotonic_us, wall_us
from tests.fakes.partition import PARTITION
from tests.rig.peer import Peer

_PATIENCE_S = 20.0
BEFORE, AFTER = 2, 1
"""How many events the simulator emits before the first connection, and when it is good again."""


class Time:
    """The system's clocks, which X may let run ahead of the system; the wall clock may be `wall_ahead_s` of X's."""

    def __init__(self, *, wall_ahead_s: float = 0.0) -> None:
        self._passed_us = 0
        self._wall_ahead_us = int(wall_ahead_s * US_PER_S)

    def pass_by(self, seconds: float) -> None:
        """Let time pass that is not waited for."""
        self._passed_us += int(seconds * US_PER_S)

    def x_us(self) -> int:
        """Return X's time."""
        return wall_us() + self._passed_us

    def wall_us(self) -> int:
        """Return the wall clock."""
        return self.x_us() + self._wall_ahead_us

    def monotonic_us(self) -> int:
        """Return the monotonic clock."""
        return monotonic_us() + self._passed_us


class Committed:
    """How many lines the connector has committed, known ones too: what a script may wait for before time passes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lines = 0

    def record(self, lines: int) -> None:
        """Record how many there are now."""
        with self._changed:
            self._lines = lines
            self._changed.notify_all()

    def wait_for(self, lines: int) -> None:
        """Wait until there are as many as that."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._lines >= lines, _PATIENCE_S)


class X(Protocol):
    """What a row plays, in a `with`."""

    time: Time
    base_url: str
    events: int
    """How many events are committed in the end."""

    def before_attempt(self, number: int) -> None:
        """Be told that the `number`-th attempt is about to be made, counted from 1."""

    def go_on(self, attempts: int, lines: int) -> None:
        """Be told now and then how many attempts were made, and how many lines are committed."""

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

    def go_on(self, attempts: int, lines: int) -> None:
        """Emit what comes last when all is well again."""
        del lines
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

    def __init__(  # noqa: PLR0913 - what rows are made of
        self,
        peer: Peer,
        *,
        events: int,
        scheme: str = "http",
        good: int | None = None,
        time: Time | None = None,
        committed: Committed | None = None,
    ) -> None:
        self._peer = peer
        self._committed = committed or Committed()
        self.time = time or Time()
        self._good = good
        self._exits = ExitStack()
        self.events = events
        self.base_url = f"{scheme}://127.0.0.1:{peer.port}"

    def before_attempt(self, number: int) -> None:
        """Begin to listen."""
        if number == self._good:
            self._peer.listen()

    def go_on(self, attempts: int, lines: int) -> None:
        """Tell the scripts."""
        del attempts
        self._committed.record(lines)

    def __enter__(self) -> Self:
        self._exits.enter_context(self._peer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()
