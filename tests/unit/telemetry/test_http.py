"""The HTTP port: its routes, and what a probe learns."""

import json
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from connector.errors import DependencyUnavailableError, SettingsError
from connector.settings import HttpSettings
from connector.telemetry.connections import Answer
from connector.telemetry.http import HttpServer, Pages, ask


class _Inside:
    """What the probes look at."""

    def __init__(self) -> None:
        self.metrics: bytes | None = b"# TYPE things_total counter\nthings_total 1.0\n"
        self.is_live = self.is_ready = True
        self.status: dict[str, object] = {"version": "é", "n": None}
        self.page = Answer(HTTPStatus.OK, b"<p>", "text/html", (("X-Frame", "no"),))
        self.errors: list[Exception] = []

    def server(self, port: int = 0, host: str = "127.0.0.1") -> HttpServer:
        """Return a server that shows this."""
        settings = HttpSettings(host=host, port=port)
        return HttpServer(
            settings,
            Pages(
                lambda: self.metrics,
                lambda: self.is_live,
                lambda: self.is_ready,
                lambda: self.status,
                lambda: self.page,
                self.errors.append,
            ),
        )


@pytest.fixture
def inside() -> _Inside:
    """Give something to look at."""
    return _Inside()


@pytest.fixture
def client(inside: _Inside) -> Iterator[httpx.Client]:
    """Give a client of a server that runs."""
    with (
        inside.server() as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30, trust_env=False, verify=False) as client,  # noqa: S501 - no TLS here, and loading certificates takes time
    ):
        yield client


def test_metrics_are_served_as_prometheus_reads_them(client: httpx.Client) -> None:
    """With its content type."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    things = next(iter(text_string_to_metric_families(response.text)))
    assert (things.name, things.samples[0].value) == ("things", 1.0)


def test_metrics_that_are_too_old_are_no_answer(client: httpx.Client, inside: _Inside) -> None:
    """Prometheus then counts the target as down."""
    inside.metrics = None
    assert client.get("/metrics").status_code == 503


@pytest.mark.parametrize(("path", "name"), [("/livez", "is_live"), ("/readyz", "is_ready")])
def test_probe_answers_as_things_stand(client: httpx.Client, inside: _Inside, path: str, name: str) -> None:
    """Each looks at its own question."""
    assert (client.get(path).status_code, client.get(path).text) == (200, "ok\n")
    setattr(inside, name, False)
    assert client.get(path).status_code == 503
    assert "/status" in client.get(path).text
    other = "/readyz" if path == "/livez" else "/livez"
    assert client.get(other).status_code == 200


def test_status_is_json(client: httpx.Client) -> None:
    """As it is given."""
    response = client.get("/status?pretty")
    assert response.headers["content-type"] == "application/json"
    assert json.loads(response.content) == {"version": "é", "n": None}


def test_answer_that_fails_is_a_500_and_told_once(
    client: httpx.Client, inside: _Inside, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is printed beside the log."""
    inside.status = {"n": object()}
    assert client.get("/status").status_code == 500
    assert [type(error) for error in inside.errors] == [TypeError]
    assert capfd.readouterr() == ("", "")


def test_root_is_a_page_with_its_own_headers(client: httpx.Client) -> None:
    """Whatever is asked for behind a question mark."""
    response = client.get("/?again")
    assert (response.status_code, response.text, response.headers["x-frame"]) == (200, "<p>", "no")
    assert response.headers["content-type"] == "text/html"


@pytest.mark.parametrize("path", ["/metrics/", "/healthz", "/favicon.ico"])
def test_paths_that_there_are_are_listed(client: httpx.Client, path: str) -> None:
    """Where a wrong probe asks."""
    response = client.get(path)
    assert response.status_code == 404
    assert response.text.split() == ["/metrics", "/livez", "/readyz", "/status"]


def test_port_that_is_taken_is_a_settings_error(inside: _Inside) -> None:
    """Naming the setting, without a stack of foreign errors."""
    with (
        inside.server() as server,
        pytest.raises(SettingsError, match="CONNECTOR_HTTP__PORT: cannot listen on") as caught,
    ):
        inside.server(server.port)
    assert caught.value.__suppress_context__


def test_port_is_free_again_after_the_leaving(inside: _Inside) -> None:
    """A restart in place finds it."""
    with inside.server() as server:
        port = server.port
    with inside.server(port):
        pass


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("host", ["::1", "::"])
def test_port_is_served_on_an_ipv6_host(inside: _Inside, host: str) -> None:
    """As in a cluster that has nothing else."""
    with (
        inside.server(host=host) as server,
        httpx.Client(base_url=f"http://[::1]:{server.port}", timeout=30, trust_env=False, verify=False) as client,  # noqa: S501 - as above
    ):
        assert client.get("/livez").text == "ok\n"


def test_asking_returns_what_a_well_service_says(inside: _Inside) -> None:
    """The text of its answer, without the line break."""
    with inside.server() as server:
        assert ask("127.0.0.1", server.port, "/livez") == "ok"


def test_asking_a_service_that_is_not_well_raises_what_it_says(inside: _Inside) -> None:
    """With the address, the status and its words."""
    inside.is_ready = False
    with inside.server() as server, pytest.raises(DependencyUnavailableError) as caught:
        ask("127.0.0.1", server.port, "/readyz")
    assert str(caught.value) == f"/readyz at 127.0.0.1:{server.port} answers 503: not ok: see /status"


def test_asking_where_nothing_listens_raises_why() -> None:
    """With the address and the system's reason."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        DependencyUnavailableError, match=rf"/livez at 127\.0\.0\.1:{port} does not answer: connection refused$"
    ):
        ask("127.0.0.1", port, "/livez")


def test_asking_a_server_that_speaks_no_http_raises_why() -> None:
    """A port that another program took is no sign of life."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_nonsense, args=(server,), daemon=True).start()
        with pytest.raises(DependencyUnavailableError, match=r"does not answer: not HTTP: BadStatusLine$"):
            ask("127.0.0.1", server.getsockname()[1], "/livez")


def _answer_nonsense(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1024)
        connection.sendall(b"220 mail.example.com ESMTP\r\n")
