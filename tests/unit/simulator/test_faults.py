"""Each fault on command: it does what it says, the given number of times, and is counted when it fired."""

import json
import threading
import time
from collections import Counter
from email.utils import parsedate_to_datetime

import httpx
import msgspec
import pytest

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import (
    AcceptAndClose,
    Broken,
    Burst,
    Close,
    Drop,
    Duplicate,
    Ending,
    EndReplayEarly,
    Fault,
    HoldAnswer,
    IgnoreBackfill,
    InvalidBody,
    Reorder,
    SlowBackfill,
    Stall,
    StreamError,
    Truncate,
    UnknownType,
)
from tests.unit.simulator.reader import LIKE, TWEET, USER, Reader, connected, eventually, get, lines_of

_TWEET_1 = StreamPartition("tweet", 1)
_LIKE = StreamPartition("like", 1)


def _recorded(sim: Simulator, partition: StreamPartition = _TWEET_1) -> list[bytes]:
    return [e.line for e in sim.record() if (e.stream, e.partition) == (partition.stream, partition.number)]


def _interval(sim: Simulator) -> dict[str, str | int]:
    now_s = sim.clock.now_ns() // NANOS
    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s - ago_s)) for ago_s in (120, 1)]
    return dict(zip(("start_time", "end_time"), times, strict=True))


def _is_reset(failure: Exception | None) -> bool:
    return isinstance(failure, httpx.ReadError)


def test_drop_ends_abruptly_and_only_where_and_as_often_as_armed(sim: Simulator) -> None:
    """The named partition loses two connections without the terminating chunk, the third stays, others never notice."""
    with connected(sim, partition=2) as other:
        sim.inject(Drop(stream="tweet", partition=1, times=2))
        for _ in range(2):
            with connected(sim) as reader:
                assert isinstance(reader.rest_and_failure()[1], httpx.RemoteProtocolError)
        with connected(sim) as reader:
            sim.emit(3, _TWEET_1)
            assert reader.lines(3) == _recorded(sim)
        sim.emit(1, StreamPartition("tweet", 2))
        assert len(other.lines(1)) == 1
    assert sim.fired == Counter({"drop": 2})
    assert [connection.ended for connection in sim.connections if connection.partition == 1][:2] == ["drop", "drop"]


def test_drop_after_lines_waits_until_they_are_delivered(sim: Simulator) -> None:
    """Exactly that many lines come through first, then the reset."""
    sim.inject(Drop(stream="tweet", partition=1, after_lines=7, reset=True))
    with connected(sim) as reader:
        sim.emit(20, _TWEET_1)
        lines = reader.lines(7)
        rest, failure = reader.rest_and_failure()
    assert lines == _recorded(sim)[:7]
    assert rest == b""
    assert _is_reset(failure)
    assert sim.connections[0].lines == 7


def test_close_ends_properly(sim: Simulator) -> None:
    """The terminating chunk comes, and gzip is finished."""
    with connected(sim) as reader:
        sim.emit(2, _TWEET_1)
        lines = reader.lines(2)
        sim.inject(Close(stream="tweet"))
        assert reader.rest() == b""
    assert lines == _recorded(sim)
    assert sim.fired["close"] == 1


@pytest.mark.slow
def test_stall_sends_nothing_until_released_then_everything() -> None:
    """The socket stays open without even keep-alives while events go on record; after the release they all come."""
    with Simulator(SimulatorConfig(keep_alive_s=0.05)) as sim, connected(sim) as reader:
        sim.inject(Stall(stream="tweet", partition=1))
        assert eventually(lambda: sim.fired["stall"] == 1)
        sim.emit(5, _TWEET_1)
        assert not eventually(lambda: sim.connections[0].lines > 0, deadline_s=0.3)
        sim.release()
        assert reader.lines(5) == _recorded(sim)


def test_stall_for_a_time_ends_by_itself(sim: Simulator) -> None:
    """After its seconds the stall is over."""
    with connected(sim) as reader:
        started_s = time.monotonic()
        sim.inject(Stall(stream="tweet", partition=1, seconds=0.2))
        assert eventually(lambda: sim.fired["stall"] == 1)
        sim.emit(1, _TWEET_1)
        assert reader.lines(1) == _recorded(sim)
        assert time.monotonic() - started_s >= 0.2


def test_stall_notices_that_the_client_went_away(sim: Simulator) -> None:
    """A stalled connection frees its place when the client closes it."""
    sim.inject(Stall(stream="tweet", partition=1))
    with connected(sim):
        assert eventually(lambda: sim.fired["stall"] == 1)
    with connected(sim) as again:
        assert again.response.status_code == 200


def test_hold_answer_answers_when_released_with_the_time_of_then(sim: Simulator) -> None:
    """Neither the `Date` nor a backfill counts from the question."""
    sim.emit(10, _TWEET_1)
    sim.inject(HoldAnswer(stream="tweet"))
    asked_ns = sim.clock.now_ns()

    def release_later() -> None:
        assert eventually(lambda: sim.fired["hold-answer"] == 1)
        sim.advance(120)
        sim.release()

    releasing = threading.Thread(target=release_later)
    releasing.start()
    with connected(sim, TWEET, partition=1, backfill_minutes=1) as reader:
        assert parsedate_to_datetime(reader.response.headers["date"]).timestamp() >= asked_ns // NANOS + 120
        sim.emit(3, _TWEET_1)
        assert reader.lines(3) == _recorded(sim)[10:]
    releasing.join()


def test_duplicate_delivers_the_last_lines_again(sim: Simulator) -> None:
    """The last three delivered lines come a second time, then the stream goes on; the record has them once."""
    with connected(sim) as reader:
        sim.emit(5, _TWEET_1)
        lines = reader.lines(5)
        sim.inject(Duplicate(stream="tweet", partition=1, lines=3))
        assert reader.lines(3) == lines[2:]
        sim.emit(1, _TWEET_1)
        assert reader.lines(1) == _recorded(sim)[5:]
    assert (len(_recorded(sim)), sim.fired["duplicate"]) == (6, 1)


def test_reorder_shuffles_the_next_lines(sim: Simulator) -> None:
    """The next four lines come in another order, the rest as emitted."""
    with connected(sim) as reader:
        sim.inject(Reorder(stream="tweet", partition=1, lines=4))
        sim.emit(10, _TWEET_1)
        lines = reader.lines(10)
    expected = _recorded(sim)
    assert lines[:4] != expected[:4]
    assert sorted(lines[:4]) == sorted(expected[:4])
    assert lines[4:] == expected[4:]
    assert sim.fired["reorder"] == 1
    assert {emitted.line for emitted in sim.faults.reordered} == set(expected[:4])


@pytest.mark.parametrize("ending", ["close", "drop", "reset"])
def test_truncate_cuts_a_line_in_the_middle_and_ends(sim: Simulator, ending: Ending) -> None:
    """The unterminated tail is a true beginning of the line; how the connection ends is chosen."""
    sim.inject(Truncate(stream="like", after_lines=2, ending=ending))  # type: ignore[arg-type] # `open` is not among them
    with connected(sim, LIKE) as reader:
        sim.emit(3, _LIKE)
        lines = reader.lines(2)
        rest, failure = reader.rest_and_failure()
    expected = _recorded(sim, _LIKE)
    assert lines == expected[:2]
    assert (failure is None, _is_reset(failure)) == (ending == "close", ending == "reset")
    if ending != "reset":
        assert rest
        assert expected[2].startswith(rest)
        assert len(rest) < len(expected[2])
    assert sim.fired["truncate"] == 1


def test_stream_error_wrapped_ends_the_connection_when_asked(sim: Simulator) -> None:
    """A disconnect wrapped in errors, ending CR LF, then a proper end."""
    with connected(sim) as reader:
        sim.inject(StreamError(stream="tweet", partition=1, ending="close"))
        rest = reader.rest()
    assert rest.endswith(b"}\r\n")
    (error,) = json.loads(rest)["errors"]
    assert error["disconnect_type"] == "UpstreamOperationalDisconnect"
    assert sim.fired["stream-error"] == 1


def test_stream_error_bare_with_line_feed_leaves_the_socket_open(sim: Simulator) -> None:
    """X does not always close: events follow the message on the same connection."""
    with connected(sim) as reader:
        sim.inject(StreamError(stream="tweet", partition=1, wrapped=False, terminator="\n"))
        line = reader.raw_line()
        assert line.endswith(b"}\n")
        assert json.loads(line)["connection_issue"] == "TooManyConnections"
        sim.emit(1, _TWEET_1)
        assert reader.lines(1) == _recorded(sim)


def test_stream_error_body_is_sent_as_given(sim: Simulator) -> None:
    """A test can make X say anything."""
    with connected(sim) as reader:
        sim.inject(StreamError(stream="tweet", partition=1, body='{"title":"x"}'))
        assert reader.raw_line() == b'{"title":"x"}\r\n'


@pytest.mark.parametrize("fault", [UnknownType, InvalidBody, Broken])
def test_malformed_lines_go_on_record_and_out(
    sim: Simulator, fault: type[UnknownType] | type[InvalidBody] | type[Broken]
) -> None:
    """Emitted at once among the events, on record under their kind, delivered like events and again by backfill."""
    with connected(sim, USER) as reader:
        sim.emit(1, StreamPartition("user", 1))
        armed = fault(stream="user", partition=1, times=3)
        sim.inject(armed)
        sim.emit(1, StreamPartition("user", 1))
        assert reader.lines(5) == _recorded(sim, StreamPartition("user", 1))
    assert [e.kind for e in sim.record()] == ["event", *[armed.kind] * 3, "event"]
    with connected(sim, USER, backfill_minutes=1) as again:
        assert again.lines(5) == _recorded(sim, StreamPartition("user", 1))
    assert sim.fired[armed.kind] == 3


def test_burst_emits_that_many_at_once_on_each_partition_named(sim: Simulator) -> None:
    """All four partitions of a stream get the whole number."""
    sim.inject(Burst(stream="tweet", events=50))
    assert Counter((e.stream, e.partition) for e in sim.record()) == {("tweet", number): 50 for number in (1, 2, 3, 4)}
    assert sim.fired["burst"] == 4


def test_ignore_backfill_gives_live_events_only(sim: Simulator) -> None:
    """Backfill was asked for and not given; the next connection gets it."""
    sim.emit(5, _TWEET_1)
    sim.inject(IgnoreBackfill(stream="tweet", partition=1))
    with connected(sim, backfill_minutes=5) as reader:
        sim.emit(1, _TWEET_1)
        assert reader.lines(1) == _recorded(sim)[5:]
    with connected(sim, backfill_minutes=5) as reader:
        assert reader.lines(6) == _recorded(sim)
    assert sim.fired["ignore-backfill"] == 1


def test_slow_backfill_comes_at_its_pace_and_live_at_once(sim: Simulator) -> None:
    """Ten lines at 50 a second take their time; what follows live does not."""
    sim.emit(10, _TWEET_1)
    sim.inject(SlowBackfill(stream="tweet", partition=1, lines_per_second=50))
    started_s = time.monotonic()
    with connected(sim, backfill_minutes=5) as reader:
        assert reader.lines(10) == _recorded(sim)
        assert time.monotonic() - started_s >= 9 / 50
        sim.emit(1500, _TWEET_1)
        started_s = time.monotonic()
        assert reader.lines(1500) == _recorded(sim)[10:]
        assert time.monotonic() - started_s < 1500 / 50
    assert sim.fired["slow-backfill"] == 1


def test_end_replay_early_ends_properly_with_half_of_the_lines(sim: Simulator) -> None:
    """Only the missing lines tell; asked again, the replay is whole."""
    sim.emit(11, _LIKE)
    sim.advance(60)
    sim.inject(EndReplayEarly(stream="like"))
    assert lines_of(get(sim, LIKE, **_interval(sim)).content) == _recorded(sim, _LIKE)[:5]
    assert lines_of(get(sim, LIKE, **_interval(sim)).content) == _recorded(sim, _LIKE)
    assert sim.fired["end-replay-early"] == 1


def test_mode_spares_connections_of_the_other_mode(sim: Simulator) -> None:
    """A drop armed for replays leaves the live connection alone."""
    sim.emit(5, _LIKE)
    sim.advance(60)
    with connected(sim, LIKE) as live:
        sim.inject(Drop(stream="like", mode="replay", after_lines=2))
        with connected(sim, LIKE, **_interval(sim)) as replay:
            body, failure = replay.rest_and_failure()
        assert (lines_of(body), failure is not None) == (_recorded(sim, _LIKE)[:2], True)
        sim.emit(1, _LIKE)
        assert live.lines(1) == _recorded(sim, _LIKE)[5:]


@pytest.mark.parametrize("ending", ["close", "drop", "reset"])
def test_accept_and_close_gives_a_200_and_nothing_else(sim: Simulator, ending: Ending) -> None:
    """The answer is good and the body ends before its first byte, backfill or not."""
    sim.emit(5, _LIKE)
    sim.inject(AcceptAndClose(stream="like", ending=ending))  # type: ignore[arg-type] # `open` is not among them
    if ending == "reset":
        with pytest.raises(httpx.ReadError), connected(sim, LIKE, backfill_minutes=5) as reader:
            reader.rest()
    else:
        with connected(sim, LIKE, backfill_minutes=5) as reader:
            assert reader.response.status_code == 200
            rest, failure = reader.rest_and_failure()
            assert (rest, failure is None) == (b"", ending == "close")
    assert sim.fired["accept-and-close"] == 1


def test_faults_of_one_partition_fire_in_the_order_armed(sim: Simulator) -> None:
    """First the duplicate, then the close."""
    with connected(sim) as reader:
        sim.emit(2, _TWEET_1)
        reader.lines(2)
        sim.inject(Duplicate(stream="tweet", partition=1, lines=2))
        sim.inject(Close(stream="tweet", partition=1))
        assert lines_of(reader.rest()) == _recorded(sim)


def test_disarm_forgets_what_has_not_fired(sim: Simulator) -> None:
    """What is left armed can be seen and taken back; nothing fired, nothing counted."""
    sim.inject(Drop(times=2))
    assert sim.status().armed == {"drop": 2 * len(STREAM_PARTITIONS)}
    sim.faults.disarm()
    assert sim.status().armed == {}
    with connected(sim) as reader:
        assert _serves(sim, reader)
    assert sim.fired == {}


def _serves(sim: Simulator, reader: Reader) -> bool:
    sim.emit(1, _TWEET_1)
    return reader.lines(1) == _recorded(sim)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "drop", "stream": "tweets"},
        {"kind": "drop", "stream": "like", "partition": 2},
        {"kind": "drop", "times": 0},
        {"kind": "refuse", "status": 200},
        {"kind": "truncate", "ending": "open"},
        {"kind": "reorder", "lines": 1},
        {"kind": "dorp"},
    ],
)
def test_fault_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """A misspelt fault never passes as one that simply did not fire."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Fault)
