"""Owns how a body becomes chunks: its encoding, and where it is cut. Knows nothing of events or sockets."""

import random
import zlib
from collections.abc import Iterator

from connector.simulator.config import Chunking
from connector.simulator.faults import Coding

_GZIP_WINDOW = 31
_FASTEST = 1
_NO_TEXT = bytes(byte if byte in b"\r\n" else byte | 0x80 for byte in range(256))
"""Maps text to bytes that are not UTF-8 and still have line ends: a client that decodes nothing finds lines in them."""


class BodyEncoder:
    """Turns writes of whole lines into the chunks of one response body; every write can be decoded at once.

    `coding` None is plain. With `member_per_write` each write is a separate gzip member.
    """

    def __init__(
        self, chunking: Chunking, rng: random.Random, coding: Coding | None, *, member_per_write: bool = False
    ) -> None:
        self._chunking = chunking
        self._random = rng
        self._coding = coding
        is_one_member = coding in {"gzip", "x-gzip"} and not member_per_write
        self._member = _new_member() if is_one_member else None

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """Yield the chunks of one write."""
        for part in data.splitlines(keepends=True) if self._chunking == "line" else (data,):
            encoded = self._encode(part)
            yield from self._cut(encoded) if self._chunking == "random" else (encoded,)

    def tail(self) -> bytes:
        """Return what properly ends the body."""
        return self._member.flush() if self._member is not None else b""

    def _encode(self, part: bytes) -> bytes:
        if self._member is not None:
            return self._member.compress(part) + self._member.flush(zlib.Z_SYNC_FLUSH)
        match self._coding:
            case None:
                return part
            case "gzip" | "x-gzip":
                member = _new_member()
                return member.compress(part) + member.flush()
            case "br" | "zstd":
                return part.translate(_NO_TEXT)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            largest = self._random.choice((3, 40, 400, 4000))
            end = start + self._random.randint(1, largest)
            yield data[start:end]
            start = end


def _new_member() -> "zlib._Compress":
    return zlib.compressobj(_FASTEST, wbits=_GZIP_WINDOW)
