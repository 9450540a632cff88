"""Starting: what is asked for again and again until it is there, and what once."""

import threading

import pytest

from connector import app as app_module
from connector.app import online_checks, wait_for_dependencies
from connector.demo.registry import DemoRegistry
from connector.errors import DependencyUnavailableError, NotProvisionedError
from connector.kafka import cluster as cluster_module
from connector.settings import KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from connector.telemetry.metrics import Metrics
from connector.telemetry.service import ServiceTelemetry
from connector.telemetry.status import ServiceStatus, Statuses

_SETTINGS = RunSettings(
    x=XAccessSettings(bearer_token="t"),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:1"),
)


def test_clients_are_tried_once_however_often_kafka_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What librdkafka makes of the settings does not change while Kafka is waited for, or when `check` has tried it."""
    tried, asked, stop = [], [], threading.Event()

    def ask(*_: object) -> None:
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


def test_registry_is_checked_although_kafka_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has something to mend at both learns it at once."""
    monkeypatch.setattr(cluster_module, "_REQUEST_TIMEOUT_S", 0.2)
    with DemoRegistry() as server:
        registry = SchemaRegistrySettings(url=server.url)
        checks = dict(online_checks(_SETTINGS.model_copy(update={"schema_registry": registry})))
        with pytest.raises(DependencyUnavailableError, match="Kafka at 127"):
            checks["Kafka"]()
        with pytest.raises(NotProvisionedError, match=r"^subject x\.compliance\.tweet\.delete-value does not have"):
            checks["registry"]()


def test_stop_is_obeyed_at_once_while_kafka_or_the_registry_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that waits for them is left behind."""
    stop, asked, answered = threading.Event(), threading.Event(), threading.Event()

    def ask(*_: object) -> None:
        asked.set()
        answered.wait()

    monkeypatch.setattr(app_module, "verify", ask)
    happenings = ServiceTelemetry(Metrics(), ServiceStatus(Statuses(()), 1, None, 0))

    def stop_meanwhile() -> None:
        asked.wait()
        stop.set()

    threading.Thread(target=stop_meanwhile).start()
    assert wait_for_dependencies(_SETTINGS, stop, happenings) is None
    assert not answered.is_set()
    answered.set()
