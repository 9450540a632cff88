"""Batch compliance's transfers: who may send ids and fetch results, when, and how; both generations."""

from collections.abc import Iterator

import httpx
import pytest

from connector.simulator import Simulator, SimulatorConfig
from tests.unit.simulator.app import JOBS, TEXT, App, lines, results_of
from tests.unit.simulator.reader import BEARER, ask, new_client

_WRONG = {"authorization": "Bearer wrong"}


@pytest.fixture
def presigned() -> Iterator[Simulator]:
    """Run a simulator whose transfers are those of X's storage."""
    with Simulator(SimulatorConfig(batch_transfers="presigned")) as simulator:
        yield simulator


def test_upload_answers_the_job_and_starts_it(sim: Simulator, app: App) -> None:
    """The ids count, blank lines do not."""
    job = app.created(name="mine")
    answered = app.upload(job, b"1\r\n\n 2\nthree").json()["data"]
    assert (answered["id"], answered["name"], answered["status"]) == (job["id"], "mine", "in_progress")
    assert [view.ids for view in sim.jobs.snapshot()] == [3]


def test_upload_comes_once(app: App) -> None:
    """A job that has its ids, or that was cancelled, takes none."""
    job = app.created()
    assert app.upload(job, lines("1")).status_code == 200
    assert app.upload(job, lines("1", "2")).status_code == 409
    app.cancel(job)
    cancelled = app.created()
    app.cancel(cancelled)
    assert app.upload(cancelled, lines("1")).status_code == 409


@pytest.mark.parametrize("transfer", ["upload", "download"])
def test_transfer_needs_the_token_of_the_app_and_that_of_the_url(app: App, transfer: str) -> None:
    """401 without either, 403 with the token of the other URL; the job waits on."""
    job = app.created()
    send = app.upload if transfer == "upload" else lambda job, _ids, headers: app.download(job, headers)
    other = job["download_url" if transfer == "upload" else "upload_url"].partition("?")[2]
    url = job[f"{transfer}_url"]
    path = url.partition("?")[0]
    with_url = {name: {f"{transfer}_url": f"{path}?{query}"} for name, query in (("none", ""), ("other", other))}
    assert send(job, b"", TEXT).status_code == 401
    assert send(job, b"", TEXT | _WRONG).status_code == 401
    assert send(with_url["none"], b"", TEXT | BEARER).status_code == 401
    assert send(with_url["other"], b"", TEXT | BEARER).status_code == 403
    assert app.status(job) == "created"


def test_token_of_another_jobs_url_is_not_taken(app: App) -> None:
    """A token is for one path."""
    job, other = app.created(), app.created(type="users")
    url = other["upload_url"].partition("?")[0] + "?" + job["upload_url"].partition("?")[2]
    assert app.upload({"upload_url": url}, b"").status_code == 401


def test_urls_expire_by_the_clock(sim: Simulator, app: App) -> None:
    """The upload's after 15 minutes, the download's after 7 days: 403 from then on."""
    job = app.complete(b"")
    sim.advance(7 * 86_400 - 60)
    assert app.download(job).status_code == 200
    sim.advance(60)
    assert (app.download(job).status_code, app.status(job)) == (403, "complete")
    late = app.created()
    sim.advance(900)
    assert app.upload(late, b"").status_code == 403


def test_upload_above_the_limit_answers_413_and_may_be_repeated() -> None:
    """The limit is a setting; at the limit it is taken."""
    with Simulator(SimulatorConfig(batch_limit_bytes=1000)) as sim:
        app = App(sim)
        job = app.created()
        assert app.upload(job, b"1" * 1001).status_code == 413
        assert app.upload(job, b"1\n" * 500).status_code == 200


def test_upload_is_taken_up_to_128_million_bytes(sim: Simulator) -> None:
    """As X documents it."""
    assert sim.config.batch_limit_bytes == 128_000_000


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/csv"}, {"content-type": "text/plain; charset=utf-8"}])
def test_upload_of_another_type_answers_400(app: App, headers: dict[str, str]) -> None:
    """X's guide has `text/plain`, and a length."""
    job = app.created()
    assert app.upload(job, b"1", BEARER | headers).status_code == 400
    with new_client() as client:
        assert client.put(job["upload_url"], content=iter([b"1"]), headers=BEARER | TEXT).status_code == 400


def test_download_before_the_job_is_complete_answers_404(app: App) -> None:
    """There are no results yet, nor will there be of a job that was cancelled."""
    job = app.created()
    assert app.download(job).status_code == 404
    app.upload(job, b"")
    assert app.download(job).status_code == 404
    app.cancel(job)
    assert app.download(job).status_code == 404


def test_download_is_the_same_each_time_and_counted(sim: Simulator, app: App) -> None:
    """It may be fetched as often as one likes."""
    job = app.complete(lines("no-id", "1", "no-id", "worse"))
    first, second = app.download(job), app.download(job)
    assert first.content == second.content
    assert results_of(first) == [{"id": each, "error": "invalid_id"} for each in ("no-id", "worse")]
    assert int(first.headers["content-length"]) == len(first.content)
    assert [view.downloads for view in sim.jobs.snapshot()] == [2]


def test_urls_lead_to_the_host_that_was_asked(sim: Simulator) -> None:
    """As a client in another container knows it."""
    port = sim.base_url.rpartition(":")[2]
    created = ask(sim, "POST", JOBS, headers=BEARER | {"host": f"x:{port}"}, content=b'{"type":"users"}')
    assert created.json()["data"]["upload_url"].startswith(f"http://x:{port}{JOBS}/")


def test_presigned_transfers_go_to_a_port_of_their_own_without_the_token(presigned: Simulator) -> None:
    """The whole way of a job; X's own port has no transfers then."""
    app = App(presigned, transfer_headers={})
    assert app.results(b"no-id\n") == [{"id": "no-id", "error": "invalid_id"}]
    transfers = [request for request in presigned.requests if request.origin == "storage"]
    assert [(request.method, request.status, request.has_authorization) for request in transfers] == [
        ("PUT", 200, False),
        ("GET", 200, False),
    ]
    (job,) = app.listed().json()["data"]
    assert job["upload_url"].startswith(presigned.origins["storage"])
    assert ask(presigned, "PUT", f"{JOBS}/{job['id']}/upload", headers=BEARER).status_code == 404


@pytest.mark.parametrize("headers", [BEARER | TEXT, {"authorization": "Basic abc"} | TEXT])
def test_presigned_transfer_with_any_authorization_answers_400(presigned: Simulator, headers: dict[str, str]) -> None:
    """Storage takes one way to prove who one is."""
    app = App(presigned)
    job = app.created()
    assert app.upload(job, b"", headers).status_code == 400
    assert "InvalidArgument" in app.download(job, headers).text
    assert app.status(job) == "created"


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain; charset=utf-8"}, {"content-type": "text/csv"}])
def test_presigned_upload_is_signed_for_exactly_plain_text(presigned: Simulator, headers: dict[str, str]) -> None:
    """Any other type is not what was signed: 403."""
    app = App(presigned)
    job = app.created()
    answered = app.upload(job, b"", headers)
    assert (answered.status_code, "SignatureDoesNotMatch" in answered.text) == (403, True)
    unsigned = {"upload_url": job["upload_url"][:-1]}
    assert app.upload(unsigned, b"", TEXT).status_code == 403
    assert app.upload(job, b"", TEXT).status_code == 200
    presigned.advance(900)
    assert "ExpiredToken" in app.upload(job, b"", TEXT).text


def test_port_of_storage_that_is_taken_starts_nothing(presigned: Simulator) -> None:
    """The other ports are closed again."""
    taken = int(presigned.origins["storage"].rpartition(":")[2])
    second = Simulator(SimulatorConfig(batch_transfers="presigned", storage_port=taken))
    with pytest.raises(OSError, match="in use"):
        second.start()
    with new_client() as client, pytest.raises(httpx.ConnectError):
        client.get(second.origins["api"])


def test_presigned_port_serves_nothing_else(presigned: Simulator) -> None:
    """Neither calls nor streams nor control."""
    with new_client() as client:
        for path in (JOBS, "/2/likes/compliance/stream", "/control/status"):
            assert client.get(presigned.origins["storage"] + path, headers=BEARER).status_code == 404


def test_requests_tell_who_sent_a_token_where_without_the_secrets_of_urls(sim: Simulator, app: App) -> None:
    """In the library, and over HTTP without headers and queries."""
    job = app.created()
    app.upload(job, b"", TEXT)
    app.upload(job, b"")
    secret = job["upload_url"].partition("token=")[2]
    assert secret not in str([(request.path, request.query) for request in sim.requests])
    asked = ask(sim, "GET", "/control/requests")
    assert secret not in asked.text
    assert "simulator-token" not in asked.text
    told = [
        (each["origin"], each["method"], each["path"].rpartition("/")[2], each["status"], each["has_authorization"])
        for each in results_of(asked)
    ]
    assert told == [
        ("api", "POST", "jobs", 200, True),
        ("api", "PUT", "upload", 401, False),
        ("api", "PUT", "upload", 200, True),
    ]
