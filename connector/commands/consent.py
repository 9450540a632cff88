"""Consent to a change: `--dry-run`, `--yes`, or a person who types `yes`."""

import os
import sys
from typing import Annotated

import typer

from connector.console import say

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.", show_default=False)
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.", show_default=False)]


def await_consent(question: str, *, yes: bool) -> None:
    """Return once a person has typed `yes`, or at once with `--yes`.

    Ends the command with 64 for any other answer, or without a terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        say("no terminal to ask on, so nothing was changed; --yes skips the question", err=True)
        raise typer.Exit(os.EX_USAGE)
    say(f"{question} Type yes to continue:", err=True)
    if sys.stdin.readline().strip() != "yes":
        say("nothing was changed", err=True)
        raise typer.Exit(os.EX_USAGE)
