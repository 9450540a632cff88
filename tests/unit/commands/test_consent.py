"""Nothing is changed without consent: an option, or a person at a terminal who types `yes`."""

import os
import pty
import subprocess
import sys

import pytest

from connector.commands.consent import await_consent

pytestmark = pytest.mark.slow

_PROGRAM = """
import typer
from connector.commands.consent import await_consent

def ask(yes: bool = False) -> None:
    await_consent("Begin?", yes=yes)
    print("begun")

typer.run(ask)
"""
_TIMEOUT_S = 30


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("yes\n", os.EX_OK, "begun\n"),
        (" yes \n", os.EX_OK, "begun\n"),
        ("y\n", os.EX_USAGE, ""),
        ("no\n", os.EX_USAGE, ""),
        ("\n", os.EX_USAGE, ""),
        ("\x04", os.EX_USAGE, ""),
    ],
    ids=["yes", "yes and blanks", "y", "no", "nothing", "end of input"],
)
def test_person_is_asked_and_only_yes_counts(typed: str, code: int, said: str) -> None:
    """On a real terminal; the question is a remark, not data."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", _PROGRAM], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as asking:
            os.write(ours, typed.encode())
            output, errors = asking.communicate(timeout=_TIMEOUT_S)
    finally:
        os.close(ours)
        os.close(theirs)
    assert (asking.returncode, output) == (code, said)
    assert errors.startswith("Begin? Type yes to continue:\n")
    assert errors.endswith("nothing was changed\n") == bool(code)


def test_without_a_terminal_only_the_option_counts() -> None:
    """What is piped in is not asked."""
    refused = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM], input="yes\n", capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    assert (refused.returncode, refused.stdout) == (os.EX_USAGE, "")
    assert "--yes skips the question" in refused.stderr
    await_consent("Begin?", yes=True)
