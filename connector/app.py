"""The service, put together: the only module that knows every part."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

from connector.errors import (
    UNEXPECTED,
    ConnectorError,
    DependencyUnavailableError,
    NotProvisionedError,
    UnfitTopicsError,
    WrongServerError,
)
from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.clients import producer_config, try_properties
from connector.kafka.cluster import Cluster
from connector.kafka.commits import Commits
from connector.kafka.group_commit import GroupCommit
from connector.kafka.ledger_decoding import EntryDecoder
from connector.kafka.registry import RegistryClient
from connector.kafka.restore import LedgerReader, Tail
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import TopicNames, subject
from connector.kafka.transaction import WriterFactory
from connector.kafka.verify import (
    Provisioned,
    TopicLimits,
    changed_partitions,
    confirm_schema_ids,
    read_limits,
    verify,
    verify_subjects,
    verify_topics,
)
from connector.kafka.watch import RegistryWatch, TopicWatch
from connector.pages.service_page import ServicePage
from connector.partition.worker import PartitionWorker, SharedResources
from connector.quoting import shown
from connector.settings import KafkaSettings, RunSettings, Settings
from connector.source.connect_limiter import ConnectLimiter
from connector.source.stall import StallWatch
from connector.supervisor import Supervisor
from connector.telemetry.clock_watch import ClockWatch
from connector.telemetry.exposition import Exposition
from connector.telemetry.group_watch import group_watch
from connector.telemetry.http import HttpServer, Pages
from connector.telemetry.metrics import Metrics
from connector.telemetry.partition import PartitionTelemetry
from connector.telemetry.record_watch import record_watches
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, Statuses
from connector.x.client import XClient
from connector.x.clock import XClock, monotonic_us, wall_us
from connector.x.errors import RateLimit

T = TypeVar("T")

_RETRY_S = 2.0
_STOP_POLL_S = 0.2
_LIVE_LIMIT_US = 30 * US_PER_S
"""Without a sign of life from the main loop for this long /livez fails."""


def look_up(settings: Settings) -> Provisioned:
    """Return schema ids and topic limits. Raises `DependencyUnavailableError` or `NotProvisionedError`."""
    recorded = SchemaIds(settings.kafka, settings.schema_registry)
    with RegistryClient(settings.schema_registry) as registry:
        return verify(
            settings.kafka,
            settings.x.streams,
            Cluster(settings.kafka),
            registry,
            recorded,
            window_minutes=settings.pipeline.duplicate_window_minutes,
        )


def _prepare(settings: Settings) -> Provisioned:
    """Look everything up, and record the schema ids that the registry confirms for the first time."""
    provisioned = look_up(settings)
    if provisioned.unrecorded:
        SchemaIds(settings.kafka, settings.schema_registry).record(provisioned.unrecorded)
    return provisioned


def wait_for_dependencies(
    settings: Settings,
    stop: threading.Event,
    telemetry: ServiceTelemetry,
    *,
    prepare: Callable[[Settings], Provisioned] = _prepare,
    retry_s: float = _RETRY_S,
) -> Provisioned | None:
    """Return what `prepare` finds once everything is there, or None when stopped before.

    Raises at once what waiting cannot change: `UnfitTopicsError`. Raises the last `DependencyUnavailableError` or other
    `NotProvisionedError` after the start deadline: what is missing may be created meanwhile.
    """
    deadline = time.monotonic() + settings.pipeline.start_deadline_s
    while not stop.is_set():
        try:
            return _unless_stopped(partial(prepare, settings), stop)
        except UnfitTopicsError:
            raise
        except (DependencyUnavailableError, NotProvisionedError, WrongServerError) as error:
            if time.monotonic() >= deadline:
                raise
            telemetry.waiting_for_dependencies(str(error))
        stop.wait(retry_s)
    return None


def _unless_stopped(call: Callable[[], T], stop: threading.Event) -> T | None:
    """Return or raise as `call` does, or return None once stopped.

    A silent broker or registry blocks a call for many seconds, so it runs in a thread that can be abandoned.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            result.set_exception(error)

    threading.Thread(target=run, name="unless-stopped", daemon=True).start()
    while not stop.is_set():
        if futures.wait([result], _STOP_POLL_S).done:
            return result.result()
    return None


class Service:
    """One replica of the connector; `run` works until it is stopped.

    `prepare` looks up what it needs, or raises what is missing; `wall` is a clock in microseconds since 1970.
    """

    def __init__(
        self,
        settings: RunSettings,
        *,
        prepare: Callable[[Settings], Provisioned] = _prepare,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        self._settings = settings
        self._prepare = prepare
        self._metrics = Metrics()
        self.statuses = Statuses(settings.x.stream_partitions)
        self._status = ServiceStatus(
            self.statuses, settings.pipeline.channel_limit_bytes, settings.kafka.group_instance_id, wall()
        )
        self._status.watched_groups = settings.kafka.watched_groups
        self._limiter = self._status.limiter = ConnectLimiter(settings.x.max_replays)
        self._metrics.watch(self._status)
        self._telemetry = ServiceTelemetry(self._metrics, self._status)
        self._clock = XClock(wall)
        self._status.clock_offset_s = lambda: self._clock.offset_us() / US_PER_S
        self._stall_watch = StallWatch()
        self._clock_watch = ClockWatch(self._telemetry.clock_stepped, wall)

    def run(self, stop: threading.Event, on_listening: Callable[[int], None] = lambda _: None) -> None:
        """Work until `stop` is set; `on_listening` receives the HTTP port.

        Raises `DependencyUnavailableError` or `NotProvisionedError` if a dependency is missing after the start
        deadline; also `SettingsError` and `OwnCorruptionError`.
        """
        try:
            self._run(stop, on_listening)
        except ConnectorError as error:
            self._telemetry.failed(str(error), error.exit_code)
            raise
        except Exception as error:
            self._telemetry.failed(shown(f"{type(error).__name__}: {error}"), UNEXPECTED)
            raise
        self._telemetry.stopped()

    def _run(self, stop: threading.Event, on_listening: Callable[[int], None]) -> None:
        settings = self._settings
        status = self._status
        exposition = Exposition(self._metrics.registry, self._telemetry.http_failed)
        pages = Pages(
            metrics=exposition.text,
            is_live=self._is_live,
            is_ready=lambda: status.is_ready,
            status=status.as_json,
            page=ServicePage(status).answer,
            on_failure=self._telemetry.http_failed,
        )
        server = HttpServer(settings.http, pages)
        ticks = _beside(self._stall_watch.run, "stall-watch")
        clock_watch = self._stall_watch.each_tick(self._clock_watch.tick)
        with exposition, server, ticks, clock_watch, _client(settings, self._telemetry.answered) as x_client:
            on_listening(server.port)
            self._telemetry.starting(server.port, settings.x.streams)
            try_properties(settings.kafka, settings.pipeline.session_timeout_ms)  # else refused by a later client
            provisioned = wait_for_dependencies(settings, stop, self._telemetry, prepare=self._prepare)
            if provisioned is not None:
                self._work(provisioned, x_client, stop)

    def _work(self, provisioned: Provisioned, x_client: XClient, stop: threading.Event) -> None:
        settings = self._settings
        names, cluster = TopicNames(settings.kafka.topic_prefix), Cluster(settings.kafka)
        registry_watch = RegistryWatch(partial(_confirm_schema_ids, settings), self._telemetry.registry_back)
        if provisioned.registry_problem is not None:
            self._telemetry.registry_unavailable(provisioned.registry_problem)
        for topic, risk in provisioned.at_risk.items():
            self._telemetry.topic_at_risk(topic, risk)
        topic_watch = TopicWatch(partial(changed_partitions, settings.kafka, settings.x.streams, cluster))
        decode_entry = service_entry_decoder(settings, stop).decode
        limits = TopicLimits(partial(read_limits, names, settings.x.streams, cluster))
        commits = _commits(settings.kafka, decode_entry, limits, self._telemetry)

        def check() -> None:
            registry_watch.check()
            commits.check()

        shared = SharedResources(
            settings=settings,
            schema_ids=provisioned.schema_ids,
            decode_entry=decode_entry,
            read_limits_bytes=limits.read,
            open_connection=x_client.open,
            clock=self._clock,
            stall_watch=self._stall_watch,
            limiter=self._limiter,
            turn=threading.Lock(),
            commits=commits,
            check_topics=topic_watch.check,
        )

        def make_worker(partition: StreamPartition) -> PartitionWorker:
            telemetry = PartitionTelemetry(partition, self._metrics, self.statuses.renew(partition))
            return PartitionWorker(partition, shared, telemetry)

        self._status.group = supervisor = Supervisor(settings, make_worker, self.statuses, self._telemetry, check=check)
        with commits, ExitStack() as beside:
            beside.enter_context(_beside(topic_watch.run, "topic-watch"))
            for watch in record_watches(settings, self._status, self._telemetry):
                beside.enter_context(_beside(watch.run, f"{watch.topic} watch"))
            if settings.kafka.watched_groups:
                beside.enter_context(_beside(group_watch(settings, self._status, self._telemetry).run, "group watch"))
            if provisioned.registry_problem is not None:
                beside.enter_context(_beside(registry_watch.run, "registry-watch"))
            supervisor.run(stop)

    def _is_live(self) -> bool:
        """Return whether our own threads tick; independent of X, Kafka and the registry."""
        group = self._status.group
        is_ticking = monotonic_us() - self._stall_watch.last_tick_us < _LIVE_LIMIT_US
        return is_ticking and not (group is not None and group.is_hung)


def _commits(
    settings: KafkaSettings,
    decode_entry: Callable[[bytes], Mapping[str, Any]],
    limits: TopicLimits,
    telemetry: ServiceTelemetry,
) -> Commits:
    """Return the group commit of this process.

    A replica with an instance id ends the transaction that it left open, as soon as it is back; others get a new id.
    """
    names = TopicNames(settings.topic_prefix)

    def new_id() -> str:
        return names.transactional_id(uuid.uuid4().hex)

    def make_group(suspects: set[StreamPartition], is_common: bool) -> GroupCommit:  # noqa: FBT001 - one of two
        on_statistics = telemetry.producer_reported if is_common else lambda _: None
        instance_id = settings.group_instance_id if is_common else None
        writers = WriterFactory(
            new_id() if instance_id is None else names.transactional_id(instance_id),
            lambda its_id: producer_config(settings, its_id, limits.least_bytes(), on_statistics),
            new_id,
        )
        on_replaced = telemetry.producer_replaced if is_common else lambda *_: None
        return GroupCommit(writers.make, read_tail, on_replaced, suspects)

    def read_tail(partition: StreamPartition, place: int, should_stop: Callable[[], bool]) -> Tail:
        return LedgerReader(settings, partition, decode_entry, should_stop).tail(place)

    return Commits(make_group)


@contextmanager
def _beside(run: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Run in a thread for the duration of the `with`."""
    stop = threading.Event()
    threading.Thread(target=run, args=(stop,), name=name, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


@contextmanager
def _client(
    settings: RunSettings, on_answer: Callable[[str, int, RateLimit | None], None] = lambda *_: None
) -> Iterator[XClient]:
    client = XClient(settings.x, on_answer)
    try:
        yield client
    finally:
        client.close()


def _confirm_schema_ids(settings: Settings) -> bool:
    recorded, names = SchemaIds(settings.kafka, settings.schema_registry), TopicNames(settings.kafka.topic_prefix)
    with RegistryClient(settings.schema_registry) as registry:
        return confirm_schema_ids(names, settings.x.streams, registry, recorded)


def service_entry_decoder(settings: Settings, stop: threading.Event) -> EntryDecoder:
    """Return a decoder of ledger entries, which the shipped schema need not fit.

    Raises `DependencyUnavailableError` once stopped, so that no restore goes on waiting for a silent registry.
    """
    ledger = TopicNames(settings.kafka.topic_prefix).ledger

    def ask(schema_id: int) -> dict[str, Any]:
        with RegistryClient(settings.schema_registry) as registry:
            return registry.writer_schema(schema_id, subject(ledger))

    def writer_schema(schema_id: int) -> dict[str, Any]:
        schema = _unless_stopped(partial(ask, schema_id), stop)
        if schema is None:
            raise DependencyUnavailableError(f"stopped while the registry was asked for schema id {schema_id}")
        return schema

    return EntryDecoder(writer_schema)


def online_checks(
    settings: RunSettings, make_cluster: Callable[[KafkaSettings], Cluster] = Cluster
) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield a name and a check for each dependency of `run`.

    A check returns what it found, or raises a `ConnectorError` that says what is wrong.
    """
    names, streams = TopicNames(settings.kafka.topic_prefix), settings.x.streams

    def check_topics() -> str:
        count, at_risk = verify_topics(
            settings.kafka,
            streams,
            make_cluster(settings.kafka),
            window_minutes=settings.pipeline.duplicate_window_minutes,
        )
        warnings = "".join(f"; at risk: topic {topic}: {risk}" for topic, risk in at_risk.items())
        return f"{count} topics exist{warnings}"

    def check_subjects() -> str:
        with RegistryClient(settings.schema_registry) as registry:
            return f"{verify_subjects(names, streams, registry)} subjects have their schemas"

    yield "Kafka", check_topics
    yield "registry", check_subjects
    with _client(settings) as x_client:
        for stream in settings.x.streams:

            def check_stream(stream: str = stream) -> str:
                x_client.check_access(stream)
                return "X accepts the token"

            yield f"X, {stream} stream", check_stream
