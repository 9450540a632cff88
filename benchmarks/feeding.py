"""A feeder started and listened to, and the check that it is faster than what it feeds."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from connector.events.catalog import STREAMS, StreamPartition

_RECEIVE_BYTES = 1 << 18


class Feeding:
    """A feeder of `partitions`; further options are those of `benchmarks.feeder`."""

    def __init__(self, folder: Path, partitions: Sequence[StreamPartition], **options: float) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [
                *(sys.executable, "-m", "benchmarks.feeder", str(folder)),
                f"--partitions={','.join(map(str, partitions))}",
                *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self.port = int(self._fact("port"))
        self.url = f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Take connections from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        self._fact("listening")

    def started(self) -> float:
        """Return when all were connected, in seconds since 1970, once they are."""
        return self._fact("started")

    def _fact(self, name: str) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the feeder has ended")
        value: float = json.loads(line)[name]
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def drain(feeding: Feeding, partitions: Sequence[StreamPartition], events: int, events_per_chunk: int) -> float:
    """Read all that is fed and only count line ends; return events/s."""
    each = events // len(partitions)
    left = [each + 2 * -(-each // events_per_chunk)] * len(partitions)  # a chunk has two line ends of its own

    def read(index: int, partition: StreamPartition) -> None:
        with socket.create_connection(("127.0.0.1", feeding.port)) as connection:
            path = f"{STREAMS[partition.stream].path}?partition={partition.number}"
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
            while left[index] > 0 and (received := connection.recv(_RECEIVE_BYTES)):
                left[index] -= received.count(b"\n")

    feeding.listen()
    threads = [threading.Thread(target=read, args=place, daemon=True) for place in enumerate(partitions)]
    for thread in threads:
        thread.start()
    started = feeding.started()
    for thread in threads:
        thread.join()
    return events / (time.time() - started)
