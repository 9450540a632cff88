"""The transfers of a batch job: how ids go up, and what either way does where X refuses, is slow, or ends too soon."""

import dataclasses
import os
import select
import socket
import threading
import time
from pathlib import Path
from urllib.parse import unquote_plus

import pytest

from connector.events.times import US_PER_S
from connector.x.batch_api import BatchApi, CallFailedError, Job, Transfer
from connector.x.jobs import Jobs
from connector.x.transfers import Transfers
from tests.rig.peer import Script, dripping, head, then_reset, then_silent
from tests.rig.process import wait_until
from tests.unit.x.recorded import (
    JOB_ID,
    JOB_PATH,
    KEYS,
    TOKEN,
    URL_SECRET,
    Answer,
    Partly,
    X,
    answer,
    batch_api,
    error_of,
    exchanged,
    impatient,
    job_at,
    problem,
    settings_for,
)

_MIB = 1024 * 1024


def _ids(folder: Path, size_bytes: int) -> Path:
    """Return a file of that size with ids."""
    file = folder / "ids"
    file.write_bytes((b"1830000000000000042\n" * (size_bytes // 20 + 1))[:size_bytes])
    return file


def _upload_error(ids: Path, *answers: Answer, left_s: float | None = None) -> CallFailedError:
    with X(*answers) as x, BatchApi(impatient(settings_for(x.base_url))) as api:
        return error_of(CallFailedError, lambda: Transfers(api).upload(job_at(x.base_url, left_s), ids))


def _download_error(target: Path, *answers: Answer) -> CallFailedError:
    with X(*answers) as x, BatchApi(impatient(settings_for(x.base_url))) as api:
        return error_of(CallFailedError, lambda: Transfers(api).download(job_at(x.base_url), target))


@pytest.mark.parametrize("size_bytes", [0, 1, 5 * _MIB, 5 * _MIB + 1])
def test_upload_sends_the_file_as_plain_text_with_length_and_token(tmp_path: Path, size_bytes: int) -> None:
    """And nothing that X has not asked for."""
    ids = _ids(tmp_path, size_bytes)
    told: list[int] = []
    with X(answer(200, {"data": {"id": JOB_ID}})) as x, batch_api(x) as api:
        Transfers(api).upload(job_at(x.base_url), ids, told.append)
    [request] = x.requests
    assert (request.method, request.target) == ("PUT", f"{JOB_PATH}/upload?token={URL_SECRET}")
    assert request.body == ids.read_bytes()
    assert dict(request.headers) == {
        "host": f"127.0.0.1:{x.port}",
        "user-agent": request.headers["user-agent"],
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "text/plain",
        "content-length": str(size_bytes),
        "authorization": f"Bearer {TOKEN}",
    }
    assert told == sorted(set(told))
    assert told[-1:] == ([size_bytes] if size_bytes else [])


_REFUSALS = {
    302: b"",
    400: problem(400, "Invalid Request", "empty"),
    401: problem(401, "Unauthorized", f"the token {URL_SECRET} is of no use", "unauthorized"),
    403: problem(403, "Forbidden", f"{JOB_PATH}/upload?token={URL_SECRET} has expired", "client-forbidden"),
    404: b"",
    409: problem(409, "Conflict", "already uploaded", "conflict"),
    413: b"<html>Too Large",
    429: b"",
    503: b"",
}


@pytest.mark.slow
@pytest.mark.parametrize("status", _REFUSALS)
def test_transfer_that_x_refuses_is_an_error_with_its_status(tmp_path: Path, status: int) -> None:
    """X may repeat the URL, or the token in it."""
    refused = answer(status, _REFUSALS[status])
    target = tmp_path / "results"
    for error in (_upload_error(_ids(tmp_path, 20), refused), _download_error(target, refused)):
        assert (error.status, str(error).partition(":")[0]) == (status, f"HTTP {status}")
        assert error.at_least_s == (60 if status == 429 else 0)
    assert not target.exists()


@pytest.mark.parametrize(
    "form", [URL_SECRET, URL_SECRET.replace("%2B", "+"), unquote_plus(URL_SECRET), URL_SECRET.upper()]
)
def test_secret_of_a_url_is_shown_in_no_form(tmp_path: Path, form: str) -> None:
    """As it is in the URL, percent-decoded, or as a form has it."""
    refused = answer(403, problem(403, "Forbidden", f"no such token: {form}"))
    for error in (_upload_error(_ids(tmp_path, 20), refused), _download_error(tmp_path / "results", refused)):
        assert str(error) == "HTTP 403: no such token: [secret]"


@pytest.mark.parametrize("end", [lambda _: None, then_reset(lambda _: None)], ids=["closed", "reset"])
@pytest.mark.parametrize("read_bytes", [0, _MIB])
def test_upload_that_x_refuses_while_it_is_sent_is_refused(tmp_path: Path, end: Script, read_bytes: int) -> None:
    """X need not read 128 MB to find them too many."""

    def refuse(sock: socket.socket) -> None:
        sock.sendall(answer(413, problem(413, "Payload Too Large", "at most 128 MB")))
        end(sock)

    error = _upload_error(_ids(tmp_path, 16 * _MIB), Partly(read_bytes, refuse))
    assert (error.status, str(error)) == (413, "HTTP 413: at most 128 MB")


def test_upload_that_x_accepts_before_it_is_sent_fails(tmp_path: Path) -> None:
    """About ids that X does not have it says nothing, and that would look like clean ones."""
    error = _upload_error(_ids(tmp_path, 16 * _MIB), Partly(_MIB, lambda sock: sock.sendall(answer(200, {"data": {}}))))
    assert (error.status, str(error)) == (200, "X answered before the upload was complete")


@pytest.mark.parametrize("end", [lambda _: None, then_reset(lambda _: None)], ids=["closed", "reset"])
@pytest.mark.parametrize("size_bytes", [20, 16 * _MIB])
def test_upload_that_is_cut_has_no_status(tmp_path: Path, end: Script, size_bytes: int) -> None:
    """At half, or once all of it was sent."""
    error = _upload_error(_ids(tmp_path, size_bytes), Partly(size_bytes // 2, end))
    assert (error.status, error.exit_code) == (None, os.EX_UNAVAILABLE)


def _take_nothing(sock: socket.socket) -> None:
    """Neither read nor say anything until the connection is over."""
    poller = select.poll()
    poller.register(sock, select.POLLHUP)
    poller.poll(30_000)


@pytest.mark.slow
@pytest.mark.parametrize("left_s", [None, 30, 0, -3600])
def test_upload_to_an_x_that_takes_nothing_ends_in_bounded_time(tmp_path: Path, left_s: float | None) -> None:
    """In its window, and after it."""
    began_s = time.monotonic()
    error = _upload_error(_ids(tmp_path, 16 * _MIB), Partly(_MIB, _take_nothing), left_s=left_s)
    assert time.monotonic() - began_s < 5
    assert (error.status, str(error).partition(":")[0]) == (None, "WriteTimeout")


def _crawl(sock: socket.socket) -> None:
    """Take a bit, again and again."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    while sock.recv(4096):
        threading.Event().wait(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size_bytes", "script", "kind"),
    [
        (20, dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause_s=0.05), "ReadTimeout"),
        (64 * _MIB, _crawl, "WriteTimeout"),
    ],
)
def test_upload_to_a_slow_x_ends_with_its_window(tmp_path: Path, size_bytes: int, script: Script, kind: str) -> None:
    """However often X takes a bit, or says a bit."""
    ids = _ids(tmp_path, size_bytes)
    began_s = time.monotonic()
    with X(script) as x, batch_api(x) as api:
        error = error_of(CallFailedError, lambda: Transfers(api).upload(job_at(x.base_url, 0.0), ids))
    assert 0.9 < time.monotonic() - began_s < 5
    assert (error.status, str(error).partition(":")[0]) == (None, kind)


@pytest.mark.slow
def test_window_of_an_upload_is_reckoned_by_the_clock_of_x(tmp_path: Path) -> None:
    """Ours may be a day behind."""
    dated = head("204 -", ("Content-Length", "0"), date="Fri, 25 Sep 2026 10:14:59 GMT")
    expires_us = 1_790_331_300 * US_PER_S
    with X(dated, then_silent(lambda _: None)) as x, batch_api(x) as api:
        Jobs(api).cancel(JOB_ID)
        job = dataclasses.replace(job_at(x.base_url), upload=Transfer(f"{x.base_url}{JOB_PATH}/upload", expires_us))
        began_s = time.monotonic()
        error_of(CallFailedError, lambda: Transfers(api).upload(job, _ids(tmp_path, 20)))
    assert time.monotonic() - began_s < 5


def test_file_that_becomes_shorter_while_it_is_sent_is_no_upload(tmp_path: Path) -> None:
    """Its length was sent already, and X waits for the rest."""
    ids = _ids(tmp_path, 8 * _MIB)
    with X(answer(200)) as x, batch_api(x) as api:
        transfers, job = Transfers(api), job_at(x.base_url)
        error = error_of(CallFailedError, lambda: transfers.upload(job, ids, lambda _: os.truncate(ids, _MIB)))
        wait_until(lambda: bool(x.requests), "X has read what came")
    assert str(error) == "the file with the ids became shorter while it was sent"
    assert len(x.requests[0].body) < 8 * _MIB


def test_file_that_becomes_longer_while_it_is_sent_is_sent_as_it_was(tmp_path: Path) -> None:
    """Its length is sent first."""
    ids = _ids(tmp_path, 8 * _MIB)
    with X(answer(200)) as x, batch_api(x) as api:
        Transfers(api).upload(job_at(x.base_url), ids, lambda _: os.truncate(ids, 9 * _MIB))
    assert x.requests[0].body == ids.read_bytes()[: 8 * _MIB]


def test_transfer_of_a_job_without_urls_is_an_error(tmp_path: Path) -> None:
    """X need not name them."""
    job = Job(JOB_ID, "tweets", "created", None, None, None, None)
    with X(answer(200)) as x, batch_api(x) as api:
        error_of(CallFailedError, lambda: Transfers(api).upload(job, _ids(tmp_path, 20)))
        error_of(CallFailedError, lambda: Transfers(api).download(job, tmp_path / "results"))
    assert x.requests == []


def test_file_that_is_not_there_is_the_system_s_error(tmp_path: Path) -> None:
    """X is not asked, and trying again is of no use."""
    with X(answer(200)) as x, batch_api(x) as api:
        with pytest.raises(FileNotFoundError):
            Transfers(api).upload(job_at(x.base_url), tmp_path / "none")
        with pytest.raises(FileNotFoundError):
            Transfers(api).download(job_at(x.base_url), tmp_path / "none" / "results")


# --- the token


def test_exchanged_token_that_a_transfer_shows_to_be_invalid_is_exchanged_again(tmp_path: Path) -> None:
    """For the next one."""
    answers = (exchanged("one"), answer(401), exchanged("two"), answer(200), answer(200))
    with X(*answers) as x, batch_api(x, **KEYS) as api:
        transfers, job, ids = Transfers(api), job_at(x.base_url), _ids(tmp_path, 20)
        assert error_of(CallFailedError, lambda: transfers.upload(job, ids)).status == 401
        transfers.upload(job, ids)
        transfers.download(job, tmp_path / "results")
    sent = [request.headers["authorization"] for request in x.requests if request.target.startswith(JOB_PATH)]
    assert sent == [f"Bearer hush-exchanged-{name}-hush" for name in ("one", "two", "two")]


@pytest.mark.slow
def test_exchange_for_a_transfer_ends_in_bounded_time(tmp_path: Path) -> None:
    """However often X says a bit."""
    drip = dripping(head("200 OK", ("Content-Length", "9999")), b" ", pause_s=0.05)
    with X(drip) as x, BatchApi(impatient(settings_for(x.base_url, **KEYS))) as api:
        transfers, job = Transfers(api), job_at(x.base_url, 0.0)
        for error in (
            error_of(CallFailedError, lambda: transfers.upload(job, _ids(tmp_path, 20))),
            error_of(CallFailedError, lambda: transfers.download(job, tmp_path / "results")),
        ):
            assert (error.status, str(error).partition(":")[0]) == (None, "ReadTimeout")
