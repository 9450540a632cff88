"""What others write to the topics: records whose headers cannot be read, and coverage of days to come."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from confluent_kafka.admin import AdminClient

from connector.coverage.gap import Gap, GapCause
from connector.events.catalog import StreamPartition
from connector.kafka.ledger import Mode
from connector.simulator.faults import UnknownType
from connector.simulator.server import Simulator
from tests.rig.own_topics import OwnTopics
from tests.rig.process import wait_until
from tests.rig.raw_headers import UNREADABLE, RawProducer
from tests.rig.service import Config, ConnectorProcess, make_config, provisioned
from tests.rig.session import Kafka, SchemaRegistry
from tests.rig.vandal import Vandal

_TIMEOUT_S = 60.0
_EVENTS = 20
_DAY_US = 86_400 * 10**6
_TAKEN, _TORN, _SOUND = StreamPartition("like", 1), StreamPartition("user", 2), StreamPartition("tweet", 1)
"""One whose newest ledger entry is written again, one with nonsense in its ledger, and one that is untouched."""
_ID = "0" * 32
_COMMANDS = {
    "tail --to-end": 0,
    "tail dead-letter --to-end": 0,
    "find 123 --all": 0,
    "dead-letters list": 0,
    f"dead-letters show {_ID}": 65,
    "dead-letters replay --dry-run": 0,
    "gaps": 0,
    "coverage": 70,
    "ledger verify": 70,
    "ledger reset --stream user --partition 2 --dry-run": 0,
    "batch run tweets --publish --from-topic --dry-run": 65,
    "status": 1,
}
"""Commands with the exit codes that the other records call for."""


@pytest.fixture
def config(kafka: Kafka, registry: SchemaRegistry, simulator: Simulator) -> Iterator[Config]:
    """Give settings with which everything is provisioned."""
    prefix = f"test-{token_hex(6)}"
    with provisioned(make_config(kafka.bootstrap_servers, registry.url, prefix, simulator.base_url, 1)) as config:
        yield config


def _write_to_all(kafka: Kafka, registry: SchemaRegistry, config: Config) -> None:
    """Write to each topic nonsense with such a header, and what its newest record says, where there is one."""
    prefix = config["kafka"]["topic_prefix"]
    vandal, bus = Vandal(kafka.bootstrap_servers, registry.url, prefix), OwnTopics.of(config)
    gap = bus.gaps.gap(Gap(0, 1_000_000, GapCause.OUTAGE_TOO_LONG), time.time_ns() // 1000)
    known = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=_TIMEOUT_S).topics
    topics = {topic for topic in known if topic.startswith(prefix)}
    producer = RawProducer(kafka.bootstrap_servers)
    for topic in topics:
        names = [b"reason", UNREADABLE]
        if topic == gap.topic:
            producer.write(topic, 0, gap.key, gap.value, names)
            producer.write(topic, 0, b"another-gap", gap.value, names)
        elif topic == bus.names.ledger:
            entry = vandal.last("-ledger", str(_TAKEN))
            producer.write(topic, entry.partition, entry.key.encode(), entry.value, names)
        elif records := vandal.records(topic.removeprefix(prefix)):
            producer.write(topic, records[-1].partition, records[-1].key.encode(), records[-1].value, names)
        torn = _TORN.ledger_partition if topic == bus.names.ledger else 0
        producer.write(topic, torn, _ID.encode(), b"nonsense about 123", names)
    producer.close()


def _await_event(run: ConnectorProcess, simulator: Simulator) -> None:
    """Have X deliver an event of a stream partition with an untouched ledger, and wait until it is committed."""
    simulator.emit(1, _SOUND)
    place = _SOUND.stream, _SOUND.number
    emitted = sum((line.stream, line.partition) == place for line in simulator.record() if line.kind == "event")
    probe = run.probe()
    wait_until(lambda: probe.partition(*place)["sequence"] == emitted, "events go on", _TIMEOUT_S)


def _await_foreign(run: ConnectorProcess, topics: set[str]) -> None:
    """Wait until the service has said of these topics that there are foreign records."""

    def are_said() -> bool:
        assert run.is_running
        return topics <= {entry["topic"] for entry in run.logged("foreign_record")}

    wait_until(are_said, f"foreign records on {topics}", 2 * _TIMEOUT_S)


def _check_forged_coverage(bus: OwnTopics, config: Config, folder: Path) -> None:
    """Claim that the stream partition whose ledger is torn is complete until tomorrow, and check that status doubts."""
    tomorrow_us = time.time_ns() // 1000 + _DAY_US
    bus.write([bus.builders[_TORN].coverage(tomorrow_us, 1, Mode.LIVE, tomorrow_us)])
    with ConnectorProcess(folder, ["status"], config) as status:
        assert status.wait(_TIMEOUT_S) == 1
        [line] = [line for line in status.stdout.splitlines() if line.startswith(str(_TORN))]
        assert "  CLOCK 23 h 5" in line


def _check_gaps(config: Config, folder: Path) -> None:
    """Check that a gap under a key that is not its own is called foreign, and is no gap."""
    with ConnectorProcess(folder, ["gaps", "--output", "json"], config) as command:
        assert command.wait(_TIMEOUT_S) == 0
        assert len(json.loads(command.stdout)) == 1
        assert "the key is not the gap_id" in command.stderr


def test_headers_that_cannot_be_read_stop_neither_the_service_nor_a_command(
    kafka: Kafka, registry: SchemaRegistry, simulator: Simulator, config: Config, tmp_path: Path
) -> None:
    """While it runs and when it starts again: the records are called foreign, and everything else goes on."""
    bus = OwnTopics.of(config)
    names = bus.names
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        probe = run.probe()
        probe.await_connected(simulator)
        simulator.inject(UnknownType(stream="tweet", partition=4))
        simulator.emit(_EVENTS)
        probe.await_sequences(simulator)
        _write_to_all(kafka, registry, config)
        _await_foreign(run, {names.coverage})
        _await_event(run, simulator)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    with ConnectorProcess(tmp_path, ["run"], config) as run:
        _await_foreign(run, {names.coverage, names.gap, names.dead_letter, names.batch_run})
        _await_event(run, simulator)
        _check_forged_coverage(bus, config, tmp_path)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    _check_gaps(config, tmp_path)
    for arguments, expected in _COMMANDS.items():
        with ConnectorProcess(tmp_path, arguments.split(), config) as command:
            assert command.wait(_TIMEOUT_S) == expected
            assert "Traceback" not in command.stderr
