"""Streams that work: live, backfill, replay, keep-alives, chunks, gzip, one connection a partition, slow readers."""

import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.config import Chunking
from connector.simulator.faults import Stall
from tests.unit.simulator.reader import BEARER, LIKE, TWEET, connected, eventually, get, lines_of, new_client

pytestmark = pytest.mark.slow

_TWEET_1 = StreamPartition("tweet", 1)
_LIKE = StreamPartition("like", 1)


def _recorded(sim: Simulator, partition: StreamPartition = _TWEET_1) -> list[bytes]:
    return [e.line for e in sim.record() if (e.stream, e.partition) == (partition.stream, partition.number)]


def _time(sim: Simulator, ago_s: float = 0) -> str:
    moment = datetime.fromtimestamp(sim.clock.now_ns() / NANOS - ago_s, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@pytest.mark.parametrize("partition", STREAM_PARTITIONS, ids=str)
def test_live_delivers_what_is_emitted_from_now_on(sim: Simulator, partition: StreamPartition) -> None:
    """Every stream partition, at X's path, gives its own events in order and none from before."""
    sim.emit(100)
    stream = STREAMS[partition.stream]
    before = len(_recorded(sim, partition))
    with connected(sim, stream.path, **({"partition": partition.number} if stream.partitions else {})) as reader:
        sim.emit(30)
        sim.emit(20, partition)
        emitted = _recorded(sim, partition)[before:]
        assert reader.lines(len(emitted)) == emitted


def test_live_lines_end_in_carriage_return_line_feed(sim: Simulator) -> None:
    """As on X."""
    with connected(sim) as reader:
        sim.emit(2, _TWEET_1)
        for line in _recorded(sim):
            assert reader.raw_line() == line + b"\r\n"


def test_keep_alives_come_in_silence() -> None:
    """An empty line after each interval of silence, before and after an event."""
    with Simulator(SimulatorConfig(keep_alive_s=0.1)) as sim, connected(sim) as reader:
        assert [reader.raw_line(), reader.raw_line()] == [b"\r\n", b"\r\n"]
        sim.emit(1, _TWEET_1)
        assert reader.lines(1) == _recorded(sim)
        assert reader.raw_line() == b"\r\n"


def test_keep_alives_stay_away_while_events_flow() -> None:
    """None is sent while events come more often than the interval."""
    with Simulator(SimulatorConfig(keep_alive_s=2.0, rate=2000)) as sim, connected(sim) as reader:
        until_s = time.monotonic() + 2.5
        while time.monotonic() < until_s:
            assert reader.raw_line() != b"\r\n"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("chunking", ["batch", "line", "random"])
def test_chunks_however_cut_and_packed_hold_the_same_lines(chunking: Chunking, encoding: str) -> None:
    """Where chunks end and whether they are gzip changes nothing in the body, and each event comes at once."""
    with (
        Simulator(SimulatorConfig(chunking=chunking)) as sim,
        new_client() as client,
        client.stream("GET", sim.base_url + LIKE, headers={**BEARER, "accept-encoding": encoding}) as response,
    ):
        assert response.headers.get("content-encoding", "identity") == encoding
        chunks = response.iter_raw()
        inflate = zlib.decompressobj(wbits=31)
        body, sizes = b"", []
        for count in (1, 200):
            sim.emit(count, _LIKE)
            expected = b"".join(line + b"\r\n" for line in _recorded(sim, _LIKE))
            while len(body) < len(expected):
                chunk = next(chunks)
                sizes.append(len(chunk))
                body += inflate.decompress(chunk) if encoding == "gzip" else chunk
            assert body == expected
        if chunking == "random":
            assert min(sizes) < 40
            assert len(sizes) > 10
        elif chunking == "line":
            assert len(sizes) >= 201
        else:
            assert len(sizes) < 50


def test_backfill_delivers_the_last_minutes_first_then_live(sim: Simulator) -> None:
    """Two minutes of the record, not three, and never deduplicated: a second connection gets them again."""
    for _ in range(4):
        sim.emit(5, _TWEET_1)
        sim.advance(60)
    for _ in range(2):
        with connected(sim, backfill_minutes=3) as reader:
            assert reader.lines(10) == _recorded(sim)[10:20]
            before = len(_recorded(sim))
            sim.emit(3, _TWEET_1)
            assert reader.lines(3 + before - 20) == _recorded(sim)[20:]
        sim.advance(1)
        assert eventually(lambda: sim.connections[-1].ended == "client-gone")


def test_replay_delivers_its_interval_and_ends_properly(sim: Simulator) -> None:
    """What was emitted from start_time on and before end_time, then the terminating chunk."""
    sim.advance(3600, emitting=True, rate=1)
    record = [e for e in sim.record() if e.stream == "tweet" and e.partition == 1]
    start, end = _time(sim, ago_s=2000), _time(sim, ago_s=1000)
    body = get(sim, TWEET, partition=1, start_time=start, end_time=end).content
    start_ns, end_ns = (round(datetime.fromisoformat(text).timestamp() * 1000) * 10**6 for text in (start, end))
    expected = [e.line for e in record if start_ns <= e.emitted_at < end_ns]
    assert 100 < len(expected) < len(record) / 2
    assert lines_of(body) == expected
    (connection,) = sim.connections
    assert (connection.mode, connection.ended, connection.lines) == ("replay", "replayed", len(expected))


def test_replay_reaches_back_almost_a_day_and_takes_whole_seconds(sim: Simulator) -> None:
    """History is kept for 24 hours of simulated time."""
    sim.emit(3, _LIKE)
    sim.advance(24 * 3600 - 60)
    start, end = (f"{_time(sim, ago_s=ago_s)[:19]}Z" for ago_s in (24 * 3600 - 100, 3600))
    assert lines_of(get(sim, LIKE, start_time=start, end_time=end).content) == []
    start = f"{_time(sim, ago_s=24 * 3600 - 5)[:19]}Z"
    assert lines_of(get(sim, LIKE, start_time=start, end_time=end).content) == _recorded(sim, _LIKE)


def test_second_connection_to_a_partition_answers_429_until_the_first_is_gone(sim: Simulator) -> None:
    """One live connection a stream partition, in X's words and with budget left; other partitions are free."""
    with connected(sim):
        response = get(sim, TWEET, partition=1)
        assert response.status_code == 429
        assert response.json()["connection_issue"] == "TooManyConnections"
        assert int(response.headers["x-rate-limit-remaining"]) > 0
        with connected(sim, partition=2) as other:
            assert other.response.status_code == 200
    with connected(sim) as again:
        assert again.response.status_code == 200


def test_replays_count_apart_from_live_and_up_to_their_limit() -> None:
    """Beside the live connection, at most `replay_limit` replays of one stream partition at once."""
    with Simulator(SimulatorConfig(replay_limit=1)) as sim:
        sim.inject(Stall(stream="like", mode="replay"))
        interval = {"start_time": _time(sim, ago_s=60), "end_time": _time(sim, ago_s=1)}
        with connected(sim, LIKE), connected(sim, LIKE, **interval) as replay:
            assert replay.response.status_code == 200
            assert get(sim, LIKE, **interval).status_code == 429


@contextmanager
def _unread(sim: Simulator) -> Iterator[socket.socket]:
    """Connect to the like stream through a small receive buffer, and read nothing."""
    host, port = sim.base_url.removeprefix("http://").split(":")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.connect((host, int(port)))
        client.sendall(f"GET {LIKE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer simulator-token\r\n\r\n".encode())
        assert eventually(lambda: len(sim.connections) == 1)
        yield client


def test_slow_reader_is_disconnected_and_loses_what_was_buffered() -> None:
    """A client that does not read is cut off once more waits for it than is held; the record still has it all."""
    with Simulator(SimulatorConfig(buffer_limit_bytes=100_000)) as sim, _unread(sim):
        sim.emit(20_000, _LIKE)
        assert eventually(lambda: sim.connections[0].ended == "slow-reader")
        assert sim.status().endings == {"slow-reader": 1}
        assert sim.connections[0].lines < 20_000
        assert len(_recorded(sim, _LIKE)) == 20_000


def test_slow_reader_is_not_who_waits_for_what_a_stall_held_back() -> None:
    """What piles up while the simulator stalls is not held against the client."""
    with Simulator(SimulatorConfig(buffer_limit_bytes=100_000)) as sim, _unread(sim):
        sim.inject(Stall(stream="like"))
        assert eventually(lambda: sim.fired["stall"] == 1)
        sim.emit(20_000, _LIKE)
        sim.release()
        assert eventually(lambda: sim.connections[0].lines > 0)
        assert not eventually(lambda: sim.connections[0].ended is not None, deadline_s=0.6)
        assert sim.connections[0].lines < 20_000


def test_slow_reader_within_the_buffer_is_kept_and_gets_everything() -> None:
    """Not reading for a while is no offence as long as what waits fits the buffer."""
    with Simulator(SimulatorConfig(gzip=False)) as sim, connected(sim, LIKE) as reader:
        sim.emit(20_000, _LIKE)
        assert not eventually(lambda: sim.connections[0].ended is not None, deadline_s=0.6)
        assert reader.lines(20_000) == _recorded(sim, _LIKE)


def test_connections_tell_who_is_there_and_what_each_was_given(sim: Simulator) -> None:
    """Stream, partition, mode, backfill, lines, and how it ended."""
    with connected(sim, partition=3, backfill_minutes=2) as reader:
        sim.emit(7, StreamPartition("tweet", 3))
        reader.lines(7)
        assert eventually(lambda: sim.connections[0].lines == 7)
        (connection,) = sim.connections
        assert (connection.stream, connection.partition, connection.mode) == ("tweet", 3, "live")
        assert (connection.backfill_minutes, connection.ended, connection.ended_at) == (2, None, None)
    assert eventually(lambda: sim.connections[0].ended == "client-gone")
    (connection,) = sim.connections
    assert connection.ended_at is not None
    assert connection.ended_at >= connection.opened_at


def test_stop_closes_port_and_connections(sim: Simulator) -> None:
    """After stop no client is connected or can connect; the record can still be read."""
    with connected(sim) as reader:
        sim.emit(1, _TWEET_1)
        reader.lines(1)
        sim.stop()
        assert reader.rest_and_failure()[1] is not None
    with pytest.raises(httpx.ConnectError):
        get(sim, TWEET, partition=1)
    assert len(sim.record()) == 1


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"no\r\n\r\n"])
def test_http_garbage_is_answered_400_and_does_no_harm(sim: Simulator, garbage: bytes) -> None:
    """Bytes that are not HTTP, or a request without Host, get an answer; the next client is served."""
    host, port = sim.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(garbage)
        assert client.recv(12) == b"HTTP/1.1 400"
    assert get(sim, "/control/status").status_code == 200
