"""Owns the simulator's settings: what kind of X it plays. Knows nothing of how it is played."""

from dataclasses import dataclass
from typing import Literal

from connector.events.catalog import STREAMS

Chunking = Literal["batch", "line", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """What the simulator emits, grants and refuses; raises `ValueError` on what makes no sense.

    `rate` is events a second over all stream partitions. A stream missing from `streams` emits nothing and answers
    403. `record_limit` bounds the events remembered for each stream partition (None: all). `rate_limit` counts
    requests per endpoint and 15 minutes of simulated time. `chunking` says where HTTP chunks end: after what is
    waiting, after each line, or anywhere. `backfill_refusal` and `replay_refusal` are the status with which a
    contract without the feature answers. A client that leaves `buffer_limit_bytes` unread is disconnected.
    """

    seed: int = 1
    host: str = "127.0.0.1"
    port: int = 0
    rate: float = 0.0
    streams: tuple[str, ...] = tuple(STREAMS)
    record_limit: int | None = None
    token: str = "simulator-token"  # noqa: S105 - opens nothing but this simulator
    api_key: str = "simulator-key"
    api_key_secret: str = "simulator-secret"  # noqa: S105 - opens nothing but this simulator
    rate_limit: int = 100
    replay_limit: int = 2
    backfill_refusal: int | None = None
    replay_refusal: int | None = None
    keep_alive_s: float = 20.0
    gzip: bool = True
    chunking: Chunking = "batch"
    buffer_limit_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        if unknown := set(self.streams) - set(STREAMS):
            raise ValueError(f"unknown streams {sorted(unknown)}; known are {list(STREAMS)}")
        if not self.streams:
            raise ValueError(f"name at least one stream of {list(STREAMS)}")
        if self.rate < 0:
            raise ValueError(f"rate must not be negative: {self.rate}")
        for name in ("keep_alive_s", "buffer_limit_bytes", "rate_limit", "replay_limit"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive: {getattr(self, name)}")
        if self.record_limit is not None and self.record_limit <= 0:
            raise ValueError(f"record_limit must be positive or None: {self.record_limit}")
