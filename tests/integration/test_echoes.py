"""An X, and a registry, that repeat what was sent to them in confidence: wherever it is put, it goes nowhere."""

import base64
import json
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import pytest
from confluent_kafka.admin import AdminClient

from tests.rig import local_http
from tests.rig.process import LOOPBACK, wait_until
from tests.rig.readback import ReadRecord, read_topics
from tests.rig.service import Config, ConnectorProcess, make_config, override, provisioned
from tests.rig.session import Kafka, SchemaRegistry

_TOKEN = "AAAAAAAAAAAAAAAAAAAAAHushAAAAAAA0%2BhushHUSH%2BhushHush/JtiGRiSDSJSI%3DEUifiRBkKG5E2XzM"
_KEY, _KEY_SECRET = "hush-key/of-the-app", "hush+secret/of-the-app"
_PASSWORD = 'hush"password/of-the-registry'
_AT = "2026-03-14T09:26:53.589Z"
_ANSWERS = ("problem", "page", "stream")
"""What the stream is answered with, in turn, and then from the beginning."""


def _forms(sent: str) -> list[str]:
    """Return a secret in every form in which it may come back."""
    escaped = json.dumps(sent)[1:-1]
    whole = {sent, unquote(sent), quote(sent, safe=""), escaped, escaped.replace("/", r"\/"), sent.swapcase()}
    return [*sorted(whole), sent[: len(sent) * 2 // 3]]


def _echo(authorization: str) -> str:
    return " | ".join((authorization, *_forms(authorization.partition(" ")[2])))


def _lines(authorization: str) -> list[str]:
    """Return one line of each kind, each with what was sent in it; most are events that must not be lost."""
    echo = _echo(authorization.replace('"', ""))
    favorite = {"id": "1", "user_id": "2"}

    def line(x_type: str, number: int, **more: object) -> str:
        body = {"event_at": _AT, "favorite": {**favorite, "id": str(number)}, **more}
        return json.dumps({"data": {x_type: body}})

    return [
        line("delete", 1),
        line("delete", 2, note=echo),
        line("delete", 3, **{echo: 1}),
        line("delete", 4, deep={"of": [{"it": echo}]}),
        line(f"unlike {echo}", 5),
        json.dumps({"data": {"delete": {"event_at": echo, "favorite": favorite}}}),
        echo,
        echo + "x" * 600_000,
        "x" * (512 * 1024 - 40) + echo,
        json.dumps({"title": echo, "type": f"about:{echo}", "detail": echo, "disconnect_type": echo}),
    ]


class _Echo(BaseHTTPRequestHandler):
    """Answers with what was sent: in a problem, a page, and every kind of line of a stream."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer a request for a stream."""
        self.asked.append(self.path)
        kind = "problem" if "backfill_minutes=99" in self.path else _ANSWERS[(len(self.asked) - 1) % len(_ANSWERS)]
        echo = _echo(self.headers["Authorization"])
        if kind == "stream":
            self._stream(_lines(self.headers["Authorization"]))
        elif kind == "page":
            self._answer(200, "text/html", f"<html><title>{echo}</title></html>", echo)
        else:
            self._answer(503, "application/problem+json", json.dumps({"title": echo, "detail": echo}), echo)

    def do_POST(self) -> None:
        """Answer a request for a token, or anything that a registry is asked."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        echo = _echo(self.headers["Authorization"])
        self._answer(
            403,
            "application/json",
            json.dumps({"errors": [{"code": 99, "message": echo}], "error_code": 99, "message": echo}),
            echo,
        )

    def _answer(self, status: int, content_type: str, text: str, echo: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{content_type}; {echo}")
        self.send_header("Location", f"https://{quote(echo)}.example.com/{quote(echo)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, lines: Sequence[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = "".join(f"{line}\r\n" for line in lines).encode()
        for piece in (body[at : at + 1000] for at in range(0, len(body), 1000)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _EchoRegistry(_Echo):
    def do_GET(self) -> None:
        """Answer what a registry is asked."""
        self.do_POST()


@contextmanager
def _serving(handler: type[_Echo]) -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.daemon_threads = True
    handler.asked.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _found(texts: Sequence[str], *sent: str) -> list[str]:
    """Return the texts with a secret in them: in any form, from half of it on."""
    begins = [form[: max(12, len(form) // 2)].lower() for secret in sent for form in _forms(secret)]
    return [text for text in texts if any(begin in text.lower() for begin in begins)]


def _as_text(record: ReadRecord) -> str:
    return f"{record.key} {record.headers} {record.value.decode(errors='replace')}"


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry) -> Iterator[Config]:
    """Give settings for the like stream of an X that repeats the token."""
    prefix = f"test-{token_hex(6)}"
    with _serving(_Echo) as url:
        settings = make_config(kafka.bootstrap_servers, registry.url, prefix, url, 1)
        with provisioned(override(settings, x={"bearer_token": _TOKEN, "streams": "like"})) as made:
            yield made


def test_token_that_x_repeats_is_neither_published_nor_shown(config: Config, kafka: Kafka, tmp_path: Path) -> None:
    """In every kind of line, in a page, a problem and a header; the events among the lines are published even so."""
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        probe = run.probe()
        wait_until(lambda: bool(run.logged("system_message")), "all lines are read", 60)
        wait_until(lambda: probe.metric("lines_dead_lettered_total", stream="like") == 5, "all lines are committed")
        assert probe.metric("events_published_total", stream="like") == 4
        assert probe.metric("lines_with_secret_total", stream="like") == 9
        port = run.logged("starting")[0]["http_port"]
        pages = [
            local_http.get(f"http://{LOOPBACK}:{port}{page}").text for page in ("/status", "/metrics", "/livez", "/")
        ]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        told = [run.stdout, run.stderr, *pages]
    assert [entry["level"] for entry in run.logged("secret_repeated")] == ["error"]
    assert {"connect_failed", "foreign_answer"} <= {entry["event"] for entry in run.entries()}
    prefix = config["kafka"]["topic_prefix"]
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics
    records = [
        _as_text(record)
        for record in read_topics(kafka.bootstrap_servers, [topic for topic in topics if topic.startswith(prefix)])
    ]
    assert sum("[secret]" in record for record in records) == 8
    assert _found([*told, *records], _TOKEN) == []


@pytest.mark.parametrize(
    "x",
    [{"bearer_token": _TOKEN}, {"api_key": _KEY, "api_key_secret": _KEY_SECRET}],
    ids=["token", "key and secret"],
)
def test_credentials_that_x_repeats_are_not_shown_by_check(config: Config, x: dict[str, Any], tmp_path: Path) -> None:
    """Neither as they were sent nor as they were given."""
    settings = override(config)
    del settings["x"]["bearer_token"]
    with ConnectorProcess(tmp_path, ["check", "--online"], override(settings, x=x)) as check:
        assert check.wait() in {69, 78}
        assert "[secret]" in check.stdout
        pair = base64.b64encode(f"{quote(_KEY, safe='')}:{quote(_KEY_SECRET, safe='')}".encode()).decode()
        assert _found([check.stdout, check.stderr], _TOKEN, _KEY, _KEY_SECRET, pair) == []


@pytest.mark.parametrize("command", [["provision"], ["run"], ["check", "--online"]], ids=" ".join)
def test_password_that_the_registry_repeats_is_not_shown(config: Config, command: list[str], tmp_path: Path) -> None:
    """Neither as it was sent nor as it was given."""
    with _serving(_EchoRegistry) as url:
        settings = override(config, schema_registry={"url": url, "username": "me", "password": _PASSWORD})
        with ConnectorProcess(tmp_path, command, settings) as process:
            assert process.wait() in {69, 78}
            told = [process.stdout, process.stderr]
    assert "[secret]" in "".join(told)
    pair = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
    assert _found(told, _PASSWORD, pair) == []
