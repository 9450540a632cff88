"""The script of the demo: the trouble that X makes, a time range that it loses, and batch runs after it.

Owns what goes wrong when. Must not know how the service or a batch run works.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event

from connector.app import Service
from connector.demo.accounts import Result, Run
from connector.demo.batches import hold, run_batch_of
from connector.demo.landing import Watcher
from connector.demo.verdict import Verdict, expect
from connector.demo.view import View
from connector.demo.worker import Worker
from connector.errors import DependencyUnavailableError
from connector.events.catalog import StreamPartition
from connector.kafka.ledger import Mode
from connector.settings import RunSettings
from connector.simulator.faults import Broken, Close, Drop, Duplicate, Fault, IgnoreReplay, Stall, UnknownType
from connector.simulator.server import Simulator
from connector.x.batch_api import JobType

_EVENTS_PER_S = 80.0
_REFRESH_S = 0.2
_FINISHING = "finishing"
_CONNECT_LIMIT_S = 60.0
_DRAIN_LIMIT_S = 20.0
_LOSS_LIMIT_S = 30.0
_RUN_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that X does when the fraction `at` of the demo's time has passed; no two are of one kind."""

    at: float
    fault: Fault
    text: str


TROUBLES = (
    Trouble(0.2, Drop(stream="tweet", partition=1), "X drops the connection of tweet/1"),
    Trouble(0.4, Duplicate(stream="tweet", partition=2, lines=10), "X delivers 10 events of tweet/2 once more"),
    Trouble(0.6, UnknownType(stream="user", partition=3), "X sends an event of an unknown type on user/3"),
    Trouble(0.8, Broken(stream="tweet", partition=4), "X sends a broken line on tweet/4"),
)


@dataclass(frozen=True, slots=True)
class Loss:
    """A time range that X holds back for `away_s` of its time, and does not replay, when the fraction `at` has passed.

    That is longer than the 5 minutes of a backfill. `events` are lost on each of `partitions`.
    """

    at: float
    partitions: tuple[StreamPartition, ...]
    events: int
    away_s: float

    @property
    def text(self) -> str:
        """The demo's line about it."""
        names = " and ".join(map(str, self.partitions))
        return (
            f"X holds back events of {names} for {self.away_s / 60:.0f} minutes of its time, and replays none of them"
        )

    def holding_back(self) -> Iterator[Fault]:
        """Yield the faults that begin it."""
        for each in self.partitions:
            yield Stall(stream=each.stream, partition=each.number, mode="live")

    def giving_up(self) -> Iterator[Fault]:
        """Yield the faults that make it final: connections end, and X ignores the parameters of replays."""
        for each in self.partitions:
            yield IgnoreReplay(stream=each.stream, partition=each.number, times=None)
            yield Close(stream=each.stream, partition=each.number)


LOSS = Loss(0.9, (StreamPartition("tweet", 3), StreamPartition("user", 1)), events=40, away_s=6 * 60.0)
_LATENESS_S = 10.0
"""No event is dated this long before X emits it."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs, the troubles that were made, the ids of lost events, and the batch runs."""

    x: Simulator
    settings: RunSettings
    service: Service
    watcher: Watcher
    view: View
    stop: Event
    workers: Sequence[Worker]
    happened: list[Trouble] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    runs: list[Run] = field(default_factory=list)

    def perform(self, seconds: float) -> None:
        """Go through all of it in about `seconds`; once `stop` is set nothing more begins, and what has begun ends.

        Raises `DependencyUnavailableError` when the service does not connect, and what batch runs raise.
        """
        self._connect()
        self._play(seconds)
        if not self.stop.is_set():
            self._lose_a_stretch()
        self._drain()
        if self.lost:
            self._make_up()

    def did_not_happen(self, verdict: Verdict) -> Iterator[str]:
        """Yield the texts of troubles that did not happen."""
        yield from (trouble.text for trouble in self.happened if not self.x.fired[trouble.fault.kind])
        if self.lost and not (verdict.made_up_for and verdict.remaining):
            yield LOSS.text

    def _connect(self) -> None:
        """Wait until the service reads every stream partition. Raises `DependencyUnavailableError`."""
        self._await(lambda: self._is_connected() or self.stop.is_set(), _CONNECT_LIMIT_S, "connecting")
        if not self._is_connected() and not self.stop.is_set():
            raise DependencyUnavailableError(f"the connector is not connected to X after {_CONNECT_LIMIT_S:g} s")

    def _play(self, seconds: float) -> None:
        """Let X emit, and make each trouble as its time comes."""
        began = time.monotonic()
        due = deque(TROUBLES)
        self.x.set_rate(_EVENTS_PER_S)
        while (elapsed_s := time.monotonic() - began) < LOSS.at * seconds and not self.stop.is_set():
            while due and elapsed_s >= due[0].at * seconds:
                self._make(due.popleft())
            self._pause(f"{seconds - elapsed_s:.0f} s left")

    def _lose_a_stretch(self) -> None:
        """Let X lose a time range, and wait until the gaps show it.

        X is silent when it begins, and its clock is set forward, so that no event of the stretch is dated before one
        that has landed.
        """
        x = self.x
        self.view.say(LOSS.text)
        x.set_rate(0)
        self._await_landed(_LOSS_LIMIT_S)
        before = self._emitted()
        for fault in LOSS.holding_back():
            x.inject(fault)
        self._await(lambda: x.fired["stall"] == len(LOSS.partitions), _LOSS_LIMIT_S)
        x.advance(_LATENESS_S)
        for partition in LOSS.partitions:
            x.emit(LOSS.events, partition)
        self.lost.update(self._emitted() - before)
        x.advance(LOSS.away_s)
        for fault in LOSS.giving_up():
            x.inject(fault)
        x.release()
        x.set_rate(_EVENTS_PER_S)
        self._await(lambda: self.watcher.in_gaps.issuperset(LOSS.partitions), _LOSS_LIMIT_S)
        for fault in (*LOSS.holding_back(), *LOSS.giving_up()):
            x.faults.disarm(fault.kind)

    def _drain(self) -> None:
        """Silence X, and wait until everything emitted and not lost has arrived, at most for a while."""
        self.x.stop_emitting()
        self._await_landed(_DRAIN_LIMIT_S)

    def _make_up(self) -> None:
        """Let a store hold everything that X knows, and batch runs publish X's requests about it."""
        self.view.say("A store holds all Tweets and users that X knows of; batch runs ask X what to do about them")
        hold(self.settings.kafka, {kind: self.x.population.ids(kind.value) for kind in JobType})
        for kind in JobType:
            truth = self.x.population.findings(kind.value)
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(run_batch_of, kind, self.settings, _RUN_LIMIT_S)
                self._await(running.done)
            report = running.result()
            self.view.say(*report.lines())
            results = (Result(report.run_id, each, found.action, found.reason) for each, found in truth.items())
            self.runs.append(Run(report.run_id, kind.value, tuple(results)))

    def _is_connected(self) -> bool:
        return all(status.mode == Mode.LIVE for status in self.service.statuses.values())

    def _make(self, trouble: Trouble) -> None:
        self.x.inject(trouble.fault)
        self.happened.append(trouble)
        self.view.say(trouble.text)

    def _emitted(self) -> set[str]:
        """Return the ids of all lines that must land, if X delivers them."""
        return set(expect(self.x.record()))

    def _await_landed(self, limit_s: float) -> None:
        """Wait until each fault has fired, and all that X has emitted has landed but for what is lost."""
        expected = self._emitted() - self.lost
        self._await(lambda: not self.x.faults.armed and expected <= self.watcher.ids, limit_s)

    def _await(self, condition: Callable[[], bool], limit_s: float = float("inf"), progress: str = _FINISHING) -> None:
        """Wait, at most for a while: the verdict finds what is missing then."""
        deadline = time.monotonic() + limit_s
        while not condition() and time.monotonic() < deadline:
            self._pause(progress)

    def _pause(self, progress: str) -> None:
        """Show what has landed, and wait; not for `stop`, which a signal may set in the middle of just that."""
        for worker in self.workers:
            worker.check()
        self.view.show(self.watcher.rows.values(), progress)
        time.sleep(_REFRESH_S)
