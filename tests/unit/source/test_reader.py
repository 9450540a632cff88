"""The reader from one attempt to the next: what it starts from, and how long it waits."""

import pytest

from connector.coverage.messages import Ended, EndReason, LinesRead, Opened, Verdict
from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import MINUTE_US
from connector.events.times import US_PER_S
from connector.x.backoff import Curve
from connector.x.errors import ConnectFailedError, Failure
from tests.fakes.x import NOW_US
from tests.unit.source.world import AT_US, CUT, DOWN, HOUR_S, Piece, World, event, old_event

_FOREIGN = b'{"error":{"message":"over capacity"}}\r\n'


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
    assert ended == Ended(EndReason.CLOSED, is_proper=False, at_us=AT_US)
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
    assert world.put(Ended) == [Ended(EndReason.CLOSED, is_proper=False, at_us=AT_US)]
    assert world.observed.of("slice_ended") == [(Verdict.INTERRUPTED,)]
