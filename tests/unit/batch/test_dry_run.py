"""`connector batch … --dry-run`: it says what would be done, and neither X nor the folder of the run sees any of it."""

import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.batch.command import Request
from connector.batch.dry_run import fetch_lines, gap_lines, run_lines
from connector.batch.gaps import RecordedGap
from connector.batch.ids import Counted, FileIds, count, prepare
from connector.batch.state import Outcome, RunState, ShardState
from connector.simulator import Simulator, SimulatorConfig
from connector.x.batch_api import Job, JobType
from tests.unit.batch.runs import HOUR_S, TOKEN, Operator

_ENDED_S = 30.0


@pytest.fixture(name="operator")
def _operator(tmp_path: Path) -> Iterator[Operator]:
    """Give an operator at an X whose jobs take an hour."""
    with Simulator(SimulatorConfig(token=TOKEN, batch_job_s=HOUR_S)) as sim:
        sim.emit(100)
        operator = Operator(sim, tmp_path)
        (tmp_path / "ids.txt").write_bytes(operator.as_lines(operator.ids))
        yield operator


def _ran(operator: Operator, command: str, *arguments: str, given: bytes | None = None) -> tuple[int, str, str]:
    """Run a command about batch jobs in the operator's folder; return its exit code and what it printed."""
    settings = {
        "CONNECTOR_X__BASE_URL": operator.sim.base_url,
        "CONNECTOR_X__BEARER_TOKEN": TOKEN,
        "CONNECTOR_X__CA_FILE": str(operator.settings.ca_file),
    }
    folder = str(operator.home / "runs")
    ended = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "connector", "batch", command, *arguments, "--folder", folder],
        env=os.environ | settings,
        input=given or b"",
        capture_output=True,
        timeout=_ENDED_S,
        check=False,
    )
    stdout, stderr = ended.stdout.decode(), ended.stderr.decode()
    operator.check_secrets(stdout, stderr)
    return ended.returncode, stdout, stderr


def _files(operator: Operator) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in operator.home.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_run_counts_and_asks_x_nothing(operator: Operator) -> None:
    """Neither a job nor a file comes of it; what the run would refuse is refused."""
    before = _files(operator)
    output = ("-r", str(operator.output), "--dry-run")
    size = len(operator.as_lines(operator.ids))
    for command, more in (("run", output), ("submit", ("--dry-run",))):
        code, stdout, stderr = _ran(operator, command, "tweets", str(operator.home / "ids.txt"), *more)
        assert (code, stderr) == (os.EX_OK, "")
        first, *rest = stdout.splitlines()
        assert first == (
            f"tweets to check: {len(operator.ids)}; jobs that X would be asked for, one after the other: 1; "
            f"to upload: {size:,} bytes"
        )
        assert rest == ([f"results would replace: {operator.output}"] if command == "run" else [])
    code, stdout, stderr = _ran(operator, "run", "tweets", "-", *output, given=b"1\nx\n")
    assert (code, stdout) == (os.EX_DATAERR, "")
    code, stdout, _ = _ran(operator, "run", "tweets", "-", *output, "--skip-invalid", given=b"1\nx\n1\n")
    assert (code, stdout.splitlines()[1]) == (os.EX_OK, "input: 1 duplicates, 1 invalid lines or keys skipped")
    assert _ran(operator, "run", "tweets", "-", *output, "--output=json")[0] == os.EX_USAGE
    assert operator.calls() == Counter()
    assert _files(operator) == before


@pytest.mark.slow
def test_unfinished_run_and_its_job_are_told_and_left_as_they_are(operator: Operator) -> None:
    """Whether it would be resumed, discarded, fetched or cancelled."""
    ids = str(operator.home / "ids.txt")
    run_id = _ran(operator, "submit", "tweets", ids)[1].split()[1]
    (job,) = operator.sim.jobs.snapshot()
    before = _files(operator)
    operator.calls()

    output = ("-r", str(operator.output), "--dry-run")
    unfinished = f"run {run_id} is unfinished, shards done: 0 of 1; it would be"
    assert f"{unfinished} resumed\n" in _ran(operator, "run", "tweets", ids, *output)[1]
    assert (
        f"{unfinished} discarded, and its job cancelled\n"
        in _ran(operator, "run", "tweets", ids, *output, "--fresh")[1]
    )
    code, stdout, stderr = _ran(operator, "run", "tweets", "-", *output, given=b"1\n")
    assert (code, stdout, "was started with other ids; --fresh discards it" in stderr) == (os.EX_CONFIG, "", True)
    assert operator.calls() == Counter()

    told = f"run {run_id}; tweets to check: {len(operator.ids):,}, shards done: 0 of 1\n  shard 1 of 1, ids: "
    code, stdout, _ = _ran(operator, "fetch", run_id, *output)
    assert (code, stdout.startswith(told)) == (os.EX_OK, True)
    assert stdout.endswith(f": job {job.id} is in_progress, its results are not ready\n")
    cancelled = f"job {job.id}, which is in_progress, would be cancelled\n"
    discarded = f"run {run_id} would be discarded, shards done: 0 of 1\n{cancelled}"
    assert _ran(operator, "cancel", run_id, "--dry-run") == (os.EX_OK, discarded, "")
    assert _ran(operator, "cancel", job.id, "--dry-run") == (os.EX_OK, cancelled, "")
    assert _ran(operator, "cancel", "1", "--dry-run")[0] == os.EX_CONFIG
    operator.sim.advance(HOUR_S)
    _, stdout, _ = _ran(operator, "fetch", run_id, *output)
    assert stdout.endswith(f": job {job.id} is complete, its results are ready\n")
    assert set(operator.calls()) == {"get", "list"}
    assert _files(operator) == before

    next((operator.home / "runs").rglob("shard-*")).unlink()
    code, stdout, stderr = _ran(operator, "fetch", run_id, *output)
    assert (code, stdout, "files of it are gone" in stderr) == (os.EX_CONFIG, "", True)


@pytest.mark.parametrize("limit_bytes", [2, 5, 12, 1000])
@pytest.mark.parametrize("text", [b"", b"3\n", b"1\n22\n333\n22\n\n4444\n55555\n", b"7\nx\n"])
def test_count_is_what_would_be_prepared(tmp_path: Path, limit_bytes: int, text: bytes) -> None:
    """In as many shards, of as many bytes; and nothing is written."""

    def given() -> FileIds:
        return FileIds(io.BytesIO(text), skip_invalid=True)

    counted = count(given(), tmp_path, shard_limit_bytes=limit_bytes, on_progress=lambda _: None)
    assert list(tmp_path.iterdir()) == []
    made = prepare(given(), tmp_path, shard_limit_bytes=limit_bytes, on_progress=lambda _: None)
    size = sum(shard.size_bytes for shard in made.shards)
    assert counted == Counted(made.ids, len(made.shards), size, made.duplicates, made.invalid)


def test_gaps_shown_depend_on_what_the_ids_are_declared_to_be() -> None:
    """A run about a part of what is held reconciles none."""
    gap = {"stream": "tweet", "stream_partition": 2, "gap_start": 0, "gap_end": 60_000}
    gaps = [RecordedGap(0, 0, gap)]
    assert list(gap_lines(gaps, covers_all=True)) == [
        "could be reconciled: gap of tweet/2 from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:01:00.000000Z"
    ]
    assert list(gap_lines(gaps, covers_all=False)) == [
        "gaps that would stay open, as the ids are not said to be all that is held: 1"
    ]
    assert list(gap_lines([], covers_all=False)) == []


def test_each_shard_of_a_run_is_shown_with_the_status_of_its_job() -> None:
    """X's words are shown as words."""
    outcome = Outcome("1", 0, "", 0, 0, 0, 0, 0, 0, [])
    shard = ShardState(1, 5, 0, "", job_id="9", is_uploaded=True)
    shards = [
        ShardState(1, 5, 0, "", outcome=outcome),
        *(_numbered(shard, number) for number in range(2, 8)),
        ShardState(8, 5, 0, ""),
    ]
    shards[1].is_uploaded = False
    words = {2: "created", 3: "created", 4: "complete", 5: "failed", 6: "odd\x1b[2J"}
    jobs = {number: Job("9", "tweets", status, None, None, None, None) for number, status in words.items()}
    state = RunState("r", JobType.TWEETS, "", 0, 0, 0, shards)
    first, *lines = fetch_lines(state, {**jobs, 7: None})
    assert first == "run r; tweets to check: 40, shards done: 1 of 8"
    assert [line.partition(", ids: 5: ")[2] for line in lines] == [
        "done",
        "job 9 is created, its ids would be uploaded",
        "job 9 is created, its results are not ready",
        "job 9 is complete, its results are ready",
        "job 9 is failed; X would be asked for another",
        "job 9 is odd [2J, its results are not ready",
        "job 9 is unknown to X, which would be asked for another",
        "not submitted yet; X would be asked for a job",
    ]


def _numbered(shard: ShardState, number: int) -> ShardState:
    """Return the same shard under another number."""
    return ShardState(number, shard.ids, 0, "", job_id=shard.job_id, is_uploaded=shard.is_uploaded)


def test_run_of_no_ids_asks_for_no_job(tmp_path: Path) -> None:
    """As an empty topic has none."""
    asked = Request(kind=JobType.USERS, ids=None, results=None, folder=tmp_path)
    [line] = run_lines(asked, Counted(0, 0, 0, 0, 0), None)
    assert line.startswith("users to check: 0; jobs that X would be asked for, one after the other: 0;")
