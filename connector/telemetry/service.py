"""What can happen to the process as a whole: one function each, as for a stream partition in `partition`."""

from collections.abc import Sequence

import structlog

from connector import __version__
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.current_writer import ReplacementCause
from connector.kafka.statistics import ProducerStatistics
from connector.quoting import shown
from connector.telemetry.drift import OTHER
from connector.telemetry.metrics import HTTP_CODES, Metrics
from connector.telemetry.status import ServiceStatus
from connector.x.clock import wall_us
from connector.x.errors import RateLimit


class ServiceTelemetry:
    """The telemetry of one process."""

    def __init__(self, metrics: Metrics, status: ServiceStatus) -> None:
        self._metrics = metrics
        self._status = status
        self._producer = ProducerStatistics()
        self._topics_with_foreign: set[str] = set()
        self._log = structlog.get_logger()

    def starting(self, http_port: int, streams: Sequence[str]) -> None:
        """The process answers probes and checks its dependencies."""
        self._log.info("starting", version=__version__, http_port=http_port, streams=list(streams))

    def waiting_for_dependencies(self, detail: str) -> None:
        """Kafka, the registry, a topic or a subject is not available yet; checked again until the start deadline."""
        self._note_error(detail)
        self._log.warning("waiting_for_dependencies", detail=detail)

    def topic_at_risk(self, topic: str, detail: str) -> None:
        """The settings of a topic protect it less than its replicas could; the process continues."""
        self._log.warning("topic_at_risk", topic=topic, detail=detail)

    def failed(self, detail: str, exit_code: int) -> None:
        """The process ends with an error: the exit code says what must be done, the detail what is wrong."""
        self._log.error("process_failed", detail=detail, exit_code=exit_code)

    def stopped(self) -> None:
        """Shutdown complete."""
        self._log.info("stopped")

    def group_troubled(self, detail: str) -> None:
        """The client of the consumer group reported an error; it recovers by itself."""
        self._note_error(detail)
        self._log.warning("group_error", detail=detail)

    def waiting_for_group(self, waited_s: float, reason: str) -> None:
        """The process waits to join the consumer group; logged after 4 s, then every 30 s, until it is assigned."""
        self._log.info("waiting_for_group", waited_s=round(waited_s), reason=reason)

    def partitions_lost(self, count: int) -> None:
        """The process missed its session and the consumer group reassigned its partitions: it stops committing."""
        self._note_error(f"the consumer group reassigned {count} partitions: this process missed its session")
        self._log.warning("partitions_lost", count=count)

    def drain_incomplete(self, partition: StreamPartition) -> None:
        """A stream partition was released before its last transaction ended; its next owner waits for that."""
        self._log.warning("drain_incomplete", stream=partition.stream, partition=partition.number)

    def answered(self, stream: str, status_code: int, rate_limit: RateLimit | None) -> None:
        """X answered a request for a stream."""
        code = str(status_code) if str(status_code) in HTTP_CODES else OTHER
        self._metrics.http_responses.labels(stream, code).inc()
        if rate_limit is not None:
            self._status.rate_limits[stream] = rate_limit

    def registry_unavailable(self, detail: str) -> None:
        """The schema registry did not answer at the start; the process uses the schema ids recorded in Kafka."""
        self._status.is_registry_unavailable = True
        self._note_error(detail)
        self._log.warning("registry_unavailable", detail=detail)

    def registry_back(self) -> None:
        """The schema registry answers, and confirms the schema ids in use."""
        self._status.is_registry_unavailable = False
        self._log.info("registry_back")

    def clock_stepped(self, step_us: int) -> None:
        """The wall clock of the host stepped, or the host was suspended; coverage and delays do not depend on it."""
        self._metrics.clock_steps.inc()
        self._log.warning("clock_stepped", step_s=round(step_us / US_PER_S, 1))

    def producer_reported(self, statistics: ProducerStatistics) -> None:
        """The producer reported its statistics; a lower count than before is that of a new producer."""
        before, self._producer, self._status.producer = self._producer, statistics, statistics
        for counter, now, then in (
            (self._metrics.transmit_retries, statistics.transmit_retries, before.transmit_retries),
            (self._metrics.transmit_errors, statistics.transmit_errors, before.transmit_errors),
        ):
            counter.inc(now - then if now >= then else now)

    def producer_replaced(self, cause: ReplacementCause, detail: str) -> None:
        """The producer was discarded and is being replaced; no data is lost, and this alone costs no reconnect."""
        self._metrics.producers_replaced.labels(cause.value).inc()
        self._producer, self._status.producer = ProducerStatistics(), None
        self._note_error(detail)
        self._log.warning("producer_replaced", cause=cause.value, detail=detail)

    def topic_unreadable(self, topic: str, detail: str) -> None:
        """A topic behind metrics and the page cannot be read: its values are absent until it can. Streams go on."""
        self._log.warning("topic_unreadable", topic=topic, detail=shown(detail))

    def topic_readable(self, topic: str) -> None:
        """A topic behind metrics and the page can be read again."""
        self._log.info("topic_readable", topic=topic)

    def foreign_record(self, topic: str, detail: str) -> None:
        """A record on a topic behind metrics and the page is foreign or damaged: ignored. Logged once per topic."""
        if topic not in self._topics_with_foreign:
            self._topics_with_foreign.add(topic)
            self._log.warning("foreign_record", topic=topic, detail=shown(detail))

    def groups_unreadable(self, groups: Sequence[str], detail: str) -> None:
        """Watched consumer groups cannot be read: metrics and page leave them out. Streams go on."""
        self._log.warning("groups_unreadable", groups=list(groups), detail=shown(detail))

    def groups_readable(self, groups: Sequence[str]) -> None:
        """Watched consumer groups can be read again."""
        self._log.info("groups_readable", groups=list(groups))

    def group_reset(self, group: str, topics: Sequence[str], partitions: int) -> None:
        """A watched consumer group went backwards: it processes events of these topics again."""
        self._log.warning("group_reset", group=group, topics=list(topics), partitions=partitions)

    def group_overtaken(self, group: str, topics: Sequence[str], partitions: int) -> None:
        """Retention removed events before a watched consumer group had processed them: they are lost to the group."""
        self._log.warning("group_overtaken", group=group, topics=list(topics), partitions=partitions)

    def http_failed(self, error: Exception) -> None:
        """A scrape or a request to the HTTP port failed: an internal error, which will not clear by itself."""
        self._log.error("http_failed", exc_info=error)

    def _note_error(self, detail: str) -> None:
        self._status.last_error, self._status.last_error_at_us = detail, wall_us()
