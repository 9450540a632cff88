"""The plain script, what a good engineer writes in an afternoon: reads X with `requests` and `json`, line by line.

The rest is in `script`. Run as a module.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from benchmarks.script import TOKEN, run
from connector.events.catalog import STREAMS, StreamPartition

_CHUNK_BYTES = 64 * 1024
"""The most that `iter_lines` reads at once; its default of 512 bytes is less than four events."""
_SILENCE_S = 30.0
"""X sends a keep-alive every 20 s."""


def feed(url: str, place: StreamPartition) -> Iterator[Mapping[str, Any]]:
    """Yield the `data` of each event. Raises `requests.RequestException`."""
    stream = STREAMS[place.stream]
    with requests.get(
        f"{url}{stream.path}",
        params={"partition": place.number} if stream.partitions else {},
        headers={"Authorization": f"Bearer {TOKEN}"},
        stream=True,
        timeout=_SILENCE_S,
    ) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines(_CHUNK_BYTES):
            if line:
                yield json.loads(line)["data"]


if __name__ == "__main__":
    run(feed, sys.argv[1:])
