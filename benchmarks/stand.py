"""Where measurements are made: one real Kafka and one registry for all, topics of its own for each."""

import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from tests.rig.kafka import KafkaCluster
from tests.rig.registry import Registry
from tests.rig.service import Config, ConnectorProcess, Probe, make_config, override, provisioned


@dataclass(frozen=True, slots=True)
class Stand:
    """Kafka, registry, and a folder with the corpus."""

    bootstrap_servers: str
    kafka_pid: int
    registry_url: str
    folder: Path

    @contextmanager
    def config(self, x_url: str, streams: Collection[str], **sections: dict[str, object]) -> Iterator[Config]:
        """Give settings with topics of their own, which exist."""
        config = make_config(self.bootstrap_servers, self.registry_url, f"bench-{secrets.token_hex(4)}", x_url)
        with provisioned(override(config, x={"streams": ",".join(streams)}, **sections)) as made:
            yield made

    @contextmanager
    def connector(self, config: Config, replicas: int = 1) -> Iterator[list[tuple[int, Probe]]]:
        """Run `connector run` as processes; give the process id and the HTTP side of each."""
        with ExitStack() as stack:
            processes = [stack.enter_context(ConnectorProcess(self.folder, ["run"], config)) for _ in range(replicas)]
            yield [(process.pid, process.probe()) for process in processes]


@contextmanager
def make_stand() -> Iterator[Stand]:
    """Start Kafka and registry."""
    with KafkaCluster() as kafka, Registry() as registry, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Stand(kafka.bootstrap_servers, kafka.pid(1), registry.url, Path(folder))


def partitions_of(streams: Collection[str]) -> list[StreamPartition]:
    """Return the stream partitions of `streams`."""
    return [partition for partition in STREAM_PARTITIONS if partition.stream in streams]


def committed(probe: Probe) -> int:
    """Return how many events a connector has committed on the stream partitions it has."""
    return sum(
        partition["sequence"] or 0
        for partition in probe.status()["partitions"].values()
        if partition["state"] == "running"
    )
