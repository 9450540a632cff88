"""What the simulator recorded, and how to ask for a part of it, for tests."""

import json
import time
from datetime import UTC, datetime

from connector.events.catalog import StreamPartition
from connector.simulator import Emitted, Simulator
from connector.simulator.clock import NANOS

LIKE_1 = StreamPartition("like", 1)
TWEET_1 = StreamPartition("tweet", 1)


def emitted_on(sim: Simulator, partition: StreamPartition = LIKE_1) -> list[Emitted]:
    """Return what a stream partition emitted, in order."""
    return [e for e in sim.record() if (e.stream, e.partition) == (partition.stream, partition.number)]


def recorded(sim: Simulator, partition: StreamPartition = LIKE_1) -> list[bytes]:
    """Return the lines that a stream partition emitted, in order."""
    return [emitted.line for emitted in emitted_on(sim, partition)]


def interval(sim: Simulator, start_ago_s: float = 120, end_ago_s: float = 1) -> dict[str, str | int]:
    """Return the parameters of a replay of whole seconds of simulated time."""
    now_s = sim.clock.now_ns() // NANOS
    times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s - ago_s)) for ago_s in (start_ago_s, end_ago_s)]
    return dict(zip(("start_time", "end_time"), times, strict=True))


def event_at_ns(line: bytes) -> int:
    """Return the date that is written in a line."""
    (body,) = json.loads(line)["data"].values()
    since = datetime.fromisoformat(body["event_at"]) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NANOS + since.microseconds * 1000
