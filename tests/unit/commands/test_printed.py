"""What the commands print, whoever's words are in it: one line for each, which no terminal obeys."""

import ast
import inspect
import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, ClassVar, Self

import pytest
from typer.testing import CliRunner

from connector import cli, commands
from connector.commands import service
from connector.errors import ConnectorError, DependencyUnavailableError, NotProvisionedError, SettingsError
from connector.events.catalog import StreamPartition
from connector.kafka import reading, registry
from connector.kafka.reading import ReadRecord
from connector.kafka.topics import TopicNames
from connector.operations import checks as checks_module
from connector.operations import health, history, provision, verification
from connector.operations import reset as reset_module
from connector.operations.audit import Figures
from connector.operations.audit_report import AuditReport, PartitionReport
from connector.operations.provision import Difference, Plan, SetCompatibility
from connector.operations.reset import ResetPlan
from connector.quoting import shown
from connector.settings import KafkaSettings, RunSettings, SchemaRegistrySettings, XAccessSettings
from tests.fakes.words import HOSTILE, SEEN

_SETTINGS_GIVEN = RunSettings(
    x=XAccessSettings(bearer_token="t"),
    kafka=KafkaSettings(bootstrap_servers="127.0.0.1:9"),
    schema_registry=SchemaRegistrySettings(url="http://127.0.0.1:9"),
)
_COMMANDS = [cli, *(import_module(f"connector.commands.{each.name}") for each in iter_modules(commands.__path__))]


@pytest.fixture(name="printed")
def _printed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that runs a command, and returns the lines that it prints, none of which a terminal obeys."""
    for module in _COMMANDS:
        if hasattr(module, "configure"):
            monkeypatch.setattr(module, "configure", lambda *_: _SETTINGS_GIVEN)

    def run(*arguments: str) -> list[str]:
        result = CliRunner().invoke(cli.app, arguments, color=True)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        lines = result.output.removesuffix("\n").split("\n")
        assert all(map(str.isprintable, lines)), lines
        return lines

    return run


def _raising(error: ConnectorError) -> Callable[[], str]:
    def check() -> str:
        raise error

    return check


def test_check_cannot_be_made_to_say_that_all_is_well(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """By the words of whoever is checked; an error of ours that has several lines has them still."""
    found: dict[str, Callable[[], str]] = {
        "registry": _raising(NotProvisionedError(f"it says {HOSTILE}", "its second line")),
        "X": _raising(SettingsError([HOSTILE])),
        "Kafka": lambda: HOSTILE,
    }
    monkeypatch.setattr(checks_module, "online_checks", lambda _: iter(found.items()))
    assert printed("check", "--online") == [
        "4 checks: 2 ok, 2 failed",
        "ok: settings",
        f"failed: registry: it says {SEEN}",
        "its second line",
        "failed: X: settings are missing or wrong:",
        f"  {SEEN}",
        f"ok: Kafka: {SEEN}",
    ]


def test_check_prints_the_same_as_json(monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]) -> None:
    """With what is wrong, line by line; where settings are wrong, as that."""
    found = {"Kafka": _raising(NotProvisionedError("one", "two")), "X": lambda: "fine"}
    monkeypatch.setattr(checks_module, "online_checks", lambda _: iter(found.items()))
    [line] = printed("check", "--online", "--output", "json")
    assert json.loads(line) == {
        "summary": "3 checks: 2 ok, 1 failed",
        "checks": [
            {"name": "settings", "result": "ok", "details": []},
            {"name": "Kafka", "result": "failed", "details": ["one", "two"]},
            {"name": "X", "result": "ok", "details": ["fine"]},
        ],
    }

    def refuse(*_: object) -> None:
        raise SettingsError(["odd"])

    monkeypatch.setattr(service, "configure", refuse)
    result = CliRunner().invoke(cli.app, ["check", "--output", "json"])
    assert (result.exit_code, json.loads(result.stdout)["checks"][0]["result"]) == (os.EX_CONFIG, "failed")


_GAP = dict.fromkeys(["gap_id", "stream", "gap_start", "gap_end", "state", "cause", "detail"], HOSTILE) | {
    "stream_partition": 1
}


@pytest.mark.parametrize("arguments", [["gaps"], ["gaps", "list"], ["gaps", "--output=json"]])
def test_gaps_cannot_be_made_to_say_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]], arguments: list[str]
) -> None:
    """By a record of the topic, or by one that is not ours."""
    monkeypatch.setattr(history, "read_gaps", lambda _: ([_GAP], [HOSTILE]))
    foreign, *gap = printed(*arguments)
    assert foreign == f"1 record was not written by the connector, such as {SEEN}"
    assert "no gaps" in gap[-1]


class _Topic:
    """Stands in for a reader of Kafka, of two records."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def to_end(self, _: Callable[[], bool]) -> Iterator[ReadRecord]:
        for value in (b"decodable", b"foreign", b"with bytes"):
            yield ReadRecord("p.tweet.delete", 0, 7, 0, HOSTILE.encode(), value, {})


class _Decoder:
    def __init__(self, *_: object) -> None:
        pass

    def decode_readable(self, record: ReadRecord) -> dict[str, Any]:
        if record.value == b"foreign":
            raise ValueError(HOSTILE)
        return {HOSTILE: record.value if record.value == b"with bytes" else HOSTILE}


def test_tail_prints_a_record_on_one_line_whatever_it_holds(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """In its key, its names and values, or what is wrong with it; what JSON cannot hold is no record of ours."""
    monkeypatch.setattr(reading, "TopicReader", _Topic)
    monkeypatch.setattr(reading, "AvroReader", _Decoder)
    monkeypatch.setattr(registry, "RegistryClient", lambda _: nullcontext())
    record, foreign, with_bytes = printed("tail", "--to-end")
    assert record.startswith('{"topic": "p.tweet.delete", ')
    place = "1 record was not written by the connector, such as p.tweet.delete partition 0 offset 7"
    assert foreign == f"{place}: ValueError: {SEEN}"
    assert with_bytes == f"{place}: TypeError: Object of type bytes is not JSON serializable"


def test_provision_prints_what_kafka_and_the_registry_have_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """A compatibility level, a topic's configuration."""
    monkeypatch.setattr("connector.kafka.cluster.Cluster", lambda _: None)
    plan = Plan((SetCompatibility("s", HOSTILE),), (Difference("t", "cleanup.policy", HOSTILE, "delete"),), 2, 2)
    monkeypatch.setattr(provision, "provision", lambda *_, **__: plan)
    summary, change, needed, difference = printed("provision")
    assert needed.startswith("run needs ")
    assert summary == "2 topics: 1 as expected, 1 differ; 2 subjects: 1 as expected, 1 set up"
    assert (shown(HOSTILE) in change, SEEN in difference) == (True, True)


class _Reset:
    """Stands in for a reset of a ledger that is refused."""

    foreign: ClassVar = [HOSTILE]

    def __init__(self, _: object, partition: StreamPartition, *, is_forced: bool, gap_from_us: int | None) -> None:
        self._partition = partition
        assert (is_forced, gap_from_us) == (False, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self) -> ResetPlan:
        return ResetPlan(self._partition, HOSTILE, 0, None, 0, 1)

    def carry_out(self) -> None:
        pass


def test_ledger_commands_print_what_they_find_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """A finding, or what is wrong with a record that is not ours."""
    audited = PartitionReport(StreamPartition("tweet", 1), Figures(), (HOSTILE,), ())
    report = AuditReport(0, 1, (audited,), (HOSTILE,))
    monkeypatch.setattr(verification, "verify", lambda *_: report)
    monkeypatch.setattr(reset_module, "LedgerReset", _Reset)
    assert [SEEN in line for line in printed("ledger", "verify")] == [False, False, True, True]
    reset = ("ledger", "reset", "--stream=tweet", "--partition=1", "--yes")
    assert [SEEN in line for line in printed(*reset)] == [True, True, False, False, False, False]


def test_health_prints_what_a_service_answers_on_one_line(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """Another process may have its port."""
    monkeypatch.setattr(health, "ask", lambda *_: HOSTILE)
    assert printed("health") == [f"/livez: {SEEN}"]


@pytest.mark.parametrize(
    ("listens", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.0.0.7", "10.0.0.7"), ("::1", "::1")],  # noqa: S104 - only asked
)
def test_health_asks_where_the_service_listens(
    listens: str, asked: str, monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """So the image's check fits the variable that the service goes by; --host wins."""
    monkeypatch.setenv("CONNECTOR_HTTP__HOST", listens)
    monkeypatch.setattr(health, "ask", lambda host, *_: host)
    assert printed("health") == [f"/livez: {asked}"]
    assert printed("health", "--host", "service") == ["/livez: service"]


def test_health_as_json_says_which_answer_is_bad(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """After those that were good."""

    def ask(_: str, __: int, path: str) -> str:
        if path == "/readyz":
            raise DependencyUnavailableError("no")
        return "yes"

    monkeypatch.setattr(health, "ask", ask)
    [line] = printed("health", "--ready", "--output", "json")
    assert json.loads(line) == [
        {"path": "/livez", "is_well": True, "answer": "yes"},
        {"path": "/readyz", "is_well": False, "answer": "no"},
    ]
    [line] = printed("health", "--output", "json")
    assert json.loads(line) == [{"path": "/livez", "is_well": True, "answer": "yes"}]


def test_manifests_keep_their_lines(printed: Callable[..., list[str]]) -> None:
    """They are ours."""
    lines = printed("provision", "--manifests", "strimzi")
    assert any(line.strip() == f"topicName: {TopicNames('x.compliance').gap}" for line in lines)


@pytest.mark.parametrize("module", _COMMANDS, ids=lambda module: module.__name__)
def test_commands_print_in_one_way_alone(module: ModuleType) -> None:
    """By `connector.console`, so that nothing reaches a terminal as someone else sent it."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    assert not {"print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "typer.secho", "click.echo"} & names
