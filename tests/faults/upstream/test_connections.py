"""Connections that break, pace, stall or deceive: coverage does not run ahead, and what is missing comes again."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import pytest

from connector.kafka.transaction import Part, TransactionalWriter
from connector.simulator.faults import Close, Drop, EndReplayEarly, IgnoreBackfill, Mode, SlowBackfill, Stall, Truncate
from tests.faults.stage import Stage
from tests.faults.upstream.journey import US_PER_S, Expected, Journey
from tests.rig.fault_points import Fault, Point
from tests.rig.process import wait_until

_AWAY_S = 120.0
_LONG_AWAY_S = 20 * 60.0
_QUIET_S = 61.0
_LONGEST_COMMIT_S = 30.0
_LARGE_BYTES = 256 * 1024
_LARGE_LINES = 160
"""More than all the sockets on the way hold."""
_PLACE = ("user", 1)
_SLOW_READER = "connection: dropped for slow reading"


def _large_line(number: int) -> bytes:
    body = {"event_at": "2026-01-01T00:00:00Z", "user": {"id": str(number)}, "profile_field": "profile.description"}
    return json.dumps({"data": {"user_profile_modification": {**body, "new_value": "x" * _LARGE_BYTES}}}).encode()


@contextmanager
def _commits_that_wait() -> Iterator[threading.Event]:
    """Make every commit wait for the event given, which is set at first."""
    may_commit, commit = threading.Event(), TransactionalWriter.commit
    may_commit.set()

    def waiting(self: TransactionalWriter, parts: Sequence[Part]) -> float:
        may_commit.wait(_LONGEST_COMMIT_S)
        return commit(self, parts)

    with mock.patch.object(TransactionalWriter, "commit", waiting):
        yield may_commit


@pytest.mark.parametrize(
    ("kind", "away_s", "mode", "fault"),
    [
        ("connection: dropped in a backfill", _AWAY_S, "live", Drop),
        pytest.param("connection: cut in a backfill's line", _AWAY_S, "live", Truncate, marks=pytest.mark.long),
        pytest.param("connection: dropped in a slice", _LONG_AWAY_S, "replay", Drop, marks=pytest.mark.long),
        ("connection: cut in a slice's line", _LONG_AWAY_S, "replay", Truncate),
    ],
)
def test_connection_lost_on_the_way_back_nothing_is_lost(
    embark: Callable[..., Journey], kind: str, away_s: float, mode: Mode, fault: type[Drop | Truncate]
) -> None:
    """In the middle of a backfill or a slice, twice: it starts again, and coverage did not believe in the half."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.cut()
        journey.let_x_emit(away_s)
        for after_lines in (5, 11):
            journey.simulator.inject(fault(stream="user", mode=mode, after_lines=after_lines))
        journey.way.come_back()
        journey.settle()
    journey.verify()
    assert journey.simulator.fired[fault.__name__.lower()] == 2 * len(journey.places)
    journey.note(kind)


@pytest.mark.fires("X: truncate")
def test_slice_that_ends_properly_within_a_line_is_not_whole(embark: Callable[..., Journey]) -> None:
    """A line that was cut off is a line that is missing, whatever HTTP says."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.cut()
        journey.let_x_emit(_LONG_AWAY_S)
        journey.simulator.inject(Truncate(stream="user", mode="replay", after_lines=12, ending="close"))
        journey.way.come_back()
        journey.settle()
    journey.verify()
    assert journey.simulator.fired["truncate"] == len(journey.places)


@pytest.mark.fires("X: slow-backfill", "X: stall")
def test_slow_backfill_with_keep_alives_before_and_in_it_holds_coverage(embark: Callable[..., Journey]) -> None:
    """Neither a keep-alive nor the passing of a minute ends it, only a minute without anything old."""
    journey = embark("user", keep_alive_s=5.5)
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.simulator.inject(SlowBackfill(stream="user", lines_per_second=4))
        journey.simulator.inject(Stall(stream="user", mode="live", seconds=1, after_lines=3))
        journey.cut_off(_AWAY_S)
        back_us = journey.now_us
        wait_until(lambda: journey.simulator.fired["stall"] == len(journey.places), "the backfill is under way")
        for _ in range(3):
            journey.simulator.advance(20)
            journey.emit_on(journey.places, 1)
            assert max(journey.covered_us().values()) < back_us - (_AWAY_S - 40) * US_PER_S
        journey.drop_connections_only()
        journey.settle()
    journey.verify()
    assert journey.simulator.fired["slow-backfill"] == len(journey.places)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["kill at backfill", "kill at replay"])
def test_connector_killed_while_x_paces_what_it_brings_nothing_is_lost(stage: Stage, kind: str) -> None:
    """The process that starts again asks for all that the killed one had not committed."""
    point = Point(kind.removeprefix("kill at "))
    first = stage.start("a")
    stage.await_owned()
    stage.emit_steadily()
    stage.await_caught_up()
    first.leave()
    stage.simulator.stop_emitting()
    stage.let_time_pass(_AWAY_S if point is Point.BACKFILL else _LONG_AWAY_S)
    if point is Point.BACKFILL:
        stage.simulator.inject(SlowBackfill(lines_per_second=10))
    stage.start("a", Fault(point, 3)).await_strike()
    stage.simulator.faults.disarm()
    stage.start("a")
    stage.conclude()


@pytest.mark.fires("X: ignore-backfill")
def test_backfill_that_x_ignores_is_doubted_once_and_made_up_for(embark: Callable[..., Journey]) -> None:
    """Nothing known comes again though something must: the stretch is replayed, logged and counted."""
    journey = embark("user")
    with journey.running() as probe:
        journey.emit_on(journey.places)
        journey.settle()
        journey.emit_on(journey.places)
        journey.await_sequences()
        journey.simulator.inject(IgnoreBackfill(stream="user"))
        journey.cut_off(_AWAY_S)
        journey.settle()
        assert probe.metric("refetches_total", suspicion="backfill-unconfirmed") == len(journey.places)
    journey.verify(Expected(is_ordered=False))
    assert journey.simulator.fired["ignore-backfill"] == len(journey.places)


@pytest.mark.fires("X: end-replay-early")
def test_slice_that_x_ends_early_is_doubted_once_and_made_up_for(embark: Callable[..., Journey]) -> None:
    """The overlap of the next one brings something new: the slice is asked for once more, logged and counted."""
    journey = embark("user")
    with journey.running() as probe:
        journey.emit_on(journey.places)
        journey.settle()
        journey.cut()
        journey.let_x_emit(_LONG_AWAY_S, 2000)
        journey.simulator.inject(EndReplayEarly(stream="user"))
        journey.way.come_back()
        journey.settle()
        assert probe.metric("refetches_total") == len(journey.places)
    journey.verify(Expected(is_ordered=False, is_deceived=True))
    assert journey.simulator.fired["end-replay-early"] == len(journey.places)


@pytest.mark.fires(_SLOW_READER)
def test_slow_reader_that_x_disconnects_gets_what_x_had_buffered(embark: Callable[..., Journey]) -> None:
    """Commits that take long fill the channel, the reader waits, X buffers and then drops the connection."""
    journey = embark("user", buffer_limit_bytes=_LARGE_BYTES, gzip=False)
    with journey.running(pipeline={"channel_limit_bytes": 1024 * 1024}), _commits_that_wait() as may_commit:
        journey.emit_on(journey.places)
        journey.settle()
        may_commit.clear()
        for number in range(_LARGE_LINES):
            journey.simulator.emit_line(*_PLACE, _large_line(number), "event")
        wait_until(lambda: journey.simulator.status().endings.get("slow-reader", 0) > 0, "X drops the slow reader")
        journey.note(_SLOW_READER)
        may_commit.set()
        journey.settle()
    journey.verify()


@pytest.mark.long
@pytest.mark.fires("X: close")
def test_connections_closed_properly_at_any_time_nothing_is_lost(embark: Callable[..., Journey]) -> None:
    """As X does when it restarts its servers."""
    journey = embark("user")
    with journey.running():
        journey.emit_on(journey.places)
        journey.settle()
        journey.simulator.inject(Close(stream="user", after_lines=3, times=5))
        journey.let_x_emit(_QUIET_S)
        wait_until(lambda: journey.simulator.fired["close"] >= len(journey.places), "X closes connections")
        journey.simulator.faults.disarm()
        journey.settle()
    journey.verify()
