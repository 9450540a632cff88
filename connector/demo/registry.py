"""A schema registry inside the demo's process: Confluent's API as far as the connector and its readers use it.

For the demo only: it forgets everything when it stops, and its idea of FULL_TRANSITIVE is that a subject takes no
second schema unless it is identical to the first. Must not know the connector's topics or schemas.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

_STOP_POLL_S = 0.02
_LEVEL_OF_ALL = "BACKWARD"
_FULL_TRANSITIVE = "FULL_TRANSITIVE"
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class _RefusedError(Exception):
    """An answer that is an error: Confluent's code, whose first three digits are the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class _Store:
    """Schemas by id (from 1), the ids under each subject (version 1 first), and the levels that subjects have."""

    texts: list[str] = field(default_factory=list)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def register(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        text = _schema_text(body)
        ids = self.subjects.get(subject, [])
        if (known := self._id_under(ids, text)) is not None:
            return {"id": known}
        if ids and self.levels.get(subject) == _FULL_TRANSITIVE:
            raise _RefusedError(409, f"subject {subject} takes no second schema")
        schema_id = self._id_under(range(1, len(self.texts) + 1), text)
        if schema_id is None:
            self.texts.append(text)
            schema_id = len(self.texts)
        self.subjects.setdefault(subject, []).append(schema_id)
        return {"id": schema_id}

    def look_up(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        ids = self._ids(subject)
        schema_id = self._id_under(ids, _schema_text(body))
        if schema_id is None:
            raise _RefusedError(40403, "Schema not found")
        return self._described(subject, ids.index(schema_id) + 1)

    def version(self, subject: str, version: str) -> dict[str, Any]:
        count = len(self._ids(subject))
        number = count if version == "latest" else int(version)
        if not 1 <= number <= count:
            raise _RefusedError(40402, f"Version {version} not found")
        return self._described(subject, number)

    def schema(self, schema_id: str) -> dict[str, Any]:
        if not 1 <= int(schema_id) <= len(self.texts):
            raise _RefusedError(40403, f"Schema {schema_id} not found")
        return {"schema": self.texts[int(schema_id) - 1]}

    def level(self, subject: str) -> dict[str, Any]:
        if subject not in self.levels:
            raise _RefusedError(40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return {"compatibilityLevel": self.levels[subject]}

    def set_level(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        level = body.get("compatibility")
        if not isinstance(level, str):
            raise _RefusedError(42203, "compatibility is missing")
        self.levels[subject] = level
        return {"compatibility": level}

    def _ids(self, subject: str) -> list[int]:
        if subject not in self.subjects:
            raise _RefusedError(40401, f"Subject '{subject}' not found.")
        return self.subjects[subject]

    def _id_under(self, ids: list[int] | range, text: str) -> int | None:
        wanted = json.loads(text)
        return next((schema_id for schema_id in ids if json.loads(self.texts[schema_id - 1]) == wanted), None)

    def _described(self, subject: str, version: int) -> dict[str, Any]:
        schema_id = self.subjects[subject][version - 1]
        return {"subject": subject, "version": version, "id": schema_id, "schema": self.texts[schema_id - 1]}


def _schema_text(body: dict[str, Any]) -> str:
    text = body.get("schema")
    try:
        json.loads(text if isinstance(text, str) else "")
    except ValueError:
        raise _RefusedError(42201, "Invalid schema") from None
    return str(text)


_ROUTES: tuple[tuple[str, re.Pattern[str], Callable[..., Any]], ...] = (
    ("GET", re.compile(r"/subjects"), lambda store: list(store.subjects)),
    ("POST", re.compile(r"/subjects/([^/]+)"), _Store.look_up),
    ("POST", re.compile(r"/subjects/([^/]+)/versions"), _Store.register),
    ("GET", re.compile(r"/subjects/([^/]+)/versions/(latest|\d+)"), _Store.version),
    ("GET", re.compile(r"/schemas/ids/(\d+)"), _Store.schema),
    ("GET", re.compile(r"/config"), lambda _: {"compatibilityLevel": _LEVEL_OF_ALL}),
    ("GET", re.compile(r"/config/([^/]+)"), _Store.level),
    ("PUT", re.compile(r"/config/([^/]+)"), _Store.set_level),
)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection, so that nothing is served after the end."""

    def __init__(self, store: _Store, *arguments: Any) -> None:  # noqa: ANN401 - the base class's own
        self._store = store
        super().__init__(*arguments)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = HTTPStatus.OK, self._route(body)
        except _RefusedError as error:
            status, answer = HTTPStatus(int(str(error.code)[:3])), {"error_code": error.code, "message": str(error)}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", _MEDIA_TYPE)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names the base class looks for

    def _route(self, body: bytes) -> Any:  # noqa: ANN401 - whatever JSON the route answers
        path = urlsplit(self.path).path
        for method, pattern, answer in _ROUTES:
            if method == self.command and (match := pattern.fullmatch(path)):
                arguments = [unquote(part) for part in match.groups()]
                with self._store.lock:
                    return answer(self._store, *arguments, *([] if method == "GET" else [_parse(body)]))
        raise _RefusedError(404, f"no such resource: {path}")

    def log_message(self, *_: object) -> None:
        """Stay silent: the demo's output is for the events."""


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _RefusedError(42201, "the body is not a JSON object")
    return document


class DemoRegistry:
    """A registry on a free loopback port, running between `with` and its end."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, _Store()))
        self._server.daemon_threads = True
        self._thread = Thread(
            target=self._server.serve_forever, args=(_STOP_POLL_S,), name="demo-registry", daemon=True
        )

    @property
    def url(self) -> str:
        """The address to configure clients with."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
