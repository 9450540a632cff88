"""Compressed bodies: any number of members, cut anywhere, corrupt, cut off, and without end."""

import gzip
import itertools
import os
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.x.decoders import PIECE_BYTES, CorruptGzipError, GzipDecoder


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` in pieces; cuts are anywhere, also twice at one place."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def _decoded(chunks: list[bytes]) -> bytes:
    decoder = GzipDecoder()
    body = b"".join(piece for chunk in chunks for piece in decoder.decode(chunk))
    decoder.flush()
    return body


@given(
    members=st.lists(st.tuples(st.binary(max_size=300), st.integers(0, 3)), max_size=6),
    cuts=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_members_cut_anywhere_decode_to_all_they_hold(members: list[tuple[bytes, int]], cuts: list[int]) -> None:
    """Neither the number of members, nor empty ones, nor zero bytes between them, nor a cut changes the bytes."""
    data = b"".join(gzip.compress(content) + b"\0" * zeros for content, zeros in members)
    assert _decoded(_cut(data, cuts)) == b"".join(content for content, _ in members)


@given(contents=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6))
def test_each_part_that_is_flushed_comes_when_its_last_byte_does(contents: list[bytes]) -> None:
    """No event waits for the end of its member."""
    member, decoder = zlib.compressobj(wbits=31), GzipDecoder()
    for content in contents:
        data = member.compress(content) + member.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoder.decode(data)) == content


@pytest.mark.slow
def test_body_that_inflates_without_end_takes_no_memory() -> None:
    """A thousandfold body comes in pieces of a bounded size, however large the chunk."""
    bomb = zlib.compressobj(9, wbits=31)
    chunk = b"".join(bomb.compress(bytes(1024 * 1024)) for _ in range(200)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    decoder, size = GzipDecoder(), 0
    tracemalloc.start()
    for piece in decoder.decode(chunk):
        assert len(piece) <= PIECE_BYTES
        size += len(piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 200 * 1024 * 1024
    assert peak_bytes < 8 * PIECE_BYTES


def test_small_members_of_a_chunk_come_in_one_piece() -> None:
    """A member for each event costs the reader no more than one for all."""
    assert list(GzipDecoder().decode(gzip.compress(b"{}\r\n") * 500)) == [b"{}\r\n" * 500]


def test_piece_that_is_exactly_full_leaves_nothing_behind() -> None:
    """What zlib still holds is asked for without waiting for the next chunk."""
    for size in (PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES):
        content = os.urandom(size)
        assert b"".join(GzipDecoder().decode(gzip.compress(content))) == content


def _broken(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


_MEMBER = gzip.compress(b"a line\r\n" * 20, mtime=0)


@pytest.mark.parametrize(
    "data",
    [b"not compressed", b"\0" + _MEMBER, _MEMBER + b"<html>", _broken(_MEMBER, 0), _broken(_MEMBER, len(_MEMBER) - 8)],
    ids=["plain", "zero before", "text behind", "magic broken", "checksum broken"],
)
def test_bytes_that_are_not_gzip_are_corrupt(data: bytes) -> None:
    """From the start, after a member, or by a wrong checksum."""
    with pytest.raises(CorruptGzipError, match="the compressed body is corrupt: "):
        list(GzipDecoder().decode(data))


def test_what_was_decoded_before_the_corruption_comes() -> None:
    """Lines that are whole are X's."""
    pieces = GzipDecoder().decode(_MEMBER + b"<html>")
    assert next(pieces) == b"a line\r\n" * 20
    with pytest.raises(CorruptGzipError):
        next(pieces)


@pytest.mark.parametrize("before", [b"", _MEMBER, _MEMBER + b"\0\0"], ids=["alone", "second", "padded"])
def test_body_that_ends_within_a_member_is_never_whole(before: bytes) -> None:
    """Wherever the cut is, once a byte of the member has come."""
    for length in range(1, len(_MEMBER)):
        decoder = GzipDecoder()
        list(decoder.decode(before + _MEMBER[:length]))
        with pytest.raises(CorruptGzipError, match="ends within a member"):
            decoder.flush()
