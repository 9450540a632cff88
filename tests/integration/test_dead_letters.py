"""Dead letters of an older release: listed, shown, and replayed by the release that knows their types."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex

import pytest

from connector.events.times import US_PER_S, format_us
from connector.operations.dead_letters import Wanted
from connector.operations.replay import Replay, survey
from connector.settings import Settings
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Broken
from connector.simulator.server import Simulator
from tests.rig.audit import History, audit, read_history
from tests.rig.fault_points import Fault, Point
from tests.rig.older_connector import VARIABLE
from tests.rig.oracle import kafka_partition
from tests.rig.process import wait_until
from tests.rig.service import Config, ConnectorProcess, make_config, provisioned, running
from tests.rig.session import Kafka, SchemaRegistry

_PARTITIONS = 3
_FORGOTTEN = ("tweet.delete", "user.suspend")
_REPLAYS_S = 120.0
_SOON_S = 10.0


@pytest.fixture(scope="module")
def simulator(seed: int) -> Iterator[Simulator]:
    """Give a simulated X."""
    with Simulator(SimulatorConfig(seed=seed, rate_limit=10_000)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def config(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Config]:
    """Give settings with which a release that did not know two event types has run, and no replica runs now."""
    settings = make_config(
        kafka.bootstrap_servers, registry.url, f"test-{token_hex(6)}", simulator.base_url, _PARTITIONS
    )
    older = {VARIABLE: ",".join(_FORGOTTEN)}
    with provisioned(settings) as config:
        folder = tmp_path_factory.mktemp("older")
        with ConnectorProcess(folder, ["run"], config, module="tests.rig.older_connector", more=older) as run:
            probe = run.probe()
            probe.await_connected(simulator)
            simulator.emit(600)
            simulator.inject(Broken(stream="tweet"))
            lines = len(simulator.record())
            wait_until(
                lambda: probe.metric("events_published_total") + probe.metric("lines_dead_lettered_total") == lines,
                "every line is committed",
            )
        yield config


class _Commands:
    """Runs commands of the release that knows all types, and reads back what is there."""

    def __init__(self, kafka: Kafka, registry: SchemaRegistry, config: Config, folder: Path) -> None:
        self._kafka, self._registry, self._config, self._folder = kafka, registry, config, folder

    def start(self, *arguments: str, fault: Fault | None = None) -> ConnectorProcess:
        """Start a command, with a fault armed or none."""
        if fault is None:
            return ConnectorProcess(self._folder, list(arguments), self._config)
        more = fault.environment(self._folder / "struck")
        return ConnectorProcess(
            self._folder, list(arguments), self._config, module="tests.rig.faulty_connector", more=more
        )

    def run(self, *arguments: str, exit_code: int = 0) -> ConnectorProcess:
        """Run a command to its end, which must be that exit code without a stack trace."""
        with self.start(*arguments) as command:
            assert command.wait(_REPLAYS_S) == exit_code, command.stderr
            assert "Traceback" not in command.stderr
            return command

    def history(self) -> History:
        """Return all that is committed."""
        prefix = self._config["kafka"]["topic_prefix"]
        return read_history(self._kafka.bootstrap_servers, self._registry.url, prefix, _PARTITIONS)


@pytest.fixture
def commands(kafka: Kafka, registry: SchemaRegistry, config: Config, tmp_path: Path) -> _Commands:
    """Give what runs commands."""
    return _Commands(kafka, registry, config, tmp_path)


def test_dead_letters_are_listed_and_shown_byte_by_byte(commands: _Commands, simulator: Simulator) -> None:
    """By reason and id; a line is the one that X sent, in each form."""
    listed = json.loads(commands.run("dead-letters", "list", "--output", "json").stdout)
    history = commands.history()
    assert sorted(each["event_id"] for each in listed) == sorted(letter.key for letter in history.dead_letters)
    assert [each["received_at"] for each in listed] == sorted(each["received_at"] for each in listed)
    broken = json.loads(commands.run("dead-letters", "list", "--reason", "not-json", "--output", "json").stdout)
    assert {each["event_id"] for each in broken} == {
        letter.key for letter in history.dead_letters if letter.headers["reason"] == "not-json"
    }
    assert broken
    chosen = history.dead_letters[0]
    [shown] = json.loads(commands.run("dead-letters", "show", chosen.key, "--output", "json").stdout)
    assert base64.b64decode(shown["line"]) == chosen.value
    assert chosen.value in {line.line for line in simulator.record()}
    assert commands.run("dead-letters", "show", chosen.key, "--raw").stdout.encode() == chosen.value
    assert f"{'reason':<16} unknown-type" in commands.run("dead-letters", "show", chosen.key).stdout
    head, row = commands.run("dead-letters", "list", "--id", chosen.key).stdout.splitlines()
    assert head.split()[:2] == ["RECEIVED", "ID"]
    assert chosen.key in row
    assert commands.run("dead-letters", "list", "--from", "1h", "--to", "59m").stdout == "no dead letters match\n"
    assert commands.run("dead-letters", "show", "0" * 32, exit_code=65).stdout == ""
    assert "32 hexadecimal digits" in commands.run("dead-letters", "show", "all", exit_code=64).stderr


def test_replay_asks_first_and_a_dry_run_changes_nothing(commands: _Commands) -> None:
    """It says how many there are, by stream partition and type; without a terminal nothing is published unasked."""
    before = commands.history()
    dry = commands.run("dead-letters", "replay", "--dry-run")
    unknown = [letter for letter in before.dead_letters if letter.headers["reason"] == "unknown-type"]
    counts = [line.split() for line in dry.stdout.splitlines()]
    assert sum(int(count) for _, _, count, *_ in counts) == len(unknown)
    assert {name for _, name, *_ in counts} == set(_FORGOTTEN)
    assert "not replayed" in dry.stderr
    assert "still not-json" in dry.stderr
    assert "--yes" in commands.run("dead-letters", "replay", exit_code=64).stderr
    absent = commands.run("dead-letters", "replay", "--yes", "--id", "0" * 32, exit_code=65)
    assert "no such dead letter" in absent.stderr
    assert commands.history() == before


def test_a_replay_takes_as_many_transactions_as_it_needs(commands: _Commands, config: Config) -> None:
    """Each has its ledger entry, which the next one follows, and its events are in the order of their receipt."""
    settings = Settings.model_validate(config)
    letters = [
        letter.key
        for letter in commands.history().dead_letters
        if (letter.headers["stream"], letter.headers["stream-partition"]) == ("tweet", "2")
        and letter.headers["reason"] == "unknown-type"
    ][:7]
    found = survey(settings, Wanted(ids=frozenset(map(bytes.fromhex, letters))))
    with Replay(settings, found, most_events=3) as replay:
        replay.run()
    assert (replay.published, replay.refused) == (7, {})
    history = commands.history()
    events = [event for event in history.events["tweet", 2] if event.fields["delivered_by"] == "dead-letter"]
    assert [event.id for event in events] == letters
    entries = [entry for entry in history.ledger["tweet", 2] if entry["owner"] == "dead-letters replay"]
    assert [entry["published"] for entry in entries] == [3, 3, 1]


def test_replays_while_the_service_runs_publish_each_dead_letter_once(
    commands: _Commands, simulator: Simulator, config: Config
) -> None:
    """One is killed before its commit, then two race each other and the service, which goes on; all add up."""
    with commands.start("dead-letters", "replay", "--yes", fault=Fault(Point.BEFORE_COMMIT, 2)) as killed:
        assert killed.wait(_REPLAYS_S) == -9, killed.stderr
    half = commands.history()
    assert 0 < len(half.marks) < len(half.dead_letters)
    with running(config) as probe:
        probe.await_connected(simulator)
        simulator.set_rate(100.0)
        with ExitStack() as stack:
            replays = [stack.enter_context(commands.start("dead-letters", "replay", "--yes")) for _ in range(2)]
            assert [replay.wait(_REPLAYS_S) for replay in replays] == [0, 0], [each.stderr for each in replays]
        simulator.stop_emitting()
        history = commands.history()
        unknown = [letter for letter in history.dead_letters if letter.headers["reason"] == "unknown-type"]
        assert len(history.marks) == len(unknown)
        probe.await_connected(simulator)
        probe.await_sequences(simulator)
    assert audit(commands.history(), simulator.record()) == []
    assert "sound" in commands.run("ledger", "verify").stdout
    again = commands.run("dead-letters", "replay", "--yes")
    assert again.stdout == "nothing to replay\n"
    assert f"{len(unknown):,} were replayed before" in again.stderr


def test_an_id_is_found_on_the_partition_that_it_names(commands: _Commands) -> None:
    """Where librdkafka has put its records; elsewhere only where everything is read."""
    events = [event for found in commands.history().events.values() for event in found]
    for event in events:
        assert event.record.partition == kafka_partition(event.record.key.encode(), _PARTITIONS)
    chosen = next(event for event in events if event.record.key == event.fields.get("tweet_id"))
    id_text, author = chosen.fields["tweet_id"], chosen.fields["author_id"]
    about = json.loads(commands.run("find", id_text, "--output", "json").stdout)
    expected = [event for event in events if event.record.key == id_text]
    assert {each["record"]["event_id"] for each in about["found"] if each["record"]} == {event.id for event in expected}
    assert [each["at"] for each in about["found"]] == sorted(each["at"] for each in about["found"])
    assert "tweet_id of like.delete" in about["not_searched"]
    everything = json.loads(commands.run("find", author, "--all", "--output", "json").stdout)
    assert chosen.id in {each["record"]["event_id"] for each in everything["found"] if each["record"]}
    head, *rows = commands.run("find", id_text).stdout.splitlines()
    assert head.endswith("  KAFKA PARTITION  OFFSET")
    dates = sorted(format_us(event.record.timestamp_ms * 1000) for event in expected)
    assert sorted(each["published_at"] for each in about["found"] if each["record"]) == dates
    assert [tuple(row.split()[:2]) for row in rows] == [(each["at"], each["published_at"]) for each in about["found"]]
    assert [tuple(row.split()[-3:]) for row in rows] == [
        (each["topic"], str(each["partition"]), str(each["offset"])) for each in about["found"]
    ]
    nothing = commands.run("find", "9" * 19)
    assert f"Nothing found for {'9' * 19}. Searched back to:" in nothing.stdout
    assert "That shows nothing of times that are not covered" in nothing.stdout
    assert "--all" in nothing.stderr
    assert "1 to 19 digits" in commands.run("find", "12a", exit_code=64).stderr


def test_tail_prints_a_key_a_span_and_a_number_of_records(commands: _Commands) -> None:
    """They combine; dead letters have their headers and their line."""
    history = commands.history()
    event = next(event for found in history.events.values() for event in found)
    by_key = commands.run("tail", "--key", event.record.key, "--to-end").stdout.splitlines()
    assert len(by_key) == sum(
        each.record.key == event.record.key for found in history.events.values() for each in found
    )
    assert len(commands.run("tail", "--from", "1h", "-n", "3").stdout.splitlines()) == 3
    assert commands.run("tail", "--from", "1h", "--to", "30m").stdout == ""
    everything = commands.run("tail", "dead-letter", "--to", "0s").stdout.splitlines()
    assert len(everything) == len(history.dead_letters) + len(history.marks)
    letter = json.loads(everything[0])
    assert letter["headers"]["reason"] == history.dead_letters[0].headers["reason"]
    assert letter["value"].encode() == history.dead_letters[0].value
    soon = format_us(int((time.time() + _SOON_S) * US_PER_S))
    assert commands.run("tail", "--to", soon).stdout == ""
