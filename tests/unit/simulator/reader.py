"""A client of the simulator's streams for tests: reads lines, and says how a response ended."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from connector.simulator import Simulator

TWEET = "/2/tweets/compliance/stream"
USER = "/2/users/compliance/stream"
LIKE = "/2/likes/compliance/stream"
LABEL = "/2/tweets/label/stream"
_TLS = ssl.create_default_context()
"""Made once: making it is what is slow about a client, and there is no TLS here."""

BEARER = {"authorization": "Bearer simulator-token"}


class Reader:
    """One stream response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.iter_bytes()
        self._buffer = b""

    def raw_line(self) -> bytes:
        """Return the next line with its ending, a keep-alive included."""
        while b"\n" not in self._buffer:
            self._buffer += next(self._chunks)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def lines(self, count: int) -> list[bytes]:
        """Return the next `count` lines without their endings, keep-alives left out."""
        lines: list[bytes] = []
        while len(lines) < count:
            if line := self.raw_line().removesuffix(b"\n").removesuffix(b"\r"):
                lines.append(line)
        return lines

    def at_least(self, count: int) -> bytes:
        """Return the next bytes as they come, as soon as there are `count`."""
        while len(self._buffer) < count:
            self._buffer += next(self._chunks)
        taken, self._buffer = self._buffer, b""
        return taken

    def rest(self) -> bytes:
        """Return all that comes until the end; httpx raises when the end is not proper."""
        rest = self._buffer + b"".join(self._chunks)
        self._buffer = b""
        return rest

    def rest_and_failure(self) -> tuple[bytes, Exception | None]:
        """Return all that comes until the end, and the error if the end was not proper."""
        rest, self._buffer = self._buffer, b""
        try:
            for chunk in self._chunks:
                rest += chunk
        except (httpx.RemoteProtocolError, httpx.ReadError) as error:
            return rest, error
        return rest, None


@contextmanager
def connected(sim: Simulator, path: str = TWEET, **query: str | int) -> Iterator[Reader]:
    """Open a stream, tweet/1 unless said otherwise, and close it in the end."""
    if path in {TWEET, USER}:
        query.setdefault("partition", 1)
    with (
        new_client() as client,
        client.stream("GET", sim.base_url + path, params=query, headers=BEARER) as response,
    ):
        yield Reader(response)


def new_client() -> httpx.Client:
    """Return a client that gives up after 30 s of nothing."""
    return httpx.Client(timeout=30.0, verify=_TLS)


def ask(  # noqa: PLR0913 - the parts of a request
    sim: Simulator,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    query: dict[str, str | int] | None = None,
    content: bytes | None = None,
) -> httpx.Response:
    """Ask for something that ends by itself."""
    with new_client() as client:
        return client.request(method, sim.base_url + path, headers=headers, params=query, content=content)


def get(sim: Simulator, path: str, **query: str | int) -> httpx.Response:
    """GET with the token."""
    return ask(sim, "GET", path, headers=BEARER, query=query)


def lines_of(body: bytes) -> list[bytes]:
    """Cut a whole body into lines, keep-alives left out."""
    return [line for line in body.split(b"\r\n") if line]


def eventually(condition: Callable[[], bool], deadline_s: float = 30.0) -> bool:
    """Poll until the condition holds; False when it does not in time."""
    until_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.005)
    return True
