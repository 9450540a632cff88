"""Starting: what is asked for again and again until it is there, and what once; and the clock that is watched."""

import json
import queue
import socket
import threading
from contextlib import nullcontext
from functools import partial
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from connector.app import Service, online_checks, service_entry_decoder, wait_for_dependencies
from connector.demo.registry import DemoRegistry
from connector.errors import (
    DependencyUnavailableError,
    NotProvisionedError,
    OwnCorruptionError,
    SettingsError,
    UnfitTopicsError,
    WrongServerError,
)
from connector.events.catalog import StreamPartition
from connector.events.schemas import COVERAGE, LEDGER, AvroSchema
from connector.events.times import US_PER_S
from connector.kafka.cluster import Cluster
from connector.kafka.ledger_decoding import read_entry
from connector.kafka.registry import RegistryClient
from connector.settings import (
    HttpSettings,
    KafkaSettings,
    RunSettings,
    SchemaRegistrySettings,
    Settings,
    XAccessSettings,
)
from connector.telemetry.http import ask
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, Statuses
from connector.x.clock import wall_us
from tests.rig.process import wait_until

pytestmark = pytest.mark.slow

_SETTINGS = RunSettings(
    x=XAccessSettings(bearer_token="t"),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
)
_LOOPBACK = HttpSettings(host="127.0.0.1", port=0)


def _telemetry() -> ServiceTelemetry:
    return ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))


def test_properties_that_librdkafka_refuses_end_the_start_before_kafka_is_asked() -> None:
    """What it makes of the settings does not change while Kafka is waited for."""
    asked: list[Settings] = []

    def ask(settings: Settings) -> NoReturn:
        asked.append(settings)
        raise DependencyUnavailableError("away")

    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", properties={"linger.mss": 5})
    settings = _SETTINGS.model_copy(update={"kafka": kafka, "http": _LOOPBACK})
    with pytest.raises(SettingsError, match=r"linger\.mss"):
        Service(settings, prepare=ask).run(threading.Event())
    assert not asked


def test_dependencies_are_asked_for_until_they_are_there_or_the_process_is_stopped() -> None:
    """What is away may come."""
    asked: list[Settings] = []
    stop = threading.Event()

    def ask(settings: Settings) -> NoReturn:
        asked.append(settings)
        if len(asked) == 3:
            stop.set()
        raise DependencyUnavailableError("away")

    assert wait_for_dependencies(_SETTINGS, stop, _telemetry(), prepare=ask, retry_s=0.0) is None
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (DependencyUnavailableError("away"), {"event": "process_failed", "detail": "away", "exit_code": 69}),
        (KeyError("odd"), {"event": "process_failed", "detail": "KeyError: 'odd'", "exit_code": 1}),
        (None, {"event": "stopped"}),
    ],
)
def test_process_that_ends_logs_why_in_one_event(error: Exception | None, ended: dict[str, object]) -> None:
    """What must be corrected and the exit code where it ends by itself, else that it stopped: at its start, too."""
    stop = threading.Event()

    def away(_: Settings) -> NoReturn:
        if error is not None:
            raise error
        stop.set()
        raise DependencyUnavailableError("away")

    settings = _SETTINGS.model_copy(
        update={
            "http": _LOOPBACK,
            "pipeline": _SETTINGS.pipeline.model_copy(update={"start_deadline_s": 60.0 if error is None else 0.0}),
        }
    )
    with capture_logs() as logs, pytest.raises(type(error)) if error is not None else nullcontext():
        Service(settings, prepare=away).run(stop)
    [found] = [log for log in logs if log["event"] in {"process_failed", "stopped"}]
    assert found == ended | {"log_level": "info" if error is None else "error"}


def test_start_ends_at_once_where_waiting_cannot_help() -> None:
    """An hour until the deadline changes nothing about a topic that is there; what is missing may still come.

    So may the registry behind a proxy.
    """
    errors = [NotProvisionedError("missing"), WrongServerError(["a proxy"]), UnfitTopicsError("differs")]
    stop = threading.Event()

    def ask(_: Settings) -> NoReturn:
        raise errors.pop(0)

    settings = _SETTINGS.model_copy(
        update={"pipeline": _SETTINGS.pipeline.model_copy(update={"start_deadline_s": 3600.0})}
    )
    with capture_logs() as logs, pytest.raises(UnfitTopicsError):
        wait_for_dependencies(settings, stop, _telemetry(), prepare=ask, retry_s=0.01)
    assert [log["detail"] for log in logs if log["event"] == "waiting_for_dependencies"] == [
        "missing",
        "settings are missing or wrong:\n  a proxy",
    ]


def test_registry_is_checked_although_kafka_is_away() -> None:
    """What is wrong at both is reported at once."""
    with DemoRegistry() as server:
        registry = SchemaRegistrySettings(url=server.url)
        settings = _SETTINGS.model_copy(update={"schema_registry": registry})
        checks = dict(online_checks(settings, partial(Cluster, request_timeout_s=0.2)))
        with pytest.raises(DependencyUnavailableError, match="Kafka at 127"):
            checks["Kafka"]()
        with pytest.raises(NotProvisionedError, match=r"(?m)^subject x\.compliance\.tweet\.delete-value does not have"):
            checks["registry"]()


def test_wall_clock_that_steps_is_seen_whatever_the_service_does() -> None:
    """On the tick of the stall watch; here while it waits for Kafka."""
    steps_us: list[int] = []
    ports: queue.Queue[int] = queue.Queue()
    stop = threading.Event()

    def wait(_: Settings) -> NoReturn:
        stop.wait()
        raise DependencyUnavailableError("away")

    settings = _SETTINGS.model_copy(update={"http": _LOOPBACK})
    service = Service(settings, prepare=wait, wall=lambda: wall_us() + sum(steps_us))
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
        steps_us.append(-300 * US_PER_S)
        wait_until(lambda: steps() == "1.0", "the step is counted", 10)
    finally:
        stop.set()
        thread.join()


def test_stop_is_obeyed_at_once_while_kafka_or_the_registry_is_silent() -> None:
    """The call that waits for them is left behind."""
    stop, asked, answered = threading.Event(), threading.Event(), threading.Event()

    def ask(_: Settings) -> NoReturn:
        asked.set()
        answered.wait()
        raise DependencyUnavailableError("away")

    def stop_meanwhile() -> None:
        asked.wait()
        stop.set()

    threading.Thread(target=stop_meanwhile).start()
    assert wait_for_dependencies(_SETTINGS, stop, _telemetry(), prepare=ask) is None
    assert not answered.is_set()
    answered.set()


def test_stop_is_obeyed_at_once_while_a_restore_waits_for_a_silent_registry() -> None:
    """An entry of another release needs its schema; a registry that takes connections and never answers holds it up."""
    stop, outcomes = threading.Event(), queue.Queue[str]()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = SchemaRegistrySettings(url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        decode = service_entry_decoder(_SETTINGS.model_copy(update={"schema_registry": registry}), stop).decode

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
    ("subject", "schema", "refused"),
    [
        pytest.param("foreign-value", _RECURSIVE, "is not one of subject", id="of others, contains itself"),
        pytest.param("x.compliance-ledger-value", _RECURSIVE, "cannot be used", id="the ledger's, contains itself"),
        pytest.param("x.compliance-coverage-value", COVERAGE, "is not one of subject", id="of another topic of ours"),
    ],
)
def test_ledger_entry_by_a_schema_that_is_not_the_ledger_s_stops_the_partition(
    subject: str, schema: AvroSchema, refused: str
) -> None:
    """One such record ended the process by SIGSEGV, at each start; it is corruption of this partition alone."""
    with DemoRegistry() as server:
        registry = SchemaRegistrySettings(url=server.url)
        settings = _SETTINGS.model_copy(update={"schema_registry": registry})
        with RegistryClient(registry) as client:
            value = b"\0" + client.register(subject, schema).to_bytes(4, "big")
        decode = service_entry_decoder(settings, threading.Event()).decode
        with pytest.raises(OwnCorruptionError, match=f"user/3: an entry cannot be read: schema id 1 {refused}"):
            read_entry(value, StreamPartition("user", 3), decode)
