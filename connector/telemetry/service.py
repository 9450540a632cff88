"""What can happen to the process as a whole: one function each, as for a stream partition in `happenings`."""

from collections.abc import Sequence

import structlog

from connector import __version__
from connector.events.catalog import StreamPartition
from connector.telemetry.drift import OTHER
from connector.telemetry.metrics import HTTP_CODES, Metrics
from connector.telemetry.status import ServiceStatus
from connector.x.clock import wall_us
from connector.x.errors import RateLimit


class ServiceHappenings:
    """The happenings of one process."""

    def __init__(self, metrics: Metrics, status: ServiceStatus) -> None:
        self._metrics = metrics
        self._status = status
        self._log = structlog.get_logger()

    def starting(self, http_port: int, streams: Sequence[str]) -> None:
        """The process listens for probes, and looks for what it needs."""
        self._log.info("starting", version=__version__, http_port=http_port, streams=list(streams))

    def waiting_for_dependencies(self, detail: str) -> None:
        """Kafka, the registry, a topic or a subject is not there yet; asked again until the start deadline."""
        self._note_error(detail)
        self._log.warning("waiting_for_dependencies", detail=detail)

    def topic_at_risk(self, topic: str, detail: str) -> None:
        """A topic's settings promise less than its replicas could; the process goes on."""
        self._log.warning("topic_at_risk", topic=topic, detail=detail)

    def registry_away(self, detail: str) -> None:
        """The registry does not answer; the process works with the schema ids recorded in Kafka, and asks on."""
        self._note_error(detail)
        self._log.warning("registry_away", detail=detail)

    def registry_confirmed(self) -> None:
        """The registry has confirmed the schema ids that the process works with."""
        self._status.is_registry_confirmed = True
        self._log.info("registry_confirmed")

    def stopped(self) -> None:
        """The process was told to stop, and has let go of everything."""
        self._log.info("stopped")

    def group_troubled(self, detail: str) -> None:
        """The consumer group's client has trouble that passes by itself."""
        self._note_error(detail)
        self._log.warning("group_error", detail=detail)

    def partitions_lost(self, count: int) -> None:
        """The group gave our stream partitions to others, since it had not heard of us: nothing more is committed."""
        self._note_error(f"the consumer group took {count} partitions away, since it had not heard of this process")
        self._log.warning("partitions_lost", count=count)

    def drain_incomplete(self, partition: StreamPartition) -> None:
        """A stream partition was let go before its last transaction was over; its next owner ends that."""
        self._log.warning("drain_incomplete", stream=partition.stream, partition=partition.number)

    def answered(self, stream: str, status_code: int, rate_limit: RateLimit | None) -> None:
        """X answered a request for a stream, and may have said what is left of the rate limit."""
        code = str(status_code) if str(status_code) in HTTP_CODES else OTHER
        self._metrics.http_responses.labels(stream, code).inc()
        if rate_limit is not None:
            self._status.rate_limits[stream] = rate_limit

    def http_failed(self, error: Exception) -> None:
        """A scrape could not be written, or a request not be answered: a fault of ours, and it stays until mended."""
        self._log.error("http_failed", exc_info=error)

    def _note_error(self, detail: str) -> None:
        self._status.last_error, self._status.last_error_at_us = detail, wall_us()
