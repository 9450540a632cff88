r"""Sorts more lines than fit into memory: sorts chunks, writes each as a run, and merges the runs.

Must not know what a line means. All runs are in one unnamed file: nothing is left of it however the process ends, and
any number of runs takes one open file.
"""

import os
from collections.abc import Generator, Iterable, Iterator
from heapq import merge
from itertools import chain, pairwise, repeat
from pathlib import Path
from sys import getsizeof
from tempfile import TemporaryFile

MEMORY_BYTES = 64 * 1024**2
"""How much of what is sorted is held in memory."""
_POINTER_BYTES = 8
_SMALLEST_READ_BYTES = 4 * 1024
_BYTES_A_BYTE_READ = 5
"""The memory that a byte of a short line takes once read: in the block, and in the line itself."""


def sorted_lines(
    lines: Iterable[bytes], folder: Path, memory_bytes: int = MEMORY_BYTES
) -> Generator[bytes, None, None]:
    r"""Yield `lines`, none of which holds a `\n`, in byte order, duplicates included.

    Holds about `memory_bytes` of them at a time; the others are in `folder`, in a nameless file with mode 0600 that is
    gone once the generator ends, is closed or fails. Raises `OSError` if the disk is full.
    """
    with TemporaryFile(dir=folder) as file:
        ends = [0]
        for chunk in _sorted_chunks(lines, memory_bytes):
            file.writelines(chain.from_iterable(zip(chunk, repeat(b"\n"), strict=False)))
            ends.append(file.tell())
        file.flush()
        read_bytes = max(_SMALLEST_READ_BYTES, memory_bytes // _BYTES_A_BYTE_READ // len(ends))
        yield from merge(*(_run(file.fileno(), start, end, read_bytes) for start, end in pairwise(ends)))


def _sorted_chunks(lines: Iterable[bytes], memory_bytes: int) -> Iterator[list[bytes]]:
    """Yield `lines` in sorted chunks of about `memory_bytes`; each is emptied before the next one grows."""
    chunk: list[bytes] = []
    held_bytes = 0
    for line in lines:
        chunk.append(line)
        held_bytes += getsizeof(line) + _POINTER_BYTES
        if held_bytes >= memory_bytes:
            chunk.sort()
            yield chunk
            chunk.clear()
            held_bytes = 0
    chunk.sort()
    yield chunk
    chunk.clear()


def _run(descriptor: int, start: int, end: int, read_bytes: int) -> Iterator[bytes]:
    """Yield the lines of a file between two offsets; runs share `descriptor`, so its position is not used."""
    rest = b""
    while start < end:
        block = os.pread(descriptor, min(read_bytes, end - start), start)
        start += len(block)
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
