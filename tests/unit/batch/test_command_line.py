"""`connector batch …` as a process: what it prints, how it ends, and what a signal does to it."""

import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connector.simulator import Simulator, SimulatorConfig
from connector.simulator.batch.faults import BatchForeignJob, BatchJob, BatchUrl
from tests.unit.batch.runs import HOUR_S, PLAIN, TOKEN, Operator

pytestmark = pytest.mark.slow

_CONFIG = SimulatorConfig(token=TOKEN, batch_job_s=0)
"""An X whose jobs are complete at once: a process waits for real."""
_DONE = re.compile(r"run [0-9a-f]{12} is done; tweets checked: 91, all accounted for\n")
_ENDED_S = 30.0


@pytest.fixture(name="operator")
def _operator(tmp_path: Path) -> Iterator[Operator]:
    yield from _new_operator(tmp_path, _CONFIG)


@pytest.fixture(name="waiting")
def _waiting(tmp_path: Path) -> Iterator[Operator]:
    """Give an operator at an X whose jobs take an hour."""
    yield from _new_operator(tmp_path, replace(_CONFIG, batch_job_s=HOUR_S))


def _new_operator(home: Path, config: SimulatorConfig) -> Iterator[Operator]:
    with Simulator(config) as sim:
        sim.emit(100)
        operator = Operator(sim, home)
        (home / "ids.txt").write_bytes(operator.as_lines(operator.ids))
        yield operator


@contextmanager
def _started(
    operator: Operator, *arguments: str, stdin: int = subprocess.DEVNULL, stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command about batch jobs, with all that is logged shown, and kill it in the end if it still runs."""
    settings = {
        "CONNECTOR_X__BASE_URL": operator.sim.base_url,
        "CONNECTOR_X__BEARER_TOKEN": TOKEN,
        "CONNECTOR_X__CA_FILE": str(operator.settings.ca_file),
        "CONNECTOR_LOG__LEVEL": "debug",
    }
    command = [sys.executable, "-m", "connector", "batch", *arguments]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=os.environ | settings
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ended(process: subprocess.Popen[bytes], given: bytes | None = None) -> tuple[int, str, str]:
    """Wait for the end of a process, and return its exit code and what it printed on stdout and stderr."""
    stdout, stderr = process.communicate(given, timeout=_ENDED_S)
    return process.returncode, stdout.decode(), (stderr or b"").decode()


def _ran(operator: Operator, *arguments: str, given: bytes | None = None) -> tuple[int, str, str]:
    """Run a command about batch jobs, and return the same."""
    with _started(operator, *arguments, stdin=subprocess.DEVNULL if given is None else subprocess.PIPE) as process:
        code, stdout, stderr = _ended(process, given)
    operator.check_secrets(stdout, stderr)
    return code, stdout, stderr


def _run(operator: Operator, source: str = "ids.txt") -> list[str]:
    home = operator.home
    source = source if source == "-" else str(home / source)
    return ["run", "tweets", source, "-r", str(operator.output), "--folder", str(home / "runs")]


def _said_until(process: subprocess.Popen[bytes], words: str) -> str:
    """Return what a process says on stderr up to the line that holds these words."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line.decode()
        if words in said:
            return said
    raise AssertionError(said)


def test_run_prints_a_line_for_each_change_and_a_report(operator: Operator) -> None:
    """What goes on is on stderr, without anything that is for a terminal alone; the report is on stdout."""
    code, stdout, stderr = _ran(operator, *_run(operator))
    assert (code, operator.results(), operator.dead_letters()) == (os.EX_OK, operator.truth(), [])
    first, *_ = stdout.splitlines(keepends=True)
    assert _DONE.fullmatch(first)
    assert stdout.endswith("  requests to X: 4 GET, 1 POST, 1 PUT\n")
    assert [line.partition(" ")[0] for line in stderr.splitlines()] == ["run", "shard", "shard"]
    assert "\r" not in stdout + stderr
    assert operator.calls() == PLAIN - Counter(get=1)
    assert not (operator.home / "runs/tweets").exists()


def test_report_is_one_json_object_where_that_is_asked_for(operator: Operator) -> None:
    """With all that the words say; ids may come from stdin, compressed."""
    ids = gzip.compress(operator.as_lines([*operator.ids, operator.ids[0], "x"]))
    code, stdout, _ = _ran(operator, *_run(operator, "-"), "--output", "json", "--skip-invalid", given=ids)
    report = json.loads(stdout)
    assert (code, operator.results()) == (os.EX_OK, operator.truth())
    assert (report["ids"], report["duplicates"], report["invalid"]) == (len(operator.ids), 1, 1)
    assert (report["type"], report["results"]) == ("tweets", str(operator.output))
    assert sum(each["count"] for each in report["by_action"]) == len(operator.truth())
    assert report["clean"] == len(operator.ids) - len(operator.truth())
    assert (report["rejected"], report["unclear"], report["dead_letters"], report["dead_letters_file"]) == (
        0,
        0,
        0,
        None,
    )
    assert report["requests"] == {"GET": 4, "POST": 1, "PUT": 1}


def test_invalid_ids_are_named_by_their_lines(operator: Operator) -> None:
    """On stderr, with the exit code for data that are wrong."""
    code, stdout, stderr = _ran(operator, *_run(operator, "-"), given=b"1\nabc\x1b[2J\n\n-5\n")
    assert (code, stdout) == (os.EX_DATAERR, "")
    assert "invalid lines: 2" in stderr
    assert stderr.endswith("  line 2: abc [2J\n  line 4: -5\n")
    assert operator.calls().total() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "likes", "-r", "x"], os.EX_USAGE, "'likes' is not one of 'tweets', 'users'"),
        (["run", "tweets", "-"], os.EX_USAGE, "-r"),
        (["run", "tweets", "no-such-file", "-r", "x"], os.EX_CONFIG, "no-such-file: No such file or directory"),
        (["run", "tweets", "-", "-r", "no/such/folder/x", "--folder", "{home}"], os.EX_CONFIG, "No such file"),
        (["run", "tweets", "-", "-r", "x", "--config", "no-such-config"], os.EX_CONFIG, "no-such-config"),
        (["run", "tweets", "ids", "--from-topic", "--publish"], os.EX_USAGE, "give either FILE or --from-topic"),
        (["run", "tweets", "-", "-r", "x", "--due", "24h"], os.EX_USAGE, "--due needs --publish"),
        (["run", "tweets", "-", "--publish", "--due", "24"], os.EX_USAGE, "give a number and s, m, h or d"),
        (["run", "tweets", "-", "-r", "x", "--covers-all"], os.EX_USAGE, "--covers-all needs --publish"),
        (["run", "tweets", "{ids}", "-r", "{ids}"], os.EX_USAGE, "FILE and the file for the results are the same"),
        (["fetch", "1"], os.EX_USAGE, "give either -r FILE or --publish"),
    ],
    ids=[
        "unknown type",
        "no output",
        "no input",
        "no folder for the output",
        "no configuration",
        "two sources",
        "a schedule without Kafka",
        "a schedule without a unit",
        "a claim without Kafka",
        "results in place of the ids",
        "a fetch without an output",
    ],
)
def test_what_is_asked_for_wrongly_ends_the_command(
    operator: Operator, arguments: list[str], code: int, words: str
) -> None:
    """Before X is asked for anything, with the exit code for it."""
    given = [argument.format(home=operator.home / "runs", ids=operator.home / "ids.txt") for argument in arguments]
    ended, stdout, stderr = _ran(operator, *given)
    assert (ended, stdout) == (code, "")
    assert words in stderr
    assert operator.calls().total() == 0


def test_jobs_that_x_fails_end_the_run_as_something_to_try_later(operator: Operator) -> None:
    """The same command goes on with another job."""
    operator.arm(BatchJob(times=3))
    code, stdout, stderr = _ran(operator, *_run(operator))
    assert (code, stdout) == (os.EX_UNAVAILABLE, "")
    assert "connector: giving up after 3 jobs: " in stderr
    assert (_ran(operator, *_run(operator))[0], operator.results()) == (os.EX_OK, operator.truth())


def test_url_that_leads_elsewhere_ends_the_run_as_something_to_correct(operator: Operator) -> None:
    """The message names the setting that would allow it."""
    operator.arm(BatchUrl(times=None))
    code, _, stderr = _ran(operator, *_run(operator))
    assert code == os.EX_CONFIG
    assert "is not in CONNECTOR_X__TRANSFER_ORIGINS" in stderr
    assert operator.calls()["foreign"] == 0


def test_run_whose_time_is_over_says_how_to_go_on(waiting: Operator) -> None:
    """It ends rather than wait."""
    code, _, stderr = _ran(waiting, *_run(waiting), "--timeout", "3s")
    assert (code, stderr.splitlines()[-1]) == (
        os.EX_TEMPFAIL,
        "connector: out of time; run the same command again to resume",
    )


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted; run the same command again to resume\n"),
        (signal.SIGTERM, 143, "terminated; run the same command again to resume\n"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_run_that_is_ended_by_a_signal_goes_on_when_it_is_run_again(
    waiting: Operator, number: signal.Signals, code: int, words: str
) -> None:
    """With the job that it has; Ctrl-C says so. Meanwhile, no other run works in its folder."""
    with _started(waiting, *_run(waiting)) as process:
        said = _said_until(process, "is in_progress")
        other, _, refused = _ran(waiting, *_run(waiting))
        assert (other, refused.endswith("another run is using it\n")) == (os.EX_TEMPFAIL, True)
        process.send_signal(number)
        assert _ended(process) == (code, "", words)
    waiting.check_secrets(said)
    waiting.sim.advance(HOUR_S)
    ended, _, stderr = _ran(waiting, *_run(waiting))
    assert (ended, waiting.results(), len(waiting.jobs())) == (os.EX_OK, waiting.truth(), 1)
    assert re.match(r"resuming run [0-9a-f]{12}: 0 of 1 shards are done\n", stderr)


def test_run_on_a_terminal_shows_what_changes_all_the_time(operator: Operator) -> None:
    """In place of what was shown before, and nothing of it is left between the lines."""
    ours, theirs = pty.openpty()
    with _started(operator, *_run(operator), stderr=theirs) as process:
        os.close(theirs)
        code, stdout, _ = _ended(process)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    operator.check_secrets(stdout, shown)
    assert code == os.EX_OK
    assert "shard 1 of 1: 100 % uploaded, 15 min left of its window\r" in shown
    assert re.search(r"shard 1 of 1: [0-9,]+ bytes downloaded\r +\r", shown)
    assert shown.endswith("\r\n")


def test_submitted_run_is_shown_and_fetched(waiting: Operator) -> None:
    """X has the ids when the first command ends; the second one finds them there, and asks for no others."""
    folder = ["--folder", str(waiting.home / "runs")]
    code, stdout, _ = _ran(waiting, "submit", "tweets", str(waiting.home / "ids.txt"), *folder)
    run_id = stdout.split()[1]
    assert code == os.EX_OK
    assert (
        stdout
        == f"run {run_id} is submitted; for its results: connector batch fetch {run_id} -r FILE {' '.join(folder)}\n"
    )
    (job,) = waiting.sim.jobs.snapshot()
    assert (job.name, job.status) == (f"xcc-{run_id}-1-1", "in_progress")
    for what in ([], [run_id]):
        code, stdout, _ = _ran(waiting, "status", *what, *folder)
        first, second = stdout.splitlines()
        assert code == os.EX_OK
        assert first == f"run {run_id}: unfinished; tweets to check: {len(waiting.ids)}, shards done: 0 of 1"
        assert second.startswith(f"  shard 1 of 1: job {job.id} is in_progress, created at ")
    [run] = json.loads(_ran(waiting, "status", "--output", "json", *folder)[1])
    assert (run["run_id"], run["state"], run["shards_done"], run["ids"]) == (run_id, "unfinished", 0, len(waiting.ids))
    assert [(each["shard"], each["id"], each["status"]) for each in run["jobs"]] == [(1, job.id, "in_progress")]
    waiting.sim.advance(HOUR_S)
    code, stdout, _ = _ran(waiting, "fetch", run_id, "-r", str(waiting.output), *folder)
    assert (code, waiting.results()) == (os.EX_OK, waiting.truth())
    assert stdout.endswith("  requests to X: 2 GET\n")
    assert _ran(waiting, "status", *folder) == (os.EX_OK, f"no unfinished runs in {folder[1]}\n", "")


@pytest.mark.parametrize(
    "command", [["fetch", "5fa4dafb61f5", "-r", "out"], ["status", "5fa4dafb61f5"], ["cancel", "5fa4dafb61f5"]]
)
def test_run_that_is_unknown_is_an_error(operator: Operator, command: list[str]) -> None:
    """It says where it was looked for."""
    code, stdout, stderr = _ran(operator, *command, "--folder", str(operator.home / "runs"))
    assert (code, stdout) == (os.EX_CONFIG, "")
    where = f"{operator.home / 'runs'}, without --publish,"
    assert stderr == f"connector: {where} holds no unfinished run 5fa4dafb61f5; see: connector batch status\n"


@pytest.mark.parametrize(
    ("ids", "code"), [(b"12\nodd\n", os.EX_DATAERR), (b"\x1f\x8b and no gzip", os.EX_DATAERR), (b"12\n", os.EX_OK)]
)
@pytest.mark.parametrize("command", ["run", "submit"])
def test_command_that_leaves_no_run_leaves_no_folder(operator: Operator, command: str, ids: bytes, code: int) -> None:
    """Ids that are not ids, for example; what was there before stays."""
    given = operator.home / "some"
    given.write_bytes(ids)
    (operator.home / "kept").mkdir()
    results = ["-r", str(operator.output)] if command == "run" else []
    for folder in ("new/runs", "kept/runs"):
        where = ["--folder", str(operator.home / folder)]
        assert _ran(operator, command, "tweets", str(given), *results, *where)[0] == code
    is_left = command == "submit" and code == os.EX_OK
    assert (operator.home / "new").exists() is is_left
    assert (operator.home / "kept").is_dir()
    assert (operator.home / "kept/runs").exists() is is_left


def test_submitted_run_is_cancelled_with_its_job(waiting: Operator) -> None:
    """Nothing of it stays, and X takes another job."""
    folder = ["--folder", str(waiting.home / "runs")]
    run_id = _ran(waiting, "submit", "tweets", str(waiting.home / "ids.txt"), *folder)[1].split()[1]
    code, stdout, stderr = _ran(waiting, "cancel", run_id, *folder)
    assert (code, stdout, stderr) == (os.EX_OK, f"run {run_id} is discarded\n", f"run {run_id} is discarded\n")
    given = ["tweets", str(waiting.home / "ids.txt"), "--output", "json"]
    submitted = json.loads(_ran(waiting, "submit", *given, *folder)[1])
    assert (submitted["type"], submitted["state"]) == ("tweets", "submitted")
    cancelled = json.loads(_ran(waiting, "cancel", submitted["run_id"], "--output", "json", *folder)[1])
    assert cancelled == {"run_id": submitted["run_id"], "state": "discarded"}
    assert [job.status for job in waiting.sim.jobs.snapshot()] == ["failed", "failed"]
    assert not (waiting.home / "runs/tweets").exists()


def test_jobs_are_listed_oldest_first_and_cancelled(operator: Operator) -> None:
    """Whichever program created them; a terminal does not obey what others put into a name."""
    assert _ran(operator, "list", "tweets") == (os.EX_OK, "no tweets jobs\n", "")
    operator.arm(BatchForeignJob(name="night\x1b[2Jly", status="created", seconds=None))
    with _started(operator, *_run(operator)) as process:
        _said_until(process, "waiting: X allows one active tweets job, and there is")
    (job,) = operator.sim.jobs.listed("tweets", None)
    code, stdout, _ = _ran(operator, "list", "tweets")
    assert (code, stdout.split()) == (os.EX_OK, [job.id, "created", stdout.split()[2], "night", "[2Jly"])
    assert _ran(operator, "cancel", job.id) == (os.EX_OK, f"job {job.id} is cancelled, or had already ended\n", "")
    assert _ran(operator, "cancel", job.id)[0] == os.EX_OK
    code, stdout, stderr = _ran(operator, "cancel", "1")
    assert (code, stdout) == (os.EX_CONFIG, "")
    assert "holds no unfinished run 1; see: connector batch status" in stderr
    assert [state for _, state in operator.jobs()] == ["failed"]
    assert _ran(operator, *_run(operator))[0] == os.EX_OK
    _, stdout, _ = _ran(operator, "list", "tweets")
    assert [line.split()[1] for line in stdout.splitlines()] == ["failed", "complete"]
    jobs = json.loads(_ran(operator, "list", "tweets", "--output", "json")[1])
    assert [(each["id"], each["status"]) for each in jobs] == [tuple(line.split()[:2]) for line in stdout.splitlines()]
    assert jobs[0]["name"] == "night [2Jly"
    assert jobs[0]["created_at"].endswith("Z")
