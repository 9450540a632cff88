r"""Ids in, shards out: files no larger than X accepts in one upload.

A shard holds one id a line, each ended by `\n`, sorted in byte order; no id is twice in all shards together.
Must not know what is done with a shard.
"""

import os
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Protocol

from connector.batch.sorting import MEMORY_BYTES, sorted_lines
from connector.errors import ConnectorError
from connector.files import replace_private
from connector.quoting import shown

LONGEST_LINE_BYTES = 4096
"""A longer line of input is invalid, even if the rest of it is blank."""
MOST_EXAMPLES = 10
"""Invalid lines that are shown; the others are counted."""
_LONGEST_ID = 19
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # what zlib calls a gzip header and its largest window
_BLOCK_BYTES = 64 * 1024
_LINES_A_WRITE = 4096
PROGRESS_EVERY = 100_000
_EXAMPLE_BYTES = 60


class InvalidIdsError(ConnectorError):
    """Ids that the operator must correct."""

    exit_code = os.EX_DATAERR


@dataclass(frozen=True, slots=True)
class Shard:
    """The file of one upload, with `ids` lines; `sha256` is that of its bytes, in hexadecimal. Numbers start at 1."""

    number: int
    path: Path
    ids: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of the input: distinct `ids` in shards, `duplicates` of them, and lines without a valid id."""

    shards: tuple[Shard, ...]
    ids: int
    duplicates: int
    invalid: int


class IdSource(StrEnum):
    """The source of a run's ids; public, an open set in the contract."""

    FILE = "file"
    TOPIC = "topic"


class Ids(Protocol):
    """The ids to ask X about. They are read once.

    `valid` and `invalid` count what has been read, in units of `unit`; `source` is where they come from.
    """

    source: IdSource
    unit: str
    valid: int
    invalid: int

    def distinct(self, folder: Path, on_progress: Callable[[int], None]) -> Generator[bytes, None, None]:
        """Yield each id once, in byte order; ids beyond the memory are in an unnamed file in `folder`.

        `on_progress` gets the count of lines or records read, every 100,000. Raises `InvalidIdsError` once all are
        read, and `OSError` if the disk is full.
        """

    def identity(self) -> str:
        """Return a value that identifies the input, reading it to its end if necessary."""


def prepare(
    ids: Ids, folder: Path, *, shard_limit_bytes: int = 128_000_000, on_progress: Callable[[int], None]
) -> Prepared:
    """Write ids as shards, mode 0600, into `folder`; none if there is no id.

    Memory does not grow with the input; disk space does. Raises what `Ids.distinct` does, and then leaves no shard.
    """
    with closing(ids.distinct(folder, on_progress)) as distinct:
        shards = _write_shards(groupby(distinct, _shard_numbers(shard_limit_bytes)), folder)
    count = sum(shard.ids for shard in shards)
    return Prepared(shards, count, ids.valid - count, ids.invalid)


@dataclass(frozen=True, slots=True)
class Counted:
    """What `prepare` would write: the distinct ids, the shards, and the total bytes."""

    ids: int
    shards: int
    size_bytes: int
    duplicates: int
    invalid: int


def count(
    ids: Ids, folder: Path, *, shard_limit_bytes: int = 128_000_000, on_progress: Callable[[int], None]
) -> Counted:
    """Count ids as `prepare` would write them, and write none. Raises what `Ids.distinct` does."""
    number_of, found, shards, size_bytes = _shard_numbers(shard_limit_bytes), 0, 0, 0
    with closing(ids.distinct(folder, on_progress)) as distinct:
        for each in distinct:
            found, shards, size_bytes = found + 1, number_of(each), size_bytes + len(each) + 1
    return Counted(found, shards, size_bytes, ids.valid - found, ids.invalid)


def split(shard: Shard, folder: Path, *, number: int) -> tuple[Shard, Shard]:
    """Write the halves of `shard`, which has at least two ids, into `folder` as shards `number` and `number` + 1.

    The file of `shard` stays. Raises `OSError`, which leaves neither half.
    """
    half = shard.ids // 2
    with shard.path.open("rb") as file:
        lines = map(bytes.rstrip, file)
        first, second = _write_shards([(number, islice(lines, half)), (number + 1, lines)], folder)
    return first, second


def _decompressed(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the decompressed gzip members in `blocks`, in bounded blocks. Raises `InvalidIdsError` if corrupt."""
    member = zlib.decompressobj(_GZIP)
    for block in blocks:
        rest = block
        while rest:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            try:
                content = member.decompress(rest, _BLOCK_BYTES)
            except zlib.error as error:
                raise InvalidIdsError(f"the gzip data is corrupt: {shown(str(error))}") from error
            yield content
            rest = member.unused_data if member.eof else member.unconsumed_tail
    if not member.eof:
        raise InvalidIdsError("the gzip data ends early: the file is incomplete")


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    r"""Yield the lines in `blocks`, cut on `\n`. A line that is too long is cut, but remains too long."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        rest = rest[: LONGEST_LINE_BYTES + 1]
    if rest:
        yield rest


class FileIds:
    """The ids in a file or a pipe, one a line, plain or gzip.

    A line that holds anything else is an error, unless `skip_invalid`; so is corrupt gzip. About `memory_bytes` of them
    are held in memory.
    """

    source = IdSource.FILE
    unit = "lines"

    def __init__(self, file: BinaryIO, *, skip_invalid: bool, memory_bytes: int = MEMORY_BYTES) -> None:
        self.valid = 0
        self.invalid = 0
        self._file = file
        self._digest = sha256()
        self._skip_invalid = skip_invalid
        self._memory_bytes = memory_bytes
        self._examples: list[str] = []

    def distinct(self, folder: Path, on_progress: Callable[[int], None]) -> Generator[bytes, None, None]:
        """Yield the ids, as in `Ids`; needs up to the size of the ids as text in `folder`."""
        with closing(sorted_lines(self._read(on_progress), folder, self._memory_bytes)) as ordered:
            yield from map(itemgetter(0), groupby(ordered))

    def identity(self) -> str:
        """Return the SHA-256 of the whole input, in hexadecimal."""
        while self._block():
            pass
        return self._digest.hexdigest()

    def _read(self, on_progress: Callable[[int], None]) -> Iterator[bytes]:
        """Yield the id of each line that has one. Raises `InvalidIdsError` after the last line."""
        for number, line in enumerate(_lines(self._content()), 1):
            found = line if is_id(line) else _unwrapped(line, is_first=number == 1)
            if found:
                self.valid += 1
                yield found
            elif found is None:
                self._reject(number, line)
            if number % PROGRESS_EVERY == 0:
                on_progress(number)
        if self.invalid and not self._skip_invalid:
            raise InvalidIdsError(
                f"invalid lines: {self.invalid:,}; an id is 1 to 19 digits (--skip-invalid skips them)",
                *self._examples,
            )

    def _content(self) -> Iterator[bytes]:
        """Return the content block by block, decompressed if it begins like gzip."""
        first = self._block()
        blocks = chain([first], iter(self._block, b""))
        return _decompressed(blocks) if first.startswith(_GZIP_MAGIC) else blocks

    def _block(self) -> bytes:
        block = self._file.read(_BLOCK_BYTES)
        self._digest.update(block)
        return block

    def _reject(self, number: int, line: bytes) -> None:
        self.invalid += 1
        if self.invalid <= MOST_EXAMPLES:
            self._examples.append(f"  line {number}: {shown(line[:_EXAMPLE_BYTES]) or 'not printable'}")


def is_id(text: bytes) -> bool:
    """Return whether `text` is an id of X's, 1 to 19 digits."""
    return text.isdigit() and len(text) <= _LONGEST_ID


def _unwrapped(line: bytes, *, is_first: bool) -> bytes | None:
    """Return the id inside blanks or quotes, `b""` for a blank line or the header, None for anything else."""
    if len(line) > LONGEST_LINE_BYTES:
        return None
    bare = (line.removeprefix(BOM_UTF8) if is_first else line).strip()
    if len(bare) > len(b'""') and bare.startswith(b'"') and bare.endswith(b'"'):
        bare = bare[1:-1]
    if is_first and bare.lower() == b"id":
        return b""
    return bare if not bare or is_id(bare) else None


def _shard_numbers(limit_bytes: int) -> Callable[[bytes], int]:
    """Return a function that takes every id once, in order, and returns the number of its shard."""
    number, size_bytes = 1, 0

    def number_of(line: bytes) -> int:
        nonlocal number, size_bytes
        size_bytes += len(line) + 1
        if size_bytes > limit_bytes:
            number, size_bytes = number + 1, len(line) + 1
        return number

    return number_of


def _write_shards(numbered: Iterable[tuple[int, Iterator[bytes]]], folder: Path) -> tuple[Shard, ...]:
    """Write each group of ids as the shard of its number; if one fails, leave none."""
    shards = []
    with ExitStack() as undo:
        for number, lines in numbered:
            path = folder / f"shard-{number:05}.ids"
            undo.callback(path.unlink, missing_ok=True)
            shards.append(_write_shard(lines, number, path))
        undo.pop_all()
    return tuple(shards)


def _write_shard(lines: Iterator[bytes], number: int, path: Path) -> Shard:
    """Write a new file, replacing what an earlier run may have left."""
    digest = sha256()
    ids = size_bytes = 0
    with replace_private(path) as file:
        while batch := list(islice(lines, _LINES_A_WRITE)):
            block = b"\n".join(batch) + b"\n"
            file.write(block)
            digest.update(block)
            ids += len(batch)
            size_bytes += len(block)
    return Shard(number, path, ids, size_bytes, digest.hexdigest())
