"""Kafka and the registry away: at the start, at run time, and at the stop. A cluster of its own, which may be hurt."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.rig.audit import audit, read_history
from tests.rig.kafka import KafkaCluster
from tests.rig.process import wait_until
from tests.rig.registry import Registry
from tests.rig.service import Config, ConnectorProcess, Probe, make_config, override, provision_topics

_PREFIX = "hurt"
_PARTITIONS = 2
_RECOVERY_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class _Servers:
    """Kafka, the registry and X; all events of the module are on X's record."""

    kafka: KafkaCluster
    registry: Registry
    simulator: Simulator

    @property
    def config(self) -> Config:
        """Settings for them, with time to wait at the start."""
        config = make_config(
            self.kafka.bootstrap_servers, self.registry.url, _PREFIX, self.simulator.base_url, _PARTITIONS
        )
        return override(config, pipeline={"start_deadline_s": 120})

    def audit(self) -> list[str]:
        """Return what is wrong with the history so far."""
        history = read_history(self.kafka.bootstrap_servers, self.registry.url, _PREFIX, _PARTITIONS)
        return audit(history, self.simulator.record())


@pytest.fixture(scope="module")
def servers(seed: int) -> Iterator[_Servers]:
    """Start Kafka and X; the registry does not run yet, and nothing is provisioned."""
    registry = Registry()
    with KafkaCluster() as kafka, Simulator(SimulatorConfig(seed=seed)) as simulator:
        try:
            yield _Servers(kafka, registry, simulator)
        finally:
            registry.__exit__(None, None, None)


def _said(run: ConnectorProcess, detail: str) -> bool:
    assert run.is_running
    return any(detail in entry["detail"] for entry in run.logged("waiting_for_dependencies"))


def test_run_before_its_dependencies_starts_once_they_are_there_or_stops_when_told(
    servers: _Servers, tmp_path: Path
) -> None:
    """One says what it waits for: Kafka, the registry, topics; with all there it works. Another is stopped early on."""
    servers.kafka.stop(1)
    with (
        ConnectorProcess(tmp_path, ["run"], servers.config) as run,
        ConnectorProcess(tmp_path, ["run"], servers.config) as impatient,
    ):
        assert impatient.probe().is_live
        _stop_in_time(impatient)
        wait_until(lambda: _said(run, "Kafka at"), "it waits for Kafka")
        servers.kafka.start(1)
        wait_until(lambda: _said(run, "schema registry"), "it waits for the registry")
        servers.registry.start()
        wait_until(lambda: _said(run, "is missing"), "it waits for topics")
        provision_topics(servers.config)
        probe = run.probe()
        probe.await_connected(servers.simulator)
        servers.simulator.emit(200)
        probe.await_sequences(servers.simulator)
        _stop_in_time(run)
    assert servers.audit() == []


def test_kafka_killed_at_run_time_process_stays_up_or_stops_in_time_and_nothing_is_lost(
    servers: _Servers, tmp_path: Path
) -> None:
    """While Kafka is away it is alive and says what it misses, and goes on afterwards; a stop meanwhile is a clean one.

    What cannot be committed by then is left to the next start, which gets it from X once more.
    """
    simulator = servers.simulator
    with ConnectorProcess(tmp_path, ["run"], servers.config) as run:
        probe = run.probe()
        probe.await_connected(simulator)
        probe.await_rest()
        servers.kafka.kill(1)  # an orderly stop may take so long that the group is lost, and no replica reads any more
        simulator.emit(300)
        wait_until(lambda: probe.metric("producers_replaced_total") >= 1, "a producer is thrown away", 120)
        wait_until(lambda: _are_alive_and_troubled(probe), "it says what it misses")
        simulator.emit(300)
        servers.kafka.start(1)
        probe.await_sequences(simulator, _RECOVERY_TIMEOUT_S)
        probe.await_connected(simulator)
        before = probe.partition("tweet", 1)["received_bytes"]
        probe.await_rest()
        servers.kafka.kill(1)
        simulator.emit(100, StreamPartition("tweet", 1))
        wait_until(lambda: probe.partition("tweet", 1)["received_bytes"] > before, "events are in hand")
        _stop_in_time(run)
    servers.kafka.start(1)
    with ConnectorProcess(tmp_path, ["run"], servers.config) as run:
        run.probe().await_sequences(simulator, _RECOVERY_TIMEOUT_S)
        _stop_in_time(run)
    assert servers.audit() == []


def _are_alive_and_troubled(probe: Probe) -> bool:
    status = probe.status()
    return any(each["last_error"] for each in (status, *status["partitions"].values())) and probe.is_live


def _stop_in_time(run: ConnectorProcess) -> None:
    """Ask for the end; it is a clean one, before the least time that the chart grants is over."""
    began = time.monotonic()
    run.signal(signal.SIGTERM)
    assert run.wait(30) == 0
    taken_s = time.monotonic() - began
    print(f"stopped in {taken_s:.1f} s")  # noqa: T201 - pytest shows it with a failure
    assert taken_s < 15
