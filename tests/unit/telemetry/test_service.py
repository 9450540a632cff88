"""What happens to the process as a whole: logged, counted and shown."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from structlog.testing import capture_logs

from connector.events.catalog import STREAM_PARTITIONS, STREAMS, StreamPartition
from connector.telemetry.drift import OTHER
from connector.telemetry.gauges import NAMESPACE
from connector.telemetry.metrics import HTTP_CODES, Metrics
from connector.telemetry.service import ServiceHappenings
from connector.telemetry.status import PartitionStatus, ServiceStatus, State, Statuses
from connector.x.errors import RateLimit

_PARTITION = StreamPartition("tweet", 1)


class _Group(NamedTuple):
    """Stands as it is told to."""

    has_joined: bool
    is_ready: bool
    is_hung: bool = False


class _Bench:
    """A process to which things happen."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.status = ServiceStatus(Statuses(STREAM_PARTITIONS[:4]), 1000, "pod-0", 0)
        self.metrics.watch(self.status)
        self.happen = ServiceHappenings(self.metrics, self.status)

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
    bench.happen.answered("tweet", status_code, None)
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
    bench.happen.answered("user", 200, RateLimit(100, 98, 1_656_373_800, 0.0))
    bench.happen.answered("user", 200, RateLimit(100, 97, 1_656_373_800, 0.0))
    bench.happen.answered("user", 503, None)
    assert bench.value("rate_limit", stream="user") == 100
    assert bench.value("rate_limit_remaining", stream="user") == 97
    assert bench.value("rate_limit_reset_timestamp_seconds", stream="user") == 1_656_373_800
    assert bench.status.as_json()["rate_limits"] == {
        "user": {"limit": 100, "remaining": 97, "reset": "2022-06-27T23:50:00.000000Z"}
    }


def test_process_is_shown_as_it_stands_in_the_group(bench: _Bench) -> None:
    """Before it has one, in it, and ready."""
    shown = []
    for group in (None, _Group(has_joined=True, is_ready=False), _Group(has_joined=True, is_ready=True)):
        bench.status.group = group
        status = bench.status.as_json()
        assert (status["has_joined_group"], status["is_ready"]) == (bench.value("group_joined"), bench.value("ready"))
        shown.append((bench.value("group_joined"), bench.value("ready")))
    assert shown == [(0, 0), (1, 0), (1, 1)]


def test_settings_are_shown(bench: _Bench) -> None:
    """Which streams are on, and how much an inbox holds."""
    assert {stream: bench.value("stream_enabled", stream=stream) for stream in STREAMS} == {
        "tweet": 1, "user": 0, "like": 0, "label": 0
    }  # fmt: skip
    assert bench.value("inbox_limit_bytes") == 1000
    assert bench.status.as_json()["group_instance_id"] == "pod-0"


@pytest.mark.parametrize(
    ("happen", "event", "level"),
    [
        (lambda happen: happen.starting(8080, ("tweet",)), "starting", "info"),
        (lambda happen: happen.waiting_for_dependencies("no Kafka"), "waiting_for_dependencies", "warning"),
        (lambda happen: happen.group_troubled("_TRANSPORT"), "group_error", "warning"),
        (lambda happen: happen.partitions_lost(4), "partitions_lost", "warning"),
        (lambda happen: happen.topic_at_risk("t", "d"), "topic_at_risk", "warning"),
        (lambda happen: happen.registry_away("d"), "registry_away", "warning"),
        (lambda happen: happen.registry_confirmed(), "registry_confirmed", "info"),
        (lambda happen: happen.drain_incomplete(_PARTITION), "drain_incomplete", "warning"),
        (lambda happen: happen.http_failed(RuntimeError("r")), "http_failed", "error"),
        (lambda happen: happen.stopped(), "stopped", "info"),
    ],
)
def test_happening_is_logged_once(happen: Callable[[ServiceHappenings], None], event: str, level: str) -> None:
    """At the level that says who has to care."""
    with capture_logs() as logs:
        happen(_Bench().happen)
    assert [(log["event"], log["log_level"]) for log in logs] == [(event, level)]


def test_status_of_a_life_that_is_over_is_not_shown(bench: _Bench) -> None:
    """What its threads say late is said to nobody."""
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
    bench.happen.waiting_for_dependencies("no Kafka")
    shown.append(bench.status.as_json()["last_error"])
    bench.happen.group_troubled("_TRANSPORT: away")
    shown.append(bench.status.as_json()["last_error"])
    assert shown == [None, "no Kafka", "_TRANSPORT: away"]
    assert bench.status.as_json()["last_error_at"] <= bench.status.as_json()["now"]
