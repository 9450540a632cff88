"""A start while the registry is away: with recorded schema ids, without them, and when it comes back with others."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.kafka import watch as watch_module
from connector.kafka.schema_ids import SchemaIds
from connector.kafka.topics import TopicNames, subject
from connector.settings import Settings
from connector.simulator.server import Simulator
from tests.rig.process import LOOPBACK, free_port, wait_until
from tests.rig.proxy import TcpProxy
from tests.rig.service import Config, ConnectorProcess, make_config, override, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_STOP_LIMIT_S = 2.0


@pytest.fixture
def proxy(registry: SchemaRegistry) -> Iterator[TcpProxy]:
    """Put a proxy in front of the registry, by which it can go away."""
    with TcpProxy(free_port(), _address(registry.url)) as proxy:
        yield proxy


@pytest.fixture
def config(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, prefix: str, proxy: TcpProxy
) -> Iterator[Config]:
    """Give settings with which everything is provisioned, and the registry is reached through the proxy."""
    url = registry.url.replace(_address(registry.url), proxy.address)
    with provisioned(make_config(kafka.bootstrap_servers, url, prefix, simulator.base_url, 1)) as config:
        yield config


def _address(url: str) -> str:
    return url.split("/")[2]


def test_start_with_recorded_ids_needs_no_registry_and_confirms_them_later(
    config: Config, simulator: Simulator, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first start records them; the second publishes without the registry, and says that it is away."""
    monkeypatch.setattr(watch_module, "LOOK_S", 0.5)
    with running(config) as probe:
        probe.await_connected(simulator)
        assert probe.metric("registry_unavailable") == 0
    proxy.go_away()
    with running(config) as probe:
        probe.await_connected(simulator)
        assert probe.metric("registry_unavailable") == 1
        assert probe.status()["is_registry_unavailable"] is True
        simulator.emit(50)
        probe.await_sequences(simulator)
        proxy.come_back()
        wait_until(lambda: probe.metric("registry_unavailable") == 0, "the registry has confirmed the ids")


def test_registry_that_comes_back_with_another_id_ends_the_process(
    config: Config, simulator: Simulator, proxy: TcpProxy, tmp_path: Path
) -> None:
    """It says which schema, and what to do; so does the next start."""
    with running(config) as probe:
        probe.await_connected(simulator)
    settings = Settings.model_validate(config)
    names, recorded = TopicNames(settings.kafka.topic_prefix), SchemaIds(settings.kafka, settings.schema_registry)
    key = recorded.key(subject(names.gap), names.schemas()[names.gap])
    recorded.record({key: recorded.read()[key] + 1000})
    proxy.go_away()
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        wait_until(lambda: bool(run.logged("registry_unavailable")), "it works on")
        proxy.come_back()
        assert run.wait() == 78
        assert f"{names.gap}-value" in run.stderr
        assert "bring the registry's old content back" in run.stderr
    with ConnectorProcess(tmp_path, ["run"], override(config, pipeline={"start_deadline_s": 0})) as run:
        assert run.wait() == 78
        assert "bring the registry's old content back" in run.stderr


def test_stop_at_start_is_obeyed_at_once_though_the_registry_is_silent(config: Config, tmp_path: Path) -> None:
    """It takes connections and never answers."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        url = f"http://{LOOPBACK}:{silent.getsockname()[1]}"
        with ConnectorProcess(tmp_path, ["run"], override(config, schema_registry={"url": url})) as run:
            silent.settimeout(30.0)
            connection, _ = silent.accept()
            with connection:
                run.signal(signal.SIGTERM)
                began = time.monotonic()
                assert run.wait() == 0
                assert time.monotonic() - began < _STOP_LIMIT_S
