"""Batch jobs: what is asked of X, and what its answers mean, odd ones included."""

import gzip
import json
import os

import pytest

from connector.events.times import US_PER_S
from connector.x.batch_api import CallFailedError, Job, JobType, Transfer
from connector.x.jobs import Jobs
from tests.unit.x.recorded import JOB_ID, TOKEN, X, answer, batch_api, error_of, error_of_call, problem

_CREATED_US = 1_790_330_400 * US_PER_S
_UPLOAD_URL = f"https://api.x.com/2/compliance/jobs/{JOB_ID}/upload?token=hush-up-AAAA-hush"
_DOWNLOAD_URL = f"https://api.x.com/2/compliance/jobs/{JOB_ID}/download?token=hush-down-BBBB-hush"
_TRANSFERS = {
    "upload_url": _UPLOAD_URL,
    "upload_expires_at": "2026-09-25T10:15:00.000Z",
    "download_url": _DOWNLOAD_URL,
    "download_expires_at": "2026-10-02T10:00:00.000Z",
}
_BARE = {"id": JOB_ID, "status": "created", "type": "tweets", "created_at": "2026-09-25T10:00:00.000Z"}
_DOCUMENTED = {**_BARE, "name": "run-1", **_TRANSFERS}
_JOB = Job(
    JOB_ID,
    "tweets",
    "created",
    "run-1",
    _CREATED_US,
    Transfer(_UPLOAD_URL, _CREATED_US + 900 * US_PER_S),
    Transfer(_DOWNLOAD_URL, _CREATED_US + 7 * 86_400 * US_PER_S),
)
_BARE_JOB = Job(JOB_ID, "tweets", "created", None, _CREATED_US, None, None)
_LARGE = 17 * 1024**2


def _one(**given: object) -> dict[str, object]:
    """Return an answer that holds a job, with these members in place of the documented ones."""
    return {"data": {**_DOCUMENTED, **given}}


# --- what is asked


def test_create_asks_for_type_and_name_alone_and_returns_the_job() -> None:
    """X refuses what is still in its schema beside them."""
    with X(answer(200, {"data": _DOCUMENTED})) as x, batch_api(x) as api:
        assert Jobs(api).create(JobType.TWEETS, "run-1") == _JOB
    [request] = x.requests
    assert (request.method, request.target) == ("POST", "/2/compliance/jobs")
    assert json.loads(request.body) == {"type": "tweets", "name": "run-1"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", ["created", "in_progress", "complete", "failed", "expired", "a new word"])
def test_find_returns_the_job_in_whatever_state(status: str) -> None:
    """Words that X does not document yet are passed on."""
    with X(answer(200, _one(status=status))) as x, batch_api(x) as api:
        job = Jobs(api).find(JOB_ID)
    assert job is not None
    assert (job.id, job.status) == (JOB_ID, status)
    assert [(request.method, request.target) for request in x.requests] == [("GET", f"/2/compliance/jobs/{JOB_ID}")]


def test_active_asks_for_both_states_and_counts_a_job_that_changed_once() -> None:
    """As the later answer has it; X may list others than were asked for."""
    listed = {"data": [_DOCUMENTED, {**_BARE, "id": "2"}, {**_BARE, "id": "3", "status": "complete"}]}
    later = {"data": [{**_DOCUMENTED, "status": "in_progress"}]}
    with X(answer(200, listed), answer(200, later)) as x, batch_api(x) as api:
        found = Jobs(api).active(JobType.USERS)
    assert [(job.id, job.status) for job in found] == [(JOB_ID, "in_progress"), ("2", "created")]
    path = "/2/compliance/jobs?type=users&status="
    assert [request.target for request in x.requests] == [f"{path}created", f"{path}in_progress"]


def test_all_asks_once_whatever_the_state() -> None:
    """Also for those that are over."""
    jobs = [{**_BARE, "id": str(number), "status": "expired"} for number in range(1000)]
    with X(answer(200, {"data": jobs, "meta": {"result_count": 1000}})) as x, batch_api(x) as api:
        assert len(Jobs(api).all(JobType.TWEETS)) == 1000
    assert [request.target for request in x.requests] == ["/2/compliance/jobs?type=tweets"]


@pytest.mark.parametrize(("status", "body"), [(200, {"data": _BARE}), (204, b""), (200, {"data": {}})])
def test_cancel_is_a_delete_and_asks_nothing_of_the_answer(status: int, body: object) -> None:
    """X does not document what it holds."""
    with X(answer(status, body)) as x, batch_api(x) as api:
        Jobs(api).cancel(JOB_ID)
    assert [(request.method, request.target) for request in x.requests] == [("DELETE", f"/2/compliance/jobs/{JOB_ID}")]


@pytest.mark.parametrize(
    "job_id", ["", ".", "..", "1/upload", "../tweets/1", "1?x=y", "1#x", "1 2", "%2e%2e", "é", "1\n"]
)
def test_id_that_would_change_the_path_is_of_no_job_and_not_asked_for(job_id: str) -> None:
    """An operator may mistype one, and a request must not go anywhere else."""
    with X(answer(200, {"data": _BARE})) as x, batch_api(x) as api:
        assert Jobs(api).find(job_id) is None
        assert error_of(CallFailedError, lambda: Jobs(api).cancel(job_id)).status == 404
    assert x.requests == []


# --- what an answer means


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"download_progress": {"a": [1]}, "": None, "error": "e"}, {}),
        ({"name": None}, {"name": None}),
        ({"upload_url": None, "download_url": ""}, {"upload": None, "download": None}),
        ({"created_at": "soon"}, {"created_us": None}),
        ({"created_at": ""}, {"created_us": None}),
        ({"created_at": "0000-00-00T00:00:00Z"}, {"created_us": None}),
        ({"created_at": "2026-09-25T12:00:00+02:00"}, {"created_us": _CREATED_US}),
        ({"upload_expires_at": "-1"}, {"upload": Transfer(_UPLOAD_URL, None)}),
        ({"upload_expires_at": None}, {"upload": Transfer(_UPLOAD_URL, None)}),
        ({"type": "", "status": ""}, {"type": "", "status": ""}),
    ],
)
def test_job_is_read_whatever_else_there_is_or_is_not(given: dict[str, object], expected: dict[str, object]) -> None:
    """Only the id is required; an invalid time is ignored."""
    with X(answer(200, _one(**given))) as x, batch_api(x) as api:
        job = Jobs(api).find(JOB_ID)
    assert job is not None
    assert {name: getattr(job, name) for name in expected} == expected
    assert "hush" not in repr(job)


def test_list_without_names_or_urls_is_one_all_the_same() -> None:
    """X says of a job only what it wants to."""
    with X(answer(200, {"data": [_BARE, {"id": "7"}]})) as x, batch_api(x) as api:
        assert Jobs(api).all(JobType.TWEETS) == [_BARE_JOB, Job("7", "", "", None, None, None, None)]


@pytest.mark.parametrize("body", [{"meta": {"result_count": 0}}, {"data": []}, {"data": None}, {}])
def test_list_that_holds_nothing_is_empty(body: dict[str, object]) -> None:
    """X leaves `data` out then."""
    with X(answer(200, body)) as x, batch_api(x) as api:
        assert Jobs(api).active(JobType.TWEETS) == []


_NOT_DOCUMENTED = {
    "empty": b"",
    "html": b"<html>hush</html>",
    "null": b"null",
    "list": b"[]",
    "text": b'"hush"',
    "cut": json.dumps(_one()).encode()[:-9],
    "two": b'{"data":{"id":"1"}}{"data":{"id":"2"}}',
    "not-utf-8": b'{"data":{"id":"hush\xff"}}',
    "deep": b"[" * 100_000,
    "gzip": gzip.compress(json.dumps(_one()).encode()),
    "large": b'{"data":{"id":"%b"}}' % (b"1" * _LARGE),
    "blanks": b" " * _LARGE + b'{"data":{"id":"1"}}',
    "id-number": _one(id=1),
    "id-large-number": _one(id=1830000000000000042),
    "id-null": _one(id=None),
    "name-number": _one(name=7),
    "status-null": _one(status=None),
    "time-number": _one(created_at=1790330400),
    "url-list": _one(upload_url=[_UPLOAD_URL]),
}
_NO_JOB = {
    "no-data": {},
    "null-data": {"data": None},
    "empty-data": {"data": {}},
    "listed": {"data": [_DOCUMENTED]},
    "bare": _DOCUMENTED,
}
_NO_LIST = {"no-list": {"data": {}}, "null-listed": {"data": [None]}, "nothing-listed": {"data": [{}]}}


@pytest.mark.slow
@pytest.mark.parametrize("call", ["create", "find"])
@pytest.mark.parametrize("body", [*_NOT_DOCUMENTED.values(), *_NO_JOB.values()], ids=[*_NOT_DOCUMENTED, *_NO_JOB])
def test_answer_that_holds_no_job_is_an_error_that_shows_none_of_it(call: str, body: object) -> None:
    """It may hold a URL."""
    error = error_of_call(call, answer(200, body))
    assert str(error).endswith("/2/compliance/jobs is not as documented")
    assert (error.status, error.exit_code) == (200, os.EX_UNAVAILABLE)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["active", "all"])
@pytest.mark.parametrize("body", [*_NOT_DOCUMENTED.values(), *_NO_LIST.values()], ids=[*_NOT_DOCUMENTED, *_NO_LIST])
def test_answer_that_holds_no_list_is_an_error_that_shows_none_of_it(call: str, body: object) -> None:
    """One that cannot be read is not an empty one."""
    assert error_of_call(call, answer(200, body)).status == 200


@pytest.mark.parametrize("call", ["create", "find", "active", "all"])
@pytest.mark.parametrize("data", [{}, {"data": None}])
def test_answer_that_holds_a_problem_in_place_of_data_says_so(call: str, data: dict[str, object]) -> None:
    """X's answers may hold `errors` and status 200."""
    body = {**data, "errors": [problem(200, "Away", "the store is away", "away")]}
    assert str(error_of_call(call, answer(200, body))) == "HTTP 200: the store is away"


def test_job_that_x_does_not_find_is_unknown() -> None:
    """Also where it says so with status 200."""
    body = {"errors": [problem(200, "Not Found Error", "Could not find job", "resource-not-found")]}
    with X(answer(200, body)) as x, batch_api(x) as api:
        assert Jobs(api).find(JOB_ID) is None


@pytest.mark.parametrize("job_id", ["1/2", "..", "", "1?", "é", "1\r\nX: y", "9" * 65])
def test_id_that_can_be_none_is_an_error(job_id: str) -> None:
    """It is used in paths, and in a file."""
    for call, body in (("create", _one(id=job_id)), ("all", {"data": [{"id": job_id}]})):
        assert str(error_of_call(call, answer(200, body))).startswith("X gave a job an invalid id")


def test_answer_about_another_job_is_an_error() -> None:
    """Its ids would go where others are asked about."""
    error = error_of_call("find", answer(200, _one(id="7")))
    assert str(error) == f"X answered with job 7 to a request for job {JOB_ID}"
