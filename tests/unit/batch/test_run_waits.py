"""A run whose job takes long, ends badly or is forgotten: it waits, or makes another one, three at most."""

import os
import re
from collections import Counter

import pytest

from connector.batch.pace import OutOfTimeError
from connector.batch.run import JobsFailedError
from connector.simulator.batch.faults import BatchAnswer, BatchDocument, BatchJob
from tests.unit.batch.runs import HOUR_S, PLAIN, KilledError, Operator, Row

pytestmark = pytest.mark.slow

_ANOTHER_JOB = {"list": 2, "create": 1, "upload": 1, "cancel": 1, "get": 1}

_ROWS = {
    "fails": Row(faults=(BatchJob(status="failed"),), more=_ANOTHER_JOB, says="creating another job: X reports job"),
    "fails later": Row(
        faults=(BatchJob(status="failed", after_s=5),), more={**_ANOTHER_JOB, "get": 2}, says="creating another job"
    ),
    "fails before the ids are sent": Row(
        faults=(BatchJob(status="failed", since="create"),), more={**_ANOTHER_JOB, "upload": 0, "get": 0}, says="failed"
    ),
    "expires": Row(faults=(BatchJob(status="expired"),), more=_ANOTHER_JOB, says="expired"),
    "vanishes": Row(
        faults=(BatchJob(status="vanished"),), more={**_ANOTHER_JOB, "get": 3}, says="X no longer knows job"
    ),
    "vanishes later": Row(
        faults=(BatchJob(status="vanished", after_s=5),), more={**_ANOTHER_JOB, "get": 4}, says="X no longer knows job"
    ),
    "is not known for a moment": Row(
        faults=(BatchAnswer(call="get", status=404, times=2),), more={"get": 1}, says="X does not know job"
    ),
    "fails twice": Row(
        faults=(BatchJob(status="failed", times=2),), more={name: 2 * count for name, count in _ANOTHER_JOB.items()}
    ),
    "has an unknown status": Row(
        faults=(BatchJob(status="queued\x1b[2J", seconds=600),), more={"get": 10}, says="is queued [2J"
    ),
    "is complete, and there is no URL yet": Row(
        faults=(BatchDocument(call="get", without=("download_url",), times=2),),
        more={"get": 1},
        says="the download failed; retrying in 5 s: X gave no URL",
    ),
    "does not show for 20 minutes that it has its ids": Row(
        faults=(BatchJob(status="created", seconds=1200),), more={"get": 20}, says="is created"
    ),
    "never shows that it has its ids": Row(
        faults=(BatchJob(status="created"),), more={**_ANOTHER_JOB, "get": 32}, says="X lost the ids"
    ),
}


@pytest.mark.parametrize("row", _ROWS.values(), ids=_ROWS.keys())
def test_run_comes_to_its_end_although_its_job(operator: Operator, row: Row) -> None:
    """Ids are sent again for another job alone."""
    row.play(operator)


def test_job_that_takes_26_hours_is_looked_at_once_a_minute(operator: Operator) -> None:
    """And nothing is said of it but that it is in progress."""
    fired = operator.arm(BatchJob(status="in_progress", seconds=26 * HOUR_S))
    operator.check(operator.run())
    assert operator.sim.fired == fired
    assert operator.calls() == PLAIN + Counter(get=26 * 60)
    assert (operator.waits[0], set(operator.waits[1:]), len(operator.said)) == (30, {60}, 4)


@pytest.mark.parametrize("status", ["failed", "expired", "vanished"])
def test_job_that_ends_badly_three_times_ends_the_run_and_the_next_one_tries_as_often(
    operator: Operator, status: str
) -> None:
    """Each has a name of its own, so that none is taken for another."""
    fired = operator.arm(BatchJob(status=status, times=3 + 2))
    with pytest.raises(JobsFailedError, match="giving up after 3 jobs: X ") as caught:
        operator.run()
    assert (caught.value.exit_code, operator.calls()["create"]) == (os.EX_UNAVAILABLE, 3)
    operator.check(operator.run())
    assert (operator.sim.fired, operator.calls()["create"]) == (fired, 3)
    names = [name or "" for name, _ in operator.jobs()]
    assert [name.rpartition("-")[2] for name in names] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("time_s", [0, HOUR_S])
def test_run_whose_time_is_over_goes_on_with_its_job(operator: Operator, time_s: float) -> None:
    """It ends before a wait that would be too long, with the exit code for what may be tried again."""
    fired = operator.arm(BatchJob(status="in_progress", seconds=5 * HOUR_S))
    for _ in range(2):
        with pytest.raises(OutOfTimeError) as caught:
            operator.run(time_s=time_s)
    assert (caught.value.exit_code, operator.sim.fired) == (os.EX_TEMPFAIL, fired)
    assert sum(operator.waits) <= 2 * time_s
    operator.check(operator.run())
    assert operator.calls()["create"] == 1


def test_job_that_keeps_the_slot_past_its_window_is_cancelled(operator: Operator) -> None:
    """A run that was killed before its upload finds it so."""
    fired = operator.arm(BatchJob(status="created", since="create"))

    def kill(text: str) -> None:
        if text.startswith("shard 1 of 1: job"):
            raise KilledError

    operator.on_point = kill
    with pytest.raises(KilledError):
        operator.run()
    operator.on_point = lambda _: None
    operator.sim.advance(901)
    operator.check(operator.run())
    assert operator.sim.fired == fired
    assert operator.says("creating another job: the upload window of job")
    assert [status for _, status in operator.jobs()] == ["failed", "complete"]
    assert operator.calls() == PLAIN + Counter(list=2, create=1, get=1, cancel=1)


def test_run_shows_how_long_it_waits_and_how_long_the_last_job_of_its_size_took(operator: Operator) -> None:
    """It is all that there is to go by: X says nothing of how far it is."""
    for usual in ("", "; the last job of about this size took 9[0-2] min"):
        operator.arm(BatchJob(status="in_progress", seconds=90 * 60))
        operator.shown.clear()
        operator.check(operator.run())
        waits = [
            text
            for text in operator.shown
            if re.fullmatch(f"shard 1 of 1: waiting for X, [0-9]+ min so far{usual}", text)
        ]
        assert len(waits) > 80
    operator.ids = operator.ids[:5]
    operator.shown.clear()
    operator.run()
    assert "shard 1 of 1: waiting for X, 0 min so far" in operator.shown


def test_run_does_without_the_last_duration_if_its_file_is_damaged(operator: Operator) -> None:
    """Nothing depends on it, and the next job replaces it."""
    (operator.home / "durations.json").write_bytes(b"{\xff")
    operator.check(operator.run())
    assert "shard 1 of 1: waiting for X, 0 min so far" in operator.shown
    assert b"tweets 2" in (operator.home / "durations.json").read_bytes()
