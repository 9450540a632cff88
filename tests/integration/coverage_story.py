"""A story for `connector coverage`: an outage caught up with, a dead letter, an outage that ends in a gap."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us, parse_ns
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Refuse, UnknownType
from connector.simulator.server import Simulator
from tests.rig.process import wait_until
from tests.rig.readback import Decoder, read_topics
from tests.rig.service import Config, ConnectorProcess, Probe, make_config, override, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

AWAY_S = 20 * 60.0
_WELL_US = 10 * 60 * US_PER_S
LOSING = StreamPartition("tweet", 2)
"""The one with the gap."""
ODD = StreamPartition("user", 3)
"""The one with the dead letter."""
PARTITIONS = 8
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Story:
    """Nothing is missing from `began` to `well_until`, coverage goes on up to `ended`, and the service has stopped."""

    kafka: Kafka
    registry: SchemaRegistry
    config: Config
    began: str
    well_until: str
    ended: str
    folder: Path

    @property
    def prefix(self) -> str:
        """The topic prefix."""
        prefix: str = self.config["kafka"]["topic_prefix"]
        return prefix

    def coverage(self, *arguments: str, exit_code: int, streams: str = "tweet,user") -> ConnectorProcess:
        """Run the command, whose end must be that exit code."""
        config = override(self.config, x={"streams": streams})
        with ConnectorProcess(self.folder, ["coverage", *arguments], config) as command:
            assert command.wait() == exit_code, command.stdout + command.stderr
            assert "Traceback" not in command.stderr
            return command

    def report(self, start: str, end: str, exit_code: int) -> dict[str, Any]:
        """Return the report of a range, as JSON has it."""
        run = self.coverage("--from", start, "--to", end, "--output", "json", exit_code=exit_code)
        report: dict[str, Any] = json.loads(run.stdout)
        return report

    def whole(self, exit_code: int = 1) -> dict[str, Any]:
        """Return the report of the whole story."""
        return self.report(self.began, self.ended, exit_code)

    def decoded(self, topic: str) -> list[dict[str, Any]]:
        """Return the values of a topic."""
        decode = Decoder(self.registry.url).decode
        return [decode(each.value) for each in read_topics(self.kafka.bootstrap_servers, [f"{self.prefix}{topic}"])]

    def delete(self, topic: str, partition: int, keep: int = 0) -> None:
        """Delete all records of a partition, as retention does, but for those of the last `keep` offsets."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        place = TopicPartition(topic, partition)
        end = admin.list_offsets({place: OffsetSpec.latest()})[place].result(TIMEOUT_S).offset
        before = TopicPartition(topic, partition, end - keep)
        admin.delete_records([before])[before].result(TIMEOUT_S)


def _covered(probe: Probe) -> list[str]:
    return sorted(each["covered_until"] for each in probe.status()["partitions"].values() if each["covered_until"])


def _emit(x: Simulator, probe: Probe, count: int = 40) -> None:
    """Emit for every stream partition, and wait until coverage has moved on for each."""
    before = {name: each["sequence"] or 0 for name, each in probe.status()["partitions"].items()}
    for stream in ("tweet", "user"):
        for number in range(1, 5):
            x.emit(count, StreamPartition(stream, number))
    wait_until(
        lambda: all(
            (each["sequence"] or 0) >= before[name] + count for name, each in probe.status()["partitions"].items()
        ),
        "what X emits now has landed",
    )


@contextmanager
def _serving(config: Config, x: Simulator) -> Iterator[Probe]:
    """Run the service, which has caught up and read something live; let it finish what it has in hand."""
    with running(config) as probe:
        probe.await_connected(x, PARTITIONS)
        _emit(x, probe)
        wait_until(lambda: len(_covered(probe)) == PARTITIONS, "all are covered")
        yield probe
        probe.await_rest()


@contextmanager
def told(kafka: Kafka, registry: SchemaRegistry, seed: int, folder: Path) -> Iterator[Story]:
    """Give the story, told on this Kafka; its commands run in `folder`."""
    prefix = f"test-{secrets.token_hex(6)}"
    with Simulator(SimulatorConfig(seed=seed)) as x:
        made = make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)
        config = override(made, x={"streams": "tweet,user"}, kafka={"group_instance_id": "replica-7"})
        with provisioned(config):
            with _serving(config, x) as probe:
                began = _covered(probe)[-1]
            well_until = format_us(parse_ns(began) // 1000 + _WELL_US)
            x.advance(AWAY_S, emitting=True, rate=0.5)
            with _serving(config, x) as probe:
                assert _covered(probe)[0] > well_until
                x.inject(UnknownType(stream=ODD.stream, partition=ODD.number))
                _emit(x, probe)
            x.advance(AWAY_S)
            x.inject(Refuse(stream=LOSING.stream, partition=LOSING.number, mode="replay", status=400, times=None))
            with _serving(config, x) as probe:
                ended = _covered(probe)[0]
            yield Story(kafka, registry, config, began, well_until, ended, folder)
