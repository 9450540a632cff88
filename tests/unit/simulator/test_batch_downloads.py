"""Downloads that are not whole, not results, or not the truth: each on command, each counted as fired."""

import gzip
import time
from collections import Counter
from typing import get_args

import httpx
import msgspec
import pytest

from connector.simulator import Simulator
from connector.simulator.batch.faults import BatchDownload, BatchLines, BatchSlow, Download, Lines
from tests.unit.simulator.app import App, Json, lines, results_of
from tests.unit.simulator.reader import BEARER, new_client

_IDS = [str(number) for number in range(1_800_000_000_000_000_000, 1_800_000_000_000_000_020)]
_RAW = {"accept-encoding": "identity"}


@pytest.fixture
def job(sim: Simulator, app: App) -> Json:
    """Give a complete job of twenty deleted Tweets and one line that is no id."""
    for each in _IDS:
        body = {"tweet": {"id": each, "author_id": "12"}, "event_at": "2026-09-25T10:00:00Z"}
        sim.emit_line("tweet", 1, msgspec.json.encode({"data": {"delete": body}}), "event")
    return app.complete(lines(*_IDS, "no-id"))


@pytest.mark.parametrize("how", ["cut", "reset", "no-end", "long-length"])
def test_download_without_its_proper_end_is_noticed_by_http(sim: Simulator, app: App, job: Json, how: Download) -> None:
    """A length that is not reached, chunks without the last one, a reset."""
    sim.inject(BatchDownload(how=how))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        app.download(job)
    assert sim.fired == {"batch-download": 1}
    assert len(results_of(app.download(job))) == 21


@pytest.mark.parametrize("how", ["unframed-cut", "short-length"])
def test_download_can_be_short_of_lines_without_http_noticing(
    sim: Simulator, app: App, job: Json, how: Download
) -> None:
    """It ends with a line, and says nothing of the others."""
    sim.inject(BatchDownload(how=how))
    found = results_of(app.download(job))
    assert 0 < len(found) < 21
    assert found == results_of(app.download(job))[: len(found)]


def test_download_can_end_within_its_last_line(sim: Simulator, app: App, job: Json) -> None:
    """In its middle, or just before its end; the length is right."""
    whole = app.download(job).content
    for how, missing in (("last-line-cut", 18), ("last-line-open", 1)):
        sim.inject(BatchDownload(how=how))  # type: ignore[arg-type]
        assert app.download(job).content == whole[:-missing]


@pytest.mark.parametrize(("how", "kind"), [("html", "text/html"), ("problem", "application/problem+json")])
def test_download_can_be_no_results_with_200(sim: Simulator, app: App, job: Json, how: Download, kind: str) -> None:
    """A page, or a problem document whose status is another."""
    sim.inject(BatchDownload(how=how))
    answered = app.download(job)
    assert (answered.status_code, answered.headers["content-type"].partition(";")[0]) == (200, kind)
    assert b'"action"' not in answered.content


@pytest.mark.parametrize("how", ["blank-lines", "bom", "chunked", "crlf", "empty", "gzip-unlabelled", "unframed"])
def test_download_can_be_unusual(sim: Simulator, app: App, job: Json, how: Download) -> None:
    """Whole, but framed, coded or spelt as X may do it some day."""
    whole = app.download(job).content
    sim.inject(BatchDownload(how=how))
    answered = app.download(job)
    spelt = {
        "blank-lines": b"\n" + whole.replace(b"\n", b"\n \n"),
        "bom": b"\xef\xbb\xbf" + whole,
        "crlf": whole.replace(b"\n", b"\r\n"),
        "empty": b"",
    }
    if how == "gzip-unlabelled":
        assert gzip.decompress(answered.content) == whole
        assert "content-encoding" not in answered.headers
    else:
        assert answered.content == spelt.get(how, whole)
    assert ("content-length" in answered.headers) == (how not in {"chunked", "unframed"})


def test_download_can_be_gzip_unasked(sim: Simulator, app: App, job: Json) -> None:
    """With its header."""
    sim.inject(BatchDownload(how="gzip"))
    answered = app.download(job, BEARER | _RAW)
    assert answered.headers["content-encoding"] == "gzip"
    assert len(results_of(answered)) == 21


def test_download_can_be_gzip_that_is_cut(sim: Simulator, job: Json) -> None:
    """Framed properly: only what unpacks it can notice."""
    sim.inject(BatchDownload(how="gzip-cut"))
    with new_client() as client, client.stream("GET", job["download_url"], headers=BEARER) as answered:
        packed = b"".join(answered.iter_raw())
    assert int(answered.headers["content-length"]) == len(packed)
    with pytest.raises(EOFError):
        gzip.decompress(packed)


@pytest.mark.slow
def test_transfers_can_be_slow(sim: Simulator, app: App) -> None:
    """At that many bytes a second, in both directions."""
    sim.inject(BatchSlow(call="upload", bytes_per_second=1_000_000))
    sim.inject(BatchSlow(call="download", bytes_per_second=1_000_000))
    began_s = time.monotonic()
    job = app.complete(b"".join(b"no-id-%d\n" % number for number in range(10_000)))
    uploaded_s = time.monotonic()
    assert len(results_of(app.download(job))) == 10_000
    assert uploaded_s - began_s > 0.1
    assert time.monotonic() - uploaded_s > 0.4
    assert sim.fired == {"batch-slow": 2}


def test_download_without_lines_is_left_alone_by_what_needs_some(sim: Simulator, app: App) -> None:
    """Such faults wait, and are not counted; others act all the same."""
    empty = app.complete(lines("1"))
    for how in ("cut", "empty", "last-line-cut"):
        sim.inject(BatchDownload(how=how, job_type="tweets"))
    sim.inject(BatchLines(how="dropped", job_type="tweets"))
    assert app.download(empty).content == b""
    assert sim.status().armed == {"batch-download": 3, "batch-lines": 1}
    sim.inject(BatchDownload(how="html", job_type="tweets"))
    assert b"<html>" in app.download(empty).content
    assert sim.fired == {"batch-download": 1}


def test_every_way_to_spoil_a_download_changes_it(sim: Simulator, app: App, job: Json) -> None:
    """None of those that there are is forgotten."""
    whole = app.download(job)
    faults = [BatchDownload(how=how) for how in get_args(Download)] + [BatchLines(how=how) for how in get_args(Lines)]
    for fault in faults:
        sim.inject(fault)
        try:
            answered = app.download(job)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.DecodingError):
            continue
        assert (answered.content, _framing(answered)) != (whole.content, _framing(whole)), fault
    assert sim.fired.total() == len(faults)


def _framing(response: httpx.Response) -> set[tuple[str, str]]:
    names = {"content-length", "content-encoding", "transfer-encoding"}
    return {(name, value) for name, value in response.headers.items() if name in names}


def _changed(sim: Simulator, app: App, job: Json, fault: BatchLines) -> tuple[list[Json], list[Json]]:
    """Return what a download has that it should not, and what it lacks."""
    right = results_of(app.download(job))
    sim.inject(fault)
    wrong = results_of(app.download(job))
    assert sim.fired == {"batch-lines": 1}
    return [each for each in wrong if each not in right], [each for each in right if each not in wrong]


@pytest.mark.parametrize("how", ["shuffled", "doubled"])
def test_lines_can_be_the_same_in_another_way(sim: Simulator, app: App, job: Json, how: Lines) -> None:
    """In another order, or some of them twice."""
    right = app.download(job).content.splitlines()
    sim.inject(BatchLines(how=how, lines=3))
    wrong = app.download(job).content.splitlines()
    extra = Counter(wrong) - Counter(right)
    assert wrong != right
    assert sorted(extra.values()) == ([] if how == "shuffled" else [1, 1, 1])
    assert not Counter(right) - Counter(wrong)


def test_lines_can_be_dropped(sim: Simulator, app: App, job: Json) -> None:
    """That many, without a trace."""
    added, missing = _changed(sim, app, job, BatchLines(how="dropped", lines=2))
    assert (added, len(missing)) == ([], 2)


@pytest.mark.parametrize("how", ["changed", "contradicted"])
def test_lines_can_say_something_else(sim: Simulator, app: App, job: Json, how: Lines) -> None:
    """In place of the truth, or beside it."""
    added, missing = _changed(sim, app, job, BatchLines(how=how, lines=2))
    assert [(each["action"], each["reason"]) for each in added] == [("rehydrate", "changed")] * 2
    assert len(missing) == (2 if how == "changed" else 0)


def test_content_can_change_between_two_downloads(sim: Simulator, app: App, job: Json) -> None:
    """The first of each job is spared."""
    sim.inject(BatchLines(how="changed", after=1))
    first, second, third = (app.download(job).content for _ in range(3))
    assert first == third != second


def test_lines_can_be_about_ids_never_sent(sim: Simulator, app: App, job: Json) -> None:
    """As valid as any other."""
    added, missing = _changed(sim, app, job, BatchLines(how="foreign-id", lines=2))
    assert len({each["id"] for each in added} - set(_IDS)) == 2
    assert ({each["action"] for each in added}, missing) == ({"delete"}, [])


def test_lines_can_call_a_valid_id_invalid(sim: Simulator, app: App, job: Json) -> None:
    """In place of the truth."""
    added, missing = _changed(sim, app, job, BatchLines(how="valid-as-invalid"))
    assert added == [{"id": missing[0]["id"], "error": "invalid_id"}]


def test_lines_can_be_no_json(sim: Simulator, app: App, job: Json) -> None:
    """As when something on the way gives up."""
    sim.inject(BatchLines(how="garbage"))
    with pytest.raises(msgspec.DecodeError):
        results_of(app.download(job))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("unknown-action", {"action": "quarantine", "reason": "unheard_of"}),
        ("null-action", {"action": None}),
        ("null-members", {"created_at": None, "redacted_at": None, "reason": None}),
        ("old-reasons", {"reason": "bounced"}),
    ],
)
def test_members_can_have_other_values(sim: Simulator, app: App, job: Json, how: Lines, expected: Json) -> None:
    """The others are as before."""
    (wrong,), (right,) = _changed(sim, app, job, BatchLines(how=how))
    assert wrong == right | expected


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("missing-action", {"action"}),
        ("missing-members", {"created_at", "redacted_at", "reason"}),
        ("deleted-at", {"redacted_at", "deleted_at"}),
        ("extra-members", {"severity", "labels"}),
        ("long", {"note"}),
    ],
)
def test_members_can_be_missing_or_others(sim: Simulator, app: App, job: Json, how: Lines, names: set[str]) -> None:
    """Those that are there are as before."""
    (wrong,), (right,) = _changed(sim, app, job, BatchLines(how=how))
    assert wrong.keys() ^ right.keys() == names
    assert all(wrong[name] == right[name] for name in wrong.keys() & right.keys())
    assert (len(msgspec.json.encode(wrong)) > 65_536) == (how == "long")


def test_id_can_be_a_number(sim: Simulator, app: App, job: Json) -> None:
    """The same one."""
    (wrong,), (right,) = _changed(sim, app, job, BatchLines(how="number-id"))
    assert wrong == right | {"id": int(right["id"])}
