"""Asks a port for a page again and again, in a process of its own: what it measures is not its own busy neighbours.

`python -m tests.rig.scraper PORT PATH COUNT` prints how long each answer took, in milliseconds, as a JSON list.
"""

import json
import subprocess
import sys
import time
from http.client import HTTPConnection

from tests.rig.process import LOOPBACK

_TIMEOUT_S = 30.0


def scrape_times_ms(port: int, path: str, count: int) -> list[float]:
    """Return how long `count` answers took, the fastest first."""
    command = [sys.executable, "-m", "tests.rig.scraper", str(port), path, str(count)]
    answer = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - the command is ours
    return sorted(json.loads(answer.stdout))


def _time_ms(port: int, path: str) -> float:
    began = time.perf_counter()
    connection = HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status}")
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measure and print."""
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print(json.dumps([_time_ms(port, path) for _ in range(count)]))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
