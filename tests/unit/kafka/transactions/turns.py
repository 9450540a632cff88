"""Threads of which one runs at a time, in an order that is drawn: the same seed gives the same run.

A thread goes on until it waits; then another one has its turn, and model time passes. The product is given these
threads, conditions and futures, so its own threads take turns, too.
"""

import random
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Self

from connector.kafka.threads import Threads

_STEPS_S = (0.001, 0.01, 0.01, 0.05, 0.2, 0.5)
_LONG_STEPS_S = (2.0, 9.0)
_HOLDS_S = (1.0, 5.0, 12.0, 20.0, 40.0)


class _Stopped(BaseException):
    """Ends a thread when the run is over; nothing that runs may catch it."""


@dataclass(eq=False)
class _Task:
    """A thread, the process that it belongs to, and what it waits for."""

    process: str
    name: str
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    until_s: float = 0.0
    is_over: Callable[[], bool] = lambda: False
    has_ended: bool = False


class Turns:
    """The threads of a run, its clock in seconds, its random numbers, and a trace of what happened.

    `meanwhile` is called before each turn; a process is held with a chance of `hold_chance`.
    """

    def __init__(self, seed: int, hold_chance: float = 0.01) -> None:
        self.random = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self.now_s = 1000.0
        self.trace: list[str] = []
        self.failures: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._hold_chance = hold_chance
        self._tasks: list[_Task] = []
        self._held_until_s: dict[str, float] = {}
        self._current: _Task | None = None
        self._back = threading.Semaphore(0)
        self._is_over = False

    def clock(self) -> float:
        """Return the time."""
        return self.now_s

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        name = "Kafka" if self._current is None else f"{self._current.process} {self._current.name}"
        self.trace.append(f"{self.now_s:9.3f} {name}: {text}")

    def start(self, name: str, body: Callable[[], object], process: str | None = None) -> None:
        """Start a thread, in the process of the one that runs unless another is given."""
        if process is None:
            assert self._current is not None
            process = self._current.process
        task = _Task(process, name)
        self._tasks.append(task)
        threading.Thread(target=self._run, args=(task, body), daemon=True).start()

    def _run(self, task: _Task, body: Callable[[], object]) -> None:
        task.turn.acquire()
        try:
            if not self._is_over:
                body()
        except _Stopped:
            pass
        except BaseException:  # noqa: BLE001 - whatever it was, the run has failed
            self.failures.append(traceback.format_exc())
        task.has_ended = True
        self._back.release()

    def wait(self, until_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let others have their turns until then, or until it is over."""
        task = self._current
        assert task is not None
        if self._is_over:
            raise _Stopped
        task.until_s, task.is_over = until_s, is_over
        self._back.release()
        task.turn.acquire()
        if self._is_over:
            raise _Stopped

    def step(self) -> None:
        """Let others have their turns."""
        self.wait(0.0)

    def pause(self, duration_s: float) -> None:
        """Wait for a while."""
        self.wait(self.now_s + duration_s)

    def hold(self, process: str) -> None:
        """Let a process stand still for a while, with all its threads."""
        self._held_until_s[process] = self.now_s + self.random.choice(_HOLDS_S)
        self.note(f"{process} stands still until {self._held_until_s[process]:.1f}")

    def play(self, turns: int) -> None:
        """Play a number of turns."""
        for _ in range(turns):
            is_long = self.random.random() < 0.01
            self.now_s += self.random.choice(_LONG_STEPS_S if is_long else _STEPS_S)
            self.meanwhile()
            able = [task for task in self._tasks if self._is_able(task)]
            if able:
                task = self.random.choice(able)
                if self.random.random() < self._hold_chance:
                    self.hold(task.process)
                else:
                    self._give_turn(task)

    def _is_able(self, task: _Task) -> bool:
        is_held = self._held_until_s.get(task.process, 0.0) > self.now_s
        return not (task.has_ended or is_held) and (task.until_s <= self.now_s or task.is_over())

    def _give_turn(self, task: _Task) -> None:
        self._current = task
        task.turn.release()
        self._back.acquire()
        self._current = None

    def end(self) -> None:
        """End all threads."""
        self._is_over = True
        for task in self._tasks:
            if not task.has_ended:
                self._give_turn(task)

    @property
    def threads(self) -> Threads:
        """What the product works with."""
        return Threads(self.clock, self.pause, self.start, partial(_Condition, self), partial(_Future, self))


class _Condition:
    """Stands in for `threading.Condition`; one thread runs at a time, so there is nothing to lock."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._notified = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def wait(self, timeout_s: float) -> bool:
        """Wait until notified; return whether it was so."""
        before = self._notified
        self._turns.wait(self._turns.now_s + timeout_s, lambda: self._notified != before)
        return self._notified != before

    def notify(self) -> None:
        """Wake all waiters."""
        self._notified += 1


class _Future(Future[Any]):
    """A future that others have their turns before."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - as in the class above
        """Wait for it."""
        assert timeout is None
        self._turns.wait(inf, self.done)
        return super().result(0)
