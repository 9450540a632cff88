"""What each stream partition is doing, as /status and the metrics show it. Plain attributes, written by its threads."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from connector.compliance.instants import format_us


class State(StrEnum):
    """Where a stream partition stands in its life in this process."""

    NOT_OWNED = "not-owned"
    RESTORING = "restoring"
    RUNNING = "running"
    WAITING = "waiting"
    CORRUPT = "corrupt"


@dataclass(slots=True)
class PartitionStatus:
    """One stream partition; instants are microseconds since 1970."""

    state: State = State.NOT_OWNED
    mode: str = "disconnected"
    covered_until_us: int | None = None
    sequence: int | None = None
    last_byte_us: int | None = None
    received_bytes: int = 0
    last_error: str | None = None
    next_attempt_us: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the status with instants as RFC 3339 text."""
        shown: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if name.endswith("_us"):
                shown[name.removesuffix("_us")] = None if value is None else format_us(value)
            else:
                shown[name] = value
        return shown
