"""The HTTP port: /metrics, /livez, /readyz and /status, and how to ask it.

An answer depends on the state of this process alone and waits for nothing else.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from socket import AF_INET6
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from connector.errors import DependencyUnavailableError, SettingsError
from connector.settings import HttpSettings, variable_name
from connector.telemetry.exposition import CONTENT_TYPE

_POLL_S = 0.1
"""How soon the server notices that it is to end."""
_ANSWER_TIMEOUT_S = 5.0
"""How long either side waits for the other."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 - the base class's signature
        """Say nothing: the client has gone, since what else can fail is caught where it is answered."""


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _ANSWER_TIMEOUT_S
    """Seconds; each connection has a thread, and a client that neither writes nor reads would keep it for ever."""

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - the base class's signature
        """Say nothing: probes and scrapes are no news."""


@dataclass(frozen=True, slots=True)
class Pages:
    """What there is to show; `metrics` is None where the numbers are too old, `on_failure` receives what went wrong."""

    metrics: Callable[[], bytes | None]
    is_live: Callable[[], bool]
    is_ready: Callable[[], bool]
    status: Callable[[], Mapping[str, Any]]
    on_failure: Callable[[Exception], None]


class HttpServer:
    """Serves from a thread of its own, inside a `with`. Raises `SettingsError` when the port cannot be had."""

    def __init__(self, settings: HttpSettings, pages: Pages) -> None:
        routes = {
            "/metrics": _metrics(pages.metrics),
            "/livez": _check(pages.is_live),
            "/readyz": _check(pages.is_ready),
            "/status": _json(pages.status),
        }
        try:
            self._server = make_server(
                settings.host,
                settings.port,
                _router(routes, pages.on_failure),
                server_class=_Server6 if ":" in settings.host else _Server,
                handler_class=_Handler,
            )
        except OSError as error:
            raise SettingsError(
                [f"{variable_name(('http', 'port'))}: cannot listen on {settings.host}:{settings.port}: {error}"]
            ) from None
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="http", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask(host: str, port: int, path: str) -> str:
    """Return the text that a service answers with 200 at `path`.

    Raises `DependencyUnavailableError` with what it says when it answers otherwise, or with why it does not.
    """
    connection = HTTPConnection(host, port, timeout=_ANSWER_TIMEOUT_S)  # ignores proxy variables, unlike urllib
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        raise DependencyUnavailableError(f"{path} at {host}:{port} does not answer: {error!r}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise DependencyUnavailableError(f"{path} at {host}:{port} answers {answer.status}: {text}")
    return text


def _router(routes: Mapping[str, WSGIApplication], on_failure: Callable[[Exception], None]) -> WSGIApplication:
    def route(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        application = routes.get(environment["PATH_INFO"])
        if application is None:
            return _answer(start, HTTPStatus.NOT_FOUND, "text/plain", "".join(f"{path}\n" for path in routes).encode())
        try:
            return application(environment, start)
        except Exception as error:  # noqa: BLE001 - a probe that fails is no reason to print to stderr, or to end
            on_failure(error)
            return _answer(start, HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"failed: see the log\n")

    return route


def _metrics(text: Callable[[], bytes | None]) -> WSGIApplication:
    def show(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        content = text()
        if content is None:
            return _answer(start, HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"the numbers are too old\n")
        return _answer(start, HTTPStatus.OK, CONTENT_TYPE, content)

    return show


def _check(is_well: Callable[[], bool]) -> WSGIApplication:
    def check(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if is_well():
            return _answer(start, HTTPStatus.OK, "text/plain", b"ok\n")
        return _answer(start, HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"not ok: see /status\n")

    return check


def _json(value: Callable[[], Mapping[str, Any]]) -> WSGIApplication:
    def show(_: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        return _answer(start, HTTPStatus.OK, "application/json", f"{json.dumps(value(), indent=2)}\n".encode())

    return show


def _answer(start: StartResponse, status: HTTPStatus, content_type: str, content: bytes) -> Iterable[bytes]:
    start(f"{status.value} {status.phrase}", [("Content-Type", content_type), ("Content-Length", str(len(content)))])
    return [content]
