"""A Kafka, an X with a population, and `connector batch run --publish` as a process; and what its results must be."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from connector.simulator.batch.population import Finding
from connector.simulator.server import Simulator
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import Config, ConnectorProcess
from tests.rig.session import Kafka, SchemaRegistry

_TELLING = 12
"""A run of this many characters of a secret must not be shown."""
_PATHS = ("upload?", "download?")
"""How the secret part of a transfer's URL begins."""


def check_runs(
    findings: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]], truth: Mapping[str, Finding], ids: int
) -> dict[str, Any]:
    """Check that each run has every finding that X knows, once, in one sequence, and counts every id; return the last.

    An abandoned run has the beginning of a sequence, of findings that X knows. `runs` are all records of runs.
    """
    assert len({each["event_id"] for each in findings}) == len(findings)
    assert runs, "there is no run"
    last = {each["run_id"]: each for each in runs}
    assert {each["run_id"] for each in findings} <= last.keys()
    for run_id, run in last.items():
        found = [each for each in findings if each["run_id"] == run_id]
        assert sorted(each["sequence"] for each in found) == list(range(1, len(found) + 1))
        said = {each["tweet_id"]: (each["action"], each["reason"]) for each in found}
        known = {id_: (finding.action, finding.reason) for id_, finding in truth.items()}
        assert len(said) == len(found), "an id has two findings"
        assert run["ids"] == ids
        assert (run["last_sequence"], run["dead_letters"]) == (len(found), 0)
        if run["state"] == "abandoned":
            assert said.items() <= known.items()
            continue
        assert run["state"] == "done"
        assert said == known
        counts = {(each["action"], each["reason"]): each["count"] for each in run["counts"]}
        assert counts == Counter(said.values())
        assert run["ids"] == run["clean"] + run["rejected"] + sum(counts.values())
        assert (run["rejected"], run["unclear"]) == (0, 0)
    return dict(run)


@dataclass(frozen=True)
class BatchStage:
    """A provisioned Kafka, an X with a population, and the file of the Tweets that a store holds.

    `config` is what the runners are given; `module` is what they run, with the environment `more`.
    """

    kafka: Kafka
    registry: SchemaRegistry
    x: Simulator
    config: Config
    ids: Path
    folder: Path
    module: str = "connector"
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """The topic prefix."""
        prefix: str = self.config["kafka"]["topic_prefix"]
        return prefix

    @contextmanager
    def runner(self, *more: str, folder: str = "run") -> Iterator[ConnectorProcess]:
        """Run the command; what it says stays in the folder."""
        arguments = ["batch", "run", "tweets", str(self.ids), "--publish", "--folder", str(self.folder / folder), *more]
        with ConnectorProcess(self.folder, arguments, self.config, module=self.module, more=self.more) as process:
            yield process

    def run(self, *more: str, exits: int = 0) -> ConnectorProcess:
        """Run the command to its end, which must be that one."""
        with self.runner(*more) as runner:
            assert runner.wait(120) == exits, runner.stderr
        return runner

    def records(self, topic: str) -> list[ReadRecord]:
        """Return what a reader of committed records sees."""
        return read_topics(self.kafka.bootstrap_servers, [f"{self.prefix}{topic}"])

    def decoded(self, topic: str) -> list[dict[str, Any]]:
        """Return the values."""
        decoder = Decoder(self.registry.url)
        return [decoder.decode(record.value) for record in self.records(topic)]

    def check(self) -> dict[str, Any]:
        """Check that the bus holds what X knows, to the id, and no secret of X's anywhere; return a run's record.

        A runner that is killed after its last transaction leaves a run that is done; the next command starts a new one.
        """
        done = check_runs(self.decoded(".batch.tweet"), self.decoded("-batch"), self.truth(), len(self.asked()))
        self.check_secrets()
        return done

    def asked(self) -> set[str]:
        """Return the ids of the file."""
        return {line for line in self.ids.read_text(encoding="utf-8").split() if line.isdigit()}

    def truth(self) -> dict[str, Finding]:
        """Return what X knows of them."""
        known = self.x.population.findings("tweets")
        return {id_: known[id_] for id_ in self.asked() & known.keys()}

    def check_secrets(self) -> None:
        """Check that no secret of X's is in anything that was said, left or sent to Kafka, committed or not."""
        tokens = [token for job in self.x.jobs.listed("tweets", None) for token in job.tokens.values()]
        secrets = [*_PATHS, *(secret[:_TELLING] for secret in (self.x.config.token, *tokens))]
        names = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers}).list_topics(timeout=10).topics
        own = [name for name in names if name.startswith(self.prefix)]
        for record in read_topics(self.kafka.bootstrap_servers, own, isolation_level="read_uncommitted"):
            text = f"{record.key} {record.headers} {record.value.decode(errors='replace')}"
            assert not any(secret in text for secret in secrets), text
        for path in self.folder.rglob("*"):
            text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
            assert not any(secret in f"{path}\n{text}" for secret in secrets), f"{path}\n{text}"
