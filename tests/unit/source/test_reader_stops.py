"""The reader at its limits: permits, unexpected exceptions, and stops at any moment."""

import threading
from typing import TYPE_CHECKING, cast

import pytest

from connector.coverage.messages import Ended, EndReason, Verdict
from connector.coverage.plan import Replay
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter, WaitReason
from connector.source.reader import PERMIT_WAIT_S, Reader
from connector.source.stall import StallWatch
from connector.x.backoff import Curve
from connector.x.clock import XClock
from connector.x.errors import ConnectFailedError, Failure, RateLimit
from tests.fakes.partition import PARTITION, state_of
from tests.fakes.x import NOW_US
from tests.unit.source.world import (
    AT_US,
    CUT,
    DOWN,
    HOUR_S,
    HTTP_S,
    OPERATIONAL,
    REFUSED,
    Answer,
    Observed,
    ScriptedConnection,
    World,
    boom,
    event,
    old_event,
)

if TYPE_CHECKING:
    from connector.x.client import Connection

_PATIENCE_S = 30.0


def test_attempt_waits_for_its_permit_and_plans_again_meanwhile() -> None:
    """Nothing is asked of X before, the reason is reported, and the plan that is asked for at last is a new one."""
    world = World(away_s=240)
    world.limiter.busy = 2
    world.on_acquire = lambda: world.time.advance(60)
    world.run([CUT])
    assert [plan for plan, _ in world.limiter.asked[2:]] == world.plans
    assert isinstance(world.limiter.asked[1][0], Replay)
    assert world.observed.of("waiting_to_connect") == [(WaitReason.CONNECT_BUDGET, 7.0, PERMIT_WAIT_S)] * 2
    assert world.limiter.released == 2, "the place is kept while waiting; given up to back off, and in the end"


@pytest.mark.parametrize(
    "answer", [[old_event()], DOWN, RuntimeError("boom"), REFUSED, [boom], [CUT]], ids=lambda _: "answer"
)
def test_permit_is_given_back_however_the_attempt_ends(answer: Answer) -> None:
    """Read, failed, broken, refused: the next catch-up may go."""
    world = World(away_s=HOUR_S)
    held: list[bool] = []
    world.on_open = lambda: held.append(world.limiter.is_free)
    world.run(answer)
    assert held == [False, False]
    assert world.limiter.is_free
    assert world.limiter.real.waiting() == []


def test_permit_lasts_until_the_connection_is_committed() -> None:
    """What it brought may take as long as Kafka does."""
    world = World(away_s=HOUR_S)
    held: list[bool] = []
    world.on_lines = lambda: held.append(world.limiter.is_free)
    world.run([old_event()])
    assert held == [False]


@pytest.mark.parametrize("is_granted", [True, False])
def test_what_x_says_of_the_budget_reaches_the_limiter(*, is_granted: bool) -> None:
    """Of a grant as of a failure."""
    limit = RateLimit(100, 90, NOW_US // US_PER_S + 600, NOW_US / US_PER_S)
    world = World()
    world.rate_limit = limit if is_granted else None
    left: list[dict[str, int]] = []
    world.on_wait = lambda: left.append(world.limiter.real.remaining())
    failed = ConnectFailedError(Failure(Curve.HTTP, "http-5xx", "down", rate_limit=limit))
    world.run([] if is_granted else failed)
    assert left == [{"tweet": 90}]


def test_unexpected_exception_before_the_connection_backs_off() -> None:
    """It is reported, and the partition is not left without a reader."""
    world = World()
    world.run(RuntimeError("boom"), [event()])
    assert world.observed.of("failed") == [("boom",)]
    assert world.delays_s == [HTTP_S, 0.0]


@pytest.mark.parametrize("before", [b"", event()])
def test_unexpected_exception_while_reading_ends_the_connection_for_the_committer_too(before: bytes) -> None:
    """Otherwise the slice would never count as cut; and a fault that comes each time is not run into at full speed."""
    world = World()
    world.run([before, RuntimeError("boom")], [before, RuntimeError("boom")], [event(2)])
    assert world.observed.of("failed") == [("boom",)] * 2
    assert world.put(Ended)[:2] == [Ended(EndReason.INTERNAL_ERROR, is_proper=False, at_us=AT_US)] * 2
    assert world.observed.of("disconnected")[:2] == [(EndReason.INTERNAL_ERROR, 0)] * 2
    assert world.delays_s == [HTTP_S, 2 * HTTP_S, 0.0]


def test_slice_that_ends_in_an_unexpected_exception_is_cut() -> None:
    """Less is asked for the next time, so that one line cannot stop a catch-up."""
    world = World(away_s=HOUR_S)
    world.run([old_event(), RuntimeError("boom")])
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]
    assert world.plans[0] != world.plans[1]


def test_stop_while_waiting_asks_x_for_nothing() -> None:
    """Neither before the permit comes nor after it: the attempt is not counted against the budget."""
    limit = RateLimit(100, 90, NOW_US // US_PER_S + 600, NOW_US / US_PER_S)
    world = World()
    world.on_wait = lambda: setattr(world, "on_acquire", world.reader.stop)
    world.run(ConnectFailedError(Failure(Curve.HTTP, "http-5xx", "down", rate_limit=limit)), [event()])
    assert world.order == ["acquire", "open", "acquire"]
    assert world.limiter.real.remaining() == {"tweet": 90}
    assert world.limiter.granted == 2


def test_stop_while_no_permit_comes_ends_the_reader() -> None:
    """After the one wait for it, which is short."""
    world = World()
    world.limiter.busy = 10
    world.on_acquire = world.reader.stop
    world.run([event()])
    assert world.order == ["acquire"]


def test_stop_while_backing_off_ends_the_reader() -> None:
    """Without another attempt."""
    world = World()
    world.on_wait = world.reader.stop
    world.run(DOWN, [event()])
    assert len(world.plans) == 1


def test_stop_while_x_does_not_answer_is_no_failure() -> None:
    """The request ends because we ended it: nothing is counted, and nothing waited for."""
    world = World()
    world.on_open = world.reader.stop
    world.run(DOWN)
    assert world.channel.is_hung_up
    assert world.observed.calls == []
    assert world.limiter.released == 1


def test_stop_while_x_answers_ends_the_connection() -> None:
    """Though X has granted it by then, nothing of it is read."""
    world = World()
    world.on_open = world.reader.stop
    world.run([event()])
    assert world.connections[0].has_left
    assert world.lines == []
    assert world.observed.of("disconnected") == [(EndReason.STOPPED, 0)]


@pytest.mark.parametrize("before", [b"", event(), OPERATIONAL])
def test_stop_while_reading_is_the_reason_whatever_came_before(before: bytes) -> None:
    """Nothing more is asked of X, and it is for the committer to end the session."""
    world = World()
    world.run([before, world.reader.stop, event(2)], [event(3)])
    assert len(world.plans) == 1
    assert world.connections[0].has_left
    assert world.put(Ended)[1:] == []
    assert world.lines == [each for each in [before.strip()] if each]


def test_stop_while_the_channel_is_full_ends_the_reader_with_the_channel() -> None:
    """X's connection is ended at once, and is reported as stopped though the reader hangs on Kafka."""
    channel = Channel(1, state_of().progress)
    observed = Observed(lambda _: None)
    is_full = threading.Event()
    connection = ScriptedConnection(NOW_US, [event(1), is_full.set, event(2)], lambda: False)
    reader = Reader(
        partition=PARTITION,
        open_connection=lambda *_: cast("Connection", connection),
        channel=channel,
        settings=XSettings(),
        clock=XClock(),
        stall_watch=StallWatch(),
        limiter=ConnectLimiter(1),
        observer=observed,
    )
    thread = threading.Thread(target=reader.run)
    thread.start()
    assert is_full.wait(_PATIENCE_S)
    reader.stop()
    thread.join(0.05)
    assert thread.is_alive(), "the second event has no room"
    channel.close()
    thread.join(_PATIENCE_S)
    assert not thread.is_alive()
    assert connection.has_left
    assert observed.of("disconnected") == [(EndReason.STOPPED, 0)]


def test_closed_channel_ends_the_reader() -> None:
    """Its committer is gone."""
    world = World()
    world.run([world.channel.close, event()], [event()])
    assert len(world.plans) == 1
    assert world.connections[0].has_left
