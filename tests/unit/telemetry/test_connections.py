"""What strangers get at the HTTP port, and what they may cost: each bound by itself."""

import errno
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from connector.telemetry.connections import Answer, Bounds, Connections, listen
from tests.rig.process import LOOPBACK, wait_until

_TIMEOUT_S = 30.0
_PACE_S = 0.02
_GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
_LONG = b"x" * 32 * 1024**2
"""More than the system takes for a client that does not read."""


class _Port:
    """A port that answers each path with itself, and `/long` at length."""

    def __init__(self, bounds: Bounds, opened: ExitStack) -> None:
        self.listener = listen(LOOPBACK, 0, bounds)
        self.number: int = self.listener.getsockname()[1]
        self._opened = opened

    def connect(self, *sent: bytes, source: str = LOOPBACK) -> socket.socket:
        """Return a connection on which something was sent."""
        client = self._opened.enter_context(
            socket.create_connection((LOOPBACK, self.number), _TIMEOUT_S, source_address=(source, 0))
        )
        for data in sent:
            client.sendall(data)
        return client

    def ask(self, method: str = "GET", path: str = "/page") -> tuple[HTTPResponse, bytes]:
        """Return the answer to a request, and its content."""
        connection = HTTPConnection(LOOPBACK, self.number, timeout=_TIMEOUT_S)
        self._opened.callback(connection.close)
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()


@contextmanager
def _port(bounds: Bounds | None = None) -> Iterator[_Port]:
    bounds = bounds or Bounds()
    with ExitStack() as opened:
        port = _Port(bounds, opened)
        with _serving(port.listener, bounds):
            yield port


@contextmanager
def _serving(listener: socket.socket, bounds: Bounds) -> Iterator[None]:
    thread = threading.Thread(target=Connections(listener, _answer, bounds).run)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(_TIMEOUT_S)
        listener.close()
        assert not thread.is_alive()


def _answer(path: str) -> Answer:
    return Answer(HTTPStatus.OK, _LONG if path == "/long" else path.encode())


def _next_answer(client: socket.socket) -> tuple[int, bytes]:
    """Return the status and the content of the next answer on a connection."""
    with HTTPResponse(client) as response:
        response.begin()
        return response.status, response.read()


def _rest(client: socket.socket) -> bytes:
    """Return what still comes until the other side closes."""
    received = b""
    with suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


def _is_open(client: socket.socket) -> bool:
    """Tell whether the connection is open; nothing is to be received on it."""
    client.setblocking(False)  # noqa: FBT003 - the standard library's signature
    try:
        return bool(client.recv(1))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        client.settimeout(_TIMEOUT_S)


def _trickle(client: socket.socket) -> None:
    """Send a byte again and again, until the other side closes."""
    client.settimeout(_PACE_S)
    for _ in range(int(_TIMEOUT_S / _PACE_S)):
        try:
            client.sendall(b"x")
            assert client.recv(1) == b""
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return
        else:
            return
    pytest.fail("it is still open")


def test_answer_says_nothing_of_what_serves_it() -> None:
    """No name and no version for those who look for old ones."""
    with _port() as port:
        response, content = port.ask("GET", "/page?of=it")
        assert (response.status, response.version, content) == (200, 11, b"/page")
        assert {name for name, _ in response.getheaders()} == {"Date", "Content-Type", "Content-Length"}
        assert parsedate_to_datetime(str(response.headers["Date"])).tzinfo is UTC


def test_head_is_answered_without_content() -> None:
    """With the same head as GET."""
    with _port() as port:
        (head, nothing), (get, content) = port.ask("HEAD"), port.ask()
        assert (head.status, nothing) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"])
def test_other_methods_are_refused(method: str) -> None:
    """Whatever the path, with those that there are."""
    with _port() as port:
        response, content = port.ask(method)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert content == b"only GET and HEAD\n"


def test_head_as_long_as_may_be_is_answered_and_a_longer_one_refused_at_once() -> None:
    """Eight KiB hold any scraper's, and no more is kept."""
    head = _GET.removesuffix(b"\r\n") + b"X: "
    longest = head.ljust(8 * 1024 - 4, b"x") + b"\r\n\r\n"
    with _port() as port:
        assert _next_answer(port.connect(longest[:100], longest[100:])) == (200, b"/page")
        too_long, kept = port.connect(), port.connect(_GET)
        assert _next_answer(kept) == (200, b"/page")
        for client in (too_long, kept):
            client.sendall(longest[:-4] + b"xxxx")
            assert _next_answer(client)[0] == 431
            assert _rest(client) == b""


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n", b"\r\n\r\n\r\n!"]
)
def test_what_is_not_http_is_refused_and_logged_nowhere(
    sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A port scan, or TLS to the plain port, is not logged."""
    with _port() as port:
        client = port.connect(sent)
        client.shutdown(socket.SHUT_WR)
        assert _rest(client).startswith(b"HTTP/1.1 400 ")
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
    assert capfd.readouterr() == ("", "")


def test_client_that_goes_away_is_logged_nowhere(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Before its request, within it, before the answer and within it."""
    with _port(Bounds(connections=1)) as port:
        for sent in (b"", b"GET /page HT", _GET, b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"):
            client = port.connect(sent)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert port.ask()[1] == b"/page"
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
    assert capfd.readouterr() == ("", "")


def test_connection_is_kept_for_the_next_request() -> None:
    """A scraper need not connect each time."""
    with _port() as port:
        client = port.connect()
        for path in (b"/one", b"/two"):
            client.sendall(_GET.replace(b"/page", path))
            assert _next_answer(client) == (200, path)


@pytest.mark.parametrize(
    "sent",
    [
        _GET.replace(b"1.1", b"1.0"),
        _GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        _GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello"),
        _GET.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _GET + _GET,
    ],
    ids=["http-1.0", "asked-to-close", "with-a-body", "with-chunks", "pipelined"],
)
def test_connection_is_closed_after_the_answer(sent: bytes) -> None:
    """Where it was asked for, and where more was sent than a head."""
    with _port() as port:
        head, _, content = _rest(port.connect(sent)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in head.splitlines()
        assert content == b"/page"


@pytest.mark.slow
def test_whole_request_has_a_deadline() -> None:
    """A client that sends a byte now and then is disconnected."""
    with _port(Bounds(request_s=0.3)) as port:
        _trickle(port.connect(b"GET /page HTTP/1.1\r\nX: "))


@pytest.mark.slow
def test_later_request_has_the_same_deadline() -> None:
    """A connection that is kept earns nothing by it."""
    with _port(Bounds(request_s=1.0)) as port:
        client = port.connect(_GET)
        assert _next_answer(client) == (200, b"/page")
        _trickle(client)


@pytest.mark.slow
def test_silent_connection_is_closed() -> None:
    """Port scans, and load balancers that connect ahead of time, pile up nothing."""
    with _port(Bounds(request_s=0.2)) as port:
        assert [_rest(port.connect()), _rest(port.connect(b"GET /page HT"))] == [b"", b""]


@pytest.mark.slow
def test_client_that_does_not_read_is_cut_off() -> None:
    """The answer is part of the request's time."""
    with _port(Bounds(request_s=0.3)) as port:
        client = port.connect(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: _kernel_connections(port.number) == 0, "the answer is given up", _TIMEOUT_S)
        assert len(_rest(client)) < len(_LONG)


@pytest.mark.slow
def test_system_keeps_no_answer_for_a_client_that_does_not_read() -> None:
    """What was sent is not ours any more, and still costs the memory of the container."""
    with _port(Bounds(request_s=0.3)) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect((LOOPBACK, port.number))
        client.sendall(f"GET /{'x' * 8000} HTTP/1.0\r\n\r\n".encode())
        wait_until(lambda: _kernel_connections(port.number) == 0, "the system has forgotten it", _TIMEOUT_S)


@pytest.mark.slow
def test_system_keeps_little_of_what_is_not_read() -> None:
    """A client that sends on and on while its answer is under way fills no memory."""
    with _port() as port:
        client = port.connect(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sendall(_LONG)
        assert _unread_bytes(port.number) <= 32 * 1024


def _unread_bytes(port: int) -> int:
    """Return how much the system has received for connections of a port of ours."""
    return sum(int(queues.partition(":")[2], 16) for _, _, _, _, queues, *_ in _kernel_rows(port))


def _kernel_connections(port: int) -> int:
    """Return how many connections of a port of ours the system has, also those that we have closed."""
    listening, waiting = "0A", "06"
    return sum(state not in {listening, waiting} for _, _, _, state, *_ in _kernel_rows(port))


def _kernel_rows(port: int) -> list[list[str]]:
    """Return what the system says of the sockets of a port: slot, local and remote address, state, queues and more."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return [row for row in rows if row[1].endswith(f":{port:04X}")]


def test_idle_connection_is_closed_in_the_end() -> None:
    """A scraper that is gone leaves nothing behind."""
    with _port(Bounds(idle_s=0.2)) as port:
        assert _rest(port.connect(_GET)).endswith(b"/page")


@pytest.mark.slow
def test_idle_connection_outlives_the_deadline_of_a_request() -> None:
    """It is kept for as long as scrapers pause."""
    with _port(Bounds(request_s=1.0)) as port:
        kept = port.connect(_GET)
        assert _next_answer(kept) == (200, b"/page")
        assert _rest(port.connect()) == b""
        kept.sendall(_GET)
        assert _next_answer(kept) == (200, b"/page")


def test_one_too_many_takes_the_place_of_the_one_that_waited_longest() -> None:
    """It is answered, one is closed at once, and the others stay."""
    with _port(Bounds(connections=3)) as port:
        held = [port.connect(b"GET /page HT") for _ in range(3)]
        assert port.ask()[1] == b"/page"
        assert _rest(held[0]) == b""
        assert [_is_open(client) for client in held[1:]] == [True, True]


def test_connection_that_was_answered_waits_from_then_on() -> None:
    """One that uses its place keeps it longer than one that does not."""
    with _port(Bounds(connections=2)) as port:
        first, second = port.connect(), port.connect()
        for client in (second, first):
            client.sendall(_GET)
            assert _next_answer(client) == (200, b"/page")
        assert port.ask()[1] == b"/page"
        assert _rest(second) == b""
        assert _is_open(first)


def test_flood_from_one_address_costs_no_other_its_place() -> None:
    """One that connects again and again takes the place of itself."""
    with _port(Bounds(connections=3)) as port:
        other = port.connect(b"GET /page HT")
        flood = [port.connect(source="127.0.0.2") for _ in range(20)]
        assert [_rest(client) for client in flood[:-2]] == [b""] * 18
        other.sendall(b"TP/1.0\r\n\r\n")
        assert _next_answer(other) == (200, b"/page")


def test_many_may_connect_at_once() -> None:
    """The system holds them until their turn: none has to try again a second later."""
    with ExitStack() as opened, listen(LOOPBACK, 0, Bounds()) as listener:
        for _ in range(200):
            opened.enter_context(socket.create_connection(listener.getsockname(), timeout=0.9))


class _Exhausted(socket.socket):
    """A listener at which the system has no descriptor left, once."""

    failures = 1

    def accept(self) -> tuple[socket.socket, object]:
        """Fail first."""
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_lack_of_descriptors_passes() -> None:
    """The port answers again once there are some."""
    bounds = Bounds()
    with ExitStack() as opened:
        port = _Port(bounds, opened)
        listener = _Exhausted(fileno=port.listener.detach())
        with _serving(listener, bounds):
            assert port.ask()[1] == b"/page"
        assert listener.failures == 0
