"""An upgrade to the next minor version and back: ledger, coverage and gaps are read both ways, also side by side."""

import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connector.events.catalog import STREAM_PARTITIONS
from connector.simulator.server import Simulator
from tests.integration.batch.stage import BatchStage
from tests.rig.audit import History, check_once_in_order, expected_events, read_history
from tests.rig.process import wait_until
from tests.rig.service import TAKE_OVER, Config, ConnectorProcess, override
from tests.rig.session import Kafka, SchemaRegistry

_NEWER = "tests.rig.newer_connector"
_WITHIN_S = 60.0


@pytest.fixture
def read(kafka: Kafka, registry: SchemaRegistry, committed: Config) -> Callable[[], History]:
    """Give what reads all that is committed."""
    prefix = committed["kafka"]["topic_prefix"]
    return lambda: read_history(kafka.bootstrap_servers, registry.url, prefix, committed["kafka"]["partitions"])


class _Versions:
    """Commands of this version and of the next one, on the same topics."""

    def __init__(self, folder: Path, config: Config, simulator: Simulator) -> None:
        self._folder = folder
        self._config = override(config, pipeline=TAKE_OVER)
        self._simulator = simulator

    def start(self, replica: str, module: str = "connector") -> ConnectorProcess:
        """Return a running replica."""
        config = override(self._config, kafka={"group_instance_id": replica})
        return ConnectorProcess(self._folder, ["run"], config, module=module)

    def command(self, *arguments: str, module: str = "connector") -> tuple[int, str, str]:
        """Return exit code, output and errors of a command."""
        with ConnectorProcess(self._folder, list(arguments), self._config, module=module) as command:
            return command.wait(), command.stdout, command.stderr

    def provision(self, module: str = "connector") -> None:
        """Create what is missing for a version."""
        code, _, said = self.command("provision", module=module)
        assert code == 0, said

    def emit_and_await(self, replicas: Sequence[ConnectorProcess]) -> None:
        """Have X emit events on every stream partition, and wait until all are committed."""
        for partition in STREAM_PARTITIONS:
            self._simulator.emit(10, partition)
        wait_until(lambda: self._committed(replicas) == self._emitted(), "all events are committed", _WITHIN_S)

    def _emitted(self) -> dict[str, int]:
        lines = [line for line in self._simulator.record() if line.kind == "event"]
        places = [f"{line.stream}/{line.partition}" for line in lines]
        return {place: places.count(place) for place in sorted(set(places))}

    def _committed(self, replicas: Sequence[ConnectorProcess]) -> dict[str, int]:
        reached: dict[str, int] = {}
        for replica in replicas:
            for place, status in replica.probe().status()["partitions"].items():
                reached[place] = max(reached.get(place, 0), status["sequence"] or 0)
        return dict(sorted(reached.items()))


@pytest.fixture
def versions(committed: Config, simulator: Simulator, tmp_path: Path) -> _Versions:
    """Give commands of two versions, on topics that this version has written to."""
    return _Versions(tmp_path, committed, simulator)


def _stop(replica: ConnectorProcess) -> None:
    replica.signal(signal.SIGTERM)
    assert replica.wait() == 0, replica.stderr


def _owned(replica: ConnectorProcess) -> int:
    return sum(status["state"] == "running" for status in replica.probe().status()["partitions"].values())


def test_downgrade_over_one_version_goes_on_where_the_newer_one_ended(
    versions: _Versions, read: Callable[[], History], simulator: Simulator
) -> None:
    """Each of them takes over the other's ledgers: no event is lost, repeated or in a gap, and the audit is sound."""
    versions.provision(_NEWER)
    with versions.start("a", _NEWER) as newer:
        versions.emit_and_await([newer])
        _stop(newer)
    history = read()
    assert {entries[-1].get("added_later") for entries in history.ledger.values()} == {"later"}
    assert {entries[0].get("added_later") for entries in history.ledger.values()} == {None}

    versions.provision()
    with versions.start("a") as older:
        versions.emit_and_await([older])
        _stop(older)
    with versions.start("a", _NEWER) as newer:
        versions.emit_and_await([newer])
        _stop(newer)

    history = read()
    assert history.gaps == []
    assert list(check_once_in_order(history, expected_events(history.prefix, simulator.record()))) == []
    for module in ("connector", _NEWER):
        code, said, _ = versions.command("ledger", "verify", "--from=1970-01-01", module=module)
        assert code == 0, said


def test_replicas_of_two_versions_share_the_work(
    versions: _Versions, read: Callable[[], History], simulator: Simulator
) -> None:
    """As in a rolling upgrade that stops half-way: each goes on with stream partitions that the other had."""
    versions.provision(_NEWER)
    with versions.start("a") as older, versions.start("b", _NEWER) as newer:
        half = len(STREAM_PARTITIONS) // 2
        wait_until(lambda: (_owned(older), _owned(newer)) == (half, half), "both have their share", _WITHIN_S)
        versions.emit_and_await([older, newer])
        newer.signal(signal.SIGKILL)
        wait_until(lambda: _owned(older) == len(STREAM_PARTITIONS), "the older one has all", _WITHIN_S)
        versions.emit_and_await([older])
        with versions.start("b", _NEWER) as again:
            wait_until(lambda: (_owned(older), _owned(again)) == (half, half), "both have their share", _WITHIN_S)
            _stop(older)
            wait_until(lambda: _owned(again) == len(STREAM_PARTITIONS), "the newer one has all", _WITHIN_S)
            versions.emit_and_await([again])
            _stop(again)
    history = read()
    assert list(check_once_in_order(history, expected_events(history.prefix, simulator.record()))) == []
    code, said, _ = versions.command("ledger", "verify", "--from=1970-01-01")
    assert code == 0, said


def test_batch_run_of_the_next_version_is_shown_and_goes_on(batch_stage: BatchStage) -> None:
    """Its runner is killed; the one of this version publishes what is left, each finding once."""
    stage = batch_stage
    with ConnectorProcess(stage.folder, ["provision"], stage.config, module=_NEWER) as provision:
        assert provision.wait() == 0, provision.stderr
    with replace(stage, module=_NEWER).runner() as runner:
        wait_until(lambda: bool(stage.decoded("-batch-ledger")), "the run is on the bus", _WITHIN_S)
        runner.signal(signal.SIGKILL)
        runner.wait()
    assert {entry["added_later"] for entry in stage.decoded("-batch-ledger")} == {"later"}
    with ConnectorProcess(stage.folder, ["batch", "status", "--publish"], stage.config) as status:
        assert status.wait() == 0, status.stderr
        assert "tweets to check" in status.stdout
    stage.run()
    stage.check()


def test_commands_read_the_gaps_of_the_next_version(versions: _Versions) -> None:
    """They list and withdraw them; the record is then one of this version."""
    versions.provision(_NEWER)
    reset = ("ledger", "reset", "--stream=tweet", "--partition=2", "--force", "--yes")
    code, said, errors = versions.command(*reset, module=_NEWER)
    assert code == 0, said + errors
    code, said, _ = versions.command("gaps", "--output=json")
    assert code == 0
    [gap] = json.loads(said)
    assert gap["cause"] == "ledger-reset"
    code, said, errors = versions.command("gaps", "withdraw", gap["gap_id"], "--reason=a test", "--yes")
    assert code == 0, said + errors
    code, said, _ = versions.command("gaps", "--output=json", "--state=withdrawn", module=_NEWER)
    assert (code, [each["gap_id"] for each in json.loads(said)]) == (0, [gap["gap_id"]])
    _, said, errors = versions.command("coverage", "--output=json")
    assert json.loads(said), errors
