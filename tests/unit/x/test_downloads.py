"""The results of a batch job on their way down: what is believed to be whole, and what becomes a file."""

import gzip
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from connector.x.batch_api import BatchApi, CallFailedError
from connector.x.transfers import Transfers
from tests.rig.peer import CHUNKED, LAST_CHUNK, Script, chunk, head, sending, then_reset, then_silent
from tests.unit.batch.disk import largest_file
from tests.unit.x.recorded import (
    JOB_PATH,
    TOKEN,
    URL_SECRET,
    Answer,
    Partly,
    X,
    answer,
    batch_api,
    error_of,
    impatient,
    job_at,
    problem,
    settings_for,
)

_RESULTS = b'{"id":"1","action":"delete","reason":"deleted","created_at":null,"redacted_at":null}\n' * 2000
_GZIP = gzip.compress(_RESULTS)


def _download_error(target: Path, *answers: Answer) -> CallFailedError:
    with X(*answers) as x, BatchApi(impatient(settings_for(x.base_url))) as api:
        return error_of(CallFailedError, lambda: Transfers(api).download(job_at(x.base_url), target))


def _results(*headers: tuple[str, str]) -> bytes:
    return head("200 OK", ("Content-Type", "application/x-ndjson"), *headers, date=None)


def _length(size_bytes: int) -> tuple[str, str]:
    return "Content-Length", str(size_bytes)


_AS_GZIP = ("Content-Encoding", "gzip")
_CHUNKS = b"".join(chunk(_RESULTS[at : at + 1000]) for at in range(0, len(_RESULTS), 1000))

_WHOLE = {
    "length": _results(_length(len(_RESULTS))) + _RESULTS,
    "chunked": _results(*CHUNKED) + _CHUNKS + LAST_CHUNK,
    "gzip": _results(_length(len(_GZIP)), _AS_GZIP) + _GZIP,
    "gzip-chunked": _results(*CHUNKED, _AS_GZIP) + chunk(_GZIP[:99]) + chunk(_GZIP[99:]) + LAST_CHUNK,
    "gzip-members": _results(_length(2 * len(_GZIP)), ("Content-Encoding", "x-gzip")) + _GZIP + _GZIP,
    "identity": _results(_length(len(_RESULTS)), ("Content-Encoding", "identity")) + _RESULTS,
    "no-type": head("200 OK", _length(len(_RESULTS))) + _RESULTS,
    "text": head("200 OK", ("Content-Type", "text/plain"), _length(len(_RESULTS))) + _RESULTS,
}


@pytest.mark.parametrize("form", _WHOLE)
def test_download_that_is_whole_is_a_file_for_us_alone(tmp_path: Path, form: str) -> None:
    """In the place of any other; compressed or not, with a length or in chunks."""
    target = tmp_path / "results"
    target.write_bytes(b"older")
    target.chmod(0o644)
    told: list[int] = []
    with X(_WHOLE[form]) as x, batch_api(x) as api:
        Transfers(api).download(job_at(x.base_url), target, told.append)
    assert target.read_bytes() == _RESULTS * (2 if form == "gzip-members" else 1)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    [request] = x.requests
    assert (request.method, request.target) == ("GET", f"{JOB_PATH}/download?token={URL_SECRET}")
    assert (request.headers["authorization"], request.headers["accept-encoding"]) == (f"Bearer {TOKEN}", "gzip")
    assert told == sorted(told)
    assert told[-1] == len(_WHOLE[form].partition(b"\r\n\r\n")[2]) or "chunked" in form


@pytest.mark.parametrize("answered", [_results(_length(0)), _results(*CHUNKED) + LAST_CHUNK], ids=["length", "chunked"])
def test_download_of_nothing_is_an_empty_file(tmp_path: Path, answered: bytes) -> None:
    """No result at all means that every id is clean."""
    with X(answered) as x, batch_api(x) as api:
        Transfers(api).download(job_at(x.base_url), tmp_path / "results")
    assert (tmp_path / "results").read_bytes() == b""


def test_download_ends_where_its_length_says(tmp_path: Path) -> None:
    """What follows belongs to nothing; that a line is cut is for others to see."""
    with X(_results(_length(99)) + _RESULTS) as x, batch_api(x) as api:
        Transfers(api).download(job_at(x.base_url), tmp_path / "results")
    assert (tmp_path / "results").read_bytes() == _RESULTS[:99]


def test_download_in_place_of_a_link_leaves_what_it_points_to(tmp_path: Path) -> None:
    """Nothing is written through it."""
    other, target = tmp_path / "other", tmp_path / "results"
    other.write_bytes(b"other")
    target.symlink_to(other)
    with X(_WHOLE["length"]) as x, batch_api(x) as api:
        Transfers(api).download(job_at(x.base_url), target)
    assert (other.read_bytes(), target.is_symlink()) == (b"other", False)


_NOT_WHOLE = {
    "cut": _results(_length(len(_RESULTS))) + _RESULTS[:-1],
    "long": _results(_length(len(_RESULTS) + 1)) + _RESULTS,
    "two-lengths": _results(_length(len(_RESULTS)), _length(len(_RESULTS) + 1)) + _RESULTS,
    "no-length": _results() + _RESULTS,
    "no-last-chunk": _results(*CHUNKED) + _CHUNKS,
    "in-a-chunk": _results(*CHUNKED) + _CHUNKS[:-9],
    "no-chunk": _results(*CHUNKED) + _RESULTS,
    "gzip-cut": _results(_length(len(_GZIP) - 9), _AS_GZIP) + _GZIP[:-9],
    "gzip-corrupt": _results(_length(len(_GZIP)), _AS_GZIP) + _GZIP[:-9] + b"x" * 9,
    "gzip-and-more": _results(_length(len(_GZIP) + 4), _AS_GZIP) + _GZIP + b"hush",
    "gzip-none": _results(_length(len(_RESULTS)), _AS_GZIP) + _RESULTS,
    "gzip-twice": _results(_length(len(_GZIP)), ("Content-Encoding", "gzip, gzip")) + _GZIP,
    "br": _results(_length(len(_RESULTS)), ("Content-Encoding", "br")) + _RESULTS,
    "html": answer(200, b"<html>", ("Content-Type", "Text/HTML; charset=utf-8")),
    "problem": answer(200, problem(200, "t", "d"), ("Content-Type", "application/problem+json")),
    "no-content": answer(204),
    "partial": answer(206, _RESULTS, ("Content-Type", "application/x-ndjson")),
    "nothing": b"",
}


@pytest.mark.slow
@pytest.mark.parametrize("end", [lambda _: None, then_reset(lambda _: None)], ids=["closed", "reset"])
@pytest.mark.parametrize("form", _NOT_WHOLE)
def test_download_that_is_not_whole_leaves_no_file(tmp_path: Path, form: str, end: Script) -> None:
    """Nor does what is no results: an intermediary's page, and a problem."""

    def play(sock: socket.socket) -> None:
        sock.sendall(_NOT_WHOLE[form])
        end(sock)

    error = _download_error(tmp_path / "results", Partly(0, play))
    assert error.exit_code == os.EX_UNAVAILABLE
    assert list(tmp_path.iterdir()) == []


def test_download_of_a_page_says_how_it_begins(tmp_path: Path) -> None:
    """That is what tells whose it is."""
    page = answer(200, b"<html>\n<h1>Proxy\x1b[0m</h1>", ("Content-Type", "text/html"))
    error = _download_error(tmp_path / "results", page)
    assert str(error) == "not results but text/html, which begins: <html> <h1>Proxy [0m</h1>"


@pytest.mark.slow
def test_download_may_take_longer_than_an_attempt_as_long_as_it_flows(tmp_path: Path) -> None:
    """It has no limit of its own."""
    target = tmp_path / "results"
    trickle = sending(_results(_length(10)), *[b"\n"] * 10, pause_s=0.1)
    with X(trickle) as x, BatchApi(impatient(settings_for(x.base_url))) as api:
        Transfers(api).download(job_at(x.base_url), target)
    assert target.read_bytes() == b"\n" * 10


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", _results(_length(99)), _results(_length(99)) + b"{"])
def test_download_that_falls_silent_ends_in_bounded_time(tmp_path: Path, begun: bytes) -> None:
    """Before the head of the answer, and within its body."""
    began_s = time.monotonic()
    error = _download_error(tmp_path / "results", Partly(0, then_silent(lambda sock: sock.sendall(begun))))
    assert time.monotonic() - began_s < 5
    assert (error.status, str(error).partition(":")[0]) == (None, "ReadTimeout")
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_full_is_the_system_s_error_and_leaves_no_file(tmp_path: Path) -> None:
    """To ask X again would not help."""
    with (
        X(_WHOLE["length"]) as x,
        batch_api(x) as api,
        largest_file(100_000),
        pytest.raises(OSError, match="too large"),
    ):
        Transfers(api).download(job_at(x.base_url), tmp_path / "results")
    assert list(tmp_path.iterdir()) == []
