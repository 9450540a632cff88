"""Batch compliance's calls going wrong on command: answers, lost connections, odd jobs; each fault counted as fired."""

import threading
from collections.abc import Callable

import httpx
import pytest

from connector.simulator import Simulator
from connector.simulator.batch.faults import (
    BatchAnswer,
    BatchCut,
    BatchDocument,
    BatchForeignJob,
    BatchHold,
    BatchJob,
    Call,
    JobCall,
    Moment,
)
from connector.simulator.clock import NANOS
from tests.unit.simulator.app import App, Json, lines
from tests.unit.simulator.reader import BEARER, eventually, new_client

_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
_SEND: dict[Call, Callable[[App, Json], httpx.Response]] = {
    "create": lambda app, _: app.create(type="users"),
    "get": App.get,
    "list": lambda app, _: app.listed(),
    "cancel": App.cancel,
    "upload": lambda app, job: app.upload(job, lines("1")),
    "download": App.download,
}
"""How each call is made; it is about the job given, or creates one of users."""


def _send(app: App, call: Call, job: Json) -> httpx.Response:
    return _SEND[call](app, job)


def _job_for(app: App, call: Call) -> Json:
    return app.complete(b"") if call == "download" else app.created()


@pytest.mark.parametrize("call", _SEND)
def test_answer_of_a_call_is_as_said_and_x_never_sees_it(sim: Simulator, app: App, call: Call) -> None:
    """X's problem for the status, as often as armed, then X's own answer again."""
    job = _job_for(app, call)
    before = sim.jobs.snapshot()
    sim.inject(BatchAnswer(call=call, status=503, times=2))
    for _ in range(2):
        answered = _send(app, call, job)
        assert (answered.status_code, answered.json()["title"]) == (503, "Service Unavailable")
    assert sim.jobs.snapshot() == before
    assert _send(app, call, job).status_code == 200
    assert sim.fired == {"batch-answer": 2}


@pytest.mark.parametrize("call", ["create", "cancel", "upload"])
def test_answer_can_belie_what_x_did(sim: Simulator, app: App, call: Call) -> None:
    """5xx after acting: a job that is there, cancelled, or has its ids."""
    job = app.created()
    sim.inject(BatchAnswer(call=call, status=502, acts=True))
    assert _send(app, call, job).status_code == 502
    acted = {
        "create": len(sim.jobs.snapshot()) == 2,
        "cancel": app.status(job) == "failed",
        "upload": app.status(job) == "in_progress",
    }
    assert acted[call]
    assert sim.fired == {"batch-answer": 1}


def test_answer_that_belies_waits_until_x_acts(sim: Simulator, app: App) -> None:
    """A refusal of X's own comes first."""
    sim.inject(BatchAnswer(status=500, acts=True, job_type="tweets"))
    assert app.create(name=7).status_code == 400
    assert sim.fired == {}
    assert app.create().status_code == 500


@pytest.mark.parametrize(
    ("fault", "status", "word"),
    [
        (BatchAnswer(call="upload", status=401), 401, "Unauthorized"),
        (BatchAnswer(call="upload", status=403), 403, "upload URL has expired"),
        (BatchAnswer(call="upload", status=404, body=""), 404, ""),
        (BatchAnswer(call="upload", status=413), 413, "413"),
        (BatchAnswer(call="cancel", status=404), 404, "Not Found"),
        (BatchAnswer(call="cancel", status=405), 405, "Method Not Allowed"),
        (BatchAnswer(call="cancel", status=409), 409, "cannot be cancelled"),
        (BatchAnswer(call="download", status=403), 403, "download URL has expired"),
        (BatchAnswer(call="create", status=409), 409, "active already"),
        (BatchAnswer(call="get", status=200, body="<html>", content_type="text/html"), 200, "<html>"),
    ],
)
def test_answer_has_the_words_for_its_call_and_status(
    sim: Simulator, app: App, fault: BatchAnswer, status: int, word: str
) -> None:
    """Or the body given, be it empty."""
    job = _job_for(app, fault.call)
    sim.inject(fault)
    answered = _send(app, fault.call, job)
    assert answered.status_code == status
    assert word in answered.text if word else answered.content == b""
    assert ("content-type" in answered.headers) == bool(word)


@pytest.mark.parametrize("reset_in_s", [None, 60, -600])
def test_answer_429_says_when_the_budget_returns_or_does_not(sim: Simulator, app: App, reset_in_s: int | None) -> None:
    """Without a reset there is no header at all; `Retry-After` is apart."""
    sim.inject(BatchAnswer(call="list", status=429, reset_in_s=reset_in_s))
    sim.inject(BatchAnswer(call="list", status=429, has_rate_limit=False, retry_after_s=7))
    spent, bare = app.listed(), app.listed()
    until_s = int(spent.headers["x-rate-limit-reset"]) - sim.clock.now_ns() / NANOS
    assert 0 < until_s <= 900 if reset_in_s is None else abs(until_s - reset_in_s) < 3
    assert (spent.status_code, spent.headers["x-rate-limit-remaining"]) == (429, "0")
    assert (bare.status_code, bare.headers["retry-after"]) == (429, "7")
    assert not any(name.startswith("x-rate-limit") for name in bare.headers)


@pytest.mark.parametrize("call", ["upload", "download"])
def test_transfer_can_be_redirected_to_a_port_that_is_no_part_of_x(sim: Simulator, app: App, call: Call) -> None:
    """Who follows is on record there, with the token if it was sent along."""
    job = _job_for(app, call)
    sim.inject(BatchAnswer(call=call, status=307))
    answered = _send(app, call, job)
    assert (answered.status_code, answered.has_redirect_location) == (307, True)
    assert answered.headers["location"].startswith(sim.origins["foreign"])
    assert [request for request in sim.requests if request.origin == "foreign"] == []
    with new_client() as client:
        client.get(answered.headers["location"], headers=BEARER)
    (strayed,) = (request for request in sim.requests if request.origin == "foreign")
    assert (strayed.status, strayed.has_authorization) == (404, True)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("call", _SEND)
def test_answer_of_a_call_can_be_lost(sim: Simulator, app: App, call: Call, *, reset: bool) -> None:
    """X has acted, the connection ends without a byte, and the record shows a request without a status."""
    job = _job_for(app, call)
    sim.inject(BatchCut(call=call, reset=reset))
    with pytest.raises(_LOST):
        _send(app, call, job)
    assert sim.requests[-1].status == 0
    assert sim.fired == {"batch-cut": 1}
    acted = {"create": len(sim.jobs.snapshot()) == 2, "upload": sim.jobs.snapshot()[0].uploaded_at is not None}
    assert acted.get(call, True)


def test_answer_can_be_cut_in_its_middle(sim: Simulator, app: App) -> None:
    """Half a document, with the length of the whole."""
    app.created()
    sim.inject(BatchCut(call="list", at="mid-answer"))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        app.listed()
    assert app.listed().status_code == 200


@pytest.mark.parametrize("call", ["create", "upload"])
def test_request_can_be_cut_before_x_acts(sim: Simulator, app: App, call: Call) -> None:
    """An upload half-way, however large; it can be repeated."""
    job = app.created()
    sim.inject(BatchCut(call=call, at="request"))
    with pytest.raises(_LOST):
        app.upload(job, b"1\n" * 10_000_000) if call == "upload" else _send(app, call, job)
    assert (sim.requests[-1].status, len(sim.jobs.snapshot())) == (0, 1)
    assert app.upload(job, lines("1")).status_code == 200


@pytest.mark.parametrize(("at", "has_acted"), [("request", False), ("answer", True), ("mid-answer", True)])
def test_call_can_be_held_before_and_after_x_acts(sim: Simulator, app: App, at: Moment, *, has_acted: bool) -> None:
    """Until released; then it is answered whole."""
    sim.inject(BatchHold(at=at))
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(app.create()))
    asking.start()
    assert eventually(lambda: sim.fired["batch-hold"] == 1)
    assert (len(sim.jobs.snapshot()) == 1) == has_acted
    sim.release()
    asking.join()
    assert answers[0].json()["data"]["status"] == "created"


def test_upload_held_and_given_up_leaves_a_request_without_a_status(sim: Simulator, app: App) -> None:
    """As of a client that was killed meanwhile; X has not acted."""
    job = app.created()
    sim.inject(BatchHold(call="upload"))
    with httpx.Client(timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
        client.put(job["upload_url"], content=b"1", headers={"content-type": "text/plain"})
    assert eventually(lambda: sim.requests[-1].status == 0)
    assert app.status(job) == "created"


def test_foreign_job_takes_the_slot_just_before(sim: Simulator, app: App) -> None:
    """409, and the list shows whose and how old it is; after its time the slot is free."""
    sim.inject(BatchForeignJob(name="somebody", age_s=1800, seconds=60, job_type="tweets"))
    assert app.create(name="mine").status_code == 409
    (foreign,) = app.listed().json()["data"]
    assert (foreign["name"], foreign["status"]) == ("somebody", "in_progress")
    assert sim.clock.now_ns() - sim.jobs.snapshot()[0].created_at >= 1800 * NANOS
    sim.advance(60)
    assert app.status(foreign) == "complete"
    assert app.create(name="mine").status_code == 200
    assert sim.fired == {"batch-foreign-job": 1}


def test_foreign_job_may_wait_for_its_upload_without_a_name_or_an_end(sim: Simulator, app: App) -> None:
    """Until it is cancelled."""
    sim.inject(BatchForeignJob(name=None, status="created", seconds=None))
    assert app.create().status_code == 409
    sim.advance(30 * 86_400)
    assert app.create().status_code == 409
    (foreign,) = app.listed(status="created").json()["data"]
    assert "name" not in foreign
    assert app.cancel(foreign).status_code == 200
    assert app.create().status_code == 200


def test_job_can_be_in_progress_for_hours(sim: Simulator, app: App) -> None:
    """And is complete then."""
    sim.inject(BatchJob(status="in_progress", seconds=26 * 3600))
    job = app.complete(b"")
    sim.advance(26 * 3600 - 60)
    assert app.status(job) == "in_progress"
    sim.advance(60)
    assert app.status(job) == "complete"
    assert sim.fired == {"batch-job": 1}


@pytest.mark.parametrize(
    ("status", "is_free"), [("failed", True), ("expired", True), ("queued", False), ("complete", True)]
)
def test_job_can_end_in_any_status(sim: Simulator, app: App, status: str, *, is_free: bool) -> None:
    """For good; X gives the slot to another when the status is one of an ended job."""
    sim.inject(BatchJob(status=status))
    job = app.complete(b"")
    sim.advance(86_400)
    assert app.status(job) == status
    assert (app.create().status_code == 200) == is_free


def test_job_can_have_a_status_for_a_while(sim: Simulator, app: App) -> None:
    """From some seconds after its upload on, for some seconds."""
    sim.inject(BatchJob(status="paused", after_s=5, seconds=20))
    job = app.created()
    app.upload(job, b"")
    seen = [app.status(job)]
    for seconds in (6, 20):
        sim.advance(seconds)
        seen.append(app.status(job))
    assert seen == ["in_progress", "paused", "complete"]


def test_job_can_vanish_and_return(sim: Simulator, app: App) -> None:
    """404 by its id and by its URLs, gone from the list, its slot free."""
    sim.inject(BatchJob(status="vanished", since="create", seconds=60))
    job = app.created()
    assert (app.get(job).status_code, app.upload(job, b"").status_code) == (404, 404)
    assert app.listed().json() == {"meta": {"result_count": 0}}
    sim.advance(60)
    assert (app.status(job), len(app.listed().json()["data"])) == ("created", 1)


def test_job_can_keep_its_slot_past_its_window(sim: Simulator, app: App) -> None:
    """An orphan that X does not expire; cancelling it frees the slot."""
    sim.inject(BatchJob(status="created", since="create", job_type="tweets"))
    job = app.created()
    sim.advance(3600)
    assert (app.status(job), app.create().status_code, app.upload(job, b"").status_code) == ("created", 409, 403)
    assert app.cancel(job).status_code == 200
    assert app.create().status_code == 200


def test_document_can_lack_members_and_have_others(sim: Simulator, app: App) -> None:
    """A list without names or URLs, nulls, a number for an id, unknown members, an unknown status."""
    job = app.created(name="mine")
    sim.inject(BatchDocument(without=("name", "upload_url", "download_url")))
    sim.inject(BatchDocument(null=("name",), number_id=True, extra=True, status="odd"))
    (bare,), (odd,) = app.listed().json()["data"], app.listed().json()["data"]
    assert bare.keys() == job.keys() - {"name", "upload_url", "download_url"}
    assert (odd["name"], odd["id"], odd["status"]) == (None, int(job["id"]), "odd")
    assert odd.keys() > job.keys()
    assert app.listed().json()["data"] == [job]
    assert sim.fired == {"batch-document": 2}


@pytest.mark.parametrize("call", ["create", "get", "cancel", "upload"])
def test_document_of_each_call_can_be_odd(sim: Simulator, app: App, call: JobCall) -> None:
    """The one named, and no other."""
    job = app.created()
    sim.inject(BatchDocument(call=call, without=("status",)))
    assert "status" in app.listed().json()["data"][0]
    assert "status" not in _send(app, call, job).json()["data"]


def test_faults_wait_for_their_type_of_job(sim: Simulator, app: App) -> None:
    """Each counts for itself; requests about no job at all meet none."""
    sim.inject(BatchAnswer(call="create", status=500, job_type="users"))
    assert app.create().status_code == 200
    assert app.get({"id": "7"}).status_code == 404
    assert (sim.status().armed, sim.fired) == ({"batch-answer": 1}, {})
    assert app.create(type="users").status_code == 500
    sim.inject(BatchAnswer(call="create"))
    assert sim.status().armed == {"batch-answer": 2}
