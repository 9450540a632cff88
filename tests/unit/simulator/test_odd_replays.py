"""Replays that end wrong or not at all: each on command, and counted when it acted."""

import socket

import httpx

from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.faults import (
    Drop,
    EndReplayEarly,
    GrantFutureEnd,
    IgnoreReplay,
    KeepReplayOpen,
    OvershootReplay,
    UnframedBody,
)
from tests.unit.simulator.history import LIKE_1, interval, recorded
from tests.unit.simulator.reader import (
    LIKE,
    connected,
    eventually,
    get,
    lines_of,
)


def test_drop_without_end_cuts_every_replay_after_its_lines(sim: Simulator) -> None:
    """Each attempt brings exactly that many lines; the live connection is spared, and disarming ends it."""
    sim.emit(20, LIKE_1)
    sim.advance(60)
    sim.inject(Drop(stream="like", mode="replay", after_lines=7, times=None))
    with connected(sim, LIKE):
        for attempt in range(5):
            with connected(sim, LIKE, **interval(sim)) as replay:
                body, failure = replay.rest_and_failure()
            assert (lines_of(body), failure is not None) == (recorded(sim)[:7], True)
            assert sim.fired["drop"] == attempt + 1
    assert sim.status().armed == {"drop": 1}
    sim.faults.disarm()
    assert lines_of(get(sim, LIKE, **interval(sim)).content) == recorded(sim)


def test_keep_replay_open_sends_all_lines_then_keep_alives_only() -> None:
    """The end never comes; the next replay ends."""
    with Simulator(SimulatorConfig(keep_alive_s=0.05)) as sim:
        sim.emit(5, LIKE_1)
        sim.advance(60)
        sim.inject(KeepReplayOpen(stream="like"))
        with connected(sim, LIKE, **interval(sim)) as replay:
            assert replay.lines(5) == recorded(sim)
            sim.emit(1, LIKE_1)
            assert [replay.raw_line() for _ in range(3)] == [b"\r\n"] * 3
            assert sim.connections[0].ended is None
        assert lines_of(get(sim, LIKE, **interval(sim)).content) == recorded(sim)[:5]
        assert sim.fired == {"keep-replay-open": 1}


def test_end_replay_early_with_no_share_is_empty_and_proper(sim: Simulator) -> None:
    """A 200, an end and nothing between; a replay that has no lines does not use it up."""
    sim.inject(EndReplayEarly(stream="like", share=0))
    assert get(sim, LIKE, **interval(sim)).content == b""
    assert sim.fired == {}
    sim.emit(5, LIKE_1)
    sim.advance(60)
    response = get(sim, LIKE, **interval(sim))
    assert (response.status_code, response.content, sim.fired["end-replay-early"]) == (200, b"", 1)


def test_overshoot_replay_goes_on_past_its_end_and_ends_properly(sim: Simulator) -> None:
    """Lines of the next 100 s come too, those after them do not; without lines there it waits for another replay."""
    for _ in range(4):
        sim.emit(3, LIKE_1)
        sim.advance(60)
    sim.inject(OvershootReplay(stream="like", seconds=100))
    assert lines_of(get(sim, LIKE, **interval(sim, 300, 30)).content) == recorded(sim)
    assert sim.fired == {}
    assert lines_of(get(sim, LIKE, **interval(sim, 300, 200)).content) == recorded(sim)[:9]
    assert sim.fired == {"overshoot-replay": 1}


def test_ignore_replay_answers_with_a_live_stream(sim: Simulator) -> None:
    """Nothing of the interval, then what is emitted from now on, and no end."""
    sim.emit(5, LIKE_1)
    sim.advance(60)
    sim.inject(IgnoreReplay(stream="like"))
    with connected(sim, LIKE, **interval(sim)) as replay:
        assert eventually(lambda: sim.fired["ignore-replay"] == 1)
        sim.emit(3, LIKE_1)
        assert replay.lines(3) == recorded(sim)[5:]
        assert sim.connections[0].ended is None


def test_grant_future_end_brings_what_there_is_so_far(sim: Simulator) -> None:
    """A 400 without it; with it the lines up to now and a proper end."""
    sim.emit(4, LIKE_1)
    sim.advance(60)
    asked = interval(sim, 120, -1200)
    assert get(sim, LIKE, **asked).status_code == 400
    sim.inject(GrantFutureEnd(stream="like"))
    assert get(sim, LIKE, **interval(sim)).status_code == 200
    assert sim.fired == {}
    response = get(sim, LIKE, **asked)
    assert (response.status_code, lines_of(response.content)) == (200, recorded(sim))
    assert sim.fired == {"grant-future-end": 1}


def _raw_answer(sim: Simulator, path: str, query: dict[str, str | int]) -> bytes:
    host, port = sim.base_url.removeprefix("http://").split(":")
    url = httpx.URL(path, params=query).raw_path.decode()
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer simulator-token\r\n\r\n".encode())
        answer = b""
        while piece := client.recv(65_536):
            answer += piece
    return answer


def test_unframed_body_ends_where_the_connection_ends(sim: Simulator) -> None:
    """Neither a length nor chunks: a cut replay looks to HTTP as a whole one does."""
    sim.emit(6, LIKE_1)
    sim.advance(60)
    sim.inject(UnframedBody(stream="like", mode="replay", times=2))
    sim.inject(Drop(stream="like", mode="replay", after_lines=3))
    for count in (3, 6):
        head, _, body = _raw_answer(sim, LIKE, interval(sim)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in head.lower()
        assert b"content-length" not in head.lower()
        assert body == b"".join(line + b"\r\n" for line in recorded(sim)[:count])
    assert [connection.ended for connection in sim.connections] == ["drop", "replayed"]
    assert sim.fired == {"unframed-body": 2, "drop": 1}


def test_unframed_body_is_read_by_an_http_client(sim: Simulator) -> None:
    """It is odd, and it is HTTP, gzip included."""
    sim.emit(6, LIKE_1)
    sim.advance(60)
    sim.inject(UnframedBody(stream="like"))
    response = get(sim, LIKE, **interval(sim))
    assert response.headers["content-encoding"] == "gzip"
    assert lines_of(response.content) == recorded(sim)
