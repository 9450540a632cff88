"""A stretch that the streams cannot bring back, and the batch runs that make up for what a job can see of it."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES
from connector.events.decode import Event, decode
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Refuse
from connector.simulator.record import Emitted
from connector.simulator.server import Simulator
from connector.x.batch_api import JobType
from tests.rig.process import wait_until
from tests.rig.readback import Decoder, ReadRecord, read_topics
from tests.rig.service import Config, ConnectorProcess, Probe, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_AWAY_S = 20 * 60.0
_REMAINING = {
    "tweet": ["tweet.withheld", "tweet.drop", "tweet.undrop"],
    "user": ["user.withheld", "user.profile-modification"],
}


@dataclass(frozen=True)
class _Stage:
    """A service that reads an X, stores that say what they hold, and an operator."""

    kafka: Kafka
    registry: SchemaRegistry
    x: Simulator
    config: Config
    folder: Path

    @property
    def prefix(self) -> str:
        prefix: str = self.config["kafka"]["topic_prefix"]
        return prefix

    def lose_a_stretch(self) -> None:
        """Have the service read some events, and miss more of them while it is away and X refuses all replays."""
        self.serve()
        self.x.emit(300)
        self.x.advance(_AWAY_S)
        for stream in _REMAINING:
            self.x.inject(Refuse(stream=stream, mode="replay", status=400, times=None))
        self.serve()
        self.x.faults.disarm()

    def serve(self) -> None:
        """Have the service read what X emits now, once it has caught up."""
        with running(self.config) as probe:
            probe.await_connected(self.x, partitions=8)
            known, before = sum(1 for _ in _events(self.x.record())), _sequences(probe)
            self.x.emit(200)
            new = sum(1 for _ in _events(self.x.record())) - known
            wait_until(lambda: _sequences(probe) >= before + new, "what X emits now has landed")
            probe.await_rest()

    def hold(self, kind: str, ids: Sequence[str], value: bytes | None = b"{}") -> None:
        """Have a store say that it holds ids, or none of them any more."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        for each in ids:
            producer.produce(f"{self.prefix}-holdings", value, f"{kind}:{each}")
        producer.flush()

    def hold_all(self) -> None:
        """Have the stores say that they hold everything that X knows."""
        for batch_type in BATCH_TYPES:
            self.hold(batch_type.entity, self.x.population.ids(JobType(batch_type.job_type).value))

    @contextmanager
    def command(self, *arguments: str) -> Iterator[ConnectorProcess]:
        """Run a command to its end."""
        with ConnectorProcess(self.folder, list(arguments), self.config) as process:
            process.wait(120)
            yield process

    def batch(self, kind: str, *more: str, source: str = "--from-topic") -> str:
        """Run a batch to its good end, and return what it prints."""
        folder = str(self.folder / "run")
        with self.command("batch", "run", kind, source, "--publish", "--folder", folder, *more) as run:
            assert run.wait() == 0, run.stderr
            return run.stdout

    def gaps(self) -> dict[str, dict[str, Any]]:
        """Return the gaps, by their ids."""
        return {gap["gap_id"]: gap for gap in self.decoded("-gap")}

    def decoded(self, *topics: str) -> list[dict[str, Any]]:
        """Return the values of topics."""
        decode_value = Decoder(self.registry.url).decode
        return [decode_value(record.value) for record in self._records(*topics)]

    def landed(self) -> set[str]:
        """Return the ids of all events on the topics."""
        topics = (f".{each.name}" for each in EVENT_TYPES if each.stream in _REMAINING)
        return {record.headers["ce_id"] for record in self._records(*topics)}

    def _records(self, *topics: str) -> list[ReadRecord]:
        return read_topics(self.kafka.bootstrap_servers, [f"{self.prefix}{topic}" for topic in topics])


def _sequences(probe: Probe) -> int:
    return sum(partition["sequence"] or 0 for partition in probe.status()["partitions"].values())


def _events(emitted: Iterable[Emitted]) -> Iterator[Event]:
    """Yield the events of the streams that the service reads."""
    for line in emitted:
        event = decode(line.stream, line.line)
        if isinstance(event, Event) and line.stream in _REMAINING:
            yield event


@pytest.fixture(name="stage")
def _stage(kafka: Kafka, registry: SchemaRegistry, seed: int, tmp_path: Path) -> Iterator[_Stage]:
    prefix = f"test-{secrets.token_hex(6)}"
    with Simulator(SimulatorConfig(seed=seed, batch_job_s=0.0)) as x:
        config = make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)
        config["x"] = {**config["x"], "streams": "tweet,user"}
        with provisioned(config) as made:
            yield _Stage(kafka, registry, x, made, tmp_path)


def test_streams_and_runs_together_have_all_that_x_said_but_for_what_remains(stage: _Stage) -> None:
    """Each event is on its topic, or in a gap that a run has made up for, or of a type that the gap says remains."""
    stage.lose_a_stretch()
    lost = stage.gaps()
    assert {gap["state"] for gap in lost.values()} == {"lost"}
    assert {gap["stream"] for gap in lost.values()} == {"tweet", "user"}
    stage.hold_all()

    printed = stage.batch("tweets")
    runs = {run["type"]: run for run in stage.decoded("-batch")}
    assert printed.count("  partly reconciled: gap of ") == len(lost)
    assert "Z; remaining: tweet.withheld, tweet.drop, tweet.undrop\n" in printed
    for gap in stage.gaps().values():
        assert gap["state"] == "partly-reconciled"
        assert gap["reconciled_by"] == [runs["tweets"]["run_id"]]
    stage.batch("users")

    runs = {run["type"]: run for run in stage.decoded("-batch")}
    gaps = stage.gaps()
    assert gaps.keys() == lost.keys()
    for gap_id, gap in gaps.items():
        both = [runs["tweets"]["run_id"], runs["users"]["run_id"]]
        assert gap["reconciled_by"] == (both if gap["stream"] == "user" else both[:1])
        assert gap["remaining"] == _REMAINING[gap["stream"]]
        changed = {"state", "reconciled_by", "remaining"}
        assert {name for name in gap if gap[name] != lost[gap_id][name]} == changed
    _check_union(stage, gaps)
    assert [run["source"] for run in runs.values()] == ["topic", "topic"]
    assert all(run["covers_all"] for run in runs.values())


def _check_union(stage: _Stage, gaps: dict[str, dict[str, Any]]) -> None:
    """Check streams and runs against what X emitted, event by event."""
    landed = stage.landed()
    seen = {each.job_type: {r[each.id_field]: r for r in stage.decoded(f".{each.name}")} for each in BATCH_TYPES}
    for batch_type in BATCH_TYPES:
        truth = stage.x.population.findings(JobType(batch_type.job_type).value)
        results = seen[batch_type.job_type]
        assert {each: result["action"] for each, result in results.items()} == {
            each: finding.action for each, finding in truth.items()
        }
    answered = frozenset().union(*(each.answers for each in BATCH_TYPES))
    missing = 0
    for emitted in stage.x.record():
        event = next(_events([emitted]), None)
        if event is None or event.id.hex() in landed:
            continue
        missing += 1
        inside = [
            gap
            for gap in gaps.values()
            if (gap["stream"], gap["stream_partition"]) == (emitted.stream, emitted.partition)
            and gap["gap_start"] * 1000 <= event.event_at_ns // 1000 < gap["gap_end"] * 1000
        ]
        assert inside, emitted
        name = event.type.name
        assert all((name in gap["remaining"]) != (name in answered) for gap in inside), name
    assert missing > 100


@pytest.mark.long
def test_gap_stays_open_until_a_run_can_vouch_for_it_and_such_a_run_is_due(stage: _Stage) -> None:
    """A file does not, unless its owner says that it is all; nor does an empty topic. A schedule finds the gap."""
    stage.hold("tweet", ["1", "2", "3"])
    stage.hold("tweet", ["2"], None)
    assert "run " in stage.batch("tweets", "--due", "24h")
    run = stage.decoded("-batch")[-1]
    assert (run["ids"], run["clean"], run["state"]) == (2, 2, "done")
    assert stage.batch("tweets", "--due", "24h").startswith(f"not due: run {run['run_id']} is done, ")

    stage.lose_a_stretch()
    lost = stage.gaps()
    tweets, users = stage.folder / "tweets", stage.folder / "users"
    tweets.write_text("\n".join(stage.x.population.ids("tweets")), encoding="utf-8")
    users.write_text("\n".join(stage.x.population.ids("users")), encoding="utf-8")
    stage.batch("tweets", source=str(tweets))
    stage.batch("users")
    assert stage.gaps() == lost, "no id of a user was held"
    printed = stage.batch("tweets", "--due", "24h")
    assert printed.count("  partly reconciled: gap of ") == len(lost)
    assert "not due" in stage.batch("tweets", "--due", "24h")

    assert "partly reconciled" in stage.batch("users", "--covers-all", source=str(users))
    with stage.command("gaps") as gaps:
        assert gaps.stdout.count("  partly-reconciled  ") == len(lost)
        assert "remaining: tweet.withheld, tweet.drop, tweet.undrop\n" in gaps.stdout
        assert "remaining: user.withheld, user.profile-modification\n" in gaps.stdout


@pytest.mark.long
def test_run_on_the_bus_is_submitted_shown_fetched_and_cancelled(stage: _Stage) -> None:
    """By its id, from another process; what has ended is shown, too."""
    stage.hold_all()
    stage.x.emit(100)
    stage.hold_all()
    folder = ["--publish", "--folder", str(stage.folder / "run")]
    with stage.command("batch", "submit", "tweets", "--from-topic", *folder) as submit:
        run_id = submit.stdout.split()[1]
        assert f": connector batch fetch {run_id} --publish --folder " in submit.stdout
    with stage.command("batch", "status", run_id, *folder) as status:
        assert status.stdout.startswith(f"run {run_id}: unfinished; tweets to check: ")
    with stage.command("batch", "fetch", run_id, *folder) as fetch:
        assert fetch.wait() == 0, fetch.stderr
        assert f"run {run_id} is done" in fetch.stdout
    with stage.command("tail", "--to-end", "batch.tweet") as tail:
        assert len(tail.stdout.splitlines()) == len(stage.x.population.findings("tweets"))
    with stage.command("batch", "submit", "users", "--from-topic", *folder) as submit:
        other = submit.stdout.split()[1]
    with stage.command("batch", "cancel", other, *folder) as cancel:
        assert cancel.stdout == f"run {other} is discarded\n"
    with stage.command("batch", "status", *folder) as status:
        first, second = status.stdout.splitlines()
        assert first.startswith(f"run {run_id}: done at ")
        assert second.startswith(f"run {other}: abandoned at ")
