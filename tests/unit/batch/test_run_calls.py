"""A run whose calls about jobs go wrong: it asks again, finds what X did unanswered, and waits for others."""

import os
from collections import Counter
from pathlib import Path

import pytest

from connector.batch.pace import OutOfTimeError
from connector.events.times import format_us
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.faults import (
    BatchAnswer,
    BatchCut,
    BatchDocument,
    BatchForeignJob,
    BatchJob,
    Call,
)
from connector.simulator.clock import NANOS
from connector.x.batch_api import CallFailedError, JobType
from tests.unit.batch.runs import PLAIN, TOKEN, Operator, Row

pytestmark = pytest.mark.slow

_ADOPTED = {"create": 1, "list": 2}
_UNANSWERED = "a call to X failed"
_URLS = ("upload_url", "download_url")

_WINDOW_NS = 15 * 60 * NANOS

_ROWS = {
    "the request to create is lost": Row(faults=(BatchCut(at="request"),), more={"create": 1}, says=_UNANSWERED),
    "the answer to it is lost": Row(faults=(BatchCut(at="answer"),), more=_ADOPTED, says=_UNANSWERED),
    "the answer to it is reset": Row(faults=(BatchCut(reset=True),), more=_ADOPTED, says=_UNANSWERED),
    "the answer to it is cut": Row(faults=(BatchCut(at="mid-answer"),), more=_ADOPTED, says=_UNANSWERED),
    "503 after acting": Row(faults=(BatchAnswer(acts=True),), more=_ADOPTED, says="HTTP 503"),
    "500 after acting, and the list is lost": Row(
        faults=(BatchAnswer(status=500, acts=True), BatchCut(call="list", at="request")),
        more={"create": 1, "list": 3},
        says="HTTP 500",
    ),
    "503 without acting": Row(faults=(BatchAnswer(times=4),), more={"create": 4}, says="in 40 s"),
    "a redirect": Row(faults=(BatchAnswer(status=307),), more={"create": 1}, says="HTTP 307"),
    "the list is lost": Row(faults=(BatchCut(call="list"),), more={"list": 1}),
    "a look is lost": Row(faults=(BatchCut(call="get", times=2),), more={"get": 1}),
    "looks are 500": Row(faults=(BatchAnswer(call="get", status=500, times=3),), more={"get": 2}),
    "a page of HTML in place of a job": Row(
        faults=(BatchAnswer(call="get", status=200, body="<html>hello</html>", content_type="text/html"),),
        more={"get": 1},
        says="not as documented",
    ),
    "a job without an id is made": Row(
        faults=(BatchDocument(call="create", without=("id",)),), more=_ADOPTED, says="not as documented"
    ),
    "a job whose id is a number is made": Row(faults=(BatchDocument(call="create", number_id=True),), more=_ADOPTED),
    "a job whose id is null is seen": Row(faults=(BatchDocument(call="get", null=("id",)),), more={"get": 1}),
    "a job without a status is seen": Row(faults=(BatchDocument(call="get", null=("status",)),), more={"get": 1}),
    "jobs have unknown members": Row(
        faults=(BatchDocument(call="create", extra=True), BatchDocument(call="get", extra=True, times=2))
    ),
    "jobs lack what a run can do without": Row(
        faults=(
            BatchDocument(call="create", without=("name", "type", "created_at", "upload_expires_at")),
            BatchDocument(call="get", null=("name", "created_at", "download_expires_at"), times=2),
        )
    ),
    "the token is refused for a moment": Row(
        faults=(BatchAnswer(call="list", status=401, times=2),), more={"list": 2}, says="HTTP 401"
    ),
    "the token is refused after other failures": Row(
        faults=(BatchAnswer(call="list", times=3), BatchAnswer(call="list", status=401)),
        more={"list": 4},
        says="HTTP 401",
    ),
    "409, and a list that has no job": Row(
        faults=(BatchAnswer(status=409),), more={"create": 1, "list": 2}, says="one that X does not list"
    ),
    "409 by a foreign job": Row(
        faults=(BatchForeignJob(seconds=100),),
        more={"create": 3, "list": 6},
        says="in_progress, named nightly, created",
    ),
    "409 by a foreign job without a name": Row(
        faults=(BatchForeignJob(name=None, seconds=10, age_s=7200),),
        more={"create": 1, "list": 2},
        says="without a name",
    ),
    "409 by our own job, whose answer is lost, in a list without URLs": Row(
        faults=(BatchCut(), BatchDocument(without=_URLS)),
        more={"create": 1, "list": 2, "get": 1},
        says="X gave no URL for the transfer",
    ),
    "409 by our own job, in a list without names, once": Row(
        faults=(BatchCut(), BatchDocument(without=("name", *_URLS))),
        more={"create": 2, "list": 4},
        says="without a name",
    ),
    "409 by our own job, in a list without names, until its window is over": Row(
        faults=(BatchCut(), BatchDocument(without=("name", *_URLS), times=16)),
        more={"create": 17, "list": 32},
        says="without a name",
    ),
}


@pytest.mark.parametrize("row", _ROWS.values(), ids=_ROWS.keys())
def test_run_comes_to_its_end_although(operator: Operator, row: Row) -> None:
    """With results as they are, and no more requests than it takes."""
    row.play(operator)


@pytest.mark.parametrize(
    ("limit", "at_least_s", "at_most_s"),
    [
        (BatchAnswer(status=429, reset_in_s=600), 598, 600),
        (BatchAnswer(status=429, reset_in_s=-600), 60, 60),
        (BatchAnswer(status=429, has_rate_limit=False), 60, 60),
        (BatchAnswer(status=429, has_rate_limit=False, retry_after_s=200), 200, 200),
        (BatchAnswer(status=503, retry_after_s=120), 120, 120),
        (BatchAnswer(status=503, retry_after_s=10**6), 960, 960),
    ],
    ids=["until reset", "reset has passed", "nothing said", "Retry-After", "503", "a year"],
)
def test_run_waits_as_long_as_x_asks_for(
    operator: Operator, limit: BatchAnswer, at_least_s: float, at_most_s: float
) -> None:
    """And a minute at least after 429, whatever is said of the reset."""
    Row(faults=(limit,), more={"create": 1}, says=f"HTTP {limit.status}").play(operator)
    assert at_least_s <= operator.waits[0] <= at_most_s


def test_run_keeps_to_the_budget_of_each_window(tmp_path: Path) -> None:
    """X says when the next request is granted, and only then it is asked."""
    with Simulator(SimulatorConfig(token=TOKEN, batch_rate_limit=2, batch_job_s=3600)) as sim:
        sim.emit(20)
        operator = Operator(sim, tmp_path)
        operator.check(operator.run())
    refused = Counter(request.at // _WINDOW_NS for request in sim.requests if request.status == 429)
    assert set(refused.values()) == {1}


def test_foreign_job_is_never_cancelled_and_its_age_is_shown(operator: Operator) -> None:
    """It is waited for as long as the run may take; then the run is over, and goes on when it is run again."""
    fired = operator.arm(BatchForeignJob(age_s=7200, status="created", seconds=None))
    with pytest.raises(OutOfTimeError) as caught:
        operator.run(time_s=3600)
    assert (caught.value.exit_code, operator.sim.fired) == (os.EX_TEMPFAIL, fired)
    (foreign,) = operator.sim.jobs.listed("tweets", None)
    description = f"job {foreign.id}, created, named nightly, created {_rfc_3339_us(foreign.created_ns)}"
    (told,) = [text for text in operator.said if "waiting" in text]
    assert told == f"waiting: X allows one active tweets job, and there is {description}"
    assert "cancel" not in operator.calls()
    operator.sim.jobs.cancel(foreign)
    operator.check(operator.run())


def _rfc_3339_us(at_ns: int) -> str:
    return format_us(at_ns // 1_000_000 * 1000)


def test_job_of_the_other_type_is_not_in_the_way(operator: Operator, tmp_path: Path) -> None:
    """X allows one active job of each type: a run of users comes to its end while one of Tweets waits."""
    (tmp_path / "users").mkdir()
    users = Operator(operator.sim, tmp_path / "users", JobType.USERS)
    operator.on_point = lambda text: users.check(users.run()) if text == "waits 30 s" else None
    operator.check(operator.run())
    assert [name for name, _ in users.jobs()] != [name for name, _ in operator.jobs()]
    assert operator.calls() == PLAIN + PLAIN


@pytest.mark.parametrize("status", [404, 405, 409, 410])
def test_own_orphan_is_cancelled_where_the_first_try_did_nothing(operator: Operator, status: int) -> None:
    """X lost the ids of a job, and the job has the slot past its window."""
    fired = operator.arm(BatchJob(status="created", since="create"), BatchAnswer(call="cancel", status=status))
    operator.check(operator.run())
    assert operator.sim.fired == fired
    assert [status for _, status in operator.jobs()] == ["failed", "complete"]
    calls = operator.calls()
    assert (calls["create"], calls["cancel"], calls["upload"]) == (3, 2, 2)
    assert operator.says("X lost the ids")


def test_own_orphan_that_cannot_be_cancelled_is_waited_for(operator: Operator) -> None:
    """Without asking more often than for a job of others."""
    operator.arm(
        BatchJob(status="created", since="create", seconds=7200), BatchAnswer(call="cancel", status=405, times=None)
    )
    operator.check(operator.run())
    calls = operator.calls()
    assert calls["cancel"] <= calls["create"] <= 7200 / 60
    assert operator.says("waiting: X allows one active tweets job, and there is job")


@pytest.mark.parametrize(("call", "calls"), [("list", {"list": 3}), ("create", {"list": 2, "create": 3})])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusal_that_lasts_ends_the_run_in_the_words_of_x(
    operator: Operator, call: Call, calls: dict[str, int], status: int
) -> None:
    """With the exit code for what a person must do, and without the token that X repeats; the next run goes on."""
    body = f'{{"title": "No", "detail": "{TOKEN} is not enrolled"}}'
    fired = operator.arm(BatchAnswer(call=call, status=status, body=body, times=3))
    with pytest.raises(CallFailedError, match=rf"^HTTP {status}: \[secret\] is not enrolled$") as caught:
        operator.run()
    assert (caught.value.exit_code, operator.sim.fired) == (os.EX_CONFIG, fired)
    assert operator.calls() == calls
    operator.check(operator.run())


def test_cancellation_that_is_refused_ends_the_run_and_the_next_one_tries_it_again(operator: Operator) -> None:
    """Another job is not made before: the slot may still be taken."""
    fired = operator.arm(BatchJob(), BatchAnswer(call="cancel", status=403, times=3))
    with pytest.raises(CallFailedError, match="HTTP 403"):
        operator.run()
    assert operator.sim.fired == fired
    operator.check(operator.run())
    calls = operator.calls()
    assert (calls["create"], calls["cancel"]) == (2, 4)


def test_x_that_is_away_is_asked_until_the_time_is_over(operator: Operator) -> None:
    """With growing pauses; each is announced before it begins, with the reason."""
    told_before_waits = []
    operator.on_point = lambda text: told_before_waits.append(operator.said[-1]) if text.startswith("waits") else None
    operator.arm(BatchAnswer(call="list", times=None))
    with pytest.raises(OutOfTimeError, match="run the same command again"):
        operator.run(time_s=3600)
    assert operator.waits[:9] == [5, 10, 20, 40, 80, 160, 320, 320, 320]
    assert told_before_waits[:2] == [
        f"{_UNANSWERED}; retrying in {after} s: HTTP 503: Service Unavailable" for after in (5, 10)
    ]
    operator.sim.faults.disarm()
    operator.check(operator.run())
