"""A Kafka, an X with a population, and `connector batch run --publish` as a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.simulator.server import Simulator
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import Config, ConnectorProcess
from tests.rig.session import Kafka, SchemaRegistry


@dataclass(frozen=True)
class BatchStage:
    """A provisioned Kafka, an X with a population, and the file of the Tweets that a store holds."""

    kafka: Kafka
    registry: SchemaRegistry
    x: Simulator
    config: Config
    ids: Path
    folder: Path

    @property
    def prefix(self) -> str:
        """The topic prefix."""
        prefix: str = self.config["kafka"]["topic_prefix"]
        return prefix

    @contextmanager
    def runner(self, *more: str, folder: str = "run") -> Iterator[ConnectorProcess]:
        """Run the command."""
        arguments = ["batch", "run", "tweets", str(self.ids), "--publish", "--folder", str(self.folder / folder), *more]
        with ConnectorProcess(self.folder, arguments, self.config) as process:
            yield process

    def records(self, topic: str) -> list[ReadRecord]:
        """Return what a reader of committed records sees."""
        return read_topics(self.kafka.bootstrap_servers, [f"{self.prefix}{topic}"])

    def decoded(self, topic: str) -> list[dict[str, Any]]:
        """Return the values."""
        decoder = Decoder(self.registry.url)
        return [decoder.decode(record.value) for record in self.records(topic)]

    def check(self) -> dict[str, Any]:
        """Check that the bus holds what X knows, to the id, in one sequence for each run; return a run's record.

        A runner that is killed after its last transaction leaves a run that is done, and the next command begins anew.
        """
        findings = self.decoded(".batch.tweet")
        assert len({each["event_id"] for each in findings}) == len(findings)
        runs = {each["run_id"]: each for each in self.decoded("-batch")}
        assert {each["run_id"] for each in findings} == runs.keys()
        for done in runs.values():
            found = [each for each in findings if each["run_id"] == done["run_id"]]
            assert sorted(each["sequence"] for each in found) == list(range(1, len(found) + 1))
            assert {each["tweet_id"]: each["action"] for each in found} == {
                id_: finding.action for id_, finding in self.x.population.findings("tweets").items()
            }
            assert done["state"] == "done"
            assert done["ids"] == done["clean"] + done["rejected"] + sum(each["count"] for each in done["counts"])
            assert (done["last_sequence"], done["dead_letters"]) == (len(found), 0)
        return done
