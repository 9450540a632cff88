"""Chunks in, lines out: where the chunks end is never seen in what comes out."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.events.decode import LongLine
from connector.events.identity import line_id
from connector.x.framing import Framer

_LIMIT = 8
_BYTES = st.binary(max_size=60) | st.lists(
    st.sampled_from([b"\n", b"\r", b"\r\n", b"\r\r\n", b"{}", b"1234567", b"12345678", b"123456789", b"x" * 30]),
    max_size=12,
).map(b"".join)


def _framed(chunks: list[bytes]) -> tuple[list[bytes | LongLine], int]:
    framer = Framer("tweet", _LIMIT)
    return [line for chunk in chunks for line in framer.feed(chunk)], framer.tail_bytes


def _expected(body: bytes) -> tuple[list[bytes | LongLine], int]:
    """Cut `body` in the plainest way."""
    *ends, tail = body.split(b"\n")
    lines = [end.removesuffix(b"\r") for end in ends]
    return [
        line if len(line) <= _LIMIT else LongLine(line[:_LIMIT], line_id("tweet", line), len(line)) for line in lines
    ], len(tail)


@given(body=_BYTES, cuts=st.lists(st.integers(0, 60), max_size=20))
@example(body=b"12345678\r\n12345678\r", cuts=[8, 9, 19])
@example(body=b"123456789\r\n", cuts=[9, 10])
@example(body=b"12345678\r\r\n", cuts=[9])
def test_any_chunking_of_any_bytes_gives_the_same_frames(body: bytes, cuts: list[int]) -> None:
    """Lines, long lines with head, digest and length, and the size of the tail do not depend on the cuts."""
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]
    assert _framed(chunks) == _expected(body)


@given(body=_BYTES)
def test_single_bytes_give_the_same_frames_as_one_chunk(body: bytes) -> None:
    """The finest chunking there is."""
    assert _framed([body[at : at + 1] for at in range(len(body))]) == _expected(body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("length", [_LIMIT - 1, _LIMIT, _LIMIT + 1, _LIMIT + 2, 1000])
def test_line_is_long_from_one_byte_over_the_limit_on(length: int, end: bytes) -> None:
    """The line end does not count, whichever it is."""
    [line] = Framer("tweet", _LIMIT).feed(b"x" * length + end)
    assert isinstance(line, LongLine) == (length > _LIMIT)


def test_unicode_line_separators_do_not_end_a_line() -> None:
    """U+2028 and U+0085 stand within JSON strings."""
    line = '{"a": "\u2028\u0085\x0b\x0c"}'.encode()
    assert Framer("tweet", 100).feed(line + b"\r\n") == [line]


def test_keep_alive_is_an_empty_line() -> None:
    """With either line end."""
    assert Framer("tweet", 100).feed(b"\r\n\n") == [b"", b""]


def test_line_without_end_holds_no_more_than_the_limit() -> None:
    """A line of any length costs no memory beyond its first bytes."""
    framer = Framer("tweet", _LIMIT)
    for _ in range(1000):
        assert framer.feed(b"x" * 1000) == []
    assert framer.tail_bytes == 1_000_000
    [line] = framer.feed(b"\r\n")
    assert line == LongLine(b"x" * _LIMIT, line_id("tweet", b"x" * 1_000_000), 1_000_000)
    assert framer.feed(b"next\n") == [b"next"]
