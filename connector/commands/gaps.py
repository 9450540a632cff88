"""The command that prints recorded gaps."""

import json
from typing import Annotated

import typer

from connector.console import ConfigFile, configure, say, say_foreign
from connector.settings import Settings


def gaps(
    *,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print the recorded gaps: events of those times may be missing."""
    from connector.operations.history import read_gaps

    found, foreign = read_gaps(configure(Settings, config))
    say_foreign(foreign)
    if as_json:
        for gap in found:
            say(json.dumps(gap))
        return
    for gap in found:
        place = f"{gap['stream']}/{gap['stream_partition']}"
        say(f"{place:<8} {gap['gap_start']}  {gap['gap_end']}  {gap['state']}  {gap['cause']}: {gap['detail']}")
        if gap.get("remaining") is not None:
            say(f"{'':<8} reconciled by: {', '.join(gap['reconciled_by'] or ())}")
            say(f"{'':<8} remaining: {', '.join(gap['remaining']) or 'nothing'}")
    if not found:
        say("no gaps")
