"""The HTTP port: a page at /, /metrics, /livez, /readyz and /status, a list of these elsewhere; and a client for it.

An answer depends on the state of this process alone and waits for nothing else.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any, Self

from connector.errors import DependencyUnavailableError, SettingsError
from connector.settings import HttpSettings, variable_name
from connector.telemetry.connections import Answer, Bounds, Connections, listen
from connector.telemetry.exposition import CONTENT_TYPE

_TIMEOUT_S = 5.0
"""How long `ask` waits for each step of an answer."""
_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Pages:
    """What the port serves; `metrics` is None when the numbers are too old, `on_failure` receives the exception."""

    metrics: Callable[[], bytes | None]
    is_live: Callable[[], bool]
    is_ready: Callable[[], bool]
    status: Callable[[], Mapping[str, Any]]
    page: Callable[[], Answer]
    on_failure: Callable[[Exception], None]


class HttpServer:
    """Serves from its own thread, inside a `with`. Raises `SettingsError` if the port cannot be opened."""

    def __init__(self, settings: HttpSettings, pages: Pages, bounds: Bounds = _BOUNDS) -> None:
        try:
            self._listener = listen(settings.host, settings.port, bounds)
        except OSError as error:
            raise SettingsError(
                [f"{variable_name(('http', 'port'))}: cannot listen on {settings.host}:{settings.port}: {error}"]
            ) from None
        self.port: int = self._listener.getsockname()[1]
        connections = Connections(self._listener, _router(pages), bounds)
        self._thread = threading.Thread(target=connections.run, name="http", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


def ask(host: str, port: int, path: str) -> str:
    """Return the text of a 200 answer of a service at `path`.

    Raises `DependencyUnavailableError` with the text of any other answer, or with why there is none.
    """
    connection = HTTPConnection(host, port, timeout=_TIMEOUT_S)  # ignores proxy variables, unlike urllib
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        raise DependencyUnavailableError(f"{path} at {host}:{port} does not answer: {_why(error)}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise DependencyUnavailableError(f"{path} at {host}:{port} answers {answer.status}: {text}")
    return text


def _why(error: OSError | HTTPException) -> str:
    """Return why there is no answer: the system's message, or the name of the exception."""
    if isinstance(error, HTTPException):
        return f"not HTTP: {type(error).__name__}"
    return (error.strerror or str(error)).lower()


def _router(pages: Pages) -> Callable[[str], Answer]:
    routes: dict[str, Callable[[], Answer]] = {
        "/": pages.page,
        "/metrics": lambda: _metrics(pages.metrics()),
        "/livez": lambda: _check(is_well=pages.is_live()),
        "/readyz": lambda: _check(is_well=pages.is_ready()),
        "/status": lambda: _json(pages.status()),
    }
    index = "".join(f"{path}\n" for path in routes if path != "/").encode()
    unknown = Answer(HTTPStatus.NOT_FOUND, index)

    def answer(path: str) -> Answer:
        try:
            return routes.get(path, lambda: unknown)()
        except Exception as error:  # noqa: BLE001 - a probe that fails is no reason to end
            pages.on_failure(error)
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"failed: see the log\n")

    return answer


def _metrics(text: bytes | None) -> Answer:
    if text is None:
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"the numbers are too old\n")
    return Answer(HTTPStatus.OK, text, CONTENT_TYPE)


def _check(*, is_well: bool) -> Answer:
    if is_well:
        return Answer(HTTPStatus.OK, b"ok\n")
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"not ok: see /status\n")


def _json(value: Mapping[str, Any]) -> Answer:
    return Answer(HTTPStatus.OK, f"{json.dumps(value, indent=2)}\n".encode(), "application/json")
