"""The xdk script: reads X with X's own client; the rest is in `script`. Run as a module."""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xdk import Client

from benchmarks.script import TOKEN, run
from connector.events.catalog import StreamPartition


def feed(url: str, place: StreamPartition) -> Iterator[Mapping[str, Any]]:
    """Yield the `data` of each event, as the client's model returns it."""
    stream: Any = Client(base_url=url, bearer_token=TOKEN).stream
    feeds: dict[str, Callable[[], Iterator[Any]]] = {
        "tweet": lambda: stream.posts_compliance(partition=place.number),
        "user": lambda: stream.users_compliance(partition=place.number),
        "like": stream.likes_compliance,
        "label": stream.labels_compliance,
    }
    for event in feeds[place.stream]():
        yield event.model_dump(mode="json", exclude_none=True)["data"]


if __name__ == "__main__":
    run(feed, sys.argv[1:])
