r"""Chunks of a response body in, lines out. X ends lines with `\r\n`, sometimes `\n`; an empty line is a keep-alive.

A chunk boundary is not a line boundary, and bytes left at the end of a connection are not a line.
"""

from connector.events.decode import LongLine
from connector.events.identity import line_digest, line_id


class Framer:
    r"""Cuts lines on `\n` and strips one `\r`.

    Holds at most `limit_bytes` of an unfinished line; of a longer one it keeps the beginning, the hash and the length.
    """

    def __init__(self, stream: str, limit_bytes: int) -> None:
        self._stream = stream
        self._limit = limit_bytes
        self._tail = bytearray()
        self._long: _LongTail | None = None

    @property
    def tail_bytes(self) -> int:
        """The number of bytes of an unfinished line."""
        return self._long.length if self._long else len(self._tail)

    def feed(self, chunk: bytes) -> list[bytes | LongLine]:
        """Return the lines that `chunk` completes, in order, without their ends; `b""` is a keep-alive."""
        *ends, rest = chunk.split(b"\n")
        lines = [self._finish(end) for end in ends]
        if rest:
            self._grow(rest)
        return lines

    def _finish(self, end: bytes) -> bytes | LongLine:
        if self._long is None and not self._tail:
            line = end
        else:
            self._grow(end)
            if self._long is not None:
                long, self._long = self._long.finish(), None
                return long
            line = bytes(self._tail)
            self._tail.clear()
        line = line.removesuffix(b"\r")
        if len(line) > self._limit:
            return LongLine(line[: self._limit], line_id(self._stream, line), len(line))
        return line

    def _grow(self, part: bytes) -> None:
        if self._long is None:
            self._tail += part
            if len(self._tail) <= self._limit + 1:
                return
            self._long = _LongTail(self._stream, bytes(self._tail[: self._limit]))
            part = bytes(self._tail)
            self._tail.clear()
        self._long.grow(part)


class _LongTail:
    r"""A line that is known to be too long; its last byte waits, since a final `\r` is not part of the line."""

    def __init__(self, stream: str, head: bytes) -> None:
        self._head = head
        self._digest = line_digest(stream)
        self._last = b""
        self.length = 0

    def grow(self, part: bytes) -> None:
        """Add more of the line."""
        if part:
            self._digest.update(self._last)
            self._digest.update(part[:-1])
            self._last = part[-1:]
            self.length += len(part)

    def finish(self) -> LongLine:
        """Return the line, once its end has come."""
        if self._last == b"\r":
            return LongLine(self._head, self._digest.digest(), self.length - 1)
        self._digest.update(self._last)
        return LongLine(self._head, self._digest.digest(), self.length)
