"""How the stand-in for a Kubernetes cluster speaks: as much of the API as kubectl and Helm use, on a loopback port.

Owns requests and answers; what they change is in `cluster.py`.
"""

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.monitoring.cluster import CLUSTER_WIDE, KINDS, Cluster, Executed, NotFoundError, Object, merged

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_PATH = re.compile(
    r"/apis?/(?P<version>v1|\w+/v1)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<plural>\w+)(?:/(?P<name>[^/]+)(?:/(?P<part>\w+))?)?"
)
_WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS_CHANNEL = 3
_CLOSED = b"\x88\x02\x03\xe8"
_PROTOBUF = b"k8s\0"
_RAW, _METADATA, _NAME, _LABELS, _DATA = 2, 1, 1, 11, 2
"""Fields by their numbers: of the envelope, of a Secret, of its metadata twice, and of the Secret again."""
_HAS_LENGTH = 2


def _read(body: bytes) -> Object:
    """Return the object of a request: JSON or YAML, and of Helm a Secret in Protobuf, in which it keeps a release."""
    if not body.startswith(_PROTOBUF):
        found: Object = yaml.safe_load(body)
        return found
    [secret] = [value for number, value in _fields(body[len(_PROTOBUF) :]) if number == _RAW]
    metadata, data = Object(), Object()
    for number, value in _fields(secret):
        if number == _METADATA:
            labels = dict(map(_pair, (label for part, label in _fields(value) if part == _LABELS)))
            [name] = [part.decode() for kind, part in _fields(value) if kind == _NAME]
            metadata = {"name": name, "labels": {key: label.decode() for key, label in labels.items()}}
        elif number == _DATA:
            key, content = _pair(value)
            data[key] = base64.b64encode(content).decode()
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data, "type": "helm.sh/release.v1"}


def _pair(entry: bytes) -> tuple[str, bytes]:
    [(_, key), (_, value)] = _fields(entry)
    return key.decode(), value


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the numbers and contents of a Protobuf message's fields that have a length."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        size_or_value = varint()
        if key & 7 == _HAS_LENGTH:
            yield key >> 3, message[position : position + size_or_value]
            position += size_or_value


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, *_: object) -> None:
        """Say nothing of a request."""

    def do_GET(self) -> None:
        """Describe the API, or give objects, a log, or a way into a pod."""
        path, query = self._target()
        if path in _DISCOVERY:
            self._answer(_DISCOVERY[path])
        else:
            self._on_object(path, query, None)

    def do_POST(self) -> None:
        """Create an object."""
        self._change()

    def do_PATCH(self) -> None:
        """Change an object, or apply it."""
        self._change()

    def do_PUT(self) -> None:
        """Replace an object."""
        self._change()

    def do_DELETE(self) -> None:
        """Remove an object."""
        self._change()

    def _change(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._on_object(*self._target(), _read(body))

    def _target(self) -> tuple[str, Mapping[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path, parse_qs(parts.query)

    def _on_object(self, path: str, query: Mapping[str, list[str]], body: Object | None) -> None:
        found = _PATH.fullmatch(path)
        try:
            if found is None or found["namespace"] != self._namespace_of(found["plural"]):
                self._answer_not_found(f"nothing at {path}")
            elif found["part"]:
                self._enter(self.cluster.get(found["plural"], found["name"]), found["part"], query)
            elif self.command == "GET" and found["name"] is None:
                self._list(found["version"], found["plural"], query)
            else:
                self._answer(self._done(found["plural"], found["name"], body))
        except NotFoundError as error:
            self._answer_not_found(str(error))

    def _namespace_of(self, plural: str) -> str | None:
        return None if plural in CLUSTER_WIDE else self.cluster.namespace

    def _answer_not_found(self, message: str) -> None:
        self._answer({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": message}, 404)

    def _done(self, plural: str, name: str | None, body: Object | None) -> Object:
        """Do what the request's method says, and return the object."""
        if self.command == "POST" or "apply-patch" in self.headers.get("Content-Type", ""):
            assert body is not None
            if self.command == "POST" and plural == "pods":
                self.cluster.created.append(copy.deepcopy(body))
            return self.cluster.put(plural, body)
        assert name is not None
        if self.command == "DELETE":
            return self.cluster.remove(plural, name)
        found = self.cluster.get(plural, name)
        if self.command in {"PATCH", "PUT"}:
            return self.cluster.put(plural, body if self.command == "PUT" and body else merged(found, body))
        return found

    def _list(self, version: str, plural: str, query: Mapping[str, list[str]]) -> None:
        items = self.cluster.find(plural, query)
        kind = KINDS[version][plural]
        if query.get("watch") != ["true"]:
            body = {"metadata": {"resourceVersion": "1"}, "items": items}
            self._answer({"kind": f"{kind}List", "apiVersion": version, **body})
            return
        mark = {
            "kind": kind,
            "apiVersion": version,
            "metadata": {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}},
        }
        events = [{"type": "ADDED", "object": each} for each in items] + [{"type": "BOOKMARK", "object": mark}]
        self._send("\n".join(json.dumps(event) for event in events).encode(), "application/json")

    def _enter(self, pod: Object, part: str, query: Mapping[str, list[str]]) -> None:
        name = pod["metadata"]["name"]
        containers = [container["name"] for container in pod["spec"]["containers"]]
        container = query.get("container", containers[:1])[0]
        if container not in containers:
            raise NotFoundError(f"container {container} is not valid for pod {name}")
        match part:
            case "log":
                self._send(self.cluster.log.encode(), "text/plain")
            case "exec":
                self.cluster.executed.append(Executed(name, container, tuple(query["command"])))
                self._succeed_by_websocket()
            case "portforward":
                self.cluster.forwarded.append(name)
                self._answer({"kind": "Status", "status": "Failure", "message": "no ports here"}, 403)
            case _:
                raise NotFoundError(f"pods have no {part}")

    def _succeed_by_websocket(self) -> None:
        """End a command with exit code 0, by the protocol v5.channel.k8s.io."""
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + _WEBSOCKET).encode(), usedforsecurity=False)
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        status = bytes([_STATUS_CHANNEL]) + json.dumps({"kind": "Status", "status": "Success"}).encode()
        self.wfile.write(bytes([0x82, len(status)]) + status + _CLOSED)
        self.close_connection = True

    def _answer(self, body: Object, code: int = 200) -> None:
        self._send(json.dumps(body if code == 200 else {"apiVersion": "v1", "code": code, **body}).encode(), code=code)

    def _send(self, body: bytes, kind: str = "application/json", code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _root(version: str) -> str:
    return f"apis/{version}" if "/" in version else f"api/{version}"


def _resources(version: str) -> Object:
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": plural not in CLUSTER_WIDE, "kind": kind}
        | {"verbs": _VERBS}
        for plural, kind in KINDS[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _openapi(version: str) -> Object:
    """Return what makes clients leave validation to the server."""
    group = version.rpartition("/")[0]
    paths = {
        f"/{plural}": {
            "patch": {
                "x-kubernetes-group-version-kind": {"group": group, "version": "v1", "kind": kind},
                "parameters": [{"name": "fieldValidation", "in": "query"}],
            }
        }
        for plural, kind in KINDS[version].items()
    }
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "1"}, "paths": paths}


def _group(version: str) -> Object:
    served = {"groupVersion": version, "version": "v1"}
    return {"name": version.partition("/")[0], "versions": [served], "preferredVersion": served}


_GROUPS = [_group(version) for version in KINDS if "/" in version]
_ROOTS = {_root(version): {"serverRelativeURL": f"/openapi/v3/{_root(version)}"} for version in KINDS}
_DISCOVERY: Mapping[str, Object] = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": _GROUPS},
    "/openapi/v3": {"paths": _ROOTS},
    **{f"/{_root(version)}": _resources(version) for version in KINDS},
    **{f"/openapi/v3/{_root(version)}": _openapi(version) for version in KINDS},
}
"""What the API says of itself, by path."""


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """Serve the cluster at the address that this gives."""
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
