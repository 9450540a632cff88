"""Owns the settings of the process itself: its HTTP port, its log, and how it commits stream partitions."""

from typing import Literal

from pydantic import Field

from connector.settings.section import Section

DUPLICATE_WINDOW_MINUTES = 10


class HttpSettings(Section):
    """The port of the page at /, and of /metrics, /livez, /readyz and /status."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - scraped from outside the pod
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")


class LogSettings(Section):
    """What is logged, and how; always to stderr."""

    format: Literal["json", "console"] | None = Field(
        None, description="json or console; default: console on a terminal, else json."
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level shown.")


class PipelineSettings(Section):
    """How a stream partition is processed."""

    start_deadline_s: float = Field(
        60.0,
        ge=0,
        description="How long `run` waits at start for Kafka, the registry, and missing topics and subjects.",
    )
    commit_interval_ms: int = Field(
        200,
        ge=10,
        le=5000,
        description=(
            "Time between commits; all stream partitions of a process commit together. "
            "An event waits up to this long, and longer while the previous transaction is still being committed."
        ),
    )
    commit_max_events: int = Field(
        5000, ge=500, le=5000, description="Most events of a stream partition in one transaction."
    )
    idle_commit_interval_s: float = Field(
        10.0, ge=1, le=10, description="A partition without events commits its coverage this often."
    )
    channel_limit_bytes: int = Field(
        8 * 1024**2,
        ge=1024**2,
        description="Most bytes that may wait for the committer of a stream partition; then the reader waits.",
    )
    duplicate_window_minutes: int = Field(
        DUPLICATE_WINDOW_MINUTES,
        ge=10,
        le=1440,
        description=(
            "How long a redelivered event is recognised, in minutes of covered time; memory and ledger grow with it."
        ),
    )
    session_timeout_ms: int = Field(
        30_000, ge=6_000, le=120_000, description="A silent replica loses its partitions after this long."
    )
