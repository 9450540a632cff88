"""Owns how a body becomes chunks: plain or gzip, cut where asked. Knows nothing of lines' meaning or of sockets."""

import random
import zlib
from collections.abc import Iterator

from connector.simulator.config import Chunking

_GZIP_WINDOW = 31
_FASTEST = 1


class BodyEncoder:
    """Turns writes of whole lines into the chunks of one response body; every write can be decoded at once."""

    def __init__(self, chunking: Chunking, rng: random.Random, *, is_gzip: bool) -> None:
        self._chunking = chunking
        self._random = rng
        self._gzip = zlib.compressobj(_FASTEST, wbits=_GZIP_WINDOW) if is_gzip else None

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """Yield the chunks of one write."""
        for part in data.splitlines(keepends=True) if self._chunking == "line" else (data,):
            encoded = part
            if self._gzip is not None:
                encoded = self._gzip.compress(part) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
            yield from self._cut(encoded) if self._chunking == "random" else (encoded,)

    def tail(self) -> bytes:
        """Return what properly ends the body."""
        return self._gzip.flush() if self._gzip is not None else b""

    def _cut(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            largest = self._random.choice((3, 40, 400, 4000))
            end = start + self._random.randint(1, largest)
            yield data[start:end]
            start = end
