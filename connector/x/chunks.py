r"""Many small chunks of an HTTP/1.1 body in, one large one out, whenever some have arrived. Pure: bytes to bytes.

X may send every event as its own chunk, and a chunk costs the HTTP client more than all processing of the event. The
content and timing of the body stay the same; so does everything but a chunked body. Chunks: RFC 9112, 7.1.
"""

import re

_HEAD_END = re.compile(rb"\n\r?\n")
"""Of a line end's two bytes the first may be missing in a head (RFC 9112, 2.2), but not in a body."""
_CHUNKED = re.compile(rb"\ntransfer-encoding:[ \t]*chunked[ \t]*\r?\n", re.IGNORECASE)
_HEAD_LIMIT = 64 * 1024
_LINE_END = b"\r\n"
_BETWEEN = re.compile(rb"\r\n([0-9A-Fa-f]{1,8})\r\n")
"""What is between two chunks: the line end of the one, and the line with the size of the other."""
_BEGINNING_OF_BETWEEN = re.compile(rb"(\r(\n([0-9A-Fa-f]{1,8}\r?)?)?)?")


class ChunkMerger:
    """Receives all bytes of one connection, from the first of the response's head on.

    After anything that it does not understand, and after the last chunk, it passes bytes through unchanged: the line
    end of a chunk passed on comes with what follows, so the client sees whatever is in its place.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._is_in_head = True
        self._passes_on = False
        self._left = 0
        """Bytes of the current chunk that are still to come."""
        self._between = _LINE_END
        """The beginning of what is between two chunks; before the first one it is the line end of the head."""
        self._seen = len(_LINE_END)
        """Bytes of that which the client has seen."""

    def feed(self, data: bytes) -> bytes:
        """Return the bytes for the client from `data`; nothing if it ends between two chunks."""
        if self._passes_on or not data:
            return data
        if not self._is_in_head:
            return self._unseen(self._merge(data))
        searched = max(0, len(self._head) - len(_LINE_END))
        self._head += data
        end = _HEAD_END.search(self._head, searched)
        if end is None:
            self._passes_on = len(self._head) > _HEAD_LIMIT
            return data
        self._is_in_head = False
        body = bytes(self._head[end.end() :])
        self._passes_on = _CHUNKED.search(self._head, 0, end.end()) is None
        self._head.clear()
        return data if self._passes_on else data[: len(data) - len(body)] + self._unseen(self._merge(body))

    def _merge(self, data: bytes) -> bytes:
        data, self._between = self._between + data, b""
        contents, at, self._left = [data[: self._left]], self._left, 0
        while at <= len(data):
            between = _BETWEEN.match(data, at)
            if between is None and _BEGINNING_OF_BETWEEN.fullmatch(data, at):
                self._between = data[at:]
                return _chunk(contents)
            size = 0 if between is None else int(between[1], 16)
            if between is None or not size:
                self._passes_on = True
                return _chunk(contents) + data[at:]
            at = between.end() + size
            contents.append(data[between.end() : at])
        self._left = at - len(data)
        return _chunk(contents)

    def _unseen(self, data: bytes) -> bytes:
        """Return `data` without the line end of the head if it begins with that."""
        if not data:
            return b""
        seen, self._seen = self._seen, 0
        return data[seen:]


def _chunk(contents: list[bytes]) -> bytes:
    """Return a chunk without the line end that follows it, but with the one that was to follow the chunk before."""
    content = b"".join(contents)
    return b"\r\n%x\r\n%b" % (len(content), content) if content else b""
