"""Requests to X and the bodies that answer them, against the simulator and a server that takes notes."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from connector.coverage.plan import Live, Plan, Replay
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.faults import AcceptAndClose, Close, Drop, Truncate
from connector.x.client import XClient
from connector.x.errors import ConnectFailedError, RateLimit
from tests.fakes.x import NOW_US
from tests.rig.certificates import write_certificates
from tests.unit.x.servers import DEADLINE_S, TWEET_1, answering, make_client, read


class _Notes(BaseHTTPRequestHandler):
    """Answers every GET with what the server says, and notes the request."""

    def do_GET(self) -> None:
        self.server.notes.append((self.path, dict(self.headers)))  # type: ignore[attr-defined] # set by `_noting`
        self.send_response_only(200)
        for name, value in self.server.answer_headers:  # type: ignore[attr-defined] # set by `_noting`
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _noting(*answer_headers: tuple[str, str]) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Notes)
    notes: list[tuple[str, dict[str, str]]] = []
    server.notes, server.answer_headers = notes, answer_headers  # type: ignore[attr-defined] # for `_Notes`
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", notes
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("partition", "plan", "path", "query"),
    [
        (TWEET_1, Live(0), "/2/tweets/compliance/stream", {"partition": ["1"]}),
        (
            StreamPartition("user", 4),
            Live(5),
            "/2/users/compliance/stream",
            {"partition": ["4"], "backfill_minutes": ["5"]},
        ),
        (StreamPartition("like", 1), Live(1), "/2/likes/compliance/stream", {"backfill_minutes": ["1"]}),
        (
            StreamPartition("label", 1),
            Replay(1_656_373_781 * US_PER_S, 1_656_374_681 * US_PER_S),
            "/2/tweets/label/stream",
            {"start_time": ["2022-06-27T23:49:41Z"], "end_time": ["2022-06-28T00:04:41Z"]},
        ),
    ],
)
def test_request_asks_for_the_plan(
    partition: StreamPartition, plan: Plan, path: str, query: dict[str, list[str]]
) -> None:
    """Path, partition where there is one, and what the plan says; no more."""
    with _noting() as (base_url, notes), make_client(base_url) as client, client.open(partition, plan):
        [(target, _)] = notes
    assert (urlsplit(target).path, parse_qs(urlsplit(target).query)) == (path, query)


@pytest.mark.parametrize(("is_gzip", "encoding"), [(True, "gzip"), (False, "identity")])
def test_request_says_who_asks_and_how(is_gzip: bool, encoding: str) -> None:  # noqa: FBT001 - parametrized
    """User agent with name and version, token and encoding."""
    with _noting() as (base_url, notes), make_client(base_url, gzip=is_gzip) as client, client.open(TWEET_1, Live(0)):
        [(_, headers)] = notes
    lowered = {name.lower(): value for name, value in headers.items()}
    assert lowered["user-agent"].startswith("x-compliance-connector/")
    assert lowered["authorization"] == "Bearer simulator-token"
    assert lowered["accept-encoding"] == encoding


@pytest.mark.parametrize("is_gzip", [True, False])
def test_replay_is_never_compressed(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """Its end is all that says it is whole, and a compressed body may be cut where no one notices."""
    plan = Replay(NOW_US - 900 * US_PER_S, NOW_US)
    with _noting() as (base_url, notes), make_client(base_url, gzip=is_gzip) as client, client.open(TWEET_1, plan):
        [(_, headers)] = notes
    encodings = [value for name, value in headers.items() if name.lower() == "accept-encoding"]
    assert encodings == ["identity"]


@pytest.mark.parametrize("date", ["", "soon", "Mon, 01 Jan 2024 00:00:00 +9999", None])
def test_answer_with_an_unreadable_date_has_none(date: str | None) -> None:
    """The wall clock is not X's time."""
    headers = [] if date is None else [("Date", date)]
    with (
        _noting(*headers) as (base_url, _),
        make_client(base_url) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        assert connection.date_us is None


def test_answer_s_date_and_rate_limit_are_read() -> None:
    """X's time to the second, and what is left of the budget."""
    headers = (
        ("Date", "Mon, 27 Jun 2022 23:49:41 GMT"),
        ("x-rate-limit-limit", "100"),
        ("x-rate-limit-remaining", "99"),
        ("x-rate-limit-reset", "1656374000000"),
    )
    with (
        _noting(*headers) as (base_url, _),
        make_client(base_url) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        assert connection.date_us == 1_656_373_781 * US_PER_S
        assert connection.rate_limit == RateLimit(100, 99, 1_656_374_000, 1_656_373_781)


@pytest.mark.parametrize("is_gzip", [True, False])
def test_body_arrives_as_it_is_sent_plain_or_compressed(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """The lines of the simulator's record, in order, and a proper end."""
    with Simulator(SimulatorConfig(chunking="random")) as sim, make_client(sim.base_url, gzip=is_gzip) as client:
        sim.inject(Close(stream="tweet", partition=1, after_lines=50))
        with client.open(TWEET_1, Live(0)) as connection:
            sim.emit(50, TWEET_1)
            body = b"".join(connection.chunks())
        log = sim.emission.logs[TWEET_1]
        emitted = [emitted.line for emitted in log.read(log.first, log.end)]
    assert [line for line in body.split(b"\r\n") if line] == emitted
    assert len(emitted) == 50
    assert gzip.compress(b"")[:2] not in body


@pytest.mark.parametrize("is_gzip", [True, False])
def test_event_arrives_when_it_is_sent_though_the_body_goes_on(is_gzip: bool) -> None:  # noqa: FBT001 - parametrized
    """Nothing waits for a compressed block to fill: one event after the other, with nothing behind it."""
    with (
        Simulator() as sim,
        make_client(sim.base_url, gzip=is_gzip) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        chunks = connection.chunks()
        for _ in range(3):
            sim.emit(1, TWEET_1)
            assert next(chunks) == sim.record()[-1].line + b"\r\n"


@pytest.mark.parametrize("fault", [Drop(), Drop(reset=True), Truncate(), Truncate(ending="reset")])
def test_body_that_is_cut_off_is_a_network_failure(fault: Drop | Truncate) -> None:
    """Only X's proper end is a whole body."""
    with Simulator() as sim, make_client(sim.base_url) as client:
        sim.inject(fault)
        with client.open(TWEET_1, Live(0)) as connection:
            sim.emit(1, TWEET_1)
            with pytest.raises(ConnectFailedError) as caught:
                list(connection.chunks())
        assert sim.faults.fired[fault.kind] == 1
    assert caught.value.failure.reason == "network"


def test_empty_body_with_a_proper_end_is_whole() -> None:
    """As of a replay in which nothing happened."""
    with Simulator() as sim, make_client(sim.base_url) as client:
        sim.inject(AcceptAndClose())
        with client.open(TWEET_1, Live(0)) as connection:
            assert b"".join(connection.chunks()).strip() == b""


_DELIMITED = (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n")


@pytest.mark.parametrize("header", [*_DELIMITED, b"", b"Connection: close\r\n"])
def test_body_without_a_mark_of_its_end_is_never_whole(header: bytes) -> None:
    """All that it brought is handed on, but a cut would look the same."""
    body = b"5\r\n{}\r\n\n\r\n0\r\n\r\n" if header.startswith(b"Transfer") else b"{}\r\n\n"
    with (
        answering(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n" + body) as base_url,
        make_client(base_url) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        outcome: list[object] = []
        read(connection, outcome)
    chunks = [part for part in outcome if isinstance(part, bytes)]
    assert b"".join(chunks) == b"{}\r\n\n"
    failures = [error.failure.reason for error in outcome if isinstance(error, ConnectFailedError)]
    assert failures == ([] if header in _DELIMITED else ["network"])


def test_close_from_another_thread_ends_a_read_at_once() -> None:
    """A read that waits for X does not wait for the silence limit."""
    with Simulator() as sim, make_client(sim.base_url) as client, client.open(TWEET_1, Live(0)) as connection:
        outcome: list[object] = []
        thread = threading.Thread(target=read, args=(connection, outcome))
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        connection.close()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
        assert isinstance(outcome[-1], ConnectFailedError)
        connection.close()


def test_close_of_a_connection_that_is_over_does_nothing() -> None:
    """A reader can be stopped at any point."""
    with Simulator() as sim, make_client(sim.base_url) as client:
        with client.open(TWEET_1, Live(0)) as connection:
            pass
        connection.close()


def test_port_without_a_listener_is_a_network_failure() -> None:
    """Refused, at once."""
    with _noting() as (base_url, _):
        pass
    with make_client(base_url) as client, pytest.raises(ConnectFailedError) as caught:
        client.open(TWEET_1, Live(0))
    assert caught.value.failure.reason == "network"


@contextmanager
def _sending_small_chunks(lines: list[bytes], folder: Path | None) -> Iterator[str]:
    """Answer one request with a chunk for each line, all at once; over TLS with a certificate of `folder`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            if folder is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(folder / "broker.pem")
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                connection.recv(65536)
                chunks = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
                connection.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"{'https' if folder else 'http'}://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("is_tls", [False, True])
def test_lines_in_chunks_of_their_own_come_in_large_pieces(tmp_path: Path, is_tls: bool) -> None:  # noqa: FBT001 - parametrized
    """The client does not go through each chunk by itself, over plain TCP or TLS, and the body is whole."""
    folder = tmp_path / "certificates"
    write_certificates(folder, [])
    lines = [b'{"data": %d}\r\n' % number for number in range(2000)]
    given = {"ca_file": folder / "ca.pem"} if is_tls else {}
    with (
        _sending_small_chunks(lines, folder if is_tls else None) as url,
        make_client(url, **given) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        pieces = list(connection.chunks())
    assert b"".join(pieces) == b"".join(lines)
    assert len(pieces) < len(lines) / 20


@pytest.mark.parametrize(("line_bytes", "pauses"), [(100, 1), (20_000, 0)])
def test_little_is_followed_by_a_pause_and_much_is_not(line_bytes: int, pauses: int) -> None:
    """A trickle is read in fewer, larger pieces; a flood as fast as it comes."""
    slept: list[float] = []
    with (
        _sending_small_chunks([b"x" * line_bytes], None) as url,
        closing(XClient(XSettings(base_url=url, bearer_token="t"), sleep=slept.append)) as client,
        client.open(TWEET_1, Live(0)) as connection,
    ):
        assert [len(piece) for piece in connection.chunks()] == [line_bytes]
    assert len(slept) == pauses
