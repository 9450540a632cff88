"""A body's bytes in, plain bytes out, as they arrive. Pure: bytes to bytes; knows neither HTTP nor lines.

A gzip body may consist of many members, one after another, and zero bytes may follow a member (RFC 1952, 2.2; gzip(1)).
"""

import zlib
from collections.abc import Generator, Iterator
from typing import Protocol

PIECE_BYTES = 256 * 1024
"""Most bytes decoded at once, since a body may inflate a thousandfold and without end."""
_GZIP_WBITS = 31


class CorruptGzipError(ValueError):
    """The bytes are not gzip, or end where a member does not."""


class Decoder(Protocol):
    """Decodes one body, from its first byte to its end."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield all that `chunk` makes decodable. Raises `CorruptGzipError`."""

    def flush(self) -> None:
        """End the body. Raises `CorruptGzipError` if its end is missing."""


class IdentityDecoder:
    """Decodes a body that is not compressed."""

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield `chunk`."""
        yield chunk

    def flush(self) -> None:
        """End the body, which may end anywhere."""


class GzipDecoder:
    """Decodes one body, cut anywhere; holds no more than a window and the rest of one chunk."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._may_be_padding = False

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield all that `chunk` makes decodable, in pieces of at most `PIECE_BYTES`. Raises `CorruptGzipError`.

        Small members are merged into one piece, as a piece costs its reader more than a member costs here.
        """
        held = bytearray()
        try:
            for piece in self._pieces(chunk):
                if len(held) + len(piece) > PIECE_BYTES:
                    yield bytes(held)
                    held.clear()
                held += piece
        except CorruptGzipError:
            yield bytes(held)
            raise
        if held:
            yield bytes(held)

    def flush(self) -> None:
        """End the body. Raises `CorruptGzipError` within a member: what is missing of it cannot be known."""
        if self._member is not None:
            raise CorruptGzipError("the compressed body ends within a member")

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk:
            if self._member is None:
                chunk = chunk.lstrip(b"\0") if self._may_be_padding else chunk
                if not chunk:
                    return
                self._member = zlib.decompressobj(wbits=_GZIP_WBITS)
            chunk = yield from self._inflate(self._member, chunk)

    def _inflate(self, member: "zlib._Decompress", chunk: bytes) -> Generator[bytes, None, bytes]:
        """Yield the decoded `chunk`, and return the bytes after the member, if it ends within the chunk."""
        is_more_to_come = True
        while is_more_to_come:
            try:
                piece = member.decompress(chunk, PIECE_BYTES)
            except zlib.error as error:
                raise CorruptGzipError(f"the compressed body is corrupt: {error}") from None
            chunk = member.unconsumed_tail
            is_more_to_come = bool(chunk) or len(piece) == PIECE_BYTES  # a full piece may leave output behind
            if piece:
                yield piece
        if not member.eof:
            return b""
        self._member, self._may_be_padding = None, True
        return member.unused_data
