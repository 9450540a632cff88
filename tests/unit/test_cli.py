"""The command line: what it explains and completes, and how `connector run` ends."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from connector import cli
from tests.fakes.words import HOSTILE, SEEN
from tests.unit.commands.printing import SETTINGS


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
def test_group_alone_prints_its_help(group: list[str]) -> None:
    """As with --help, and with exit code 0."""
    alone, asked = (CliRunner().invoke(cli.app, [*group, *option]) for option in ([], ["--help"]))
    assert (alone.exit_code, alone.output) == (os.EX_OK, asked.output)


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
        env={**os.environ, **SETTINGS},
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
def test_closed_output_changes_no_exit_code() -> None:
    """Python then has no object for it."""
    for closed in (">&-", "2>&-"):
        command = f'exec "$0" -m connector tail --nonsense {closed}'
        assert subprocess.run(["/bin/sh", "-c", command, sys.executable], check=False).returncode == os.EX_USAGE  # noqa: S603 - our own program


@pytest.mark.slow
def test_unexpected_exception_is_shown_on_the_lines_of_its_traceback() -> None:
    """Its words may be X's, Kafka's or the registry's."""
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM.format(ending=f"raise RuntimeError({HOSTILE!r})")],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        timeout=30,
        check=False,
    )
    *_, last = ended.stderr.decode().removesuffix("\n").split("\n")
    assert (ended.returncode, last) == (1, f"RuntimeError: {SEEN}")


@pytest.mark.slow
def test_process_dumps_no_core_and_logs_no_tls_keys(tmp_path: Path) -> None:
    """Whatever the environment says: neither Python nor the C libraries in the process see the variable."""
    look = (
        "import ctypes, resource, ssl; print(resource.getrlimit(resource.RLIMIT_CORE),"
        " ssl.create_default_context().keylog_filename, ctypes.CDLL(None).getenv(b'SSLKEYLOGFILE'))"
    )
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM.format(ending=look)],
        env={**os.environ, **SETTINGS, "SSLKEYLOGFILE": str(tmp_path / "keys")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "at work\n(0, 0) None 0\n", "")
    assert not list(tmp_path.iterdir())
