"""The plain script reads every event that X sends, however it is cut into chunks, and skips keep-alives."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests

from benchmarks.plain import feed
from connector.events.catalog import STREAMS, StreamPartition

_BODY = b"".join(
    b"%x\r\n%b\r\n" % (len(chunk), chunk)
    for chunk in (b"\r\n", b'{"data":{"delete":{"n":1}}}\r\n{"data":{"dr', b'op":{"n":2}}}\r\n', b"\r\n")
)
_LAST_CHUNK = b"0\r\n\r\n"


class _X(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers['Authorization']}")
        self.send_response(200 if self.path.startswith("/2/") else 503)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(_BODY + _LAST_CHUNK)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _x() -> Iterator[tuple[str, list[str]]]:
    """Serve the body to one request; give the URL and what will have been asked."""
    asked: list[str] = []
    with HTTPServer(("127.0.0.1", 0), type("_AskedX", (_X,), {"asked": asked})) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        thread.join()


@pytest.mark.parametrize(
    ("place", "query"), [(StreamPartition("tweet", 3), "?partition=3"), (StreamPartition("like", 1), "")], ids=str
)
def test_feed_yields_the_data_of_each_event(place: StreamPartition, query: str) -> None:
    """From the stream's path, with the partition only where the stream has them."""
    with _x() as (url, asked):
        assert list(feed(url, place)) == [{"delete": {"n": 1}}, {"drop": {"n": 2}}]
    assert asked == [f"{STREAMS[place.stream].path}{query} Bearer simulator-token"]


def test_feed_of_an_x_that_refuses_ends_with_an_error() -> None:
    """A script that measures nothing must not look fast."""
    with _x() as (url, _), pytest.raises(requests.HTTPError, match="503"):
        list(feed(f"{url}/elsewhere", StreamPartition("tweet", 1)))
