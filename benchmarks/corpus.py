"""The events that are fed: all types in the simulator's mix, one file of lines for each stream partition.

Every line is dated around one made-up second, so that a feeder can move all of them to another by replacing text.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.simulator.clock import NANOS
from connector.simulator.events import EventSource

LINE_END = b"\r\n"
_SEED = 1
_SECOND = 1_000_000_000
_SPREAD_S = 2
"""The simulator dates events up to this many seconds before they are sent."""
_OLDEST_FIRST = range(_SPREAD_S, -1, -1)


def write_corpus(folder: Path, events_per_partition: int) -> None:
    """Write `events_per_partition` different events for each stream partition into `folder`."""
    for partition in STREAM_PARTITIONS:
        source = EventSource(_SEED, partition)
        lines = (source.line((_SECOND + 1) * NANOS - 1) for _ in range(events_per_partition))
        _file(folder, partition).write_bytes(b"".join(line + LINE_END for line in lines))


def read_lines(folder: Path, partition: StreamPartition) -> list[bytes]:
    """Return the lines of a stream partition with their ends."""
    return _file(folder, partition).read_bytes().splitlines(keepends=True)


def in_chunks(lines: Sequence[bytes], events_per_chunk: int) -> list[bytes]:
    """Return `lines` as chunks of an HTTP body (RFC 9112, 7.1)."""
    groups = (b"".join(lines[start : start + events_per_chunk]) for start in range(0, len(lines), events_per_chunk))
    return [b"%x\r\n%b\r\n" % (len(group), group) for group in groups]


def dated(body: bytes, second: int) -> bytes:
    """Return `body` as if sent in that second, counted from 1970; its length stays."""
    return _replace(body, ((before, second - before) for before in _OLDEST_FIRST))


def dated_within(body: bytes, second: int) -> bytes:
    """Return `body` with every event dated within that very second."""
    return _replace(body, ((before, second) for before in _OLDEST_FIRST))


def _replace(body: bytes, seconds: Iterable[tuple[int, int]]) -> bytes:
    for before, second in seconds:
        body = body.replace(_text(_SECOND - before), _text(second))
    return body


def _text(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _file(folder: Path, partition: StreamPartition) -> Path:
    return folder / f"{partition.stream}-{partition.number}.lines"
