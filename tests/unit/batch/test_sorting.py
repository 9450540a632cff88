"""Sorted lines, beside `sorted()`, and what is left of them in the folder: nothing."""

import os
import stat
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.batch.sorting import sorted_lines
from tests.unit.batch.disk import largest_file

_LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"\r")), max_size=60)
_LINE_A_RUN = 1
"""So little memory that each line is a run of its own."""


def _open_below(folder: Path) -> list[os.stat_result]:
    """Return the status of each file that this process has open in `folder`."""
    inside = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            if link.readlink().is_relative_to(folder):
                inside.append(link.stat())
        except FileNotFoundError:  # the descriptor that lists the others
            continue
    return inside


@pytest.mark.slow
@given(lines=_LINES, memory_bytes=st.sampled_from([_LINE_A_RUN, 100, 300, 1000, 64 * 1024**2]))
@example(lines=[b"1", b"1\t", b"1\r", b"", b"1\x00"], memory_bytes=_LINE_A_RUN)
def test_lines_come_as_sorted_gives_them(lines: list[bytes], memory_bytes: int) -> None:
    """In byte order, duplicates and empty lines included, however many runs they take."""
    with TemporaryDirectory() as folder:
        assert list(sorted_lines(iter(lines), Path(folder), memory_bytes)) == sorted(lines)


def test_lines_larger_than_any_buffer_come_whole(tmp_path: Path) -> None:
    """Neither the memory given nor the size of a read bounds a line."""
    lines = [bytes([letter]) * 700_000 for letter in b"cab"]
    assert list(sorted_lines(lines, tmp_path, 100)) == sorted(lines)


def test_a_thousand_runs_take_one_open_file_that_has_no_name(tmp_path: Path) -> None:
    """A process that is killed leaves nothing in the folder, and no other user can read the file meanwhile."""
    with closing(sorted_lines([b"%03d" % number for number in range(1000)], tmp_path, _LINE_A_RUN)) as ordered:
        assert next(ordered) == b"000"
        [file] = _open_below(tmp_path)
        assert (stat.S_IMODE(file.st_mode), file.st_nlink) == (0o600, 0)
        assert list(tmp_path.iterdir()) == []


def test_generator_that_is_closed_early_closes_its_file(tmp_path: Path) -> None:
    """Its disk space is free again at once."""
    ordered = sorted_lines([b"2", b"1"], tmp_path)
    assert next(ordered) == b"1"
    ordered.close()
    assert _open_below(tmp_path) == []


def test_error_of_the_input_passes_through_and_nothing_is_left(tmp_path: Path) -> None:
    """It comes after runs have been written."""

    def lines() -> Iterator[bytes]:
        yield from [b"2", b"1"]
        raise LookupError

    with pytest.raises(LookupError):
        next(sorted_lines(lines(), tmp_path, _LINE_A_RUN))
    assert (_open_below(tmp_path), list(tmp_path.iterdir())) == ([], [])


def test_full_disk_is_an_oserror_and_nothing_is_left(tmp_path: Path) -> None:
    """Also where it shows only when the last bytes are flushed."""
    for count in (100, 100_000):
        with largest_file(1000), pytest.raises(OSError, match="File too large"):
            next(sorted_lines([b"1234567890123456789"] * count, tmp_path, 10_000))
        assert (_open_below(tmp_path), list(tmp_path.iterdir())) == ([], [])


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_count_of_lines(tmp_path: Path) -> None:
    """Twenty times the memory given is sorted in less than twice of it."""
    memory_bytes = 256 * 1024
    tracemalloc.start()
    try:
        count = sum(1 for _ in sorted_lines((b"%019d" % number for number in range(80_000)), tmp_path, memory_bytes))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 80_000
    assert peak_bytes < 2 * memory_bytes
