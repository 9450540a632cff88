"""Merging the chunks of a body: the HTTP client reads the same bytes at the same moments, in fewer pieces."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.x.chunks import ChunkMerger

_HEAD = b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
_BARE_HEAD = _HEAD.replace(b"\r\n", b"\n")
_HEADS = st.sampled_from([_HEAD, _BARE_HEAD, _HEAD[:-2] + b"\n", _BARE_HEAD[:-1] + b"\r\n"])
_END = b"0\r\n\r\n"


class _Client:
    """What the client has read so far, and whether it objected or saw the end."""

    def __init__(self) -> None:
        self._client = h11.Connection(h11.CLIENT)
        self._client.send(h11.Request(method="GET", target="/", headers=[("host", "x.invalid")]))
        self._client.send(h11.EndOfMessage())
        self.body = b""
        self.pieces = 0
        self.outcome = "open"

    def feed(self, data: bytes) -> None:
        """Read `data`; nothing is the end of the connection."""
        if self.outcome != "open":
            return
        try:
            self._client.receive_data(data)
            while self.outcome == "open" and (event := self._client.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Data):
                    self.body += bytes(event.data)
                    self.pieces += 1
                elif isinstance(event, h11.EndOfMessage):
                    self.outcome = "whole"
        except h11.RemoteProtocolError:
            self.outcome = "broken"


def _chunked(contents: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(content), content) for content in contents)


def _cut(data: bytes, lengths: list[int]) -> list[bytes]:
    pieces = []
    for length in lengths:
        pieces.append(data[:length])
        data = data[length:]
    return [piece for piece in (*pieces, data) if piece]


_CONTENTS = st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"a" * 300]))
_TAILS = st.sampled_from(
    [
        b"",
        _END,
        b"0\r\nTrailer: x\r\n\r\n",
        b"5;name=value\r\nhello\r\n" + _END,
        b"000005\r\nhello\r\n" + _END,
        b"5 \r\nhello\r\n" + _END,
        b"5",
        b"5\r\nhe",
        b"5\r\nhello",
        b"5\r\nhello\r",
        b"5\r\nhello\n\n" + _END,
        b"5\r\nhello\rX" + _END,
        b"5\r\nhello\n" + _END,
        b"5\r\nhello" + _END,
        b"5\r\nhelloa5\r\nhello\r\n" + _END,
        b"zz\r\n",
        b"+5\r\nhello\r\n",
        b"123456789012345678901234567890\r\n",
        b"\r\n",
    ]
)
_LENGTHS = st.lists(st.integers(1, 60), max_size=80)


@given(head=_HEADS, contents=_CONTENTS, tail=_TAILS, lengths=_LENGTHS)
def test_client_behind_a_merger_reads_the_same_at_every_moment(
    head: bytes, contents: list[bytes], tail: bytes, lengths: list[int]
) -> None:
    """However the bytes are cut, whole or broken: body and outcome are those of a client that is fed directly."""
    direct, merged, merger = _Client(), _Client(), ChunkMerger()
    for piece in _cut(head + _chunked(contents) + tail, lengths):
        direct.feed(piece)
        if fed := merger.feed(piece):
            merged.feed(fed)
        assert merged.body == direct.body
        if direct.outcome != "open":
            break
    direct.feed(b"")
    merged.feed(merger.feed(b""))
    assert (merged.body, merged.outcome) == (direct.body, direct.outcome)


@pytest.mark.parametrize("end", [b"XY", b"\n\n", b"\rX", b"\n", b"", b"a5\r\n"])
@pytest.mark.parametrize("cut", range(4))
def test_chunk_without_its_line_end_is_broken(end: bytes, cut: int) -> None:
    """What is in its place is not swallowed, wherever it is cut."""
    client, merger = _Client(), ChunkMerger()
    begin, rest = _HEAD + _chunked([b"one"]) + b"1\r\nb", end + b"0\r\n\r\n"
    for piece in (begin, rest[:cut], rest[cut:]):
        if fed := merger.feed(piece):
            client.feed(fed)
    assert (client.body, client.outcome) == (b"oneb", "broken")


@pytest.mark.parametrize("head", [_HEAD, _BARE_HEAD])
def test_small_chunks_that_come_together_are_one(head: bytes) -> None:
    """That is what it is for, also where the lines of the head end without a carriage return."""
    client, merger = _Client(), ChunkMerger()
    client.feed(merger.feed(head + _chunked([b"line\r\n"] * 500)))
    client.feed(merger.feed(_chunked([b"line\r\n"] * 500) + _END))
    assert (client.body, client.outcome, client.pieces) == (b"line\r\n" * 1000, "whole", 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n5\r\nhello\r\n12",
        b"HTTP/1.1 200 OK\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nX-Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"no HTTP at all " * 10_000,
    ],
)
def test_answer_that_is_not_just_chunked_is_passed_on(answer: bytes) -> None:
    """What is not known for sure to be chunks is not touched."""
    merger = ChunkMerger()
    assert b"".join(merger.feed(answer[at : at + 7]) for at in range(0, len(answer), 7)) == answer
