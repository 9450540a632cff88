"""Batch compliance's calls: creating, looking up, listing and cancelling a job, as X does."""

from datetime import datetime

import httpx
import pytest

from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.clock import NANOS
from tests.unit.simulator.app import JOBS, App, Json, lines
from tests.unit.simulator.reader import BEARER, ask

_PROBLEM = "application/problem+json"
_DAY_S = 86_400


def _problem(response: httpx.Response) -> int:
    """Return the status of an answer that is a problem document and says so."""
    assert response.headers["content-type"] == _PROBLEM
    body = response.json()
    assert body["status"] == response.status_code
    assert body.keys() == {"title", "type", "status", "detail"}
    return response.status_code


def _seconds(job: Json, name: str) -> float:
    return (datetime.fromisoformat(job[name]) - datetime.fromisoformat(job["created_at"])).total_seconds()


def test_create_answers_the_job_with_urls_and_windows(sim: Simulator, app: App) -> None:
    """15 minutes for the upload and 7 days for the download, from the creation by the simulator's clock."""
    sim.advance(3600)
    job = app.created(name="n" * 64)
    assert (job["status"], job["type"], job["name"]) == ("created", "tweets", "n" * 64)
    assert abs(datetime.fromisoformat(job["created_at"]).timestamp() - sim.clock.now_ns() / NANOS) < 5
    assert (_seconds(job, "upload_expires_at"), _seconds(job, "download_expires_at")) == (900, 7 * _DAY_S)
    for transfer in ("upload", "download"):
        assert job[f"{transfer}_url"].startswith(f"{sim.base_url}{JOBS}/{job['id']}/{transfer}?token=")
    assert job["upload_url"].partition("=")[2] != job["download_url"].partition("=")[2]


def test_job_without_a_name_shows_none(app: App) -> None:
    """The member is missing, in the list too."""
    job = app.created()
    assert "name" not in job
    assert app.listed().json() == {"data": [job], "meta": {"result_count": 1}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"likes"}',
        b"{}",
        b'{"type":"tweets","resumable":false}',
        b'{"type":"tweets","name":"%b"}' % (b"n" * 65),
        b'{"type":"tweets","name":null}',
        b'{"type":"tweets","priority":1}',
        b'["tweets"]',
        b"type=tweets",
        b"",
    ],
)
def test_create_of_anything_else_answers_400(sim: Simulator, app: App, body: bytes) -> None:
    """A wrong type or name, a member that X refuses or does not know, no JSON."""
    assert _problem(app.ask("POST", JOBS, body)) == 400
    assert sim.jobs.snapshot() == []


def test_second_active_job_of_a_type_answers_409(app: App) -> None:
    """Waiting for its upload or processed; one of the other type goes beside it."""
    job = app.created()
    assert _problem(app.create()) == 409
    app.created(type="users")
    assert app.upload(job, b"").status_code == 200
    assert app.status(job) == "in_progress"
    assert _problem(app.create()) == 409


def test_job_is_complete_after_the_time_that_it_takes() -> None:
    """Simulated seconds, a setting; then its slot is free."""
    with Simulator(SimulatorConfig(batch_job_s=600.0)) as sim:
        app = App(sim)
        job = app.created()
        app.upload(job, lines("1"))
        sim.advance(590)
        assert app.status(job) == "in_progress"
        sim.advance(10)
        assert app.status(job) == "complete"
        app.created()


def test_job_without_its_upload_expires_with_the_window(sim: Simulator, app: App) -> None:
    """Its slot is free, and a job that got its ids in time goes on."""
    late, in_time = app.created(), app.created(type="users")
    app.upload(in_time, b"")
    sim.advance(900)
    assert (app.status(late), app.status(in_time)) == ("expired", "complete")
    app.created()


def test_list_is_by_type_and_status_the_newest_first(sim: Simulator, app: App) -> None:
    """Without any, there is no `data`."""
    first = app.created()
    app.cancel(first)
    sim.advance(1)
    second = app.created()
    app.created(type="users")
    assert [job["id"] for job in app.listed().json()["data"]] == [second["id"], first["id"]]
    assert [job["id"] for job in app.listed(status="failed").json()["data"]] == [first["id"]]
    assert app.listed(status="complete").json() == {"meta": {"result_count": 0}}


@pytest.mark.parametrize("query", [{"type": "likes"}, {"status": "expired"}, {"max_results": "5"}])
def test_list_of_anything_else_answers_400(app: App, query: dict[str, str]) -> None:
    """X's filter has no `expired`."""
    assert _problem(app.listed(**query)) == 400
    assert _problem(app.ask("GET", JOBS)) == 400


def test_cancel_makes_a_job_failed_and_frees_its_slot(app: App) -> None:
    """Be it waiting for its upload or processed; one that has ended answers 409, and one that never was 404."""
    for ids in (None, b""):
        job = app.created()
        assert ids is None or app.upload(job, ids).status_code == 200
        assert app.cancel(job).json()["data"]["status"] == "failed"
        assert app.status(job) == "failed"
        assert _problem(app.cancel(job)) == 409
    unknown: Json = {"id": "7"}
    assert (_problem(app.cancel(unknown)), _problem(app.get(unknown))) == (404, 404)


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic abc"}])
def test_calls_without_the_token_answer_401(sim: Simulator, app: App, headers: dict[str, str]) -> None:
    """Each of them, as a problem."""
    job = app.created()
    calls = [("POST", JOBS), ("GET", JOBS), ("GET", f"{JOBS}/{job['id']}"), ("DELETE", f"{JOBS}/{job['id']}")]
    assert [_problem(ask(sim, method, path, headers=headers)) for method, path in calls] == [401] * 4
    assert app.status(job) == "created"


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", JOBS), ("POST", f"{JOBS}/7"), ("GET", f"{JOBS}/x"), ("GET", f"{JOBS}/7/upload"), ("GET", f"{JOBS}/7/ids")],
)
def test_path_that_is_no_call_answers_404(sim: Simulator, method: str, path: str) -> None:
    """As any other."""
    assert ask(sim, method, path, headers=BEARER).status_code == 404


def test_rate_limit_counts_each_call_and_renews_with_the_window() -> None:
    """The headers say what is left, and until when; transfers have none."""
    with Simulator(SimulatorConfig(batch_rate_limit=2)) as sim:
        app = App(sim)
        job = app.created()
        looked_up = [app.get(job) for _ in range(3)]
        assert [each.status_code for each in looked_up] == [200, 200, 429]
        assert [each.headers["x-rate-limit-remaining"] for each in looked_up] == ["1", "0", "0"]
        assert {each.headers["x-rate-limit-limit"] for each in looked_up} == {"2"}
        assert _problem(looked_up[2]) == 429
        assert app.listed().status_code == 200
        assert "x-rate-limit-limit" not in app.upload(job, b"").headers
        sim.advance(int(looked_up[2].headers["x-rate-limit-reset"]) - sim.clock.now_ns() / NANOS)
        assert app.get(job).headers["x-rate-limit-remaining"] == "1"


def test_rate_limit_is_150_unless_set(app: App) -> None:
    """As X documents it."""
    assert app.listed().headers["x-rate-limit-limit"] == "150"


@pytest.mark.parametrize(
    "setting", ["batch_limit_bytes", "batch_rate_limit", "batch_upload_window_s", "batch_download_window_s"]
)
def test_setting_that_makes_no_sense_is_refused(setting: str) -> None:
    """With its name; a job may take no time at all, but not less."""
    with pytest.raises(ValueError, match=setting):
        SimulatorConfig(**{setting: 0})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_job_s"):
        SimulatorConfig(batch_job_s=-1)
