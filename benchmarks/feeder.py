"""An X that serves prepared bytes as fast as they are taken, or at a rate: a process of its own, run as a module.

`FOLDER OPTIONS` on the command line. It says its port on stdout, listens once a line comes on stdin, and says when all
have connected: nothing is served before, so that what is measured begins at one moment. It knows nothing of tokens,
limits or faults.
"""

import argparse
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.corpus import dated, dated_within, in_chunks, read_lines
from connector.events.catalog import STREAMS, StreamPartition

TICK_S = 0.01
"""At a rate, what is due is sent this often."""
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
_KEEP_ALIVE = b"2\r\n\r\n\r\n"
_KEEP_ALIVE_S = 10.0
_LAST_CHUNK = b"0\r\n\r\n"
_BY_PATH = {stream.path: stream.name for stream in STREAMS.values()}

Parts = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Options:
    """What is served, to every connection alike.

    `rate` is events/s over all connections, None for as fast as possible; `seconds` is for how long. `replay_rate` is
    events/s of the past that is asked for again.
    """

    folder: Path
    connections: int
    events_per_chunk: int
    rate: float | None
    seconds: float
    replay_rate: int


class Feeder:
    """Answers each connection in a thread."""

    def __init__(self, options: Options, say: Callable[[dict[str, float]], None]) -> None:
        self._options = options
        self._say = say
        self._connected: set[StreamPartition] = set()
        self._all_connected = threading.Event()
        self._lock = threading.Lock()
        self._prepared: dict[StreamPartition, Sequence[bytes]] = {}

    def prepare(self, partitions: Sequence[StreamPartition]) -> None:
        """Cut the corpus into chunks before anybody waits for them."""
        for partition in partitions:
            lines = read_lines(self._options.folder, partition)
            self._prepared[partition] = in_chunks(lines, self._options.events_per_chunk)

    def serve(self, connection: socket.socket) -> None:
        """Answer one request, as far as the other side wants it."""
        with connection, suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            partition, query = _read_request(connection)
            connection.sendall(_HEAD)
            chunks = self._prepared[partition]
            if "start_time" in query:
                for part in self._replay(chunks, *map(_second, (query["start_time"], query["end_time"]))):
                    connection.sendall(part)
                connection.sendall(_LAST_CHUNK)
                return
            self._connect(partition)
            while not self._all_connected.wait(_KEEP_ALIVE_S):
                connection.sendall(_KEEP_ALIVE)
            for part in self._live(chunks):
                connection.sendall(part)
            connection.recv(1)  # until the other side has had enough

    def _connect(self, partition: StreamPartition) -> None:
        with self._lock:
            self._connected.add(partition)
            if len(self._connected) == self._options.connections and not self._all_connected.is_set():
                self._say({"started": time.time()})
                self._all_connected.set()

    def _live(self, chunks: Sequence[bytes]) -> Parts:
        if self._options.replay_rate:
            return
        if self._options.rate is None:
            yield dated(b"".join(chunks), int(time.time()))
            return
        per_second = self._options.rate / self._options.connections / self._options.events_per_chunk
        began, sent = time.time(), 0
        while (elapsed_s := time.time() - began) < self._options.seconds:
            due = int(elapsed_s * per_second)
            part = b"".join(chunks[number % len(chunks)] for number in range(sent, due))
            if part:
                yield dated(part, int(time.time()))
            sent = due
            time.sleep(TICK_S)

    def _replay(self, chunks: Sequence[bytes], start: int, end: int) -> Parts:
        """Yield what belongs to each second: always the same, whichever client asks."""
        count = self._options.replay_rate // self._options.connections // self._options.events_per_chunk
        assert count, "less than a chunk a second"
        for second in range(start, end):
            first = second * count % (len(chunks) - count)
            yield dated_within(b"".join(chunks[first : first + count]), second)


def _read_request(connection: socket.socket) -> tuple[StreamPartition, dict[str, str]]:
    head = bytearray()
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    target = urlsplit(head.split(b" ", 2)[1].decode())
    query = {name: values[0] for name, values in parse_qs(target.query).items()}
    return StreamPartition(_BY_PATH[target.path], int(query.get("partition", "1"))), query


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _options() -> tuple[Options, Sequence[StreamPartition]]:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--partitions", required=True)
    parser.add_argument("--events-per-chunk", type=int, default=1)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--replay-rate", type=int, default=0)
    given = parser.parse_args()
    names = [name.split("/") for name in given.partitions.split(",")]
    partitions = [StreamPartition(stream, int(number)) for stream, number in names]
    options = Options(
        given.folder, len(partitions), given.events_per_chunk, given.rate, given.seconds, given.replay_rate
    )
    return options, partitions


def _say(fact: dict[str, float]) -> None:
    print(json.dumps(fact), flush=True)  # noqa: T201 - stdout is how it speaks


def main() -> None:
    """Serve until killed."""
    options, partitions = _options()
    feeder = Feeder(options, _say)
    feeder.prepare(partitions)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        _say({"port": server.getsockname()[1]})
        sys.stdin.readline()
        server.listen()
        _say({"listening": time.time()})
        while True:
            connection, _ = server.accept()
            threading.Thread(target=feeder.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
