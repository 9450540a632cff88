"""An X that keeps every request whole, a client of its batch calls, and a search of errors for what is secret.

Every secret begins and ends with `hush`, so that one that is cut is found, too.
"""

import json
import re
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import pytest

from connector.errors import ConnectorError
from connector.events.times import US_PER_S
from connector.settings import XSettings
from connector.x.batch_api import BatchApi, CallFailedError, Job, JobType, Transfer
from connector.x.clock import wall_us
from connector.x.jobs import Jobs
from tests.rig.peer import Peer, Script, head

TOKEN = "hush-AAAAAAAAAAAAAAAAAAAAAMLheAAAAAAA0%2BuSeid%2BULvsea4JtiGRiSDSJSI%3DEUifiRBkKG5E2XzMDjRfl76ZC9Ub0wnz-hush"
URL_SECRET = "hush+AAAA/BBBB%2BCCCC+DDDD/EEEE==hush"
KEYS = {"bearer_token": None, "api_key": "hush-api-key-hush", "api_key_secret": "hush-api-key-secret-hush"}
"""Settings without a token, which is then exchanged for these."""
JOB_ID = "1830000000000000042"
JOB_PATH = f"/2/compliance/jobs/{JOB_ID}"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)

Call = Callable[[Jobs], object]
CALLS: dict[str, Call] = {
    "create": lambda jobs: jobs.create(JobType.TWEETS, "run-1"),
    "find": lambda jobs: jobs.find(JOB_ID),
    "active": lambda jobs: jobs.active(JobType.TWEETS),
    "all": lambda jobs: jobs.all(JobType.USERS),
    "cancel": lambda jobs: jobs.cancel(JOB_ID),
}
E = TypeVar("E", bound=ConnectorError)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; the body is what there was of it."""

    method: str
    target: str
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Partly:
    """Reads and keeps the head of a request and about so much of its body, and goes on with a script."""

    most_bytes: int
    then: Script


Answer = bytes | Partly | Script


class X:
    """Plays an answer to each connection that it takes, the last one again and again.

    Where it is bytes, the request is read whole first; a script reads for itself, and keeps nothing.
    """

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._peer = Peer(*map(self._script, answers))
        self.port = self._peer.port
        self.base_url = f"http://127.0.0.1:{self.port}"

    def _script(self, answer: Answer) -> Script:
        if isinstance(answer, bytes):
            return self._reading(Partly(sys.maxsize, lambda sock: sock.sendall(answer)))
        return self._reading(answer) if isinstance(answer, Partly) else answer

    def _reading(self, part: Partly) -> Script:
        def play(sock: socket.socket) -> None:
            data = bytearray()
            while not _is_enough(data, part.most_bytes) and (more := sock.recv(65536)):
                data += more
            self.requests.append(_request(bytes(data)))
            part.then(sock)

        return play

    def __enter__(self) -> Self:
        self._peer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._peer.__exit__(kind, error, trace)


def _is_enough(data: bytearray, most_bytes: int) -> bool:
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, max(end, 0))
    return end >= 0 and len(data) - end - 4 >= min(int(length[1]) if length else 0, most_bytes)


def _request(data: bytes) -> Request:
    head_, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head_.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    headers = [(name, value) for name, _, value in (each.partition(": ") for each in lines)]
    return Request(method, target, httpx.Headers(headers), body)


def answer(status: int, body: object = b"", *headers: tuple[str, str]) -> bytes:
    """Return an answer whose body has a length, without a date; what is not bytes becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(f"{status} -", ("Content-Length", str(len(content))), *headers, date=None) + content


def exchanged(name: str) -> bytes:
    """Return an answer with a token."""
    return answer(200, {"token_type": "bearer", "access_token": f"hush-exchanged-{name}-hush"})


def job_at(base_url: str, left_s: float | None = None) -> Job:
    """Return a job whose transfers are at an X; its upload expires so long from now."""
    expires_us = None if left_s is None else wall_us() + int(left_s * US_PER_S)
    up, down = (f"{base_url}{JOB_PATH}/{way}?token={URL_SECRET}" for way in ("upload", "download"))
    return Job(JOB_ID, "tweets", "created", None, None, Transfer(up, expires_us), Transfer(down, None))


def settings_for(base_url: str, **given: Any) -> XSettings:  # noqa: ANN401 - any setting
    """Return settings with a token that is secret."""
    return XSettings.model_validate({"base_url": base_url, "bearer_token": TOKEN} | given)


def impatient(settings: XSettings) -> XSettings:
    """Return the same with less patience than a setting may have: a test waits for its end."""
    return settings.model_copy(update={"connect_timeout_s": 0.2, "silence_timeout_s": 0.3})


@contextmanager
def batch_api(x: X, **given: Any) -> Iterator[BatchApi]:  # noqa: ANN401 - any setting
    """Give the way to an X."""
    with BatchApi(settings_for(x.base_url, **given)) as api:
        yield api


def error_of(kind: type[E], call: Callable[[], object]) -> E:
    """Return the error that a call raises, in which nothing is secret, however it is shown."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    shown = [str(caught.value), repr(caught.value), *caught.value.lines, *traceback.format_exception(caught.value)]
    assert "hush" not in "".join(shown).lower()
    assert all(line.isprintable() and len(line) < 600 for line in caught.value.lines)
    return caught.value


def error_of_call(name: str, *answers: Answer, **given: Any) -> CallFailedError:  # noqa: ANN401 - any setting
    """Return the error of one of `CALLS` to an X that answers so."""
    with X(*answers) as x, batch_api(x, **given) as api:
        return error_of(CallFailedError, lambda: CALLS[name](Jobs(api)))


def problem(status: int, title: str, detail: str, kind: str = "invalid-request") -> dict[str, object]:
    """Return a problem in X's words."""
    return {"title": title, "status": status, "detail": detail, "type": f"https://api.x.com/2/problems/{kind}"}
