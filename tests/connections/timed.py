"""Scripts in a time that passes as they say, so that no test waits for it; X's budget is never spent."""

from collections.abc import Callable, Sequence
from email.utils import formatdate
from socket import socket

from connector.events.times import US_PER_S
from tests.connections.row import MINUTE_S
from tests.connections.x import Bare, Committed, Time, X
from tests.fakes.partition import line
from tests.rig.peer import LAST_CHUNK, Peer, Script, chunk, head, in_lines, sending, then_silent

_BUDGET = (
    ("Transfer-Encoding", "chunked"),
    ("x-rate-limit-limit", "1000000"),
    ("x-rate-limit-remaining", "999999"),
)


class Timed:
    """Scripts in a time that passes as they say; `at` returns the line of an event `ago_s` before the beginning."""

    def __init__(self, *, wall_ahead_s: float = 0.0) -> None:
        self.time = Time(wall_ahead_s=wall_ahead_s)
        self._committed = Committed()
        self._began_us = self.time.x_us()

    def at(self, number: int, *, ago_s: float) -> bytes:
        """Return the line of an event that happened some time before the beginning."""
        return line(number, self._began_us - int(ago_s * US_PER_S))

    def _play(
        self,
        pieces: Callable[[], Sequence[bytes]],
        *,
        then: Callable[[Script], Script] = lambda each: each,
        off_s: float = 0.0,
    ) -> Script:
        """Return a script that is made when it is played, by the time that it is then."""

        def play(sock: socket) -> None:
            now_s = self.time.x_us() / US_PER_S
            budget = (*_BUDGET, ("x-rate-limit-reset", str(int(now_s) + 900)))
            then(sending(head("200 OK", *budget, date=formatdate(now_s + off_s, usegmt=True)), *pieces()))(sock)

        return play

    def whole(self, *lines: bytes, off_s: float = 0.0) -> Script:
        """Return a body that ends properly; the `Date` of its answer may be off."""
        return self._play(lambda: (chunk(in_lines(*lines or [b""])), LAST_CHUNK), off_s=off_s)

    def cut(self, *lines: bytes, after_s: float) -> Script:
        """Return a slice that is cut."""

        def pieces() -> Sequence[bytes]:
            self.time.pass_by(after_s)
            return (chunk(in_lines(*lines or [b""])),)

        return self._play(pieces)

    def kept_open(self, read: bytes, *, lines: int) -> Script:
        """Return a slice with keep-alives in the place of its end: two minutes and more, once `lines` are committed."""

        def keep(script: Script) -> Script:
            def play(sock: socket) -> None:
                script(sock)
                self._committed.wait_for(lines)
                for _ in range(7):
                    self.time.pass_by(20)
                    sock.sendall(chunk(b"\r\n"))

            return then_silent(play)

        return self._play(lambda: (chunk(in_lines(read)),), then=keep)

    def lasting(self, read: bytes, *, minutes: float) -> Script:
        """Return a connection that brings a line, and ends after some time."""

        def last(script: Script) -> Script:
            def play(sock: socket) -> None:
                script(sock)
                self._committed.wait_for(1)
                self.time.pass_by(minutes * MINUTE_S)
                sock.sendall(LAST_CHUNK)

            return play

        return self._play(lambda: (chunk(in_lines(read)),), then=last)

    def live(self, number: int) -> Script:
        """Return a live connection that brings an event which has just happened, and stays."""
        return self._play(lambda: (chunk(in_lines(line(number, self.time.x_us()))),), then=then_silent)

    def x(self, *scripts: Script, events: int) -> X:
        """Return an X that plays the scripts, the last one again and again."""
        return Bare(Peer(*scripts), events=events, time=self.time, committed=self._committed)
