"""Answers no client should trust: wrong dates, foreign pages, senseless resets, encodings unasked for."""

import base64
import gzip
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec
import pytest

from connector.events.catalog import STREAM_PARTITIONS
from connector.simulator import Simulator
from connector.simulator.clock import NANOS
from connector.simulator.faults import (
    Coding,
    Fault,
    ForeignAnswer,
    ForeignEncoding,
    Refuse,
    WrongDate,
)
from tests.unit.simulator.history import LIKE_1, interval, recorded
from tests.unit.simulator.reader import (
    BEARER,
    LIKE,
    TWEET,
    connected,
    get,
    lines_of,
    new_client,
)

_YEAR_S = 365 * 86_400


def _off_s(sim: Simulator, response: httpx.Response) -> float:
    return parsedate_to_datetime(response.headers["date"]).timestamp() - sim.clock.now_ns() / NANOS


@pytest.mark.parametrize("offset_s", [-3600, 3600, 2 * 86_400, -8])
def test_wrong_date_is_off_by_the_given_seconds(sim: Simulator, offset_s: int) -> None:
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


@pytest.mark.slow
def test_wrong_date_can_be_missing_by_kind_of_answer_and_mode(sim: Simulator) -> None:
    """One for grants of replays spares refusals and live streams."""
    sim.emit(1, LIKE_1)
    sim.advance(60)
    sim.inject(WrongDate(stream="like", on="grant", mode="replay"))
    assert "date" in get(sim, LIKE, start_time="1").headers
    with connected(sim, LIKE) as reader:
        assert "date" in reader.response.headers
    assert sim.fired == {}
    assert "date" not in get(sim, LIKE, **interval(sim)).headers
    sim.inject(WrongDate(stream="like", on="refusal"))
    with connected(sim, LIKE) as reader:
        assert "date" in reader.response.headers
        assert "date" not in get(sim, LIKE).headers
    assert sim.fired == {"wrong-date": 2}


def test_wrong_date_hits_the_refusal_of_a_future_end(sim: Simulator) -> None:
    """The very answer by which a client could set its clock right."""
    sim.inject(WrongDate(stream="like", mode="replay", offset_s=-3600))
    response = get(sim, LIKE, **interval(sim, 60, -60))
    assert response.status_code == 400
    assert abs(_off_s(sim, response) + 3600) < 3


def test_foreign_answer_by_default_is_a_page_with_a_length(sim: Simulator) -> None:
    """A 200 of text/html whose last line ends; X neither counts the request nor has a connection."""
    sim.inject(ForeignAnswer(stream="like", mode="replay", times=2))
    for _ in range(2):
        response = get(sim, LIKE, **interval(sim))
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert int(response.headers["content-length"]) == len(response.content)
        assert response.content.endswith(b"</html>\n")
        assert "x-rate-limit-remaining" not in response.headers
    assert int(get(sim, LIKE, **interval(sim)).headers["x-rate-limit-remaining"]) == 99
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
        client.stream("GET", sim.base_url + LIKE, params=interval(sim), headers=BEARER | {"accept-encoding": ""}) as r,
    ):
        return r.headers["content-encoding"], b"".join(r.iter_raw())


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_foreign_encoding_unasked_for_is_no_text(sim: Simulator, encoding: Coding) -> None:
    """As many line ends as lines, and nothing that could be decoded."""
    sim.emit(10, LIKE_1)
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
    sim.emit(10, LIKE_1)
    sim.advance(60)
    sim.inject(ForeignEncoding(stream="like", encoding="x-gzip"))
    named, body = _raw_body(sim)
    assert (named, lines_of(gzip.decompress(body))) == ("x-gzip", recorded(sim))


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
            sim.emit(40, LIKE_1)
            while lines_of(_members(body)) != recorded(sim):
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
    sim.emit(10, LIKE_1)
    sim.advance(60)
    sim.inject(ForeignEncoding(stream="like", encoding="gzip", member_per_write=True, chunking="line"))
    with (
        new_client() as client,
        client.stream("GET", sim.base_url + LIKE, params=interval(sim), headers=BEARER) as response,
    ):
        raw = b"".join(response.iter_raw())
    count = 0
    while raw:
        member = zlib.decompressobj(wbits=31)
        assert member.decompress(raw) == recorded(sim)[count] + b"\r\n"
        assert member.eof
        raw = member.unused_data
        count += 1
    assert count == 10


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
