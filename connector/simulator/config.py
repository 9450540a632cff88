"""Owns the simulator's settings: the kind of X to simulate. Knows nothing of how that is done.

The descriptions are public: docs/simulator.md shows them.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from connector.events.catalog import STREAMS

Chunking = Literal["batch", "line", "random"]
SelectBy = Literal["emission", "event-at"]
Transfers = Literal["bearer", "presigned"]


_POSITIVE = (
    "keep_alive_s",
    "buffer_limit_bytes",
    "rate_limit",
    "replay_limit",
    "batch_limit_bytes",
    "batch_rate_limit",
    "batch_upload_window_s",
    "batch_download_window_s",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """What the simulator emits, grants and refuses; raises `ValueError` for nonsense."""

    seed: Annotated[int, Meta(description="The same seed gives the same events.")] = 1
    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes any free one.")] = 0
    rate: Annotated[float, Meta(description="Events a second, across all stream partitions.")] = 0.0
    streams: Annotated[
        tuple[str, ...], Meta(description="Streams in the contract; any other emits nothing and answers 403.")
    ] = tuple(STREAMS)
    record_limit: Annotated[
        int | None,
        Meta(description="Events remembered for each stream partition, for backfill and replay; null: all."),
    ] = None
    token: Annotated[str, Meta(description="The bearer token to accept.")] = "simulator-token"  # noqa: S105 - opens nothing but this simulator
    api_key: Annotated[str, Meta(description="The API key to exchange for the token.")] = "simulator-key"
    api_key_secret: Annotated[str, Meta(description="Its secret.")] = "simulator-secret"  # noqa: S105 - opens nothing but this simulator
    control_token: Annotated[
        str | None,
        Meta(description="The bearer token that opens `/control/` to other machines; null: only this one may use it."),
    ] = None
    rate_limit: Annotated[
        int, Meta(description="Requests to each endpoint in 15 minutes of simulated time; above, 429.")
    ] = 100
    replay_limit: Annotated[int, Meta(description="Replays of one stream partition at the same time; above, 429.")] = 2
    backfill_refusal: Annotated[
        int | None, Meta(description="The status that answers `backfill_minutes`; null: it is in the contract.")
    ] = None
    replay_refusal: Annotated[
        int | None, Meta(description="The status that answers a replay; null: it is in the contract.")
    ] = None
    select_by: Annotated[
        SelectBy, Meta(description="The time by which backfill and replay choose lines: of emission, or `event_at`.")
    ] = "emission"
    clock_behind_s: Annotated[float, Meta(description="How far X's clock is behind this machine's at the start.")] = 0.0
    keep_alive_s: Annotated[float, Meta(description="Seconds of silence after which an empty line is sent.")] = 20.0
    gzip: Annotated[bool, Meta(description="Compress for a client that accepts gzip.")] = True
    chunking: Annotated[
        Chunking, Meta(description="Where HTTP chunks end: after all that waits, after each line, or anywhere.")
    ] = "batch"
    buffer_limit_bytes: Annotated[int, Meta(description="A client that leaves this much unread is disconnected.")] = (
        16 * 1024 * 1024
    )
    batch_transfers: Annotated[
        Transfers,
        Meta(description="How ids and results of batch jobs travel: with the App's token, or on a port without it."),
    ] = "bearer"
    storage_port: Annotated[
        int, Meta(description="Port of X's storage, for `presigned` transfers; 0 takes any free one.")
    ] = 0
    batch_job_s: Annotated[float, Meta(description="Simulated seconds that a batch job takes.")] = 10.0
    batch_limit_bytes: Annotated[int, Meta(description="Bytes of ids that a batch job takes; above, 413.")] = (
        128_000_000
    )
    batch_rate_limit: Annotated[
        int, Meta(description="Requests for each call of batch compliance in 15 minutes of simulated time; above, 429.")
    ] = 150
    batch_upload_window_s: Annotated[
        float, Meta(description="Simulated seconds from the creation of a batch job in which its ids must arrive.")
    ] = 15 * 60.0
    batch_download_window_s: Annotated[
        float, Meta(description="Simulated seconds from its creation in which its results can be fetched.")
    ] = 7 * 86_400.0

    def __post_init__(self) -> None:
        if unknown := set(self.streams) - set(STREAMS):
            raise ValueError(f"unknown streams {sorted(unknown)}; known are {list(STREAMS)}")
        if not self.streams:
            raise ValueError(f"name at least one stream of {list(STREAMS)}")
        for name in ("rate", "batch_job_s", "clock_behind_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative: {getattr(self, name)}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive: {getattr(self, name)}")
        if self.control_token == "":
            raise ValueError("control_token must not be empty; None closes the control to other machines")
        if self.record_limit is not None and self.record_limit <= 0:
            raise ValueError(f"record_limit must be positive or None: {self.record_limit}")
