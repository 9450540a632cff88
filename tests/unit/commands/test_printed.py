"""What the commands print, whoever's words are in it: one line for each, which no terminal obeys."""

import ast
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, ClassVar

import pytest
import typer.main
from typer.testing import CliRunner, Result

from connector import cli, commands
from connector.commands import gaps, ledger, reading, service, topics
from connector.commands.options import Output
from connector.console import say
from connector.errors import ConnectorError, NotProvisionedError, SettingsError
from connector.events.catalog import StreamPartition
from connector.kafka.reading import AvroReader, ReadRecord
from connector.kafka.topics import TopicNames
from connector.operations.audit import Figures
from connector.operations.audit_report import AuditReport, PartitionReport
from connector.operations.checks import all_checks
from connector.operations.provision import Difference, Plan, SetCompatibility
from connector.operations.reset import LedgerReset, ResetPlan
from connector.quoting import shown
from connector.settings import KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from tests.fakes.words import HOSTILE, SEEN
from tests.rig.peer import Peer, answering
from tests.unit.commands.printing import SETTINGS, printed

_SETTINGS_GIVEN = RunSettings(
    x=XAccessSettings(bearer_token="t"),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:9"),
)

_TWEET_1 = StreamPartition("tweet", 1)


_COMMANDS = [cli, *(import_module(f"connector.commands.{each.name}") for each in iter_modules(commands.__path__))]


def _lines(result: Result) -> list[str]:
    """Return the lines that were printed, none of which a terminal obeys."""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    lines = result.output.removesuffix("\n").split("\n")
    assert all(map(str.isprintable, lines)), lines
    return lines


def _printed(*arguments: str) -> list[str]:
    return _lines(CliRunner().invoke(cli.app, arguments, color=True))


def _shown(show: Callable[[], object]) -> list[str]:
    return _lines(printed(show))


def _raising(error: ConnectorError) -> Callable[[], str]:
    def check() -> str:
        raise error

    return check


def test_check_cannot_be_made_to_say_that_all_is_well() -> None:
    """By the words of whoever is checked; an error of ours that has several lines has them still."""
    found: dict[str, Callable[[], str]] = {
        "registry": _raising(NotProvisionedError(f"it says {HOSTILE}", "its second line")),
        "X": _raising(SettingsError([HOSTILE])),
        "Kafka": lambda: HOSTILE,
    }
    checks = list(all_checks(_SETTINGS_GIVEN, found.items()))
    assert _shown(lambda: service.show_checks(checks, Output.TABLE, is_summed_up=True)) == [
        "4 checks: 2 ok, 2 failed",
        "ok: settings",
        f"failed: registry: it says {SEEN}",
        "its second line",
        "failed: X: settings are missing or wrong:",
        f"  {SEEN}",
        f"ok: Kafka: {SEEN}",
    ]


def test_check_prints_the_same_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is wrong, line by line; where settings are wrong, as that."""
    found = {"Kafka": _raising(NotProvisionedError("one", "two")), "X": lambda: "fine"}
    checks = list(all_checks(_SETTINGS_GIVEN, found.items()))
    [line] = _shown(lambda: service.show_checks(checks, Output.JSON, is_summed_up=True))
    assert json.loads(line) == {
        "summary": "3 checks: 2 ok, 1 failed",
        "checks": [
            {"name": "settings", "result": "ok", "details": []},
            {"name": "Kafka", "result": "failed", "details": ["one", "two"]},
            {"name": "X", "result": "ok", "details": ["fine"]},
        ],
    }

    monkeypatch.setenv("CONNECTOR_HTTP__PORT", "odd")
    result = CliRunner().invoke(cli.app, ["check", "--output", "json"])
    assert (result.exit_code, json.loads(result.stdout)["checks"][0]["result"]) == (os.EX_CONFIG, "failed")


_GAP = dict.fromkeys(["gap_id", "stream", "gap_start", "gap_end", "state", "cause", "detail"], HOSTILE) | {
    "stream_partition": 1
}


@pytest.mark.parametrize("output", Output)
def test_gaps_cannot_be_made_to_say_that_there_are_none(output: Output) -> None:
    """By a record of the topic, or by one that is not ours."""
    foreign, *gap = _shown(lambda: gaps.show([_GAP], [HOSTILE], output))
    assert foreign == f"1 record was not written by the connector, such as {SEEN}"
    assert "no gaps" in gap[-1]


class _Decoder(AvroReader):
    def __init__(self) -> None:
        pass

    def decode_readable(self, record: ReadRecord) -> dict[str, Any]:
        if record.value == b"foreign":
            raise ValueError(HOSTILE)
        return {HOSTILE: record.value if record.value == b"with bytes" else HOSTILE}


def test_tail_prints_a_record_on_one_line_whatever_it_holds() -> None:
    """In its key, its names and values, or what is wrong with it; what JSON cannot hold is no record of ours."""
    values = b"decodable", b"foreign", b"with bytes"
    records = [ReadRecord("p.tweet.delete", 0, 7, 0, HOSTILE.encode(), value, {}) for value in values]

    def tail() -> None:
        for line in reading.lines(records, _Decoder(), "p-dead-letter"):
            say(line)

    record, foreign, with_bytes = _shown(tail)
    assert record.startswith('{"topic": "p.tweet.delete", ')
    place = "1 record was not written by the connector, such as p.tweet.delete partition 0 offset 7"
    assert foreign == f"{place}: ValueError: {SEEN}"
    assert with_bytes == f"{place}: TypeError: Object of type bytes is not JSON serializable"


def test_provision_prints_what_kafka_and_the_registry_have_on_one_line_each() -> None:
    """A compatibility level, a topic's configuration."""
    plan = Plan((SetCompatibility("s", HOSTILE),), (Difference("t", "cleanup.policy", HOSTILE, "delete"),), 2, 2)
    summary, change, needed, difference = _shown(
        lambda: topics.show(plan, _SETTINGS_GIVEN, Output.TABLE, dry_run=False)
    )
    assert needed.startswith("run needs ")
    assert summary == "2 topics: 1 as expected, 1 differ; 2 subjects: 1 as expected, 1 set up"
    assert (shown(HOSTILE) in change, SEEN in difference) == (True, True)


class _Reset(LedgerReset):
    """Stands in for a reset of a ledger that is refused."""

    foreign: ClassVar = [HOSTILE]

    def __init__(self) -> None:
        pass

    def plan(self) -> ResetPlan:
        return ResetPlan(_TWEET_1, HOSTILE, 0, None, 0, 1)

    def carry_out(self) -> None:
        pass


def test_ledger_commands_print_what_they_find_on_one_line_each() -> None:
    """A finding, or what is wrong with a record that is not ours."""
    audited = PartitionReport(_TWEET_1, Figures(), (HOSTILE,), ())
    report = AuditReport(0, 1, (audited,), (HOSTILE,))
    audit = _shown(lambda: ledger.show(report, Output.TABLE))
    assert [SEEN in line for line in audit] == [False, False, True, True]
    reset = _shown(lambda: ledger.reset_with_consent(_Reset(), _TWEET_1, dry_run=False, yes=True))
    assert [SEEN in line for line in reset] == [True, True, False, False, False, False]


def test_health_prints_what_a_service_answers_on_one_line() -> None:
    """Another process may have its port."""
    with Peer(answering("200 OK", HOSTILE.encode())) as other:
        assert _printed("health", "--port", str(other.port)) == [f"/livez: {SEEN}"]


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.0.0.7", "10.0.0.7"), ("::1", "::1")],  # noqa: S104 - only asked
)
def test_health_asks_where_the_service_listens(listens: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the image's check fits the variable that the service goes by; --host wins."""
    monkeypatch.setenv("CONNECTOR_HTTP__HOST", listens)
    health = typer.main.get_group(cli.app).commands["health"]
    assert health.make_context("health", []).params["host"] == asked
    assert health.make_context("health", ["--host", "service"]).params["host"] == "service"


def test_health_as_json_says_which_answer_is_bad() -> None:
    """After those that were good."""
    with Peer(answering("200 OK", b"yes"), answering("503 Busy", b"no")) as service_:
        [line] = _printed("health", "--ready", "--output", "json", "--port", str(service_.port))
    why = f"/readyz at 127.0.0.1:{service_.port} answers 503: no"
    assert json.loads(line) == [
        {"path": "/livez", "is_well": True, "answer": "yes"},
        {"path": "/readyz", "is_well": False, "answer": why},
    ]
    with Peer(answering("200 OK", b"yes")) as service_:
        [line] = _printed("health", "--output", "json", "--port", str(service_.port))
    assert json.loads(line) == [{"path": "/livez", "is_well": True, "answer": "yes"}]


def test_manifests_keep_their_lines() -> None:
    """They are ours."""
    ended = subprocess.run(  # noqa: S603 - our own program
        [Path(sys.executable).with_name("connector"), "provision", "--manifests", "strimzi"],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = ended.stdout.splitlines()
    assert any(line.strip() == f"topicName: {TopicNames('x.compliance').gap}" for line in lines)


@pytest.mark.parametrize("module", _COMMANDS, ids=lambda module: module.__name__)
def test_commands_print_in_one_way_alone(module: ModuleType) -> None:
    """By `connector.console`, so that nothing reaches a terminal as someone else sent it."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    assert not {"print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "typer.secho", "click.echo"} & names
