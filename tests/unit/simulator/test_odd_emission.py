"""Events that come late, steadily, again, or on a partition too many: each on command, and counted when it acted."""

from itertools import pairwise

import httpx
import pytest

from connector.events.catalog import StreamPartition
from connector.simulator import Emitted, Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import (
    Burst,
    EndlessLine,
    Redeliver,
    Straggler,
    StreamError,
    Twin,
)
from tests.unit.simulator.history import LIKE_1, TWEET_1, emitted_on, event_at_ns, recorded
from tests.unit.simulator.reader import (
    LIKE,
    connected,
    eventually,
    get,
)


def _late_s(emitted: Emitted) -> float:
    return (emitted.emitted_at - event_at_ns(emitted.line)) / NANOS


def test_straggler_is_emitted_now_and_dated_hours_earlier(sim: Simulator) -> None:
    """The given number of events, as late as given, delivered live at once; the record calls them events."""
    with connected(sim, LIKE) as reader:
        sim.emit(1, LIKE_1)
        sim.inject(Straggler(stream="like", events=3, late_s=7200))
        assert reader.lines(4) == recorded(sim)
    assert [round(_late_s(emitted)) // 7200 for emitted in emitted_on(sim)] == [0, 1, 1, 1]
    assert {emitted.kind for emitted in sim.record()} == {"event"}
    assert sim.fired == {"straggler": 1}


def test_straggler_every_minute_comes_in_skipped_time_too(sim: Simulator) -> None:
    """Three hours at a steady rate have 180 of them, evenly spread, until disarmed."""
    sim.inject(Straggler(stream="like", every_s=60, late_s=3600, times=None))
    sim.advance(3 * 3600, emitting=True, rate=0.5)
    late = [emitted for emitted in emitted_on(sim) if _late_s(emitted) >= 3600]
    assert len(late) == sim.fired["straggler"] == 180
    assert {round((b.emitted_at - a.emitted_at) / NANOS) for a, b in pairwise(late)} == {60}
    assert len(sim.record()) == 180 + 5400
    assert sim.status().armed == {"straggler": 1}
    sim.faults.disarm("straggler")
    sim.advance(600, emitting=True, rate=0)
    assert (sim.fired["straggler"], sim.status().armed) == (180, {})


def test_steady_fault_happens_with_real_time_as_often_as_armed(sim: Simulator) -> None:
    """Any emission fault can be steady; nothing has to be emitted beside it."""
    sim.inject(Burst(stream="like", events=2, every_s=0.02, times=3))
    assert eventually(lambda: not sim.faults.armed)
    assert eventually(lambda: sim.fired["burst"] == 3)
    assert len(recorded(sim)) == 6


def test_steady_fault_in_time_skipped_in_silence_happens_once(sim: Simulator) -> None:
    """Nothing is made up for that would have been emitted in the skipped hour."""
    sim.inject(Straggler(stream="like", every_s=60, times=None))
    sim.advance(3600)
    assert eventually(lambda: sim.fired["straggler"] == 1)
    sim.advance(30, emitting=True, rate=0)
    assert sim.fired["straggler"] == 1


def test_steady_fault_ends_with_stop_emitting(sim: Simulator) -> None:
    """After it the record stays as it is."""
    sim.inject(Straggler(every_s=0.01, times=None))
    assert eventually(lambda: sim.fired["straggler"] > 0)
    sim.stop_emitting()
    count = len(sim.record())
    assert not eventually(lambda: len(sim.record()) != count, deadline_s=0.1)
    assert sim.status().armed == {}


def test_twin_is_the_same_line_on_the_next_partition(sim: Simulator) -> None:
    """Byte by byte; the partition after the last is the first, and one without lines has no twin."""
    sim.emit(2, StreamPartition("tweet", 4))
    sim.inject(Twin(stream="tweet", partition=4))
    assert recorded(sim, TWEET_1) == recorded(sim, StreamPartition("tweet", 4))[1:]
    sim.emit(1, LIKE_1)
    sim.inject(Twin(stream="like"))
    sim.inject(Twin(stream="user"))
    assert sim.fired == {"twin": 1}
    assert len(sim.record()) == 4


def test_redeliver_brings_old_lines_again_and_holds_nothing_back(sim: Simulator) -> None:
    """Lines that are ten minutes old come once more on a live connection; the record has them once."""
    sim.emit(3, LIKE_1)
    sim.inject(Redeliver(stream="like", lines=2, older_than_s=600))
    with connected(sim, LIKE) as reader:
        sim.emit(2, LIKE_1)
        assert reader.lines(2) == recorded(sim)[3:]
        assert sim.fired == {}
        sim.advance(601)
        assert reader.lines(2) == recorded(sim)[3:]
        sim.emit(1, LIKE_1)
        assert reader.lines(1) == recorded(sim)[5:]
    assert (len(recorded(sim)), sim.fired["redeliver"]) == (6, 1)


@pytest.mark.parametrize("body", ['{"error":{"message":"backend"}}', "<html><body>Over capacity</body></html>"])
def test_stream_error_with_a_body_can_be_the_only_line(sim: Simulator, body: str) -> None:
    """Every time, without end: a granted stream whose only line is neither an event nor a known message."""
    sim.inject(StreamError(stream="like", body=body, ending="close", times=None))
    for _ in range(3):
        assert get(sim, LIKE).content == body.encode() + b"\r\n"
    assert (sim.fired["stream-error"], sim.status().armed) == (3, {"stream-error": 1})


def test_endless_line_drips_without_a_line_end_until_released() -> None:
    """Bytes come and keep-alives do not, then the connection drops within the line."""
    with Simulator(SimulatorConfig(keep_alive_s=0.05, gzip=False)) as sim:
        sim.emit(1, LIKE_1)
        sim.inject(EndlessLine(stream="like", after_lines=1, bytes_per_second=1000))
        with connected(sim, LIKE, backfill_minutes=1) as reader:
            assert reader.lines(1) == recorded(sim)
            begun = reader.at_least(200)
            sim.release()
            rest, failure = reader.rest_and_failure()
        assert isinstance(failure, httpx.RemoteProtocolError)
        assert begun.startswith(b'{"data":{"delete":')
        assert b"\n" not in begun + rest
        assert (sim.fired["endless-line"], sim.connections[0].ended) == (1, "endless-line")


def test_endless_line_for_a_time_ends_as_asked(sim: Simulator) -> None:
    """A proper end is no end of the line."""
    sim.inject(EndlessLine(stream="like", seconds=0.1, ending="close"))
    body = get(sim, LIKE).content
    assert body
    assert b"\n" not in body
