"""The officer's story: a gap, a dead letter and a replica that hangs, and every place where one looks says the same."""

import csv
import io
import json
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us, parse_ns
from connector.simulator.config import SimulatorConfig
from connector.simulator.faults import Refuse, UnknownType
from connector.simulator.server import Simulator
from connector.x.clock import wall_us
from tests.rig import local_http
from tests.rig.process import wait_until
from tests.rig.service import (
    Config,
    ConnectorProcess,
    live_connections,
    make_config,
    override,
    provisioned,
)
from tests.rig.session import Kafka, SchemaRegistry

_AWAY_S = 20 * 60.0
_LOSING, _ODD = StreamPartition("tweet", 1), StreamPartition("tweet", 2)
_PARTITIONS = [StreamPartition("tweet", number) for number in range(1, 5)]
_PATIENCE_S = 120.0
_SILENT_S = 85.0
"""Coverage is written up to 20 s less often than the ledger, and a minute without either is no owner."""
_ODD_IS_READ = "dead_lettered"
_WITHIN_GAP = (("gap_end", -300 * US_PER_S), ("gap_end", -5 * US_PER_S))
"""Late in it: some stream partitions may have begun a moment later than the one that lost it.

Not to its end: a replica that hangs right after it has recorded the gap leaves coverage a second before that.
"""
_FORMS = ("table", "json", "csv", "html")


@dataclass(frozen=True)
class _Stage:
    """A replica that is well, one that hangs, and the stream partitions of that."""

    config: Config
    page_url: str
    hung: frozenset[str]
    folder: Path

    def run(self, *commands: Sequence[str]) -> list[tuple[int, str]]:
        """Run commands side by side; return the exit code of each, and what it printed.

        A replica that hangs is out of the group after two minutes: by then all must have looked.
        """
        with ExitStack() as stack:
            running = [stack.enter_context(ConnectorProcess(self.folder, list(each), self.config)) for each in commands]
            found = [(command.wait(), command.stdout) for command in running]
            assert not any("Traceback" in command.stderr for command in running)
        return found


def _emit(x: Simulator) -> None:
    for partition in _PARTITIONS:
        x.emit(20, partition)


def _owned(process: ConnectorProcess) -> frozenset[str]:
    return frozenset(
        name for name, each in process.probe().status()["partitions"].items() if each["state"] == "running"
    )


@pytest.fixture
def stage(kafka: Kafka, registry: SchemaRegistry, seed: int, tmp_path: Path) -> Iterator[_Stage]:
    """Lose a stretch of one stream partition, send an odd line on another, and have one of two replicas hang."""
    prefix = f"test-{secrets.token_hex(6)}"
    with ExitStack() as stack:
        x = stack.enter_context(Simulator(SimulatorConfig(seed=seed, clock_behind_s=_AWAY_S)))
        made = make_config(kafka.bootstrap_servers, registry.url, prefix, x.base_url, 2)
        config = stack.enter_context(
            provisioned(override(made, x={"streams": "tweet"}, pipeline={"session_timeout_ms": 120_000}))
        )

        def start() -> ConnectorProcess:
            return stack.enter_context(ConnectorProcess(tmp_path, ["run"], config))

        def await_connected() -> None:
            wait_until(lambda: len(live_connections(x)) == len(_PARTITIONS), "all are connected", _PATIENCE_S)

        first = start()
        await_connected()
        _emit(x)
        first.probe().await_sequences(x)
        first.signal(signal.SIGTERM)
        assert first.wait() == 0
        x.advance(_AWAY_S, emitting=True, rate=0.5)
        x.inject(Refuse(stream=_LOSING.stream, partition=_LOSING.number, mode="replay", status=400, times=None))
        well, hanging = start(), start()
        wait_until(lambda: len(_owned(well)) == len(_owned(hanging)) == 2, "both own some")
        await_connected()
        x.inject(UnknownType(stream=_ODD.stream, partition=_ODD.number))
        _emit(x)
        wait_until(lambda: _ODD_IS_READ in hanging.stderr + well.stderr, "the odd line is read")
        hung = _owned(hanging)
        hanging.signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        page = well.probe().url
        verdict = f"{len(hung)} of {len(_PARTITIONS)} stream partitions need attention"
        wait_until(lambda: verdict in local_http.get(page).text, "the page says it", _PATIENCE_S)
        wait_until(lambda: time.monotonic() > stopped_s + _SILENT_S, "its last ledger entry is old, too", _PATIENCE_S)
        yield _Stage(config, page, hung, tmp_path)
        hanging.signal(signal.SIGCONT)


def test_every_place_says_the_same_and_the_truth(stage: _Stage) -> None:
    """The command and the page, coverage in all its forms, and their exit codes."""
    page = local_http.get(stage.page_url).raise_for_status().text
    end = format_us(wall_us() + 60 * US_PER_S)
    (code, printed), *reports = stage.run(
        ["status", "--output", "json"],
        *(["coverage", "--from", "1h", "--to", end, "--output", form] for form in _FORMS),
    )
    status: dict[str, Any] = json.loads(printed)
    assert code == 1
    assert {each["partition"] for each in status["partitions"] if each["trouble"]} == stage.hung
    assert {each["partition"] for each in status["partitions"] if each["open_gaps"]} == {str(_LOSING)}
    assert f"{len(stage.hung)} of {len(_PARTITIONS)} stream partitions need attention" in page

    runs = dict(zip(_FORMS, reports, strict=True))
    assert {code for code, _ in runs.values()} == {1}
    report = json.loads(runs["json"][1])
    found = {f"{each['stream']}/{each['stream_partition']}": each for each in report["partitions"]}
    assert report["verdict"] == "not yet"
    assert {name for name, each in found.items() if not each["has_owner"]} == stage.hung
    assert stage.hung <= {name for name, each in found.items() if each["verdict"] == "not yet"}
    [gap] = [gap for each in found.values() for gap in each["gaps"]]
    [letter] = [letter for each in found.values() for letter in each["dead_letters"]]
    assert gap in found[str(_LOSING)]["gaps"]
    assert letter in found[str(_ODD)]["dead_letters"]
    rows = list(csv.DictReader(io.StringIO(runs["csv"][1])))
    assert {f"{row['stream']}/{row['stream_partition']}" for row in rows if row["has_owner"] != "true"} == stage.hung
    for text in (runs["table"][1], runs["html"][1], page):
        assert "replay-refused" in text
        assert "unknown-type" in text
        assert letter["event_id"] in text
    table, *others = runs["table"][1], runs["html"][1], page
    assert all(text.lower().count("no owner") >= len(stage.hung) for text in others)
    unowned = [line.partition(": ")[0].split(", ") for line in table.splitlines() if ": no owner" in line]
    assert {name for names in unowned for name in names} == stage.hung

    start, end = (format_us(parse_ns(gap[name]) // 1000 + by_us) for name, by_us in _WITHIN_GAP)
    (code, printed), (audit_code, _) = stage.run(
        ["coverage", "--from", start, "--to", end, "--output", "json"], ["ledger", "verify", "--from", "1h"]
    )
    found = {f"{each['stream']}/{each['stream_partition']}": each for each in json.loads(printed)["partitions"]}
    losing = found.pop(str(_LOSING))
    assert (code, losing["verdict"]) == (1, "complete but for gaps"), json.dumps([start, end, losing])
    assert {each["verdict"] for each in found.values()} == {"complete"}, found
    assert audit_code == 0
