"""Starting: what is asked for again and again until it is there, and what once; and the clock that is watched."""

import json
import queue
import socket
import threading
import time
from contextlib import nullcontext

import pytest
from structlog.testing import capture_logs

from connector import app as app_module
from connector.app import Service, entry_decoder, online_checks, wait_for_dependencies
from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError, OwnCorruptionError, UnfitTopicsError
from connector.events.catalog import StreamPartition
from connector.events.schemas import COVERAGE, LEDGER, AvroSchema
from connector.kafka import cluster as cluster_module
from connector.kafka.ledger import read_entry
from connector.kafka.registry import RegistryClient
from connector.settings import HttpSettings, KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from connector.source import stall as stall_module
from connector.telemetry import exposition as exposition_module
from connector.telemetry.http import ask
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, Statuses
from connector.x import clock as clock_module
from tests.rig.process import wait_until

_SETTINGS = RunSettings(
    x=XAccessSettings(bearer_token="t"),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
)


def test_clients_are_tried_once_however_often_kafka_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What librdkafka makes of the settings does not change while Kafka is waited for, or when `check` has tried it."""
    tried, asked, stop = [], [], threading.Event()

    def ask(*_: object, **__: object) -> None:
        asked.append(1)
        if len(asked) == 3:
            stop.set()
        raise DependencyUnavailableError("away")

    monkeypatch.setattr(app_module, "try_properties", lambda *_: tried.append(1))
    monkeypatch.setattr(app_module, "verify", ask)
    monkeypatch.setattr(app_module, "verify_topics", ask)
    monkeypatch.setattr(app_module, "_RETRY_S", 0.0)
    telemetry = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))
    assert wait_for_dependencies(_SETTINGS, stop, telemetry) is None
    assert (len(tried), len(asked)) == (1, 3)

    _, check = next(online_checks(_SETTINGS))
    with pytest.raises(DependencyUnavailableError, match="away"):
        check()
    assert (len(tried), len(asked)) == (1, 4)


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (DependencyUnavailableError("away"), {"event": "process_failed", "detail": "away", "exit_code": 69}),
        (KeyError("odd"), {"event": "process_failed", "detail": "KeyError: 'odd'", "exit_code": 1}),
        (None, {"event": "stopped"}),
    ],
)
def test_process_that_ends_logs_why_in_one_event(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, ended: dict[str, object]
) -> None:
    """What must be corrected and the exit code where it ends by itself, else that it stopped: at its start, too."""
    stop = threading.Event()

    def away(*_: object, **__: object) -> None:
        if error is not None:
            raise error
        stop.set()
        raise DependencyUnavailableError("away")

    monkeypatch.setattr(app_module, "verify", away)
    monkeypatch.setattr(app_module, "verify_topics", away)
    settings = _SETTINGS.model_copy(
        update={
            "http": HttpSettings(host="127.0.0.1", port=0),
            "pipeline": _SETTINGS.pipeline.model_copy(update={"start_deadline_s": 60.0 if error is None else 0.0}),
        }
    )
    with capture_logs() as logs, pytest.raises(type(error)) if error is not None else nullcontext():
        Service(settings).run(stop)
    [found] = [log for log in logs if log["event"] in {"process_failed", "stopped"}]
    assert found == ended | {"log_level": "info" if error is None else "error"}


def test_start_ends_at_once_where_waiting_cannot_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour until the deadline changes nothing about a topic that is there; what is missing may still come."""
    asked: list[int] = []
    stop = threading.Event()

    def verify(*_: object, **__: object) -> None:
        asked.append(1)
        raise NotProvisionedError("missing") if len(asked) == 1 else UnfitTopicsError("differs")

    monkeypatch.setattr(app_module, "verify", verify)
    monkeypatch.setattr(app_module, "_RETRY_S", 0.01)
    settings = _SETTINGS.model_copy(
        update={"pipeline": _SETTINGS.pipeline.model_copy(update={"start_deadline_s": 3600.0})}
    )
    telemetry = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))
    with capture_logs() as logs, pytest.raises(UnfitTopicsError):
        wait_for_dependencies(settings, stop, telemetry)
    assert [log["detail"] for log in logs if log["event"] == "waiting_for_dependencies"] == ["missing"]


def test_registry_is_checked_although_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong at both is reported at once."""
    monkeypatch.setattr(cluster_module, "_REQUEST_TIMEOUT_S", 0.2)
    with DemoRegistry() as server:
        registry = SchemaRegistrySettings(url=server.url)
        checks = dict(online_checks(_SETTINGS.model_copy(update={"schema_registry": registry})))
        with pytest.raises(DependencyUnavailableError, match="Kafka at 127"):
            checks["Kafka"]()
        with pytest.raises(NotProvisionedError, match=r"(?m)^subject x\.compliance\.tweet\.delete-value does not have"):
            checks["registry"]()


class _SteppingTime:
    """Stands in for the module `time`, with a wall clock that can be set."""

    step_ns = 0
    monotonic_ns = staticmethod(time.monotonic_ns)

    def time_ns(self) -> int:
        """Return the wall clock."""
        return time.time_ns() + self.step_ns


def test_wall_clock_that_steps_is_seen_whatever_the_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the tick of the stall watch; here while it waits for Kafka."""
    wall = _SteppingTime()
    monkeypatch.setattr(clock_module, "time", wall)
    monkeypatch.setattr(cluster_module, "_REQUEST_TIMEOUT_S", 0.2)
    monkeypatch.setattr(stall_module, "TICK_S", 0.01)
    monkeypatch.setattr(exposition_module, "INTERVAL_S", 0.05)
    ports: queue.Queue[int] = queue.Queue()
    stop = threading.Event()
    service = Service(_SETTINGS.model_copy(update={"http": HttpSettings(host="127.0.0.1", port=0)}))
    thread = threading.Thread(target=service.run, args=(stop, ports.put))
    thread.start()
    try:
        port = ports.get(timeout=10)

        def steps() -> str:
            [line] = [
                line
                for line in ask("127.0.0.1", port, "/metrics").splitlines()
                if line.startswith("compliance_connector_clock_steps_total")
            ]
            return line.split()[1]

        assert steps() == "0.0"
        wall.step_ns -= 300 * 10**9
        wait_until(lambda: steps() == "1.0", "the step is counted", 10)
    finally:
        stop.set()
        thread.join()


def test_stop_is_obeyed_at_once_while_kafka_or_the_registry_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that waits for them is left behind."""
    stop, asked, answered = threading.Event(), threading.Event(), threading.Event()

    def ask(*_: object, **__: object) -> None:
        asked.set()
        answered.wait()

    monkeypatch.setattr(app_module, "verify", ask)
    telemetry = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))

    def stop_meanwhile() -> None:
        asked.wait()
        stop.set()

    threading.Thread(target=stop_meanwhile).start()
    assert wait_for_dependencies(_SETTINGS, stop, telemetry) is None
    assert not answered.is_set()
    answered.set()


def test_stop_is_obeyed_at_once_while_a_restore_waits_for_a_silent_registry() -> None:
    """An entry of another release needs its schema; a registry that takes connections and never answers holds it up."""
    stop, outcomes = threading.Event(), queue.Queue[str]()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = SchemaRegistrySettings(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        decode = entry_decoder(_SETTINGS.model_copy(update={"schema_registry": registry}), stop).decode

        def restore() -> None:
            try:
                read_entry(b"\0\0\0\0\x09", StreamPartition("user", 3), decode)
            except DependencyUnavailableError as error:
                outcomes.put(str(error))

        threading.Thread(target=restore, daemon=True).start()
        connection, _ = silent.accept()
        with connection:
            stop.set()
            assert outcomes.get(timeout=30) == "stopped while the registry was asked for schema id 9"


_RECURSIVE = AvroSchema(
    LEDGER.name,
    json.dumps({"type": "record", "name": LEDGER.name, "fields": [{"name": "skipped", "type": LEDGER.name}]}),
    {},
)


@pytest.mark.parametrize(
    ("subject", "schema"),
    [
        pytest.param("foreign-value", _RECURSIVE, id="of others, contains itself"),
        pytest.param("x.compliance-ledger-value", _RECURSIVE, id="the ledger's, contains itself"),
        pytest.param("x.compliance-coverage-value", COVERAGE, id="of another topic of ours"),
    ],
)
def test_ledger_entry_by_a_schema_that_is_not_the_ledger_s_stops_the_partition(
    subject: str, schema: AvroSchema
) -> None:
    """One such record ended the process by SIGSEGV, at each start; it is corruption of this partition alone."""
    with DemoRegistry() as server:
        registry = SchemaRegistrySettings(url=server.url)
        settings = _SETTINGS.model_copy(update={"schema_registry": registry})
        with RegistryClient(registry) as client:
            value = b"\0" + client.register(subject, schema).to_bytes(4, "big")
        decode = entry_decoder(settings, threading.Event()).decode
        with pytest.raises(OwnCorruptionError, match="ledger user/3: an entry cannot be read: schema id 1 is not one"):
            read_entry(value, StreamPartition("user", 3), decode)
