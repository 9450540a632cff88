"""How `connector run` ends."""

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    ("ending", "code", "told"),
    [("return", os.EX_OK, ""), ("raise HungError('odd')", os.EX_SOFTWARE, "connector: odd\n")],
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
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "at work\n", told)
