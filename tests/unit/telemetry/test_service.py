"""What happens to the process as a whole: logged, counted and shown."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.current_writer import ReplacementCause
from connector.kafka.statistics import ProducerStatistics
from connector.telemetry.drift import OTHER
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import HTTP_CODES, Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import PartitionStatus, ServiceStatus, State, Statuses
from connector.x.clock import XClock
from connector.x.errors import RateLimit

_PARTITION = StreamPartition("tweet", 1)


class _Group(NamedTuple):
    """Says of itself what a test wants."""

    has_joined: bool
    is_ready: bool
    is_hung: bool = False


class _Bench:
    """A process to which things happen."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.status = ServiceStatus(Statuses(STREAM_PARTITIONS[:4]), 1000, "pod-0", 0)
        self.metrics.watch(self.status)
        self.telemetry = ServiceTelemetry(self.metrics, self.status)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a sample."""
        return self.metrics.registry.get_sample_value(f"{NAMESPACE}_{name}", labels)


@pytest.fixture
def bench() -> _Bench:
    """Give a process to which nothing has happened yet."""
    return _Bench()


@pytest.mark.parametrize(
    ("status_code", "code"), [(200, "200"), (429, "429"), (502, "502"), (302, OTHER), (599, OTHER)]
)
def test_answer_of_x_is_counted_by_its_code(bench: _Bench, status_code: int, code: str) -> None:
    """From a closed set."""
    bench.telemetry.answered("tweet", status_code, None)
    counted = {
        (stream, each)
        for stream in STREAMS
        for each in (*HTTP_CODES, OTHER)
        if bench.value("http_responses_total", stream=stream, code=each)
    }
    assert counted == {("tweet", code)}


def test_rate_limit_is_shown_as_x_said_it_last(bench: _Bench) -> None:
    """In the metrics and in /status; an answer that says nothing of it changes nothing."""
    assert bench.value("rate_limit_remaining", stream="user") is None
    bench.telemetry.answered("user", 200, RateLimit(100, 98, 1_656_373_800, 0.0))
    bench.telemetry.answered("user", 200, RateLimit(100, 97, 1_656_373_800, 0.0))
    bench.telemetry.answered("user", 503, None)
    assert bench.value("rate_limit", stream="user") == 100
    assert bench.value("rate_limit_remaining", stream="user") == 97
    assert bench.value("rate_limit_reset_timestamp_seconds", stream="user") == 1_656_373_800
    assert bench.status.as_json()["rate_limits"] == {
        "user": {"limit": 100, "remaining": 97, "reset": "2022-06-27T23:50:00.000000Z"}
    }


def test_process_is_shown_with_its_membership_of_the_group(bench: _Bench) -> None:
    """Before it has one, in it, and ready."""
    shown = []
    for group in (None, _Group(has_joined=True, is_ready=False), _Group(has_joined=True, is_ready=True)):
        bench.status.group = group
        status = bench.status.as_json()
        assert (status["has_joined_group"], status["is_ready"]) == (bench.value("group_joined"), bench.value("ready"))
        shown.append((bench.value("group_joined"), bench.value("ready")))
    assert shown == [(0, 0), (1, 0), (1, 1)]


def test_settings_are_shown(bench: _Bench) -> None:
    """Which streams are on, and how much a channel holds."""
    assert {stream: bench.value("stream_enabled", stream=stream) for stream in STREAMS} == {
        "tweet": 1, "user": 0, "like": 0, "label": 0
    }  # fmt: skip
    assert bench.value("channel_limit_bytes") == 1000
    assert bench.status.as_json()["group_instance_id"] == "pod-0"


@pytest.mark.parametrize(
    ("report", "event", "level"),
    [
        (lambda telemetry: telemetry.starting(8080, ("tweet",)), "starting", "info"),
        (lambda telemetry: telemetry.waiting_for_dependencies("no Kafka"), "waiting_for_dependencies", "warning"),
        (lambda telemetry: telemetry.group_troubled("_TRANSPORT"), "group_error", "warning"),
        (lambda telemetry: telemetry.partitions_lost(4), "partitions_lost", "warning"),
        (lambda telemetry: telemetry.topic_at_risk("t", "d"), "topic_at_risk", "warning"),
        (lambda telemetry: telemetry.drain_incomplete(_PARTITION), "drain_incomplete", "warning"),
        (lambda telemetry: telemetry.http_failed(RuntimeError("r")), "http_failed", "error"),
        (lambda telemetry: telemetry.registry_unavailable("no answer"), "registry_unavailable", "warning"),
        (lambda telemetry: telemetry.registry_back(), "registry_back", "info"),
        (lambda telemetry: telemetry.clock_stepped(30_000_000), "clock_stepped", "warning"),
        (lambda telemetry: telemetry.topic_unreadable("t", "d"), "topic_unreadable", "warning"),
        (lambda telemetry: telemetry.topic_readable("t"), "topic_readable", "info"),
        (lambda telemetry: telemetry.foreign_record("t", "d"), "foreign_record", "warning"),
        (lambda telemetry: telemetry.stopped(), "stopped", "info"),
    ],
)
def test_each_report_is_logged_once(report: Callable[[ServiceTelemetry], None], event: str, level: str) -> None:
    """At the level that says who has to care."""
    with capture_logs() as logs:
        report(_Bench().telemetry)
    assert [(log["event"], log["log_level"]) for log in logs] == [(event, level)]


def test_foreign_records_are_logged_once_for_each_topic(bench: _Bench) -> None:
    """There may be many of them, and they come again whenever the topic is read."""
    with capture_logs() as logs:
        for topic in ("batch", "batch", "gap", "batch"):
            bench.telemetry.foreign_record(topic, "not\nours")
    assert [(log["topic"], log["detail"]) for log in logs] == [("batch", "not ours"), ("gap", "not ours")]


def test_status_of_a_life_that_is_over_is_not_shown(bench: _Bench) -> None:
    """What its threads write late is not shown."""
    statuses = bench.status.partitions
    before, after = statuses.renew(_PARTITION), statuses.renew(_PARTITION)
    after.state = State.RUNNING
    before.state = State.NOT_OWNED
    assert statuses[_PARTITION].is_owned
    assert len(statuses) == 4


def test_last_error_of_a_partition_outlives_its_life(bench: _Bench) -> None:
    """With its time, and nothing else does."""
    statuses = bench.status.partitions
    status = statuses.renew(_PARTITION)
    status.state, status.sequence, status.last_error, status.last_error_at_us = State.RUNNING, 7, "Kafka is away", 5
    assert statuses.renew(_PARTITION) == PartitionStatus(last_error="Kafka is away", last_error_at_us=5)


def test_trouble_of_the_process_is_shown_with_its_time(bench: _Bench) -> None:
    """Also while no stream partition is owned, and after it has passed."""
    shown = [bench.status.as_json()["last_error"]]
    bench.telemetry.waiting_for_dependencies("no Kafka")
    shown.append(bench.status.as_json()["last_error"])
    bench.telemetry.group_troubled("_TRANSPORT: away")
    shown.append(bench.status.as_json()["last_error"])
    assert shown == [None, "no Kafka", "_TRANSPORT: away"]
    assert bench.status.as_json()["last_error_at"] <= bench.status.as_json()["now"]


def test_registry_that_is_away_is_shown_until_it_is_back(bench: _Bench) -> None:
    """In the metrics and in /status, with why."""
    shown = [bench.value("registry_unavailable")]
    bench.telemetry.registry_unavailable("no answer")
    shown.append(bench.value("registry_unavailable"))
    assert (bench.status.as_json()["is_registry_unavailable"], bench.status.last_error) == (True, "no answer")
    bench.telemetry.registry_back()
    assert [*shown, bench.value("registry_unavailable")] == [0, 1, 0]
    assert bench.status.as_json()["is_registry_unavailable"] is False


@pytest.mark.parametrize("cause", ReplacementCause)
def test_replaced_producer_is_counted_by_its_cause_logged_and_shown(cause: ReplacementCause) -> None:
    """Once for the process, whatever it means to its stream partitions."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.telemetry.producer_replaced(cause, "a commit took 1.2 s")
    assert logs == [
        {"event": "producer_replaced", "log_level": "warning", "cause": cause.value, "detail": "a commit took 1.2 s"}
    ]
    assert {each: bench.value("producers_replaced_total", cause=each.value) for each in ReplacementCause} == {
        each: each is cause for each in ReplacementCause
    }
    assert bench.status.last_error == "a commit took 1.2 s"
    assert bench.status.last_error_at_us is not None


def test_producer_s_counts_go_on_over_its_successors(bench: _Bench) -> None:
    """Each begins at zero; a new one shows by a lower count, or by the replacement that was reported before."""
    for retries in (2, 5, 1, 1):
        bench.telemetry.producer_reported(ProducerStatistics(transmit_retries=retries, transmit_errors=1))
    shown = [bench.value("kafka_queue_messages")]
    bench.telemetry.producer_replaced(ReplacementCause.SLOW_COMMIT, "a commit took 1.2 s")
    assert [*shown, bench.value("kafka_queue_messages")] == [0, None]
    bench.telemetry.producer_reported(ProducerStatistics(queue_messages=4, transmit_retries=1))
    assert bench.value("kafka_queue_messages") == 4
    assert (bench.value("kafka_transmit_retries_total"), bench.value("kafka_transmit_errors_total")) == (7, 1)


def test_clock_offset_is_shown_as_it_is_at_the_scrape(bench: _Bench) -> None:
    """A wall clock that is set under a connection shows at once, not at the next connect."""
    wall_us = [1_000 * US_PER_S]
    clock = XClock(lambda: wall_us[0], lambda: 7 * US_PER_S)
    bench.status.clock_offset_s = lambda: clock.offset_us() / US_PER_S
    shown = [bench.value("clock_offset_seconds")]
    clock.synchronise(1_000 * US_PER_S)
    shown.append(bench.value("clock_offset_seconds"))
    wall_us[0] -= 300 * US_PER_S
    assert [*shown, bench.value("clock_offset_seconds")] == [0, 0, 300]
    assert bench.status.as_json()["clock_offset_s"] == 300


def test_clock_steps_are_counted_and_logged_with_how_far() -> None:
    """Ahead or back."""
    with capture_logs() as logs:
        bench = _Bench()
        bench.telemetry.clock_stepped(-30 * US_PER_S)
    assert [(log["event"], log["step_s"]) for log in logs] == [("clock_stepped", -30.0)]
    assert bench.value("clock_steps_total") == 1
