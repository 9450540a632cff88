"""The reader: the order of things between X and the channel, with X played by a script."""

import threading
from typing import TYPE_CHECKING, cast

import pytest

from connector.coverage.gap import GapCause, Suspicion
from connector.coverage.messages import Ended, EndReason, KeepAlive, LinesRead, Opened, Verdict
from connector.coverage.plan import Live, Replay, is_grantable
from connector.coverage.recovery import MINUTE_US, Recovery, Refetch
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.source.channel import Channel
from connector.source.connect_limiter import ConnectLimiter, WaitReason
from connector.source.reader import PERMIT_WAIT_S, Reader
from connector.source.stall import StallWatch
from connector.x.backoff import Curve
from connector.x.clock import XClock
from connector.x.errors import ConnectFailedError, Failure, PlanRefusedError, RateLimit
from tests.unit.partition.fakes import PARTITION, state_of
from tests.unit.source.world import (
    CUT,
    DOWN,
    HOUR_S,
    REFUSED,
    TOO_MANY,
    Answer,
    Observed,
    Piece,
    ScriptedConnection,
    World,
    boom,
    event,
    old_event,
)
from tests.unit.x.fakes import NOW_US

if TYPE_CHECKING:
    from connector.x.client import Connection

_AT_US = NOW_US + US_PER_S
_PATIENCE_S = 30.0
_OPERATIONAL = b'{"errors":[{"title":"t","disconnect_type":"OperationalDisconnect","detail":"d"}]}\r\n'
_FOREIGN = b'{"error":{"message":"over capacity"}}\r\n'
_NETWORK_S, _HTTP_S, _CONFIGURATION_S = 0.25, 5.0, 60.0


# --- the straight line


def test_attempt_goes_from_progress_to_progress() -> None:
    """Drained, planned, permitted, opened, judged, read, ended, drained: each in its turn, and then the next one."""
    world = World()
    world.run([event(1)[:9], event(1)[9:] + b"\r\ncut"], [event(2)])
    assert world.order == ["acquire", "open", "Opened", "LinesRead", "Ended"] * 2 + ["acquire", "open"]
    opened, read, ended = world.messages[:3]
    assert isinstance(opened, Opened)
    assert opened.plan == Live(1)
    assert isinstance(read, LinesRead)
    assert list(read.lines) == [event(1).strip()]
    assert ended == Ended(EndReason.CLOSED, is_proper=False, at_us=_AT_US)
    assert world.observed.of("disconnected") == [(EndReason.CLOSED, 3), (EndReason.CLOSED, 0)]
    assert all(connection.has_left for connection in world.connections)


def test_request_starts_from_what_was_committed_of_the_connection_before() -> None:
    """The plan and the limiter get the same coverage, and none but the committed one."""
    world = World(away_s=110)
    world.run([event(1)], [])
    (first, before_us), (second, after_us), _ = world.limiter.asked
    assert (first, second) == (Live(3), Live(3))
    assert before_us == after_us == world.covered_until_us, "the backfill still holds coverage"
    world = World(away_s=HOUR_S)
    world.run([old_event()], [])
    (first, before_us), (second, after_us), _ = world.limiter.asked
    assert isinstance(first, Replay)
    assert isinstance(second, Replay)
    assert (before_us, after_us) == (world.covered_until_us, first.end_us)
    assert second.start_us == first.end_us - MINUTE_US, "the next slice overlaps the one before by a minute"


def test_answer_that_took_long_says_how_much_later_x_may_have_it() -> None:
    """Its `Date` may be as old as the request, so a wall clock that is right still agrees with it."""
    world = World()
    world.answer_s = 20.0
    world.run([event()])
    [opened] = world.put(Opened)
    assert opened.answer_us == 20 * US_PER_S
    assert opened.at.earliest_us == NOW_US
    assert opened.at.best_us == opened.at.wall_us == NOW_US + 20 * US_PER_S


def test_clock_offset_is_reported_with_the_connection() -> None:
    """As X's answer has just shown it."""
    world = World()
    world.x_ahead_s = 20.0
    world.run([event()])
    assert world.observed.of("connected") == [(Live(1), 20 * US_PER_S)]


def test_backfill_planned_by_a_slow_clock_is_asked_for_again_when_it_leaves_little_margin() -> None:
    """X's answer shows that it is later than we believed: what is emitted a little late would be missed."""
    world = World()
    world.x_ahead_s = 40.0
    world.run([], [event()])
    assert world.observed.of("disconnected")[0] == (EndReason.REPLANNED, 0)
    assert world.observed.of("connected") == [(Live(2), 40 * US_PER_S)]


# --- back-off


def test_failures_back_off_until_a_connection_brings_something() -> None:
    """Neither a granted request nor an early end proves anything; a keep-alive does."""
    world = World()
    world.run(DOWN, DOWN, [], [CUT], [b"\r\n", CUT], DOWN)
    assert world.delays_s == [0.25, 0.5, 0.75, 1.0, 0.0, 0.25]
    assert [values[2] for values in world.observed.of("connect_failed")] == [0.25, 0.5, 0.25]
    assert world.observed.of("postponed")[:4] == [(0.25,), (0.5,), (0.75,), (1.0,)]


def test_delay_that_x_asks_for_is_kept() -> None:
    """As for a spent budget."""
    world = World()
    world.run(ConnectFailedError(Failure(Curve.RATE_LIMIT, "rate-limited", "spent", 700.0)))
    assert world.delays_s == [700.0]
    assert world.observed.of("connect_failed")[0] == ("rate-limited", "spent", 700.0)


@pytest.mark.parametrize("body", [_FOREIGN, b"<html>\r\n"])
def test_line_without_data_proves_nothing(body: bytes) -> None:
    """A page or another error shape, though it ends in a line, makes the delays grow."""
    world = World()
    world.run(*[[body]] * 3)
    assert world.delays_s == [0.25, 0.5, 0.75]


def test_data_beside_a_foreign_line_proves_a_connection() -> None:
    """X delivered, whatever else it said."""
    world = World()
    world.run([_FOREIGN, event()])
    assert world.delays_s == [0.0]


def test_dead_letter_with_data_proves_a_connection() -> None:
    """It is an event, though not one that is known."""
    world = World()
    world.run([b'{"data":{"archived":{}}}\r\n'])
    assert world.delays_s == [0.0]


def test_part_of_a_slice_proves_nothing() -> None:
    """All of it has to come again, of which ever less is asked for."""
    world = World(away_s=HOUR_S)
    cut: list[Piece] = [old_event(), CUT]
    world.run(cut, cut, cut)
    assert world.delays_s == [0.25, 0.5, 0.75]
    ends_us = [plan.end_us for plan in world.plans if isinstance(plan, Replay)]
    assert ends_us == sorted(ends_us, reverse=True)
    assert len(set(ends_us)) == 4
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)] * 3


def test_slice_that_is_whole_is_followed_at_once_though_it_is_empty() -> None:
    """A quiet range is an answer too."""
    world = World(away_s=HOUR_S)
    world.run(DOWN, [b"\r\n"], [])
    assert world.delays_s == [0.25, 0.0, 0.0]
    assert world.observed.of("slice_ended") == [(Verdict.WHOLE,)] * 2


def test_slice_that_ends_within_a_line_is_not_whole() -> None:
    """A line that was cut off is missing, however the body ended."""
    world = World(away_s=HOUR_S)
    world.run([old_event() + b"{"])
    assert world.put(Ended) == [Ended(EndReason.CLOSED, is_proper=False, at_us=_AT_US)]
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]


# --- refusals


def test_refusal_is_believed_the_second_time_in_a_row() -> None:
    """The same is asked for again after a back-off, and then less at once."""
    world = World(away_s=HOUR_S)
    world.run(REFUSED, REFUSED, REFUSED, REFUSED, [event()])
    assert [type(plan) for plan in world.plans[:2]] == [Replay, Replay]
    backfill, plain = Live(5, GapCause.REPLAY_REFUSED), Live(0, GapCause.REPLAY_REFUSED)
    assert world.plans[2:5] == [backfill, backfill, plain]
    assert world.delays_s[:4] == [_HTTP_S, 0.0, 2 * _HTTP_S, 0.0]
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, True] * 2


def test_refusals_of_backfill_and_replay_are_counted_apart() -> None:
    """One of each proves neither."""
    world = World()
    world.run(REFUSED, _jump(world, HOUR_S, REFUSED), REFUSED)
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, False, True]
    assert [type(plan) for plan in world.plans] == [Live, Replay, Replay, Live]


def _jump(world: World, seconds: float, answer: ConnectFailedError) -> ConnectFailedError:
    """Return an answer before which the reader waits for a long time."""
    waits = [lambda: world.time.advance(seconds)]
    world.on_wait = lambda: waits.pop()() if waits else None
    return answer


def test_refusal_is_forgotten_after_a_live_connection() -> None:
    """All is worth asking for again."""
    world = World()
    world.run(REFUSED, REFUSED, [event()], [])
    assert world.plans[1:4] == [Live(1), Live(0, GapCause.BACKFILL_REFUSED), Live(2)]


def test_refusal_of_replays_is_forgotten_after_a_whole_slice() -> None:
    """Two with an answer between them are not in a row."""
    world = World(away_s=HOUR_S)
    world.run(REFUSED, [old_event()], REFUSED, REFUSED)
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, False, True]


def test_refused_plain_connection_waits_and_asks_for_everything_again() -> None:
    """The fault was not in the parameters."""
    world = World()
    world.run(REFUSED, REFUSED, REFUSED)
    assert world.plans == [Live(1), Live(1), Live(0, GapCause.BACKFILL_REFUSED), Live(1)]
    assert world.delays_s == [_HTTP_S, 0.0, _CONFIGURATION_S]


def test_replay_that_ignores_its_parameters_is_a_refusal() -> None:
    """X's events are from another time: nothing of it is published, and the second time replays are given up."""
    world = World(away_s=HOUR_S)
    world.run([event(1), event(2)], [event(1), event(2)], [event(1)])
    assert world.observed.of("slice_ended") == [(Verdict.IGNORED,)] * 2
    assert [reason for reason, _ in world.observed.of("disconnected")][:2] == [EndReason.PARAMETERS_IGNORED] * 2
    assert [believed for _, _, believed in world.observed.of("plan_refused")] == [False, True]
    assert world.plans[2] == Live(5, GapCause.REPLAY_REFUSED)
    assert world.delays_s[:2] == [0.25, 0.5]


# --- clocks


@pytest.mark.parametrize(("x_ahead_s", "away_s"), [(-600.0, 18 * 60.0), (600.0, 24 * HOUR_S)])
def test_refusal_for_the_sake_of_a_wrong_clock_says_nothing_of_the_contract(x_ahead_s: float, away_s: float) -> None:
    """X's answer tells its time: a replay into its future, or from before its reach, is planned again."""
    world = World(away_s=away_s)
    world.x_ahead_s = x_ahead_s
    failure = Failure(Curve.CONFIGURATION, "http-400", "refused", date_us=world.date())
    world.run(PlanRefusedError(failure), [], [])
    first, second = world.plans[:2]
    x_now_us = world.time.now_us + int(x_ahead_s * US_PER_S)
    assert isinstance(first, Replay)
    assert isinstance(second, Replay)
    assert not is_grantable(first, x_now_us)
    assert is_grantable(second, x_now_us)
    assert world.observed.of("plan_refused") == []
    assert world.delays_s[0] == _NETWORK_S


def test_slice_that_ends_in_the_future_of_the_answer_is_not_granted() -> None:
    """Though X grants it: coverage would be ahead of the truth. Nothing of it is read."""
    world = World(away_s=18 * 60)
    world.x_ahead_s = -600.0
    world.run([event(1)], [old_event(2)])
    assert world.observed.of("disconnected")[0] == (EndReason.OUT_OF_REACH, 0)
    assert world.connections[0].has_left
    assert [opened.plan for opened in world.put(Opened)] == [world.plans[1]]
    assert world.delays_s[0] == _NETWORK_S


def test_slice_that_begins_out_of_reach_by_the_answer_is_not_granted() -> None:
    """X no longer has its beginning, and would leave it out without a word."""
    world = World(away_s=24 * HOUR_S)
    world.x_ahead_s = 600.0
    world.run([event(1)], [event(2)])
    assert world.observed.of("disconnected")[0] == (EndReason.OUT_OF_REACH, 0)
    [opened, *_] = world.put(Opened)
    assert opened.plan == world.plans[1]


def test_jump_of_x_s_clock_plans_again_instead_of_losing() -> None:
    """What X's time shows to be long ago is replayed where it can be; the reader backs off first."""
    world = World()
    world.x_ahead_s = 6 * HOUR_S
    world.run([event()], [])
    assert world.plans[0] == Live(1)
    assert isinstance(world.plans[1], Replay)
    assert [opened.plan for opened in world.put(Opened)] == [world.plans[1]]
    assert world.observed.of("disconnected")[0] == (EndReason.REPLANNED, 0)
    assert world.delays_s[0] == _NETWORK_S


@pytest.mark.parametrize("step_s", [-600.0, 600.0])
def test_wall_clock_set_between_two_connections_moves_no_plan(step_s: float) -> None:
    """X's time is known from its answers."""
    world = World()
    world.run([event(), lambda: world.time.step_wall(step_s)], DOWN)
    assert world.plans[1] == Live(2)


# --- hanging up: the first reason is the one that counts


def test_system_message_hangs_up_with_its_words() -> None:
    """X does not always close; what it said is quoted, and after an event the next attempt comes at once."""
    world = World()
    world.run([event(), _OPERATIONAL, event(2)])
    assert world.observed.of("system_message") == [("OperationalDisconnect", "d")]
    assert world.observed.of("disconnected") == [(EndReason.SYSTEM_MESSAGE, 0)]
    assert world.put(Ended) == [Ended(EndReason.SYSTEM_MESSAGE, is_proper=False, at_us=_AT_US)]
    assert world.delays_s == [0.0]
    assert len(world.lines) == 2, "nothing is read after the hang-up"


def test_system_message_in_the_same_read_as_events_does_not_hide_them() -> None:
    """The connection has delivered, so X is asked again at once."""
    world = World()
    world.run([event() + _OPERATIONAL])
    assert world.delays_s == [0.0]


def test_system_message_that_is_all_that_comes_backs_off() -> None:
    """An X that answers every connect with a farewell is not to be hammered."""
    world = World()
    world.run(*[[_OPERATIONAL]] * 3)
    assert world.delays_s == [0.25, 0.5, 0.75]


def test_system_message_in_a_slice_makes_it_interrupted() -> None:
    """X ended the body properly, but said that it was not all."""
    world = World(away_s=HOUR_S)
    world.run([old_event() + _OPERATIONAL])
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]
    assert world.delays_s == [_NETWORK_S]


def test_too_many_connections_in_the_stream_backs_off_further_each_time() -> None:
    """From a few seconds up, whatever came before it."""
    world = World()
    world.run(*[[event(), TOO_MANY]] * 3)
    assert world.delays_s == [4.0, 8.0, 16.0]


def test_replay_that_x_keeps_open_is_hung_up_by_the_committer() -> None:
    """Two minutes of keep-alives and nothing else: the slice is in doubt, and asked for once more."""
    world = World(away_s=HOUR_S)
    keep_alives: list[Piece] = [world.wait(25), b"\r\n"]
    world.run([old_event(), *keep_alives * 10], [old_event()])
    assert world.observed.of("disconnected") == [(EndReason.REPLAY_IDLE, 0), (EndReason.CLOSED, 0)]
    assert world.observed.of("slice_ended") == [(Verdict.SUSPECTED,), (Verdict.WHOLE,)]
    first, second, *_ = world.plans
    assert isinstance(first, Replay)
    assert second == Replay(first.start_us, first.end_us, is_refetch=True)
    assert len(world.put(KeepAlive)) == 5, "nothing is read after the hang-up"


def test_event_that_an_earlier_slice_left_out_hangs_up_before_it_is_published() -> None:
    """The slice comes first again, so that what else it left out keeps its place in the order."""
    world = World(away_s=HOUR_S)
    left_out = event(2, NOW_US - 45 * MINUTE_US - 30 * US_PER_S)
    world.run([old_event(1)], [left_out, event(3)], [old_event(1) + left_out], [])
    first, _, third, *_ = world.plans
    assert isinstance(first, Replay)
    assert third == Replay(first.start_us, first.end_us, is_refetch=True)
    assert [reason for reason, _ in world.observed.of("disconnected")][:2] == [EndReason.CLOSED, EndReason.SUSPICION]
    assert world.delays_s[:2] == [0.0, _NETWORK_S]


def test_range_in_doubt_is_asked_for_before_anything_else() -> None:
    """Also by the next process, as the ledger has it."""
    refetch = Refetch(NOW_US - 20 * MINUTE_US, NOW_US - 5 * MINUTE_US, Suspicion.REPLAY_INCOMPLETE)
    world = World(recovery=Recovery(refetch=refetch))
    world.run([event(1, NOW_US - 10 * MINUTE_US)], [])
    assert world.plans[:2] == [Replay(refetch.start_us, refetch.end_us, is_refetch=True), Live(2)]


# --- the permit


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


# --- internal errors


def test_unexpected_exception_before_the_connection_backs_off() -> None:
    """It is reported, and the partition is not left without a reader."""
    world = World()
    world.run(RuntimeError("boom"), [event()])
    assert world.observed.of("failed") == [("boom",)]
    assert world.delays_s == [_HTTP_S, 0.0]


@pytest.mark.parametrize("before", [b"", event()])
def test_unexpected_exception_while_reading_ends_the_connection_for_the_committer_too(before: bytes) -> None:
    """Otherwise the slice would never count as cut; and a fault that comes each time is not run into at full speed."""
    world = World()
    world.run([before, RuntimeError("boom")], [before, RuntimeError("boom")], [event(2)])
    assert world.observed.of("failed") == [("boom",)] * 2
    assert world.put(Ended)[:2] == [Ended(EndReason.INTERNAL_ERROR, is_proper=False, at_us=_AT_US)] * 2
    assert world.observed.of("disconnected")[:2] == [(EndReason.INTERNAL_ERROR, 0)] * 2
    assert world.delays_s == [_HTTP_S, 2 * _HTTP_S, 0.0]


def test_slice_that_ends_in_an_unexpected_exception_is_cut() -> None:
    """Less is asked for the next time, so that one line cannot stop a catch-up."""
    world = World(away_s=HOUR_S)
    world.run([old_event(), RuntimeError("boom")])
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]
    assert world.plans[0] != world.plans[1]


# --- stopping


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


@pytest.mark.parametrize("before", [b"", event(), _OPERATIONAL])
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
