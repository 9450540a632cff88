r"""Many small chunks of an HTTP/1.1 body in, one large one out, whenever some have arrived. Pure: bytes to bytes.

X may send every event as a chunk of its own, and a chunk costs the HTTP client more than all that is done with the
event. What the body holds, and when, stays the same; so does everything but a chunked body. Chunks: RFC 9112, 7.1.
"""

import re

_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_HEAD_LIMIT = 64 * 1024
_SIZE = re.compile(rb"0*[1-9A-Fa-f][0-9A-Fa-f]*")
_SIZE_LINE_LIMIT = 10
_LINE_END = b"\r\n"


class ChunkMerger:
    """Fed all bytes of one connection, from the first of the response's head on.

    From the first thing on that it does not understand, and from the last chunk on, it hands on what it is fed.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self.is_in_head = True
        self._passes_on = False
        self._size_line = b""
        self._left = 0
        """Bytes of the chunk at hand that are still to come, the line end behind it included."""

    def feed(self, data: bytes) -> bytes:
        """Return what the client is to see of `data`; nothing where it ends within the line with a chunk's size."""
        if self._passes_on or not data:
            return data
        if not self.is_in_head:
            return self._merge(data)
        self._head += data
        end = self._head.find(_HEAD_END)
        if end < 0:
            self._passes_on = len(self._head) > _HEAD_LIMIT
            return data
        self.is_in_head = False
        body = bytes(self._head[end + len(_HEAD_END) :])
        self._passes_on = _CHUNKED.search(self._head, 0, end + len(_LINE_END)) is None
        self._head.clear()
        return data if self._passes_on else data[: len(data) - len(body)] + self._merge(body)

    def _merge(self, data: bytes) -> bytes:
        contents = [data[: max(0, self._left - len(_LINE_END))]]
        at, self._left = self._left, 0
        data, self._size_line = self._size_line + data, b""
        while at <= len(data):
            line_end = data.find(_LINE_END, at, at + _SIZE_LINE_LIMIT)
            if line_end < 0 and len(data) - at < _SIZE_LINE_LIMIT:
                self._size_line = data[at:]
                return _chunk(contents)
            size = data[at:line_end]
            if line_end < 0 or not _is_size(size):
                self._passes_on = True
                return _chunk(contents) + data[at:]
            begin = line_end + len(_LINE_END)
            end = begin + int(size, 16)
            contents.append(data[begin:end])
            at = end + len(_LINE_END)
        self._left = at - len(data)
        return _chunk(contents)


def _is_size(text: bytes) -> bool:
    """Return whether a line is the size of a chunk, not the last one, and nothing else."""
    return _SIZE.fullmatch(text) is not None


def _chunk(contents: list[bytes]) -> bytes:
    content = b"".join(contents)
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""
