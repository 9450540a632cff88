"""The reader: the order of things between X and the inbox, with X played by a script."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from connector.source.body import MAX_LINES
from connector.source.deliveries import Delivery, Ended, KeptAlive, Opened, Received
from connector.source.lifecycle import TABLE, Happening, State, next_step

from connector.coverage.plan import MINUTE_US, Allowed, Cause, Live, Plan, Replay, is_grantable, make_plan
from connector.coverage.session import Doubt
from connector.events.catalog import StreamPartition
from connector.events.decode import LongLine, SystemMessage
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.source import lifecycle
from connector.source import reader as reader_module
from connector.source.channel import Inbox
from connector.source.connect_limiter import Gate, Turn
from connector.source.reader import Outcome, Reader
from connector.source.stall import StallWatch
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.status import PartitionStatus
from connector.x.backoff import Backoff, Curve
from connector.x.client import Connection
from connector.x.errors import ConnectFailedError, Failure, PlanRefusedError, RateLimit
from connector.x.transport import Wire
from tests.unit.x.fakes import NOW_US, FakeConnection, FakeTime, Step, is_closed

_PARTITION = StreamPartition("tweet", 1)
_DEADLINE_S = 30.0
_REFUSED = PlanRefusedError(Failure(Curve.CONFIGURATION, "http-400", "refused", date_us=NOW_US - US_PER_S))
_DOWN = ConnectFailedError(Failure(Curve.NETWORK, "network", "down"))
_CUT = Failure(Curve.NETWORK, "network", "cut off")
_OPERATIONAL = SystemMessage("OperationalDisconnect", "d")
_TOO_MANY = SystemMessage("TooManyConnections", "d")

Answer = ConnectFailedError | Exception | Sequence[Step]


class _Stopped(threading.Event):
    """Notes each delay instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        """Note the delay."""
        self.waited_s += timeout or 0.0
        return self.is_set()


class _World:
    """X, the committer and the clocks around one reader; X gives `answers` in turn and the last one ends the test."""

    def __init__(self, time_: FakeTime) -> None:
        self.time = time_
        self.delays: list[float] = []
        """How long the reader waited after each attempt."""
        self.inbox = Inbox(64 * 1024 * 1024)
        self.covered_until_us = time_.now_us
        self.system_message: SystemMessage | None = None
        self.doubt: Doubt | None = None
        self.again: Replay | None = None
        self.x_ahead_s = 0.0
        self.answer_s = 0.0
        self.plans: list[Plan] = []
        self.connections: list[FakeConnection] = []
        self.wires: list[Wire] = []
        self.deliveries: list[Delivery] = []
        self.messages: list[SystemMessage | None] = []
        self.metrics = Metrics()
        self.watch = StallWatch()
        self.answers: list[Answer] = []
        self.gate = Gate(2)
        self.status = PartitionStatus()
        self.reader = Reader(
            partition=_PARTITION,
            open_connection=self._open,
            inbox=self.inbox,
            progress=self,
            settings=XSettings(line_limit_bytes=1024),
            stall_watch=self.watch,
            gate=self.gate,
            report=PartitionTelemetry(_PARTITION, self.metrics, self.status),
        )
        self.reader._stop = self.stopped = _Stopped()  # noqa: SLF001 - so that delays are seen, not waited for
        self.reader._backoff = Backoff(lambda: 0.0)  # noqa: SLF001 - so that delays are exact

    def _open(self, _: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        assert list(self.inbox.take()) == [], "a plan was made before all was settled"
        if self.plans:
            self._note_delay()
        self.plans.append(plan)
        self.wires.append(wire)
        if len(self.plans) > len(self.answers):
            self.reader.stop()
            self.inbox.close()
            raise _DOWN
        answer = self.answers[len(self.plans) - 1]
        if isinstance(answer, Exception):
            raise answer
        x_now_us = self.time.now_us + int(self.x_ahead_s * US_PER_S)
        self.time.advance(self.answer_s)
        connection = FakeConnection(x_now_us // US_PER_S * US_PER_S, answer)
        self.connections.append(connection)
        return cast("Connection", connection)

    def _note_delay(self) -> None:
        self.delays.append(self.stopped.waited_s)
        self.stopped.waited_s = 0.0

    def run(self, *answers: Answer) -> None:
        """Let the reader run through `answers` to its end, while a committer takes and settles all it delivers."""
        self.answers = list(answers)
        thread = threading.Thread(target=self.reader.run)
        thread.start()
        until = time.monotonic() + _DEADLINE_S
        while thread.is_alive() and time.monotonic() < until:
            self.inbox.wait(0.005)
            for delivery in self.inbox.take():
                self.deliveries.append(delivery)
                if isinstance(delivery, Ended):
                    self.system_message = self.messages.pop(0) if self.messages else None
            self.inbox.settle()
        thread.join(_DEADLINE_S)
        assert not thread.is_alive()

    def wait(self, seconds: float) -> Step:
        """Return a step of a script in which time passes, and the stall watch ticks meanwhile."""

        def step() -> None:
            for _ in range(int(seconds * 2)):
                self.time.advance(0.5)
                self.watch.tick()

        return step

    def found(self, kind: type[Delivery]) -> list[Any]:
        """Return the deliveries of one kind."""
        return [delivery for delivery in self.deliveries if isinstance(delivery, kind)]

    def count(self, name: str, **labels: str) -> float:
        """Return the value of a counter of this partition."""
        where = {"stream": "tweet", "partition": "1", **labels}
        return self.metrics.registry.get_sample_value(f"compliance_connector_{name}_total", where) or 0.0


@pytest.fixture
def world(fake_time: FakeTime) -> Iterator[_World]:
    """Give a reader in a scripted world."""
    world = _World(fake_time)
    yield world
    world.inbox.close()


def test_connection_is_handed_on_from_its_opening_to_its_end(world: _World) -> None:
    """Opened, lines as they come, Ended with what was cut off; then at once the next connection."""
    world.run([b'{"a"', b":1}\r\n{}\r\n", b"\r\ncut"], [b"{}\n"])
    assert [type(delivery) for delivery in world.deliveries] == [Opened, Received, Ended] * 2
    opened, received, ended = world.deliveries[:3]
    assert isinstance(opened, Opened)
    assert opened.plan == Live(1)
    assert opened.lost is None
    assert isinstance(received, Received)
    assert list(received.lines) == [b'{"a":1}', b"{}"]
    assert ended == Ended(is_whole=False)
    assert world.delays == [0.0, 0.0]
    assert all(connection.has_left for connection in world.connections)
    assert world.count("truncated_tails") == 1


def test_connection_that_breaks_is_not_whole(world: _World) -> None:
    """With the reason; and after lines have come, the next attempt is made at once."""
    world.run([b"{}\r\n", _CUT])
    assert world.found(Ended) == [Ended(is_whole=False)]
    assert world.delays[0] == 0.0
    assert world.count("disconnects", reason="network") == 1


def test_replay_slices_are_told_by_how_they_ended(world: _World) -> None:
    """Broken off, cut within a line, whole; a live connection is none."""
    world.covered_until_us -= 60 * MINUTE_US
    world.run([_CUT], [b"cut"], [b"{}\n"])
    assert world.count("replay_slices", outcome="interrupted") == 2
    assert world.count("replay_slices", outcome="whole") == 1


def test_live_connection_is_no_slice(world: _World) -> None:
    """However it ended; where it came with a backfill, that is told."""
    world.run([_CUT], [b"{}\n"])
    assert world.count("replay_slices", outcome="interrupted") == world.count("replay_slices", outcome="whole") == 0
    assert world.count("backfills") == world.count("connects") == 2


def test_failures_back_off_until_a_connection_delivers(world: _World) -> None:
    """Neither an accepted request nor an early end is a delivery; a keep-alive is."""
    world.run(_DOWN, _DOWN, [], [_CUT], [b"\r\n", _CUT], _DOWN)
    assert world.delays == [0.25, 0.5, 0.75, 1.0, 0.0, 0.25]


def test_delay_that_x_asks_for_is_kept(world: _World) -> None:
    """As for a spent budget."""
    world.run(ConnectFailedError(Failure(Curve.RATE_LIMIT, "rate-limited", "spent", 700.0)))
    assert world.delays[0] == 700.0
    assert world.count("connect_failures", reason="rate-limited") == 1


def test_unforeseen_error_is_told_and_reading_goes_on(world: _World) -> None:
    """Whatever it is, the partition is not left without a reader."""
    world.run(RuntimeError("boom"), [b"{}\n"])
    assert len(world.found(Received)) == 1
    assert world.delays[0] > 0


def test_plan_waits_until_everything_before_is_committed(world: _World) -> None:
    """The next plan starts from what the commit made of the connection before."""
    world.covered_until_us -= 2 * MINUTE_US
    covered_later = world.time.now_us - 3 * MINUTE_US + 30 * US_PER_S

    def commit() -> None:
        world.covered_until_us = covered_later

    world.run([b"{}\n", commit], [])
    assert world.plans[:2] == [Live(3), Live(4)]


def test_answer_that_takes_long_says_how_much_later_x_may_have_it(world: _World) -> None:
    """Its `Date` may be as old as the request."""
    world.answer_s = 20.0
    world.run([b"{}\n"])
    [opened] = world.found(Opened)
    assert opened.answer_us == 20 * US_PER_S
    assert opened.at_us == NOW_US


def test_refused_replay_falls_back_to_backfill_then_to_a_plain_connection(world: _World) -> None:
    """At once each time; what each cannot reach is lost, with the cause."""
    world.covered_until_us -= 60 * MINUTE_US
    world.run(_REFUSED, _REFUSED, [b"{}\n"], _DOWN)
    replay, *rest = world.plans
    assert isinstance(replay, Replay)
    assert rest[:2] == [Live(5, Cause.REPLAY_REFUSED), Live(0, Cause.REPLAY_REFUSED)]
    [opened] = world.found(Opened)
    assert opened.lost.start_us == world.covered_until_us
    assert opened.lost.cause is Cause.REPLAY_REFUSED
    assert world.delays[:2] == [0.0, 0.0]
    assert isinstance(world.plans[3], Replay), "all is worth asking for after a live connection"


def test_refused_plain_connection_waits_and_asks_for_everything_again(world: _World) -> None:
    """The fault was not in the parameters."""
    world.run(_REFUSED, _REFUSED, _REFUSED)
    assert world.plans == [Live(1), Live(0, Cause.BACKFILL_REFUSED), Live(1), Live(0, Cause.BACKFILL_REFUSED)]
    assert world.delays[:2] == [0.0, 60.0]


def test_whole_slice_is_followed_by_the_next_with_a_short_overlap(world: _World) -> None:
    """At once, also after a slice in which nothing happened."""
    world.covered_until_us -= 60 * MINUTE_US

    def commit() -> None:
        plan = world.plans[-1]
        assert isinstance(plan, Replay)
        world.covered_until_us = plan.end_us

    world.run([commit], [commit])
    first, second = world.plans[:2]
    assert isinstance(first, Replay)
    assert isinstance(second, Replay)
    assert second.start_us == first.end_us - MINUTE_US
    assert world.delays[:2] == [0.0, 0.0]


def test_interrupted_slice_is_asked_for_again_as_the_first_one(world: _World) -> None:
    """With the long overlap, as nothing is known of it."""
    world.covered_until_us -= 60 * MINUTE_US
    world.run([b"{}\n", _CUT], [b"{}\n"])
    assert world.plans[0] == world.plans[1]
    assert world.found(Ended)[0].is_whole is False


def test_slice_that_ends_within_a_line_is_asked_for_again(world: _World) -> None:
    """A line that was cut off is missing, however the body ended."""
    world.covered_until_us -= 60 * MINUTE_US
    world.run([b"{}\n{"], [b"{}\n"])
    assert world.plans[0] == world.plans[1]
    assert world.found(Ended)[0] == Ended(is_whole=False)
    assert world.delays[0] == 0.25


def test_system_message_in_a_slice_makes_the_next_one_start_afresh(world: _World) -> None:
    """X ended the body properly, but said that it was not all."""
    world.covered_until_us -= 60 * MINUTE_US
    world.messages = [_OPERATIONAL]
    world.run([b"{}\n", b"{}\n"], [b"{}\n"])
    assert world.plans[0] == world.plans[1]
    assert world.count("disconnects", reason="system-message") == 1


def test_slice_that_breaks_off_each_time_backs_off_whatever_it_brought(world: _World) -> None:
    """Part of a slice is no delivery, since all of it has to come again."""
    world.covered_until_us -= 60 * MINUTE_US
    world.run([b"{}\n", _CUT], [b"{}\n", _CUT], [b"{}\n", _CUT])
    assert world.delays[:3] == [0.25, 0.5, 0.75]
    assert world.plans[0] == world.plans[1] == world.plans[2]


def test_slice_that_x_gives_up_each_time_backs_off(world: _World) -> None:
    """A proper end after a system message is none."""
    world.covered_until_us -= 60 * MINUTE_US
    world.messages = [_OPERATIONAL] * 3
    world.run(*[[b"{}\n"]] * 3)
    assert world.delays[:3] == [0.25, 0.5, 0.75]


def test_stretch_that_is_in_doubt_is_asked_for_before_anything_else(world: _World) -> None:
    """As it is, whatever the plan would have been; the next plan is made at once."""
    again = Replay(world.covered_until_us - 20 * MINUTE_US, world.covered_until_us - 5 * MINUTE_US)
    world.again = again

    def come() -> None:
        world.again = None

    world.run([come, b"{}\n"], [b"{}\n"])
    assert world.plans[0] == again
    assert isinstance(world.plans[1], Live)
    [opened, _] = world.found(Opened)
    assert (opened.plan, opened.lost) == (again, None)
    assert world.delays[0] == 0.0


def test_stretch_that_is_in_doubt_and_out_of_x_s_reach_is_not_asked_for(world: _World) -> None:
    """X would refuse it for ever."""
    day_us = 24 * 60 * MINUTE_US
    world.again = Replay(world.covered_until_us - day_us, world.covered_until_us - day_us + MINUTE_US)
    world.run([b"{}\n"])
    assert world.plans[0] == Live(1)


def test_stretch_that_is_in_doubt_is_not_asked_for_where_x_refuses_replays(world: _World) -> None:
    """Until a live connection has ended, after which all is worth asking for again."""
    again = Replay(world.covered_until_us - 20 * MINUTE_US, world.covered_until_us - 5 * MINUTE_US)
    world.again = again
    world.run(_REFUSED, [b"{}\n"], [])
    assert world.plans[:3] == [again, Live(1), again]


def test_doubt_is_told_when_the_connection_has_ended(world: _World) -> None:
    """Once for each connection that gave rise to one."""
    world.doubt = Doubt.NOTHING_REPEATED

    def settle() -> None:
        world.doubt = None

    world.run([b"{}\n"], [settle, b"{}\n"])
    assert world.count("doubts", doubt="nothing-repeated") == 1
    assert world.count("disconnects", reason="closed") == 2


class _Held:
    """A gate that others keep shut the first `busy` times; notes what is done with it."""

    def __init__(self, *, busy: int) -> None:
        self._gate = Gate(1)
        self._busy = busy
        self.asked: list[Plan] = []
        self.forgotten = 0

    def enter(self, partition: StreamPartition, plan: Plan, timeout_s: float) -> Turn | None:
        """Answer no so often, and then yes."""
        self.asked.append(plan)
        return self._gate.enter(partition, plan, timeout_s) if len(self.asked) > self._busy else None

    def wait_s(self, _: StreamPartition) -> float:
        """Return some time."""
        return 7.0

    def forget(self, partition: StreamPartition) -> None:
        """Give up the place."""
        self.forgotten += 1
        self._gate.forget(partition)

    @property
    def is_free(self) -> bool:
        """Whether the one catch-up that may go is not going."""
        return isinstance(self._gate.enter(StreamPartition("user", 1), Replay(0, 1), 0), Turn)


def test_attempt_waits_for_its_turn_and_plans_anew_meanwhile(world: _World) -> None:
    """Nothing is asked of X before, and the plan that is asked for at last is not an old one."""
    world.reader._gate = gate = cast("Any", _Held(busy=2))  # noqa: SLF001 - so that nobody waits
    world.run()
    assert len(gate.asked) == 2 + len(world.plans)
    assert world.plans == gate.asked[2:]
    assert world.status.next_attempt_us == world.time.now_us + 7 * US_PER_S


def test_turn_is_given_back_however_it_ends(world: _World) -> None:
    """Read, failed, broken, refused; and whoever backs off keeps no place."""
    world.reader._gate = gate = cast("Any", _Held(busy=0))  # noqa: SLF001 - so that it can be asked afterwards
    world.covered_until_us -= 60 * MINUTE_US
    world.run([b"{}\n"], _DOWN, RuntimeError("boom"), _REFUSED)
    assert gate.forgotten
    assert gate.is_free


def test_what_x_says_of_the_budget_reaches_the_gate(world: _World) -> None:
    """Of a refusal too."""
    limit = RateLimit(100, 41, NOW_US // US_PER_S + 600, NOW_US / US_PER_S)
    world.run(ConnectFailedError(Failure(Curve.HTTP, "http-5xx", "down", rate_limit=limit)))
    assert world.gate.remaining() == {"tweet": 40}  # one was asked after that, and said nothing


Cell = tuple[State, Happening]


@dataclass(frozen=True)
class _Script:
    """What X answers, how long we were away before, and what X says of the first connection."""

    answers: Sequence[Answer]
    away_us: int = 0
    message: SystemMessage | None = None


_ONE_TOO_MANY = ConnectFailedError(Failure(Curve.TOO_MANY_CONNECTIONS, "too-many-connections", "d"))
_BY_X: dict[Cell, _Script] = {
    (State.PLANNING, Happening.TURN_CAME): _Script([_DOWN]),
    (State.CONNECTING, Happening.GRANTED): _Script([[b"{}\n"]]),
    (State.CONNECTING, Happening.REPLAN): _Script([_REFUSED, [b"{}\n"]]),
    (State.CONNECTING, Happening.ENDED): _Script([_DOWN]),
    (State.CONNECTING, Happening.TOO_MANY): _Script([_ONE_TOO_MANY]),
    (State.CONNECTING, Happening.STOPPED): _Script([]),
    (State.CONNECTING, Happening.UNFORESEEN): _Script([RuntimeError("boom")]),
    (State.UNPROVEN, Happening.DELIVERED): _Script([[b"\r\n"]]),
    (State.UNPROVEN, Happening.CAME_WHOLE): _Script([[b"{}\n"]], away_us=60 * MINUTE_US),
    (State.UNPROVEN, Happening.ENDED): _Script([[_CUT]]),
    (State.UNPROVEN, Happening.TOO_MANY): _Script([[b"{}\n"]], message=_TOO_MANY),
    (State.ESTABLISHED, Happening.ENDED): _Script([[b"{}\n{}\n", _CUT]]),
    (State.ESTABLISHED, Happening.TOO_MANY): _Script([[b"{}\n{}\n"]], message=_TOO_MANY),
    (State.WAITING, Happening.WAITED): _Script([_DOWN]),
}
_WHILE_READING = [
    (state, happening)
    for state in (State.UNPROVEN, State.ESTABLISHED)
    for happening in (Happening.STOPPED, Happening.UNFORESEEN)
]
_BEFORE_ASKING = [
    (State.PLANNING, Happening.REPLAN),
    (State.PLANNING, Happening.STOPPED),
    (State.PLANNING, Happening.UNFORESEEN),
    (State.WAITING, Happening.STOPPED),
    (State.WAITING, Happening.UNFORESEEN),
]
_AT_THE_END = [(State.STOPPED, Happening.UNFORESEEN)]


def _boom() -> None:
    raise RuntimeError("boom")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[Cell]:
    """Note which cells of the table the reader asks for."""
    cells: set[Cell] = set()

    def note(state: State, happening: Happening) -> lifecycle.Step:
        cells.add((state, happening))
        return next_step(state, happening)

    monkeypatch.setattr(reader_module, "next_step", note)
    return cells


def test_cells_that_can_be_reached_are_all_reached_by_a_test() -> None:
    """The tests below name each of them."""
    named = [*_BY_X, *_WHILE_READING, *_BEFORE_ASKING, *_AT_THE_END]
    assert sorted(named) == sorted((state, each) for state in State for each in Happening if TABLE[state][each])


@pytest.mark.parametrize("cell", _BY_X, ids=": ".join)
def test_cell_is_reached_by_what_x_does(world: _World, seen: set[Cell], cell: Cell) -> None:
    """A script of X's for each."""
    script = _BY_X[cell]
    world.messages = [script.message] if script.message else []
    world.covered_until_us -= script.away_us
    world.run(*script.answers)
    assert cell in seen


@pytest.mark.parametrize("cell", _WHILE_READING, ids=": ".join)
def test_cell_is_reached_while_reading(world: _World, seen: set[Cell], cell: Cell) -> None:
    """Whatever has come so far; an error is waited out, and the next connection is read."""
    state, happening = cell
    act = world.reader.stop if happening is Happening.STOPPED else _boom
    world.run([b"{}\n{}\n" if state is State.ESTABLISHED else b"", act, b""], [b"{}\n"])
    assert cell in seen
    assert len(world.connections) == (1 if happening is Happening.STOPPED else 2)


@pytest.mark.parametrize("cell", _BEFORE_ASKING, ids=": ".join)
def test_cell_is_reached_before_x_is_asked(world: _World, seen: set[Cell], cell: Cell) -> None:
    """By what we do ourselves."""
    state, happening = cell
    acts = [_boom if happening is Happening.UNFORESEEN else lambda: Outcome(happening), world.reader.stop]
    world.reader._state = state  # noqa: SLF001 - as if it had come there
    world.reader._acts = dict.fromkeys(State, lambda: cast("Outcome", acts.pop(0)()))  # noqa: SLF001 - so that it happens
    world.reader.run()
    assert cell in seen


def test_connection_that_cannot_be_closed_keeps_no_reader_from_its_end(
    world: _World, seen: set[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and that is all."""
    monkeypatch.setattr(FakeConnection, "__exit__", lambda *_: _boom())
    _stop_while(world, world.reader.stop)
    assert seen.issuperset(_AT_THE_END)


def test_system_message_after_a_delivery_reconnects_at_once(world: _World) -> None:
    """An established connection that X ends is an ordinary thing."""
    world.messages = [_OPERATIONAL] * 3
    world.run(*[[b"{}\n", b"{}\n"]] * 3)
    assert world.delays[:3] == [0.0] * 3


def test_system_message_that_is_all_that_comes_backs_off(world: _World) -> None:
    """An X that answers every connect with a farewell is not to be hammered."""
    world.messages = [_OPERATIONAL] * 3
    world.run(*[[b"{}\n"]] * 3)
    assert world.delays[:3] == [0.25, 0.5, 0.75]


def test_too_many_connections_in_the_stream_backs_off_further_each_time(world: _World) -> None:
    """From a few seconds up, since the message itself is no delivery."""
    world.messages = [_TOO_MANY] * 3
    world.run(*[[b"{}\n"]] * 3)
    assert world.delays[:3] == [4.0, 8.0, 16.0]


def test_keep_alive_after_an_undisturbed_wait_is_handed_on(world: _World) -> None:
    """With the moment from which the reader waited, by X's time."""
    began_us = world.time.now_us
    world.run([world.wait(20), b"\r\n"])
    assert world.found(KeptAlive) == [KeptAlive(began_us + 20 * US_PER_S, began_us)]


def test_keep_alive_after_a_short_wait_proves_nothing(world: _World) -> None:
    """A slow reader gets them too."""
    world.run([world.wait(4.5), b"\r\n", world.wait(4.5), b"\r\n", world.wait(5), b"\r\n"])
    assert len(world.found(KeptAlive)) == 1


def test_keep_alive_after_a_stall_proves_nothing(world: _World) -> None:
    """Who did not run did not wait."""

    def stall() -> None:
        world.time.advance(20)

    world.run([stall, b"\r\n", stall, world.watch.tick, world.wait(6), b"\r\n", world.wait(6), b"\r\n"])
    assert len(world.found(KeptAlive)) == 1


def test_keep_alive_within_an_unfinished_line_proves_nothing(world: _World) -> None:
    """What comes after it was queued already."""
    world.run([world.wait(20), b"\r\n{", world.wait(20), b"}\r\n\r\n"])
    assert world.found(KeptAlive) == []
    assert [list(received.lines) for received in world.found(Received)] == [[b"{}"]]


def test_line_that_never_ends_is_given_up_in_bounded_time(world: _World) -> None:
    """Single bytes keep the socket alive, but they are no health; X is asked again after a back-off."""
    drip: list[Step] = [world.wait(5), b"x"] * 11

    def closed() -> None:
        assert world.connections[0].closed.is_set()

    world.run([*drip, closed, _CUT], [b"{}\n"])
    assert world.count("disconnects", reason="silent") == 1
    assert world.delays[0] == 0.25


def test_line_that_is_slow_but_ends_is_no_fault(world: _World) -> None:
    """Each end of a line is a new beginning, be it a keep-alive's."""

    def still_open() -> None:
        assert not world.connections[0].closed.is_set()

    world.run(
        [world.wait(40), b"x", world.wait(5), b"\n", world.wait(40), b"\r\n", world.wait(40), still_open, b"{}\n"]
    )
    assert world.count("disconnects", reason="silent") == 0


def test_time_in_which_the_inbox_is_full_is_not_x_s_silence(world: _World) -> None:
    """The reader waits for Kafka then, and X is not to blame."""
    put = world.inbox.put

    def slow_put(delivery: Delivery, size_bytes: int = 0) -> None:
        if isinstance(delivery, Received):
            cast("Callable[[], None]", world.wait(120))()
        put(delivery, size_bytes)

    def still_open() -> None:
        assert not world.connections[0].closed.is_set()

    world.inbox.put = slow_put  # type: ignore[method-assign] # as a full inbox does, in the time of the test
    world.run([b"{}\n", b"{}\n", still_open])
    assert world.count("disconnects", reason="closed") == 1


def test_large_chunk_is_handed_on_in_groups(world: _World) -> None:
    """So that a transaction can be closed between them; none is empty, none too large, all in order."""
    lines = [b"%d" % number for number in range(2 * MAX_LINES + 1)]
    world.run([b"\n".join(lines) + b"\n"])
    groups = [list(received.lines) for received in world.found(Received)]
    assert [len(group) for group in groups] == [MAX_LINES, MAX_LINES, 1]
    assert [line for group in groups for line in group] == lines


def test_large_lines_are_handed_on_in_groups_by_size(world: _World) -> None:
    """A megabyte at a time, whatever the number of lines."""
    world.reader._settings = XSettings()  # noqa: SLF001 - a larger limit than the other tests'
    world.run([(b"x" * 500_000 + b"\n") * 5])
    assert [len(received.lines) for received in world.found(Received)] == [2, 2, 1]


def test_long_line_is_handed_on_cut(world: _World) -> None:
    """Between its neighbours."""
    world.run([b"a\n" + b"x" * 5000 + b"\r\nb\n"])
    [received] = world.found(Received)
    before, long, after = received.lines
    assert (before, after) == (b"a", b"b")
    assert isinstance(long, LongLine)
    assert (len(long.head), long.length) == (1024, 5000)


def test_jump_of_x_s_clock_plans_again_instead_of_losing(world: _World) -> None:
    """What X's time shows to be long ago is replayed where it can be, not given up."""
    world.x_ahead_s = 6 * 3600
    world.run([b"{}\n"], [b"{}\n"])
    assert world.plans[0] == Live(1)
    assert isinstance(world.plans[1], Replay)
    [opened] = world.found(Opened)
    assert opened.plan == world.plans[1]
    assert opened.lost is None
    assert world.connections[0].has_left
    assert world.count("disconnects", reason="replanned") == 1


def test_jump_of_x_s_clock_beyond_every_replay_is_lost(world: _World) -> None:
    """In bounds, and only what cannot be had any more."""
    world.x_ahead_s = 30 * 3600
    world.run([b"{}\n"], [b"{}\n"])
    [opened] = world.found(Opened)
    assert opened.lost.start_us == world.covered_until_us
    assert opened.lost.end_us == opened.plan.start_us
    assert opened.lost.cause is Cause.OUTAGE_TOO_LONG


@pytest.mark.parametrize("x_ahead_s", [-600, 600])
def test_refusal_for_the_sake_of_a_wrong_clock_is_no_refusal_of_replays(world: _World, x_ahead_s: int) -> None:
    """X's answer tells its time: a replay into its future, or from before its reach, is planned again, not given up."""
    world.x_ahead_s = x_ahead_s
    world.covered_until_us -= (18 if x_ahead_s < 0 else 30 * 60) * MINUTE_US
    answer = PlanRefusedError(replace(_REFUSED.failure, date_us=world.time.now_us + (x_ahead_s - 1) * US_PER_S))
    world.run(answer, [b"{}\n"])
    first, second = world.plans[:2]
    x_now_us = world.time.now_us + x_ahead_s * US_PER_S
    assert isinstance(first, Replay)
    assert not is_grantable(first, x_now_us)
    assert second == make_plan(world.covered_until_us, x_now_us, Allowed(), is_catching_up=False)
    assert isinstance(second, Replay)
    assert world.delays[0] == 0.25


@pytest.mark.parametrize("step_s", [-600, 600])
def test_wall_clock_set_between_two_connections_moves_no_plan(world: _World, step_s: int) -> None:
    """X's time is known from its answers; a gap or a replay for the wall's sake would be for nothing."""
    world.run([b"{}\n", lambda: world.time.step_wall(step_s)], _DOWN)
    assert world.plans[1] == Live(2)
    assert [opened.lost for opened in world.found(Opened)] == [None]


def test_lines_are_dated_within_the_bounds_of_x_s_time(world: _World) -> None:
    """At least the wall clock or X's time, whichever is earlier; at most whichever is later."""
    world.x_ahead_s = 30.0
    world.run([b"{}\n"])
    [received] = world.found(Received)
    assert received.at_us == world.time.now_us
    assert received.latest_us >= world.time.now_us + 30 * US_PER_S


def _stop_while(world: _World, act: Callable[[], None]) -> None:
    world.answers = [[act, b"{}\n"]]
    thread = threading.Thread(target=world.reader.run)
    thread.start()
    thread.join(_DEADLINE_S)
    assert not thread.is_alive()


def test_stop_while_reading_ends_the_connection_and_the_reader(world: _World) -> None:
    """Nothing more is asked of X."""
    _stop_while(world, world.reader.stop)
    assert len(world.plans) == 1
    assert is_closed(world.wires[0])
    assert world.connections[0].has_left
    assert world.count("disconnects", reason="stopped") == 1


def test_stop_before_there_is_a_connection_asks_x_for_nothing(world: _World) -> None:
    """Nobody is there to end what begins after the stop."""
    assert world.reader.step() is State.CONNECTING
    world.reader.stop()
    assert world.reader.step() is State.STOPPED
    assert world.plans == []


def test_closed_inbox_ends_the_reader(world: _World) -> None:
    """Its committer is gone."""
    _stop_while(world, world.inbox.close)
    assert world.connections[0].has_left


def test_stop_before_the_connection_is_granted_closes_it_again(world: _World) -> None:
    """X takes its time to answer; by then nobody waits for it any more, nor wants it."""

    def open_late(_: StreamPartition, plan: Plan, wire: Wire) -> Connection:
        world.plans.append(plan)
        assert not is_closed(wire)
        world.reader.stop()
        assert is_closed(wire)
        world.connections.append(FakeConnection(world.time.now_us, [b"{}\n"]))
        return cast("Connection", world.connections[-1])

    world.reader._open_connection = open_late  # noqa: SLF001 - the script has no place for this
    world.reader.run()
    assert world.connections[0].has_left
    assert list(world.inbox.take()) == []
