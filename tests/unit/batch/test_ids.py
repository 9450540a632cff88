"""Ids in, shards out: beside a plain model, and each form in which an id may come or fail to."""

import gzip
import hashlib
import os
import re
import stat
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.batch.ids import LONGEST_LINE_BYTES, FileIds, InvalidIdsError, Prepared, Shard, prepare, split
from tests.unit.batch.disk import largest_file

_IDS = st.integers(0, 30).map(b"%d".__mod__) | st.integers(0, 10**19 - 1).map(b"%d".__mod__)
_LINES = st.one_of(
    _IDS,
    _IDS.map(b' "%s"\t\r'.__mod__),
    st.sampled_from(
        [b"", b"\r", b"id", b'"ID"', b'""', b"-1", b"1.2e18", b"1" * 20, b"1 2", b"\xef\xbb\xbf1", b"\x00"]
    ),
    st.binary(max_size=5),
)
_FORM = re.compile(rb'\s*(?:"([0-9]{1,19})"|([0-9]{1,19}))\s*')


class _Slow(BytesIO):
    """A source that gives a few bytes at a time, so that lines are cut anywhere."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, never more than the step."""
        return super().read(min(self._step, size) if size and size > 0 else self._step)


def _silent(_lines: int) -> None:
    """Show no progress."""


def _prepare(
    content: bytes,
    folder: Path,
    *,
    skip_invalid: bool = False,
    limit: int = 128_000_000,
    on_progress: Callable[[int], None] = _silent,
) -> Prepared:
    read = FileIds(BytesIO(content), skip_invalid=skip_invalid)
    return prepare(read, folder, shard_limit_bytes=limit, on_progress=on_progress)


def _ids_of(*shards: Shard) -> list[bytes]:
    """Return the ids in the shards' files, and check that each file is what its shard says."""
    found = []
    for shard in shards:
        content = shard.path.read_bytes()
        ids = content.splitlines()
        assert content == b"".join(b"%s\n" % each for each in ids)
        assert (shard.ids, shard.size_bytes) == (len(ids), len(content))
        assert shard.sha256 == hashlib.sha256(content).hexdigest()
        assert stat.S_IMODE(shard.path.stat().st_mode) == 0o600
        found += ids
    return found


def _expected(content: bytes) -> tuple[list[bytes], int]:
    """Return the valid ids and the count of invalid lines, found in the plainest way."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if re.fullmatch(rb'\s*(id|"id")\s*', lines[0], re.IGNORECASE):
        lines[0] = b""
    forms = [_FORM.fullmatch(line) for line in lines if line.strip()]
    return [form[1] or form[2] for form in forms if form], forms.count(None)


@pytest.mark.slow
@given(
    lines=st.lists(_LINES, max_size=40),
    bom=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    limit=st.integers(20, 200),
    step=st.integers(2, 50),
    zipped=st.booleans(),
)
@example(lines=[b'"Id"\r', b"2\r", b"1"], bom=b"\xef\xbb\xbf", limit=20, step=2, zipped=True)
@example(lines=[b"%d" % number for number in range(10, 30)], bom=b"", limit=30, step=50, zipped=False)
def test_shards_of_any_lines_are_those_of_the_model(
    *, lines: list[bytes], bom: bytes, limit: int, step: int, zipped: bool
) -> None:
    """Every valid id once, in byte order, in shards that are as full as the limit lets them be."""
    content = bom + b"\n".join(lines)
    valid, invalid = _expected(content)
    packed = gzip.compress(content, mtime=0) if zipped else content
    with TemporaryDirectory() as folder:
        slow = FileIds(_Slow(packed, step), skip_invalid=True)
        found = prepare(slow, Path(folder), shard_limit_bytes=limit, on_progress=_silent)
        assert _ids_of(*found.shards) == sorted(set(valid))
        assert found.ids == len(set(valid))
        assert (found.duplicates, found.invalid) == (len(valid) - found.ids, invalid)
        assert [shard.number for shard in found.shards] == list(range(1, len(found.shards) + 1))
        for shard, after in zip(found.shards, found.shards[1:], strict=False):
            first = after.path.read_bytes().index(b"\n") + 1
            assert limit - first < shard.size_bytes <= limit


@pytest.mark.parametrize(
    "content",
    [
        b"7\n8",
        b"8\r\n7\r\n",
        b"\n \n7\n\t\n8\n\n",
        b"  7 \n\t8\t\n",
        b"\xef\xbb\xbf7\n8\n",
        b"id\n7\n8\n",
        b'\xef\xbb\xbf"ID"\r\n"7"\r\n"8"\r\n',
        gzip.compress(b"7\n8\n", mtime=0),
        gzip.compress(b"\xef\xbb\xbfid\n7", mtime=0) + gzip.compress(b"\n8", mtime=0),
        gzip.compress(b"", mtime=0) + gzip.compress(b"7\n8", mtime=0),
    ],
)
def test_id_in_each_accepted_form_is_taken(content: bytes, tmp_path: Path) -> None:
    """As shells, spreadsheets and databases write lists of ids."""
    found = _prepare(content, tmp_path)
    assert _ids_of(*found.shards) == [b"7", b"8"]
    assert (found.ids, found.duplicates, found.invalid) == (2, 0, 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"1.2e18", "1.2e18"),
        (b"-1", "-1"),
        (b"12345678901234567890", "12345678901234567890"),
        (b"1,2", "1,2"),
        (b"id", "id"),
        (b'""', '""'),
        (b'"1', '"1'),
        ("\N{ARABIC-INDIC DIGIT ONE}".encode(), "\N{ARABIC-INDIC DIGIT ONE}"),
        (b"1\x002", "1 2"),
        (b"\x00", "not printable"),
        (b"\x1b[31mred", "[31mred"),
        (b"x" * 1000, "x" * 60),
        (b" " * LONGEST_LINE_BYTES + b"1", "not printable"),
    ],
)
def test_line_that_is_no_id_is_shown_with_its_number(line: bytes, words: str, tmp_path: Path) -> None:
    """Cut, and without what a terminal would obey; the process ends as for wrong data."""
    with pytest.raises(InvalidIdsError) as caught:
        _prepare(b"1\n\n" + line + b"\n2\n", tmp_path)
    assert caught.value.lines == (
        "invalid lines: 1; an id is 1 to 19 digits (--skip-invalid skips them)",
        f"  line 3: {words}",
    )
    assert caught.value.exit_code == os.EX_DATAERR
    assert list(tmp_path.iterdir()) == []


def test_utf_16_file_is_invalid_line_by_line(tmp_path: Path) -> None:
    """Its digits are not taken for ids."""
    with pytest.raises(InvalidIdsError, match="invalid lines: 3;"):
        _prepare("1\r\n2\r\n".encode("utf-16"), tmp_path)


def test_first_ten_of_many_invalid_lines_are_shown(tmp_path: Path) -> None:
    """The count is that of all."""
    with pytest.raises(InvalidIdsError) as caught:
        _prepare(b"x\n" * 12_345, tmp_path)
    assert caught.value.lines[0].startswith("invalid lines: 12,345;")
    assert caught.value.lines[1:] == tuple(f"  line {number}: x" for number in range(1, 11))


def test_invalid_lines_that_are_skipped_are_counted(tmp_path: Path) -> None:
    """The others are prepared."""
    found = _prepare(b"2\nx\n1\nx\n2\n", tmp_path, skip_invalid=True)
    assert _ids_of(*found.shards) == [b"1", b"2"]
    assert (found.ids, found.duplicates, found.invalid) == (2, 1, 2)


@pytest.mark.parametrize("content", [b"", b"\n", b"id\n", b"\xef\xbb\xbf", b"x\n", gzip.compress(b"", mtime=0)])
def test_input_without_ids_makes_no_shard(content: bytes, tmp_path: Path) -> None:
    """There is nothing to ask X about."""
    found = _prepare(content, tmp_path, skip_invalid=True)
    assert (found.shards, found.ids) == ((), 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("letter", [b"1", b" ", b"x"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_line_of_any_length_takes_bounded_memory(
    letter: bytes, packed: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """It is one invalid line, whatever it holds, and a small gzip file that holds it is no way around that."""
    content = packed(letter * (20 * 1024**2) + b"\n2\n")
    tracemalloc.start()
    try:
        found = _prepare(content, tmp_path, skip_invalid=True)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (_ids_of(*found.shards), found.invalid) == ([b"2"], 1)
    assert peak_bytes < 2 * 1024**2


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_count_of_ids(tmp_path: Path) -> None:
    """Twenty times what is sorted in memory, written to many shards, takes little more."""
    memory_bytes = 256 * 1024
    count = 80_000
    path = tmp_path / "given"
    path.write_bytes(b"".join(b"%019d\n" % (number * 7919 % count) for number in range(count)))
    tracemalloc.start()
    try:
        with path.open("rb") as source:
            given_ids = FileIds(source, skip_invalid=False, memory_bytes=memory_bytes)
            found = prepare(given_ids, tmp_path, shard_limit_bytes=100_000, on_progress=_silent)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found.ids, len(found.shards)) == (count, 16)
    assert peak_bytes < 2 * memory_bytes + 1024**2


@pytest.mark.parametrize("size", [2, 5, 12, 30, -9, -1])
@pytest.mark.parametrize("skip_invalid", [False, True])
def test_gzip_that_is_cut_is_an_error_and_not_fewer_ids(*, size: int, skip_invalid: bool, tmp_path: Path) -> None:
    """Wherever it is cut, and also if invalid lines are skipped."""
    packed = gzip.compress(b"".join(b"%d\n" % number for number in range(1000)))
    with pytest.raises(InvalidIdsError, match="the gzip data ends early"):
        _prepare(packed[:size], tmp_path, skip_invalid=skip_invalid)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"\x1f\x8bplain text", gzip.compress(b"1\n", mtime=0) + b"2\n"])
def test_gzip_that_is_damaged_is_an_error(damage: bytes, tmp_path: Path) -> None:
    """Anything but members of gzip is."""
    with pytest.raises(InvalidIdsError, match="the gzip data is corrupt"):
        _prepare(damage, tmp_path)


def test_gzip_whose_checksum_is_wrong_is_an_error(tmp_path: Path) -> None:
    """Its ids are not to be trusted."""
    packed = bytearray(gzip.compress(b"1\n2\n", mtime=0))
    packed[-8] ^= 1
    with pytest.raises(InvalidIdsError, match="incorrect data check"):
        _prepare(bytes(packed), tmp_path)


def test_progress_is_the_count_of_lines_every_hundred_thousand(tmp_path: Path) -> None:
    """Blank lines count, as they do in the line numbers."""
    seen: list[int] = []
    _prepare(b"\n1" * 125_000 + b"\n\n" * 40_000, tmp_path, on_progress=seen.append)
    assert seen == [100_000, 200_000]


def test_shard_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    """A file that others may read does not pass that on, and a link leads nowhere."""
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    [path] = (shard.path for shard in _prepare(b"1", tmp_path).shards)
    path.unlink()
    path.symlink_to(kept)
    assert _ids_of(*_prepare(b"2", tmp_path).shards) == [b"2"]
    assert kept.read_bytes() == b"kept"


def test_shard_that_cannot_be_written_leaves_none(tmp_path: Path) -> None:
    """Those that were written before are removed, too."""
    obstacle = tmp_path / "shard-00003.ids"
    obstacle.mkdir()
    with pytest.raises(OSError, match=obstacle.name):
        _prepare(b"1\n2\n3\n4\n", tmp_path, limit=2)
    assert list(tmp_path.iterdir()) == [obstacle]


def test_full_disk_leaves_no_shard(tmp_path: Path) -> None:
    """It is an `OSError`, whose number says what is wrong."""
    content = b"".join(b"%019d\n" % number for number in range(10_000))
    with largest_file(100_000), pytest.raises(OSError, match="File too large"):
        _prepare(content, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@given(ids=st.sets(_IDS, min_size=2, max_size=30))
@example(ids={b"1", b"2222222222222222222"})
def test_halves_of_a_shard_hold_its_ids_in_order(ids: set[bytes]) -> None:
    """Neither is empty, they differ by at most one id, and the shard's own file stays."""
    content = b"\n".join(ids)
    with TemporaryDirectory() as folder:
        [shard] = _prepare(content, Path(folder)).shards
        first, second = split(shard, Path(folder), number=2)
        assert (first.number, second.number) == (2, 3)
        assert second.ids - first.ids in {0, 1}
        assert _ids_of(first, second) == _ids_of(shard) == sorted({each.strip() for each in ids})


def test_half_that_cannot_be_written_leaves_neither(tmp_path: Path) -> None:
    """The shard can be split again."""
    [shard] = _prepare(b"1\n2\n", tmp_path).shards
    obstacle = tmp_path / "shard-00003.ids"
    obstacle.mkdir()
    with pytest.raises(OSError, match=obstacle.name):
        split(shard, tmp_path, number=2)
    assert sorted(tmp_path.iterdir()) == [shard.path, obstacle]
