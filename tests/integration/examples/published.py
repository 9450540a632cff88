"""What every example reads: events of all types, and records of transactions that were aborted between them."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from confluent_kafka import Producer

from connector.events.catalog import StreamPartition
from connector.simulator.config import SimulatorConfig
from connector.simulator.server import Simulator
from tests.rig.audit import Place, read_history
from tests.rig.oracle import EVENTS
from tests.rig.service import make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
VECTORS = ROOT / "docs" / "vectors"
_EMITTED: dict[Place, int] = {("tweet", 2): 300, ("tweet", 3): 50, ("user", 4): 300, ("like", 1): 50, ("label", 1): 100}
_AFTER = {("tweet", 2): 50, ("user", 4): 50}
PARTITIONS = 2
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Published:
    """Where events were published, and which: fields by `event_id`, times in milliseconds.

    `aborted` are the ids of those that were written besides, in transactions that were aborted: one for each record.
    """

    kafka: str
    registry: str
    prefix: str
    events: Mapping[str, Mapping[str, Any]]
    aborted: Sequence[str]

    @property
    def environment(self) -> dict[str, str]:
        """What an example takes from its environment."""
        return os.environ | {
            "KAFKA": self.kafka,
            "REGISTRY": self.registry,
            "PREFIX": self.prefix,
            "GROUP": f"{self.prefix}-{token_hex(4)}",
            "IDLE_EXIT_S": "10",
        }

    def check(self, printed: Sequence[Mapping[str, Any]]) -> None:
        """Assert that what an example printed is each committed event once, under its topic."""
        seen = Counter(event["event_id"] for event in printed)
        missing, repeated = self.events.keys() - seen.keys(), [id_ for id_, count in seen.items() if count > 1]
        unknown = seen.keys() - self.events.keys()
        found = {"missing": len(missing), "repeated": len(repeated), "unknown": len(unknown)}
        assert found == {"missing": 0, "repeated": 0, "unknown": 0}
        for event in printed:
            assert event["topic"] == f"{self.prefix}.{event['event_type']}"
            expected = self.events[event["event_id"]]
            assert event["sequence"] == expected["sequence"]
            for name in ("tweet_id", "user_id", "quote_tweet_id", "new_value", "edit_tweet_ids"):
                assert event.get(name) == expected.get(name)

    def check_uncommitted(self, printed: Sequence[Mapping[str, Any]]) -> None:
        """Assert that what an example printed is each committed event once, and what was aborted besides."""
        assert Counter(event["event_id"] for event in printed) == Counter([*self.events, *self.aborted])


@contextmanager
def published_events(kafka: Kafka, registry: SchemaRegistry, seed: int) -> Iterator[Published]:
    """Publish some hundred events of all types, repeat some in transactions that are aborted, and publish more."""
    prefix = f"test-{token_hex(6)}"
    with (
        Simulator(SimulatorConfig(seed=seed)) as simulator,
        provisioned(
            make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, PARTITIONS)
        ) as config,
        running(config) as probe,
    ):
        for (stream, number), count in _EMITTED.items():
            simulator.emit(count, StreamPartition(stream, number))
        probe.await_sequences(simulator)
        aborted = _abort_copies(kafka.bootstrap_servers, registry.url, prefix)
        for (stream, number), count in _AFTER.items():
            simulator.emit(count, StreamPartition(stream, number))
        probe.await_sequences(simulator)
        history = read_history(kafka.bootstrap_servers, registry.url, prefix, PARTITIONS)
        events = {event.id: event.fields for found in history.events.values() for event in found}
        assert {fields["event_type"] for fields in events.values()} == set(EVENTS)
        assert any("\0" in fields.get("new_value", "") for fields in events.values())
        yield Published(kafka.bootstrap_servers, registry.url, prefix, events, aborted)


def _abort_copies(bootstrap_servers: str, registry_url: str, prefix: str) -> list[str]:
    """Write each record that is there three times more, in transactions that are aborted; return the ids of the events.

    A transaction begins before two of another producer and ends after them, which not every client sorts out.
    """
    history = read_history(bootstrap_servers, registry_url, prefix, PARTITIONS)
    copied = [event for events in history.events.values() for event in events]
    long, short = (_producer(bootstrap_servers, f"{prefix}-{name}") for name in ("long", "short"))
    for producer in (long, short, short):
        producer.begin_transaction()
        for event in copied:
            record = event.record
            producer.produce(record.topic, record.value, record.key, partition=record.partition)
        assert producer.flush(30) == 0  # writes after an abort wait until every partition has its marker
        if producer is short:
            producer.abort_transaction(30)
    long.abort_transaction(30)
    return [event.id for event in copied] * 3


def _producer(bootstrap_servers: str, transactional_id: str) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": transactional_id})
    producer.init_transactions(30)
    return producer


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run an example to its end; return what it printed. Asserts that it succeeds."""
    done = subprocess.run(  # noqa: S603 - the command is ours
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def printed_events(output: str) -> list[dict[str, Any]]:
    """Return what an example printed, a line of JSON each; text in it may hold what Python takes for a line's end."""
    return [json.loads(line) for line in output.split("\n") if line]
