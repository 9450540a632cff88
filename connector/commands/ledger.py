"""Commands about the ledger: audit it, or begin a new one."""

import os
from typing import Annotated

import typer

from connector.console import ConfigFile, configure, say, say_foreign
from connector.events.catalog import STREAM_PARTITIONS, StreamPartition
from connector.events.times import format_us
from connector.settings import Settings

ledger = typer.Typer(help="Audit the connector's ledger, or reset it.", no_args_is_help=True)


@ledger.command()
def verify(
    *,
    config: ConfigFile = None,
    hours: Annotated[float, typer.Option(min=0, help="How far back to audit; 0: everything there is.")] = 24.0,
) -> None:
    """Audit ledger, events and dead letters against each other.

    Entries must be contiguous and add up, sequences must have no holes, and every id of the ledger must be in a topic
    and vice versa, as far back as `kafka.retention` keeps the topics. What does not fit is printed, and the exit code
    is then 70.
    """
    from connector.operations.history import audit_history
    from connector.x.clock import wall_us

    now_us = wall_us()
    since_us = max(0, now_us - int(hours * 3600 * 1_000_000)) if hours else 0
    audited = audit_history(configure(Settings, config), since_us, now_us)
    is_sound = not audited.foreign
    for partition, audit in audited.partitions.items():
        findings = list(audit.findings())
        is_sound = is_sound and not findings
        verdict = "does not fit:" if findings else "sound"
        say(f"{partition!s:<8} {audit.entries:>8} entries {audit.records:>10} records  {verdict}")
        for finding in findings:
            say(f"         {finding}")
    say_foreign(audited.foreign)
    if not is_sound:
        raise typer.Exit(os.EX_SOFTWARE)


@ledger.command()
def reset(
    *,
    config: ConfigFile = None,
    stream: Annotated[str, typer.Option(help="tweet, user, like or label.")],
    partition: Annotated[int, typer.Option(min=1, max=4, help="The stream's partition; 1 for like and label.")],
) -> None:
    """Start a new ledger for one stream partition; records the gap.

    For a partition that stopped because its ledger cannot be trusted, once the cause is understood.
    """
    from connector.operations.reset import reset_ledger

    chosen = StreamPartition(stream, partition)
    if chosen not in STREAM_PARTITIONS:
        raise typer.BadParameter(
            f"there is no stream partition {chosen}; there are {', '.join(map(str, STREAM_PARTITIONS))}"
        )
    gap, foreign = reset_ledger(configure(Settings, config), chosen)
    say_foreign(foreign)
    say(f"{chosen}: started a new ledger")
    if gap is not None:
        say(f"{chosen}: recorded a gap from {format_us(gap.start_us)} to {format_us(gap.end_us)}")
