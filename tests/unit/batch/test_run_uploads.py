"""A run whose ids do not go up at the first try: in both generations of transfers."""

import os
from collections import Counter
from pathlib import Path

import pytest

from connector.batch.run import ChangedResultsError, JobsFailedError
from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.faults import BatchAnswer, BatchCut, BatchFault
from connector.x.batch_api import CallFailedError
from tests.unit.batch.runs import PLAIN, TOKEN, Operator, Row, kill_at

_ANOTHER_JOB = {"list": 2, "create": 1, "upload": 1, "cancel": 1}
_TWO_SHARDS = {"list": 4, "create": 2, "upload": 2, "get": 2, "download": 1, "cancel": 1}
_AGAIN = {"upload": 1, "get": 1}
_FAILED = "the upload failed; retrying in 5 s"


def _upload(status: int, **more: object) -> BatchFault:
    return BatchAnswer(call="upload", status=status, **more)  # type: ignore[arg-type]


_ROWS = {
    "nothing goes wrong": Row(faults=()),
    "it is cut at half": Row(faults=(BatchCut(call="upload", at="request"),), more=_AGAIN, says=_FAILED),
    "it is reset at half": Row(faults=(BatchCut(call="upload", at="request", reset=True),), more=_AGAIN, says=_FAILED),
    "its answer is lost": Row(faults=(BatchCut(call="upload"),), says=_FAILED),
    "its answer is reset": Row(faults=(BatchCut(call="upload", reset=True),), says=_FAILED),
    "500 after acting": Row(faults=(_upload(500, acts=True),), says="HTTP 500"),
    "503 after acting": Row(faults=(_upload(503, acts=True),), says="HTTP 503"),
    "503 without acting": Row(faults=(_upload(503, times=3),), more={"upload": 3, "get": 3}, says="in 20 s: HTTP 503"),
    "401 for a moment": Row(faults=(_upload(401, times=2),), more={"upload": 2, "get": 2}, says="HTTP 401"),
    "404 with an empty body, twice": Row(
        faults=(_upload(404, body="", times=2),), more={"upload": 2, "get": 2}, says="HTTP 404: X gives no reason"
    ),
    "409 though nothing came": Row(faults=(_upload(409),), more=_AGAIN, says="HTTP 409"),
    "a redirect": Row(faults=(_upload(307),), more=_AGAIN, says="HTTP 307"),
    "403, for the URL has expired": Row(
        faults=(_upload(403),), more=_ANOTHER_JOB, says="creating another job: X refuses"
    ),
    "410, for the URL has expired": Row(
        faults=(_upload(410),), more=_ANOTHER_JOB, says="creating another job: X refuses"
    ),
    "503 until the window is over": Row(
        faults=(_upload(503, retry_after_s=901),), more={**_ANOTHER_JOB, "get": 1}, says="expired"
    ),
    "413": Row(
        faults=(_upload(413),),
        more=_TWO_SHARDS,
        says="splitting a shard of 91 ids in two: the upload is too large for X",
    ),
    "429": Row(faults=(_upload(429),), more=_AGAIN, says="HTTP 429"),
    "200 by something that is not X": Row(
        faults=(_upload(200, body="OK", content_type="text/html"),),
        more={**_ANOTHER_JOB, "get": 17},
        says="expired",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("row", _ROWS.values(), ids=_ROWS.keys())
def test_run_comes_to_its_end_although_its_upload_is_met_by(anywhere: Operator, row: Row) -> None:
    """The ids arrive whole and once; the token goes to X, and to its storage never."""
    row.play(anywhere)
    whole = len(anywhere.ids)
    assert anywhere.sim.jobs.snapshot()[-1].ids in {whole, whole // 2, whole - whole // 2}
    for request in anywhere.sim.requests:
        assert request.has_authorization == (request.origin == "api")
        if request.method == "PUT":
            assert request.headers["content-type"] == "text/plain"


def test_window_that_closes_before_the_upload_costs_a_job(anywhere: Operator) -> None:
    """X's own answer, 403 or what its storage has for it, is no reason to give up."""

    def let_it_close(text: str) -> None:
        if text.startswith("POST") and len(anywhere.jobs()) == 1:
            anywhere.sim.advance(901)

    anywhere.on_point = let_it_close
    anywhere.check(anywhere.run())
    more = {"get": 1} if "storage" in anywhere.sim.origins else {}
    assert anywhere.calls() == PLAIN + Counter(_ANOTHER_JOB) + Counter(more)


def test_token_that_is_replaced_between_creation_and_upload_is_read_again(sim: Simulator, tmp_path: Path) -> None:
    """From its file; until it is there, X refuses the old one."""
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    operator = Operator(sim, tmp_path, bearer_token=None, bearer_token_file=file)

    def replace(text: str) -> None:
        if text.startswith("POST"):
            sim.tokens.invalidate()
        elif text.startswith("waits"):
            file.write_text(sim.tokens.current)

    operator.on_point = replace
    operator.check(operator.run())
    assert operator.calls() == PLAIN + Counter(_AGAIN)
    assert [request.status for request in sim.requests if request.method == "PUT"] == [401, 200]
    assert operator.says("HTTP 401")


def test_token_that_x_revokes_is_exchanged_again(sim: Simulator, tmp_path: Path) -> None:
    """For the API key and its secret."""
    config = sim.config
    operator = Operator(sim, tmp_path, bearer_token=None, api_key=config.api_key, api_key_secret=config.api_key_secret)
    operator.on_point = lambda text: sim.tokens.invalidate() if text.startswith("POST") else None
    operator.check(operator.run())
    assert operator.calls() == PLAIN + Counter(_AGAIN) + Counter(token=2)


def test_refusal_that_lasts_ends_the_run_and_the_next_one_goes_on_with_its_job(anywhere: Operator) -> None:
    """As on the day when all uploads were answered 404."""
    fired = anywhere.arm(_upload(404, body="", times=3))
    with pytest.raises(CallFailedError, match=r"^HTTP 404: X gives no reason$") as caught:
        anywhere.run()
    assert (caught.value.exit_code, anywhere.sim.fired) == (os.EX_CONFIG, fired)
    anywhere.check(anywhere.run())
    assert anywhere.calls() == PLAIN + Counter(upload=3, get=3)


def test_ids_are_halved_until_x_takes_them(tmp_path: Path) -> None:
    """By X's own limit, without a gap between the shards."""
    with Simulator(SimulatorConfig(token=TOKEN, batch_limit_bytes=500)) as sim:
        sim.emit(100)
        operator = Operator(sim, tmp_path)
        operator.check(operator.run())
    calls = operator.calls()
    assert calls == Counter(list=14, create=7, upload=7, cancel=3, get=8, download=4)
    assert operator.says("shard 4 of 4: job")


def test_single_id_that_x_finds_too_large_ends_the_run(anywhere: Operator) -> None:
    """There is nothing to halve; the next run tries it again."""
    anywhere.ids = anywhere.ids[:1]
    fired = anywhere.arm(_upload(413))
    with pytest.raises(JobsFailedError, match="cannot upload even a single id: the upload is too large") as caught:
        anywhere.run()
    assert (caught.value.exit_code, anywhere.sim.fired) == (os.EX_UNAVAILABLE, fired)
    anywhere.check(anywhere.run())


def test_ids_that_do_not_go_up_in_the_time_that_is_left_are_halved(anywhere: Operator) -> None:
    """By the speed of the upload before; the job that they were meant for is cancelled."""
    anywhere.ids = sorted({*anywhere.ids, *(str(10**18 + number) for number in range(14_000))})

    def slow_down(text: str) -> None:
        if "of 1:" in text and "% uploaded" in text:
            anywhere.pass_time(400)

    anywhere.on_point = slow_down
    fired = anywhere.arm(_upload(503))
    anywhere.check(anywhere.run())
    assert anywhere.sim.fired == fired
    assert anywhere.calls() == PLAIN + Counter(_TWO_SHARDS) + Counter(get=1)
    assert anywhere.says("bytes cannot be uploaded in the")


def test_part_of_which_results_are_published_is_not_split(operator: Operator) -> None:
    """The halves would publish them again: the operator must decide to start a new run."""
    kill_at(operator, "job")
    state = operator.folder / "run.json"
    state.write_bytes(state.read_bytes().replace(b'"published":0', b'"published":7'))
    operator.arm(BatchAnswer(call="upload", status=413))
    with pytest.raises(ChangedResultsError, match=r"have changed since 7 of them were published; --fresh begins again"):
        operator.run()
