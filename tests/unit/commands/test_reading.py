"""What `tail` and `find` refuse before they read anything."""

import pytest
from typer.testing import CliRunner

from connector.cli import app

_USAGE = 2
"""Click's exit code, which the command line turns into 64."""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tail", "--from", "1h", "--from-beginning"], "both set the start"),
        (["tail", "--from", "1h", "--to", "2h"], "is not before --to"),
        (["tail", "--to-end", "--to", "1m"], "both set the end"),
        (["tail", "--from", "2999-01-01"], "is in the future"),
        (["tail", "--from", "yesterday"], "give a time with its zone"),
        (["tail", "-n", "0"], "greater than or equal to 1"),
        (["tail", "--group", " "], "the name of a group is empty"),
        (
            ["tail", "--group", "g", "--key", "7"],
            "cannot be combined with --key: the group would skip what is not",
        ),
        (["tail", "--group", "g", "--from", "1h"], "cannot be combined with --from"),
        (["tail", "--group", "g", "--to", "1h"], "cannot be combined with --to"),
        (["tail", "dead-letters"], "unknown event type dead-letters"),
        (["find", "12345678901234567890"], "1 to 19 digits"),
        (["find", "12\n"], "1 to 19 digits"),
        (["find", "7", "--from", "1h", "--to", "2h"], "is not before the end of the range"),
        (["coverage", "--from", "5m"], "; without --to the range ends 5 min ago"),
        (["dead-letters", "list", "--id", "all"], "32 hexadecimal digits"),
        (["dead-letters", "--id", "all"], "32 hexadecimal digits"),
        (["dead-letters", "--config", "x.yaml", "replay", "--yes"], "give the options after `replay`"),
        (["dead-letters", "--id", "00" * 16, "list"], "give the options after `list`"),
        (["dead-letters", "replay", "--from", "1h", "--to", "2h"], "is not before the end of the range"),
        (["dead-letters", "show", "00" * 16, "--raw", "--output", "json"], "cannot be combined with --output json"),
    ],
)
def test_contradictory_or_invalid_options_are_refused(arguments: list[str], says: str) -> None:
    """The message says what is wrong."""
    result = CliRunner().invoke(app, arguments, terminal_width=200)
    assert result.exit_code == _USAGE
    assert says in " ".join(result.output.split())
