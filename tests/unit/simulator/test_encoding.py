"""A body survives any cutting and packing."""

import gzip
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.simulator.config import Chunking
from connector.simulator.encoding import BodyEncoder

pytestmark = pytest.mark.slow

_CHUNKINGS: tuple[Chunking, ...] = ("batch", "line", "random")


@settings(deadline=None)
@given(st.lists(st.binary(max_size=500)), st.sampled_from(_CHUNKINGS), st.integers(), st.booleans())
def test_chunks_put_together_are_the_writes(writes: list[bytes], chunking: Chunking, seed: int, is_gzip: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Each write can be decoded before the next comes, and with the tail the body is whole."""
    encoder = BodyEncoder(chunking, random.Random(seed), "gzip" if is_gzip else None)  # noqa: S311 - where chunks end
    inflate = zlib.decompressobj(wbits=31)
    decode = inflate.decompress if is_gzip else bytes
    for write in writes:
        assert b"".join(map(decode, encoder.chunks(write))) == write
    assert decode(encoder.tail()) == b""
    assert inflate.eof == is_gzip


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=500)), st.sampled_from(_CHUNKINGS), st.integers())
def test_chunks_of_many_members_are_the_writes(writes: list[bytes], chunking: Chunking, seed: int) -> None:
    """Each write ends a member, so that it decodes by itself."""
    encoder = BodyEncoder(chunking, random.Random(seed), "gzip", member_per_write=True)  # noqa: S311 - where chunks end
    for write in writes:
        assert gzip.decompress(b"".join(encoder.chunks(write))) == write
    assert encoder.tail() == b""
