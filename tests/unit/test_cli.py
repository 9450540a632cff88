"""What the commands print, whoever's words are in it, and how `connector run` ends."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, ClassVar, Self

import pytest
import typer.main
from typer.core import TyperGroup
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

_HOSTILE = "x\x1b[2J\x1b]0;y\x07\x9b1m\u202e\u200b\r\nok: everything\nno gaps"
_SEEN = r"x\x1b[2J\x1b]0;y\x07\x9b1m\u202e\u200b\r\nok: everything\nno gaps"
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
        "registry": _raising(NotProvisionedError(f"it says {_HOSTILE}", "its second line")),
        "X": _raising(SettingsError([_HOSTILE])),
        "Kafka": lambda: _HOSTILE,
    }
    monkeypatch.setattr(checks_module, "online_checks", lambda _: iter(found.items()))
    assert printed("check", "--online") == [
        "4 checks: 2 ok, 2 failed",
        "ok: settings",
        f"failed: registry: it says {_SEEN}",
        "its second line",
        "failed: X: settings are missing or wrong:",
        f"  {_SEEN}",
        f"ok: Kafka: {_SEEN}",
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


_GAP = dict.fromkeys(["gap_id", "stream", "gap_start", "gap_end", "state", "cause", "detail"], _HOSTILE) | {
    "stream_partition": 1
}


@pytest.mark.parametrize("arguments", [["gaps"], ["gaps", "list"], ["gaps", "--output=json"]])
def test_gaps_cannot_be_made_to_say_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]], arguments: list[str]
) -> None:
    """By a record of the topic, or by one that is not ours."""
    monkeypatch.setattr(history, "read_gaps", lambda _: ([_GAP], [_HOSTILE]))
    foreign, *gap = printed(*arguments)
    assert foreign == f"1 record was not written by the connector, such as {_SEEN}"
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
            yield ReadRecord("p.tweet.delete", 0, 7, 0, _HOSTILE.encode(), value, {})


class _Decoder:
    def __init__(self, *_: object) -> None:
        pass

    def decode_readable(self, record: ReadRecord) -> dict[str, Any]:
        if record.value == b"foreign":
            raise ValueError(_HOSTILE)
        return {_HOSTILE: record.value if record.value == b"with bytes" else _HOSTILE}


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
    assert foreign == f"{place}: ValueError: {_SEEN}"
    assert with_bytes == f"{place}: TypeError: Object of type bytes is not JSON serializable"


def test_provision_prints_what_kafka_and_the_registry_have_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """A compatibility level, a topic's configuration."""
    monkeypatch.setattr("connector.kafka.cluster.Cluster", lambda _: None)
    plan = Plan((SetCompatibility("s", _HOSTILE),), (Difference("t", "cleanup.policy", _HOSTILE, "delete"),), 2, 2)
    monkeypatch.setattr(provision, "provision", lambda *_, **__: plan)
    summary, change, needed, difference = printed("provision")
    assert needed.startswith("run needs ")
    assert summary == "2 topics: 1 as expected, 1 differ; 2 subjects: 1 as expected, 1 set up"
    assert (shown(_HOSTILE) in change, _SEEN in difference) == (True, True)


class _Reset:
    """Stands in for a reset of a ledger that is refused."""

    foreign: ClassVar = [_HOSTILE]

    def __init__(self, _: object, partition: StreamPartition, *, is_forced: bool, gap_from_us: int | None) -> None:
        self._partition = partition
        assert (is_forced, gap_from_us) == (False, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self) -> ResetPlan:
        return ResetPlan(self._partition, _HOSTILE, 0, None, 0, 1)

    def carry_out(self) -> None:
        pass


def test_ledger_commands_print_what_they_find_on_one_line_each(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """A finding, or what is wrong with a record that is not ours."""
    audited = PartitionReport(StreamPartition("tweet", 1), Figures(), (_HOSTILE,), ())
    report = AuditReport(0, 1, (audited,), (_HOSTILE,))
    monkeypatch.setattr(verification, "verify", lambda *_: report)
    monkeypatch.setattr(reset_module, "LedgerReset", _Reset)
    assert [_SEEN in line for line in printed("ledger", "verify")] == [False, False, True, True]
    reset = ("ledger", "reset", "--stream=tweet", "--partition=1", "--yes")
    assert [_SEEN in line for line in printed(*reset)] == [True, True, False, False, False, False]


def test_health_prints_what_a_service_answers_on_one_line(
    monkeypatch: pytest.MonkeyPatch, printed: Callable[..., list[str]]
) -> None:
    """Another process may have its port."""
    monkeypatch.setattr(health, "ask", lambda *_: _HOSTILE)
    assert printed("health") == [f"/livez: {_SEEN}"]


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


def _paths(group: TyperGroup, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        yield from _paths(command, *path, name) if isinstance(command, TyperGroup) else [(*path, name)]


@pytest.mark.slow
@pytest.mark.parametrize("path", list(_paths(typer.main.get_group(cli.app))), ids=" ".join)
def test_every_command_and_group_explains_itself(path: tuple[str, ...]) -> None:
    """By the short option and the long one, in the same words."""
    short, long = (CliRunner().invoke(cli.app, [*path, option]) for option in ("-h", "--help"))
    assert (short.exit_code, short.output) == (0, long.output)
    assert "-h, --help" in short.output


def test_help_is_about_the_whole_command_line() -> None:
    """Streams, coverage, batch runs and rehearsal; the commands that it names exist."""
    text = " ".join(CliRunner().invoke(cli.app, ["-h"]).output.split("Options:")[0].split())
    named = {name for names in re.findall(r"\(([a-z, ]+)\)", text) for name in names.split(", ")}
    assert {"provision", "gaps", "ledger", "batch", "demo"} <= named
    assert named <= {path[0] for path in _paths(typer.main.get_group(cli.app)) if path}


@pytest.mark.slow
def test_shell_completes_commands_and_options() -> None:
    """By what the script that `--show-completion` prints calls."""

    def completed(words: str) -> list[str]:
        environment = {
            **os.environ,
            "_CONNECTOR_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        ended = subprocess.run(  # noqa: S603 - our own program
            [Path(sys.executable).with_name("connector")], env=environment, capture_output=True, text=True, check=False
        )
        return ended.stdout.split()

    assert completed("connector ba") == ["batch"]
    assert completed("connector batch can") == ["cancel"]
    assert completed("connector provision --dry") == ["--dry-run"]
    assert completed("connector check --output ") == ["table", "json"]
    assert completed("connector tail tweet.d") == ["tweet.delete", "tweet.drop"]
    assert completed("connector ledger reset --stream l") == ["like", "label"]
    assert completed("connector dead-letters list --reason unk") == ["unknown-type"]


@pytest.mark.parametrize("group", [[], ["ledger"], ["config"], ["batch"]], ids=" ".join)
def test_group_alone_prints_its_help(printed: Callable[..., list[str]], group: list[str]) -> None:
    """As with --help, and with exit code 0."""
    assert CliRunner().invoke(cli.app, group).exit_code == os.EX_OK
    assert printed(*group) == printed(*group, "--help")


_PROGRAM = """
import atexit, sys
from connector import app, cli
from connector.errors import HungError

class Service:
    def __init__(self, settings):
        pass

    def run(self, stop):
        print("at work")
        {ending}

app.Service = Service
atexit.register(print, "the interpreter is taken apart")
sys.argv = ["connector", "run"]
cli.main()
"""
_SETTINGS = {
    "CONNECTOR_X__BEARER_TOKEN": "hush",
    "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "CONNECTOR_SCHEMA_REGISTRY__URL": "http://127.0.0.1:9",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [
        ("return", os.EX_OK, ""),
        ("raise HungError('odd')", os.EX_SOFTWARE, "connector: odd\n"),
        ("raise RuntimeError('odd')", 1, "RuntimeError: odd\n"),
        ("raise SystemExit(9)", 9, ""),
    ],
)
def test_process_ends_without_taking_the_interpreter_apart(ending: str, code: int, told: str) -> None:
    """A thread of its own may still be in librdkafka, which crashes then; what was written is not lost."""
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM.format(ending=ending)],
        env={**os.environ, **_SETTINGS},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (code, "at work\n")
    assert ended.stderr.endswith(told) if told else not ended.stderr


def test_output_that_cannot_be_written_is_no_success() -> None:
    """What a command has printed may be all that it was run for."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "connector", "--version"], stdout=full, stderr=subprocess.DEVNULL, check=False
        )
    assert ended.returncode == 1


@pytest.mark.slow
def test_unexpected_exception_is_shown_on_the_lines_of_its_traceback() -> None:
    """Its words may be X's, Kafka's or the registry's."""
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM.format(ending=f"raise RuntimeError({_HOSTILE!r})")],
        env={**os.environ, **_SETTINGS},
        capture_output=True,
        timeout=30,
        check=False,
    )
    *_, last = ended.stderr.decode().removesuffix("\n").split("\n")
    assert (ended.returncode, last) == (1, f"RuntimeError: {_SEEN}")


@pytest.mark.slow
def test_process_dumps_no_core_and_logs_no_tls_keys(tmp_path: Path) -> None:
    """Whatever the environment says: neither Python nor the C libraries in the process see the variable."""
    look = (
        "import ctypes, resource, ssl; print(resource.getrlimit(resource.RLIMIT_CORE),"
        " ssl.create_default_context().keylog_filename, ctypes.CDLL(None).getenv(b'SSLKEYLOGFILE'))"
    )
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM.format(ending=look)],
        env={**os.environ, **_SETTINGS, "SSLKEYLOGFILE": str(tmp_path / "keys")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "at work\n(0, 0) None 0\n", "")
    assert not list(tmp_path.iterdir())
