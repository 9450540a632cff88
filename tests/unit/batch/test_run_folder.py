"""A run and its folder: one run at a time, of the same ids, whatever is left there, and on a disk that is full."""

import errno
import gzip
import io
import os
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from connector.batch.ids import InvalidIdsError
from connector.batch.state import FolderInUseError, UnusableRunError
from connector.simulator.batch.faults import BatchAnswer, BatchJob, BatchLines
from tests.unit.batch.disk import largest_file
from tests.unit.batch.runs import PLAIN, Operator, Points, kill_at

# --- one run at a time


def test_second_run_in_a_folder_ends_at_once_wherever_the_first_one_is(operator: Operator) -> None:
    """Whether the first one is about to prepare its ids, waits for X or has its results; it is not disturbed."""
    tried: list[str] = []

    def run_another(text: str) -> None:
        operator.on_point = lambda _: None
        with pytest.raises(FolderInUseError, match="another run is using it") as caught:
            operator.run()
        assert caught.value.exit_code == os.EX_TEMPFAIL
        tried.append(text)
        operator.on_point = run_another

    operator.on_point = run_another
    operator.check(operator.run())
    assert len(tried) == len(operator.said) + len(operator.shown) + len(operator.waits) + PLAIN.total()
    assert operator.calls() == PLAIN


def test_second_run_in_a_folder_ends_at_once_while_the_first_one_begins_again(operator: Operator) -> None:
    """After the first one has cleared the folder of what it gave up, too."""
    kill_at(operator, "job")
    refused = 0

    def run_another(_: str) -> None:
        nonlocal refused
        operator.on_point = lambda _: None
        with pytest.raises(FolderInUseError):
            operator.run()
        refused += 1
        operator.on_point = run_another

    operator.on_point = run_another
    operator.check(operator.run(is_fresh=True))
    assert refused > 10


# --- what is left there


def test_run_of_other_ids_is_not_mixed_with_the_one_that_is_not_done(operator: Operator) -> None:
    """It is for the operator to give that one up; then its job does not keep the slot."""
    kill_at(operator, "job")
    others = operator.as_lines(operator.ids[1:])
    with pytest.raises(
        UnusableRunError, match="unfinished, and was started with other ids; --fresh discards it"
    ) as caught:
        operator.run(others)
    assert caught.value.exit_code == os.EX_CONFIG
    operator.ids = operator.ids[1:]
    operator.calls()
    operator.check(operator.run(is_fresh=True))
    assert operator.calls() == PLAIN + Counter(list=2, cancel=1)
    assert [status for _, status in operator.jobs()] == ["failed", "complete"]


def test_run_of_the_same_ids_in_another_form_is_another_run(operator: Operator) -> None:
    """What is compared is the input as it is, not what it comes to."""
    kill_at(operator, "job")
    with pytest.raises(UnusableRunError):
        operator.run(b"\n" + operator.as_lines(operator.ids))


@pytest.mark.parametrize(
    "state", [b"", b"{", b"[]", b"\xff", b'{"run_id": "1"}'], ids=["empty", "cut", "array", "binary", "members missing"]
)
def test_state_that_cannot_be_read_is_for_the_operator_to_give_up(operator: Operator, state: bytes) -> None:
    """No run is begun by itself: that would cost another job, and perhaps hours."""
    kill_at(operator, "is in_progress")
    (operator.folder / "run.json").write_bytes(state)
    operator.calls()
    with pytest.raises(
        UnusableRunError, match=r"run\.json: cannot be read: .*; remove the folder to start again"
    ) as caught:
        operator.run()
    assert (caught.value.exit_code, operator.calls().total()) == (os.EX_CONFIG, 0)
    operator.check(operator.run(is_fresh=True))


def test_fresh_is_no_different_where_there_is_nothing_to_give_up(operator: Operator) -> None:
    """It costs no request more."""
    operator.check(operator.run(is_fresh=True))
    assert operator.calls() == PLAIN


def test_run_that_is_killed_before_it_is_prepared_leaves_nothing_that_is_used(operator: Operator) -> None:
    """The ids are taken in again, from whatever input comes then."""
    invalid = operator.as_lines([*operator.ids, "x"])
    with pytest.raises(InvalidIdsError):
        operator.run(invalid)
    operator.check(operator.run())


def test_run_whose_ids_are_those_of_another_run_is_for_the_operator_to_give_up(operator: Operator) -> None:
    """As many of them, of the same size: their digest tells."""
    kill_at(operator, "job")
    path = operator.folder / "shard-00001.ids"
    ids = path.read_bytes()
    path.write_bytes(ids.replace(b"1\n", b"2\n", 1))
    with pytest.raises(UnusableRunError, match="is unfinished, and files of it are gone; --fresh discards it"):
        operator.run()
    path.write_bytes(ids)
    operator.check(operator.run())


def test_file_that_was_left_beside_the_output_does_not_make_it_public(operator: Operator) -> None:
    """The results are for their owner alone, whatever mode a file of that name had; nor is a link followed."""
    beside = operator.output.with_name("results.jsonl.new")
    beside.touch(mode=0o644)
    operator.check(operator.run())
    assert stat.S_IMODE(operator.output.stat().st_mode) == 0o600
    elsewhere = operator.home / "elsewhere"
    beside.symlink_to(elsewhere)
    operator.check(operator.run())
    assert not elsewhere.exists()


def test_output_that_cannot_be_written_leaves_no_run(operator: Operator) -> None:
    """Nothing is begun, and nothing is left beside it."""
    operator.output = operator.home / "missing" / "results.jsonl"
    with pytest.raises(FileNotFoundError):
        operator.run()
    assert not operator.folder.exists()
    assert operator.calls().total() == 0


@pytest.mark.parametrize("name", ["shard-00003.ids", "findings-00002.jsonl"])
def test_run_whose_files_are_gone_is_for_the_operator_to_give_up(operator: Operator, name: str) -> None:
    """Ids that are to be sent, or what was found of others."""
    operator.arm(BatchAnswer(call="upload", status=413))
    kill_at(operator, "shard 2 of 2: job")
    (operator.folder / name).unlink()
    operator.calls()
    with pytest.raises(UnusableRunError, match="is unfinished, and files of it are gone; --fresh discards it"):
        operator.run()
    assert operator.calls().total() == 0
    operator.check(operator.run(is_fresh=True))
    assert operator.calls() == PLAIN + Counter(list=2, cancel=1)


def test_dead_letters_of_a_run_before_are_not_left_beside_new_results(operator: Operator) -> None:
    """They are of other results."""
    stale = operator.output.with_name("results.jsonl.dead-letters")
    stale.write_text("{}\n")
    report = operator.run()
    operator.check(report)
    assert (report.dead_letters, stale.exists()) == (None, False)


def test_files_are_for_their_owner_alone(operator: Operator) -> None:
    """Whatever the umask is: ids and results are other people's data."""
    modes: set[int] = set()

    def look(_: str) -> None:
        modes.update(path.stat().st_mode & 0o777 for path in operator.folder.rglob("*"))
        modes.add(operator.folder.stat().st_mode & 0o707)

    operator.on_point = look
    umask = os.umask(0)
    try:
        operator.run()
    finally:
        os.umask(umask)
    assert modes == {0o600, 0o700}
    assert operator.output.stat().st_mode & 0o777 == 0o600


# --- where the results go


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_output_that_is_no_file_is_refused_and_left_alone(operator: Operator, make: Callable[[Path], object]) -> None:
    """Before X is asked anything: to put a file in the place of a pipe or a device would break more than this run."""
    make(operator.output)
    before = operator.output.lstat()
    with pytest.raises(OSError, match="not a regular file"):
        operator.run()
    assert os.path.samestat(before, operator.output.lstat())
    assert operator.calls().total() == 0


def test_output_that_is_a_link_stays_one(operator: Operator) -> None:
    """The results go where it leads, as those of any other command would."""
    (operator.home / "elsewhere").mkdir()
    target = operator.home / "elsewhere/results"
    operator.output.symlink_to(target)
    operator.arm(BatchLines(how="foreign-id"))
    report = operator.run()
    assert (operator.output.is_symlink(), operator.results()) == (True, operator.truth())
    assert report.dead_letters == target.with_name("results.dead-letters")


# --- the disk


@pytest.mark.parametrize("limit_bytes", [0, 100, 400, 1000, 1800, 4000, 8000, 12_000])
def test_run_on_a_full_disk_ends_and_goes_on_once_there_is_room(operator: Operator, limit_bytes: int) -> None:
    """Whichever file it is that does not fit; nothing is waited for, and the output is whole or not there."""
    with largest_file(limit_bytes), pytest.raises(OSError, match="File too large") as caught:
        operator.run()
    assert caught.value.errno == errno.EFBIG
    assert not operator.output.exists()
    assert set(operator.waits) <= {30}
    operator.check(operator.run())
    assert len(operator.jobs()) == 1


@pytest.mark.slow
def test_disk_that_is_full_at_any_point_ends_the_run_as_such(operator: Operator) -> None:
    """It is never taken for a failure of X's; the next run comes to its end."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")

    failed = 0
    while True:
        with Points(1 + failed, fail, of_files_alone=True) as points, suppress(OSError):
            operator.run()
        if not points.is_passed:
            break
        failed += 1
        report = operator.run()
        operator.check(report)
    assert failed > 40


# --- what goes in


def _ids_in_gzip(operator: Operator) -> bytes:
    return gzip.compress(operator.as_lines(operator.ids))


def _ids_in_disguise(operator: Operator) -> bytes:
    text = '\ufeff"Id"\r\n' + "".join(f' "{id_}" \r\n\r\n' for id_ in reversed(operator.ids))
    return (text + operator.ids[0]).encode()


@pytest.mark.parametrize("form", [_ids_in_gzip, _ids_in_disguise])
def test_ids_may_come_in_any_form(operator: Operator, form: Callable[[Operator], bytes]) -> None:
    """Compressed, quoted, with a header, in any order, more than once; the run goes on from the same input."""
    ids = form(operator)
    operator.arm(BatchJob(status="in_progress", seconds=600))
    with pytest.raises(Exception, match="out of time"):
        operator.run(ids, time_s=60)
    operator.check(operator.run(ids))
    assert operator.calls()["create"] == 1


def test_single_id_is_a_run(operator: Operator) -> None:
    """Be it one that X acts on, or one that it has never heard of."""
    for id_ in (operator.truth()[0][0], "1"):
        operator.ids = [id_]
        operator.check(operator.run())
        assert operator.calls() == PLAIN


@pytest.mark.parametrize("ids", [b"", b"\n\r\n", b"id\n", b"\xef\xbb\xbf"], ids=["empty", "blank", "header", "BOM"])
def test_no_ids_are_a_run_without_a_job(operator: Operator, ids: bytes) -> None:
    """Its results are an empty file, as that is what there is to say."""
    operator.ids = []
    operator.check(operator.run(ids))
    assert (operator.output.read_bytes(), operator.calls().total()) == (b"", 0)


def test_invalid_ids_alone_are_an_error_unless_they_are_skipped(operator: Operator) -> None:
    """And X is not asked about any."""
    invalid = b"abc\n-1\n12345678901234567890\n"
    with pytest.raises(InvalidIdsError, match="invalid lines: 3") as caught:
        operator.run(invalid)
    assert (caught.value.exit_code, caught.value.lines[1]) == (os.EX_DATAERR, "  line 1: abc")
    operator.ids = []
    report = operator.run(invalid, skip_invalid=True)
    operator.check(report)
    assert (report.invalid, operator.calls().total()) == (3, 0)
    assert "  input: 0 duplicates, 3 invalid lines skipped" in report.lines()


def test_invalid_ids_are_counted_where_they_are_skipped(operator: Operator) -> None:
    """Beside duplicates; the valid ones are asked about."""
    report = operator.run(operator.as_lines([*operator.ids, "x", *operator.ids[:2]]), skip_invalid=True)
    operator.check(report)
    assert (report.invalid, report.duplicates) == (1, 2)


def test_input_that_cannot_be_read_to_its_end_begins_no_run(operator: Operator) -> None:
    """A file on a disk that fails."""

    class Failing(io.BytesIO):
        def read(self, _: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        operator.run(source=Failing())
    operator.check(operator.run())
