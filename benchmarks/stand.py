"""Where measurements are made: one real Kafka and one registry for all, topics of its own for each."""

import itertools
import secrets
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from tests.rig.kafka import KafkaCluster
from tests.rig.registry import Registry
from tests.rig.service import Config, ConnectorProcess, Probe, make_config, override, provisioned


@dataclass(frozen=True, slots=True)
class Stand:
    """Kafka with its data folder, registry, and a folder with the corpus."""

    bootstrap_servers: str
    kafka_pid: int
    kafka_folder: Path
    registry_url: str
    folder: Path

    @contextmanager
    def config(self, x_url: str, streams: Collection[str], **sections: dict[str, object]) -> Iterator[Config]:
        """Give settings with topics of their own, which exist."""
        config = make_config(self.bootstrap_servers, self.registry_url, f"bench-{secrets.token_hex(4)}", x_url)
        config = override(config, x={"streams": ",".join(streams)})
        with provisioned(override(config, **sections)) as made:
            yield made

    @contextmanager
    def connector(self, config: Config, replicas: int = 1) -> Iterator[list[tuple[int, Probe]]]:
        """Run `connector run` as processes; give the process id and the HTTP side of each."""
        with ExitStack() as stack:
            processes = [stack.enter_context(ConnectorProcess(self.folder, ["run"], config)) for _ in range(replicas)]
            yield [(process.pid, process.probe()) for process in processes]

    def bytes_on_disk(self, topics: Iterable[str]) -> int:
        """Return the size of all segment files of `topics`, which have one replica."""
        segments = (self.kafka_folder.glob(f"{topic}-[0-9]*/*.log") for topic in topics)
        return sum(segment.stat().st_size for segment in itertools.chain.from_iterable(segments))


@contextmanager
def make_stand() -> Iterator[Stand]:
    """Start Kafka and registry."""
    with KafkaCluster() as kafka, Registry() as registry, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Stand(kafka.bootstrap_servers, kafka.pid(1), kafka.data_folder(1), registry.url, Path(folder))


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
