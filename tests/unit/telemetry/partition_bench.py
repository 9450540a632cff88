"""The telemetry of one stream partition, and what it leaves behind."""

from collections import Counter
from dataclasses import fields
from typing import Any

from connector.events.catalog import StreamPartition
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import CommitFigures, PartitionTelemetry
from connector.telemetry.status import PartitionStatus

_WHERE = {"stream": "user", "partition": "3"}


class Bench:
    """The telemetry of user/3, its metrics and its status."""

    def __init__(self) -> None:
        self.metrics, self.status = Metrics(), PartitionStatus()
        self.telemetry = PartitionTelemetry(StreamPartition("user", 3), self.metrics, self.status)

    def count(self, name: str, **labels: str) -> float | None:
        """Return a counter's value."""
        return self.metrics.registry.get_sample_value(f"{NAMESPACE}_{name}_total", {**_WHERE, **labels})

    def committed(self, **figures: Any) -> None:  # noqa: ANN401 - the figures of a transaction
        """Report a transaction."""
        nothing: dict[str, Any] = {field.name: 0 for field in fields(CommitFigures)}
        empty = {"published": Counter(), "dead_lettered": Counter(), "arrivals": (), "mode": "live"}
        self.telemetry.committed(CommitFigures(**{**nothing, **empty, **figures}))
