"""An unsound X on command: each fault that deceives does what it says, and is counted only when it acted."""

import base64
import gzip
import json
import socket
import threading
import time
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import httpx
import msgspec
import pytest

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.simulator import Emitted, Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from connector.simulator.faults import (
    Burst,
    Coding,
    Drop,
    EndlessLine,
    EndReplayEarly,
    Fault,
    ForeignAnswer,
    ForeignEncoding,
    GrantFutureEnd,
    IgnoreReplay,
    KeepReplayOpen,
    OvershootReplay,
    Redeliver,
    Refuse,
    Straggler,
    StreamError,
    Twin,
    UnframedBody,
    WrongDate,
)
from tests.unit.simulator.reader import (
    BEARER,
    LIKE,
    TWEET,
    connected,
    eventually,
    get,
    lines_of,
    new_client,
)

_TWEET_1 = StreamPartition("tweet", 1)
_LIKE = StreamPartition("like", 1)
_YEAR_S = 365 * 86_400


def _emitted(sim: Simulator, partition: StreamPartition = _LIKE) -> list[Emitted]:
    return [e for e in sim.record() if (e.stream, e.partition) == (partition.stream, partition.number)]


def _recorded(sim: Simulator, partition: StreamPartition = _LIKE) -> list[bytes]:
    return [emitted.line for emitted in _emitted(sim, partition)]


def _interval(sim: Simulator, start_ago_s: float = 120, end_ago_s: float = 1) -> dict[str, str | int]:
    now_s = sim.clock.now_ns() // NANOS
    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s - ago_s)) for ago_s in (start_ago_s, end_ago_s)]
    return dict(zip(("start_time", "end_time"), times, strict=True))


def _event_at_ns(line: bytes) -> int:
    (body,) = json.loads(line)["data"].values()
    since = datetime.fromisoformat(body["event_at"]) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NANOS + since.microseconds * 1000


def _late_s(emitted: Emitted) -> float:
    return (emitted.emitted_at - _event_at_ns(emitted.line)) / NANOS


def _off_s(sim: Simulator, response: httpx.Response) -> float:
    return parsedate_to_datetime(response.headers["date"]).timestamp() - sim.clock.now_ns() / NANOS


# Emission


def test_straggler_is_emitted_now_and_dated_hours_earlier(sim: Simulator) -> None:
    """So many events, so late, delivered live at once; the record calls them events."""
    with connected(sim, LIKE) as reader:
        sim.emit(1, _LIKE)
        sim.inject(Straggler(stream="like", events=3, late_s=7200))
        assert reader.lines(4) == _recorded(sim)
    assert [round(_late_s(emitted)) // 7200 for emitted in _emitted(sim)] == [0, 1, 1, 1]
    assert {emitted.kind for emitted in sim.record()} == {"event"}
    assert sim.fired == {"straggler": 1}


def test_straggler_every_minute_comes_in_skipped_time_too(sim: Simulator) -> None:
    """Three hours at a steady rate have 180 of them, evenly spread, until disarmed."""
    sim.inject(Straggler(stream="like", every_s=60, late_s=3600, times=None))
    sim.advance(3 * 3600, emitting=True, rate=0.5)
    late = [emitted for emitted in _emitted(sim) if _late_s(emitted) >= 3600]
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
    assert len(_recorded(sim)) == 6


def test_steady_fault_in_time_skipped_in_silence_happens_once(sim: Simulator) -> None:
    """Nothing is made up for that would have been emitted in the skipped hour."""
    sim.inject(Straggler(stream="like", every_s=60, times=None))
    sim.advance(3600)
    assert eventually(lambda: sim.fired["straggler"] == 1)
    sim.advance(59, emitting=True, rate=0)
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
    assert _recorded(sim, _TWEET_1) == _recorded(sim, StreamPartition("tweet", 4))[1:]
    sim.emit(1, _LIKE)
    sim.inject(Twin(stream="like"))
    sim.inject(Twin(stream="user"))
    assert sim.fired == {"twin": 1}
    assert len(sim.record()) == 4


# Delivery


def test_redeliver_brings_old_lines_again_and_holds_nothing_back(sim: Simulator) -> None:
    """Lines that are ten minutes old come once more on a live connection; the record has them once."""
    sim.emit(3, _LIKE)
    sim.inject(Redeliver(stream="like", lines=2, older_than_s=600))
    with connected(sim, LIKE) as reader:
        sim.emit(2, _LIKE)
        assert reader.lines(2) == _recorded(sim)[3:]
        assert sim.fired == {}
        sim.advance(601)
        assert reader.lines(2) == _recorded(sim)[3:]
        sim.emit(1, _LIKE)
        assert reader.lines(1) == _recorded(sim)[5:]
    assert (len(_recorded(sim)), sim.fired["redeliver"]) == (6, 1)


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
        sim.emit(1, _LIKE)
        sim.inject(EndlessLine(stream="like", after_lines=1, bytes_per_second=2000))
        with connected(sim, LIKE, backfill_minutes=1) as reader:
            assert reader.lines(1) == _recorded(sim)
            threading.Timer(0.3, sim.release).start()
            rest, failure = reader.rest_and_failure()
        assert isinstance(failure, httpx.RemoteProtocolError)
        assert rest.startswith(b'{"data":{"delete":')
        assert b"\n" not in rest
        assert len(rest) > 100
        assert (sim.fired["endless-line"], sim.connections[0].ended) == (1, "endless-line")


def test_endless_line_for_a_time_ends_as_asked(sim: Simulator) -> None:
    """A proper end is no end of the line."""
    sim.inject(EndlessLine(stream="like", seconds=0.1, ending="close"))
    body = get(sim, LIKE).content
    assert body
    assert b"\n" not in body


# Replays


def test_drop_without_end_cuts_every_replay_after_its_lines(sim: Simulator) -> None:
    """Each attempt brings exactly so many lines; the live connection is spared, and disarming ends it."""
    sim.emit(20, _LIKE)
    sim.advance(60)
    sim.inject(Drop(stream="like", mode="replay", after_lines=7, times=None))
    with connected(sim, LIKE):
        for attempt in range(5):
            with connected(sim, LIKE, **_interval(sim)) as replay:
                body, failure = replay.rest_and_failure()
            assert (lines_of(body), failure is not None) == (_recorded(sim)[:7], True)
            assert sim.fired["drop"] == attempt + 1
    assert sim.status().armed == {"drop": 1}
    sim.faults.disarm()
    assert lines_of(get(sim, LIKE, **_interval(sim)).content) == _recorded(sim)


def test_keep_replay_open_sends_all_lines_then_keep_alives_only() -> None:
    """The end never comes; the next replay ends."""
    with Simulator(SimulatorConfig(keep_alive_s=0.05)) as sim:
        sim.emit(5, _LIKE)
        sim.advance(60)
        sim.inject(KeepReplayOpen(stream="like"))
        with connected(sim, LIKE, **_interval(sim)) as replay:
            assert replay.lines(5) == _recorded(sim)
            sim.emit(1, _LIKE)
            assert [replay.raw_line() for _ in range(3)] == [b"\r\n"] * 3
            assert sim.connections[0].ended is None
        assert lines_of(get(sim, LIKE, **_interval(sim)).content) == _recorded(sim)[:5]
        assert sim.fired == {"keep-replay-open": 1}


def test_end_replay_early_with_no_share_is_empty_and_proper(sim: Simulator) -> None:
    """A 200, an end and nothing between; a replay that has no lines does not use it up."""
    sim.inject(EndReplayEarly(stream="like", share=0))
    assert get(sim, LIKE, **_interval(sim)).content == b""
    assert sim.fired == {}
    sim.emit(5, _LIKE)
    sim.advance(60)
    response = get(sim, LIKE, **_interval(sim))
    assert (response.status_code, response.content, sim.fired["end-replay-early"]) == (200, b"", 1)


def test_overshoot_replay_goes_on_past_its_end_and_ends_properly(sim: Simulator) -> None:
    """Lines of the next 100 s come too, those after them do not; without lines there it waits for another replay."""
    for _ in range(4):
        sim.emit(3, _LIKE)
        sim.advance(60)
    sim.inject(OvershootReplay(stream="like", seconds=100))
    assert lines_of(get(sim, LIKE, **_interval(sim, 300, 30)).content) == _recorded(sim)
    assert sim.fired == {}
    assert lines_of(get(sim, LIKE, **_interval(sim, 300, 200)).content) == _recorded(sim)[:9]
    assert sim.fired == {"overshoot-replay": 1}


def test_ignore_replay_answers_with_a_live_stream(sim: Simulator) -> None:
    """Nothing of the interval, then what is emitted from now on, and no end."""
    sim.emit(5, _LIKE)
    sim.advance(60)
    sim.inject(IgnoreReplay(stream="like"))
    with connected(sim, LIKE, **_interval(sim)) as replay:
        assert eventually(lambda: sim.fired["ignore-replay"] == 1)
        sim.emit(3, _LIKE)
        assert replay.lines(3) == _recorded(sim)[5:]
        assert sim.connections[0].ended is None


def test_grant_future_end_brings_what_there_is_so_far(sim: Simulator) -> None:
    """A 400 without it; with it the lines up to now and a proper end."""
    sim.emit(4, _LIKE)
    sim.advance(60)
    interval = _interval(sim, 120, -1200)
    assert get(sim, LIKE, **interval).status_code == 400
    sim.inject(GrantFutureEnd(stream="like"))
    assert get(sim, LIKE, **_interval(sim)).status_code == 200
    assert sim.fired == {}
    response = get(sim, LIKE, **interval)
    assert (response.status_code, lines_of(response.content)) == (200, _recorded(sim))
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
    sim.emit(6, _LIKE)
    sim.advance(60)
    sim.inject(UnframedBody(stream="like", mode="replay", times=2))
    sim.inject(Drop(stream="like", mode="replay", after_lines=3))
    for count in (3, 6):
        head, _, body = _raw_answer(sim, LIKE, _interval(sim)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"transfer-encoding" not in head.lower()
        assert b"content-length" not in head.lower()
        assert body == b"".join(line + b"\r\n" for line in _recorded(sim)[:count])
    assert [connection.ended for connection in sim.connections] == ["drop", "replayed"]
    assert sim.fired == {"unframed-body": 2, "drop": 1}


def test_unframed_body_is_read_by_an_http_client(sim: Simulator) -> None:
    """It is odd, and it is HTTP, gzip included."""
    sim.emit(6, _LIKE)
    sim.advance(60)
    sim.inject(UnframedBody(stream="like"))
    response = get(sim, LIKE, **_interval(sim))
    assert response.headers["content-encoding"] == "gzip"
    assert lines_of(response.content) == _recorded(sim)


# Answers


@pytest.mark.parametrize("offset_s", [-3600, 3600, 2 * 86_400, -8])
def test_wrong_date_is_off_by_so_many_seconds(sim: Simulator, offset_s: int) -> None:
    """As often as armed, on grants and on refusals; X's other answers are not touched."""
    sim.inject(WrongDate(stream="like", offset_s=offset_s, times=2))
    assert abs(_off_s(sim, get(sim, LIKE, backfill_minutes=9)) - offset_s) < 3
    with connected(sim, LIKE) as reader:
        assert abs(_off_s(sim, reader.response) - offset_s) < 3
    assert abs(_off_s(sim, get(sim, LIKE, backfill_minutes=9))) < 3
    assert sim.fired == {"wrong-date": 2}


@pytest.mark.parametrize("text", ["yesterday", "", "Thu, 99 Foo 2026 25:61:61 GMT", "1700000000"])
def test_wrong_date_can_be_garbage(sim: Simulator, text: str) -> None:
    """The header is there and means nothing."""
    sim.inject(WrongDate(stream="like", text=text))
    assert get(sim, LIKE, backfill_minutes=9).headers["date"] == text


def test_wrong_date_can_be_missing_by_kind_of_answer_and_mode(sim: Simulator) -> None:
    """One for grants of replays spares refusals and live streams."""
    sim.emit(1, _LIKE)
    sim.advance(60)
    sim.inject(WrongDate(stream="like", on="grant", mode="replay"))
    assert "date" in get(sim, LIKE, start_time="1").headers
    with connected(sim, LIKE) as reader:
        assert "date" in reader.response.headers
    assert sim.fired == {}
    assert "date" not in get(sim, LIKE, **_interval(sim)).headers
    sim.inject(WrongDate(stream="like", on="refusal"))
    with connected(sim, LIKE) as reader:
        assert "date" in reader.response.headers
        assert "date" not in get(sim, LIKE).headers
    assert sim.fired == {"wrong-date": 2}


def test_wrong_date_hits_the_refusal_of_a_future_end(sim: Simulator) -> None:
    """The very answer by which a client could set its clock right."""
    sim.inject(WrongDate(stream="like", mode="replay", offset_s=-3600))
    response = get(sim, LIKE, **_interval(sim, 60, -60))
    assert response.status_code == 400
    assert abs(_off_s(sim, response) + 3600) < 3


def test_foreign_answer_by_default_is_a_page_with_a_length(sim: Simulator) -> None:
    """A 200 of text/html whose last line ends; X neither counts the request nor has a connection."""
    sim.inject(ForeignAnswer(stream="like", mode="replay", times=2))
    for _ in range(2):
        response = get(sim, LIKE, **_interval(sim))
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert int(response.headers["content-length"]) == len(response.content)
        assert response.content.endswith(b"</html>\n")
        assert "x-rate-limit-remaining" not in response.headers
    assert int(get(sim, LIKE, **_interval(sim)).headers["x-rate-limit-remaining"]) == 99
    assert sim.fired == {"foreign-answer": 2}
    assert [request.status for request in sim.requests] == [200, 200, 200]
    assert len(sim.connections) == 1


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, {"Server": "cloudflare"}, None),
        (403, {"server": "cloudflare", "cf-ray": "8f00"}, None),
        (403, {"content-type": "application/json"}, '{"code":"forbidden","message":"Not here"}'),
        (429, {"retry-after": "30"}, None),
        (503, {"retry-after": "120", "date": "then"}, "busy\n"),
        (302, {"location": "https://login.example/sign-in"}, None),
    ],
)
def test_foreign_answer_is_as_described(sim: Simulator, status: int, headers: dict[str, str], body: str | None) -> None:
    """Status, headers and body arrive, whatever the token."""
    sim.inject(ForeignAnswer(stream="like", status=status, headers=headers, body=body))
    with new_client() as client:
        response = client.get(sim.base_url + LIKE)
    assert response.status_code == status
    assert all(response.headers[name] == value for name, value in headers.items())
    assert body is None or response.text == body


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
@pytest.mark.parametrize("status", [204, 304])
def test_foreign_answer_without_content_has_no_body(sim: Simulator, status: int, framing: Any) -> None:  # noqa: ANN401 - one of the literals
    """However it is framed, and the same socket serves the next request."""
    sim.inject(ForeignAnswer(stream="like", status=status, framing=framing))
    with new_client() as client:
        response = client.get(sim.base_url + LIKE)
        assert (response.status_code, response.content) == (status, b"")
        assert "content-length" not in response.headers
        assert client.get(sim.base_url + "/control/status").status_code == 200


@pytest.mark.parametrize("framing", ["length", "chunked", "eof"])
def test_foreign_answer_ends_as_framed(sim: Simulator, framing: Any) -> None:  # noqa: ANN401 - one of the literals
    """The same bytes, which may be no text, with a length, in chunks, or up to the end of the connection."""
    body = b"\x1b\x2f\x00\n\xf8\xff\n"
    sim.inject(ForeignAnswer(stream="like", body_bytes=body, framing=framing))
    with new_client() as client:
        response = client.get(sim.base_url + LIKE)
    assert response.content == body
    assert ("content-length" in response.headers) == (framing == "length")
    assert ("transfer-encoding" in response.headers) == (framing == "chunked")


def test_foreign_answer_body_bytes_are_base64_in_json() -> None:
    """As `POST /control/faults` takes them."""
    fault = msgspec.convert({"kind": "foreign-answer", "body_bytes": base64.b64encode(b"\xff").decode()}, Fault)
    assert fault == ForeignAnswer(body_bytes=b"\xff")


@pytest.mark.parametrize("status", [408, 429, 503])
def test_refuse_says_when_to_come_back(sim: Simulator, status: int) -> None:
    """`Retry-After` in seconds beside X's own words and headers."""
    sim.inject(Refuse(stream="like", status=status, retry_after_s=120))
    response = get(sim, LIKE)
    assert (response.status_code, response.headers["retry-after"]) == (status, "120")
    assert "x-rate-limit-remaining" in response.headers


@pytest.mark.parametrize(("reset_in_s", "unit_s"), [(-600, 1.0), (_YEAR_S, 1.0), (600, 0.001), (None, 0.001)])
def test_refuse_429_says_a_senseless_reset(sim: Simulator, reset_in_s: int | None, unit_s: float) -> None:
    """In the past, a year ahead, or in milliseconds."""
    fault = Refuse(stream="like", status=429, reset_in_s=reset_in_s, reset_unit="s" if unit_s == 1.0 else "ms")
    sim.inject(fault)
    response = get(sim, LIKE)
    assert (response.status_code, response.headers["x-rate-limit-remaining"]) == (429, "0")
    (reset,) = response.headers.get_list("x-rate-limit-reset")
    ahead_s = int(reset) * unit_s - sim.clock.now_ns() / NANOS
    assert abs(ahead_s - reset_in_s) < 3 if reset_in_s is not None else 0 < ahead_s <= 900


def test_refuse_in_another_shape(sim: Simulator) -> None:
    """An error body that none of X's pages describes."""
    sim.inject(Refuse(stream="like", status=400, body='{"code":"oops","message":"bad"}'))
    response = get(sim, LIKE)
    assert (response.status_code, response.json()) == (400, {"code": "oops", "message": "bad"})


def _raw_body(sim: Simulator) -> tuple[str, bytes]:
    """Return the encoding and the undecoded body of a replay, asked for without naming any encoding."""
    with (
        new_client() as client,
        client.stream("GET", sim.base_url + LIKE, params=_interval(sim), headers=BEARER | {"accept-encoding": ""}) as r,
    ):
        return r.headers["content-encoding"], b"".join(r.iter_raw())


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_foreign_encoding_unasked_for_is_no_text(sim: Simulator, encoding: Coding) -> None:
    """As many line ends as lines, and nothing that could be decoded."""
    sim.emit(10, _LIKE)
    sim.advance(60)
    sim.inject(ForeignEncoding(stream="like", encoding=encoding))
    named, body = _raw_body(sim)
    assert named == encoding
    assert body.count(b"\r\n") == 10
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    assert sim.fired == {"foreign-encoding": 1}


def test_foreign_encoding_x_gzip_is_gzip_by_its_old_name(sim: Simulator) -> None:
    """A client that knows the name reads the lines."""
    sim.emit(10, _LIKE)
    sim.advance(60)
    sim.inject(ForeignEncoding(stream="like", encoding="x-gzip"))
    named, body = _raw_body(sim)
    assert (named, lines_of(gzip.decompress(body))) == ("x-gzip", _recorded(sim))


def test_foreign_encoding_of_many_members_cut_anywhere(sim: Simulator) -> None:
    """One member for each write, in chunks that end within them; together they are the lines."""
    sim.inject(ForeignEncoding(stream="like", encoding="gzip", member_per_write=True, chunking="random"))
    with (
        new_client() as client,
        client.stream("GET", sim.base_url + LIKE, headers=BEARER) as response,
    ):
        chunks = response.iter_raw()
        body = b""
        for _ in range(5):
            sim.emit(40, _LIKE)
            while lines_of(_members(body)) != _recorded(sim):
                body += next(chunks)
    first = zlib.decompressobj(wbits=31)
    first.decompress(body)
    assert first.eof
    assert first.unused_data


def _members(body: bytes) -> bytes:
    """Decode as many whole members as there are, and the beginning of the next."""
    text = b""
    while body:
        member = zlib.decompressobj(wbits=31)
        text += member.decompress(body)
        body = member.unused_data
    return text


def test_foreign_encoding_of_a_member_for_each_line(sim: Simulator) -> None:
    """With chunking by line, every event is a member, and a chunk, of its own."""
    sim.emit(10, _LIKE)
    sim.advance(60)
    sim.inject(ForeignEncoding(stream="like", encoding="gzip", member_per_write=True, chunking="line"))
    with (
        new_client() as client,
        client.stream("GET", sim.base_url + LIKE, params=_interval(sim), headers=BEARER) as response,
    ):
        raw = b"".join(response.iter_raw())
    count = 0
    while raw:
        member = zlib.decompressobj(wbits=31)
        assert member.decompress(raw) == _recorded(sim)[count] + b"\r\n"
        assert member.eof
        raw = member.unused_data
        count += 1
    assert count == 10


# Selection by date


def _by_event_at(sim: Simulator) -> None:
    """Emit ten events a minute for ten minutes, every second of them 200 s late."""
    for _ in range(10):
        for _ in range(5):
            sim.emit(1, _LIKE)
            sim.inject(Straggler(stream="like", late_s=200))
        sim.advance(60)


@pytest.mark.parametrize("record_limit", [None, 60])
def test_select_by_event_at_chooses_a_replay_by_date(record_limit: int | None) -> None:
    """Every line dated in the interval whenever emitted, in the order of emission, and no other."""
    with Simulator(SimulatorConfig(select_by="event-at", record_limit=record_limit)) as sim:
        _by_event_at(sim)
        interval = _interval(sim, 400, 200)
        start_ns, end_ns = (
            round(datetime.fromisoformat(str(interval[name])).timestamp()) * NANOS
            for name in ("start_time", "end_time")
        )
        kept = sim.emission.logs[_LIKE].read(0, 10**9)
        expected = [emitted.line for emitted in kept if start_ns <= _event_at_ns(emitted.line) < end_ns]
        by_emission = [emitted.line for emitted in kept if start_ns <= emitted.emitted_at < end_ns]
        assert lines_of(get(sim, LIKE, **interval).content) == expected != by_emission
        assert len(expected) > 20


def test_select_by_event_at_leaves_late_lines_out_of_a_backfill_then_goes_live() -> None:
    """What is dated before the minutes asked for is missing; what is emitted from now on is not chosen at all."""
    with Simulator(SimulatorConfig(select_by="event-at")) as sim:
        _by_event_at(sim)
        sim.advance(30)
        start_ns = sim.clock.now_ns() - 180 * NANOS
        chosen = [line for line in _recorded(sim) if _event_at_ns(line) >= start_ns]
        assert len(chosen) == 10
        with connected(sim, LIKE, backfill_minutes=3) as reader:
            assert reader.lines(10) == chosen
            sim.inject(Straggler(stream="like", late_s=7200))
            assert reader.lines(1) == _recorded(sim)[-1:]


def test_select_by_event_at_counts_lines_for_other_faults() -> None:
    """A cut after seven lines is after seven that were chosen; asked again, the replay is whole."""
    with Simulator(SimulatorConfig(select_by="event-at")) as sim:
        _by_event_at(sim)
        interval = _interval(sim, 400, 200)
        sim.inject(Drop(stream="like", mode="replay", after_lines=7))
        with connected(sim, LIKE, **interval) as replay:
            cut, _ = replay.rest_and_failure()
        whole = lines_of(get(sim, LIKE, **interval).content)
        assert lines_of(cut) == whole[:7]


# What makes no sense


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "straggler", "times": None},
        {"kind": "straggler", "every_s": 0},
        {"kind": "straggler", "late_s": 1e300},
        {"kind": "wrong-date", "offset_s": 1, "text": "x"},
        {"kind": "wrong-date", "text": "two\r\nlines"},
        {"kind": "wrong-date", "offset_s": 1e300},
        {"kind": "foreign-answer", "body": "x", "body_bytes": "eA=="},
        {"kind": "foreign-answer", "headers": {"a b": "c"}},
        {"kind": "foreign-answer", "headers": {"a": "b\r\nc: d"}},
        {"kind": "foreign-answer", "headers": {"Content-Length": "3"}},
        {"kind": "foreign-answer", "status": 100},
        {"kind": "foreign-encoding", "encoding": "deflate"},
        {"kind": "end-replay-early", "share": 1},
        {"kind": "redeliver", "older_than_s": 0},
    ],
)
def test_fault_of_an_unsound_x_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """Fields that contradict each other, or that HTTP cannot carry, are named when the fault is made."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Fault)


def test_fault_without_end_stays_armed_on_every_partition(sim: Simulator) -> None:
    """It counts as one to come on each, however often it fired."""
    sim.inject(Refuse(times=None))
    assert [get(sim, TWEET, partition=2).status_code for _ in range(3)] == [503] * 3
    assert sim.status().armed == {"refuse": len(STREAM_PARTITIONS)}
    assert sim.fired == {"refuse": 3}
