"""The command that creates topics and subjects."""

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn, TypeVar

import typer

from connector.commands.options import Output, OutputOption, duration_s
from connector.console import ConfigFile, configure, say
from connector.errors import DependencyUnavailableError, WrongServerError
from connector.settings import Settings

if TYPE_CHECKING:
    from connector.operations.provision import Plan

T = TypeVar("T")

_RETRY_S = 2.0


def provision(  # noqa: PLR0913 - one for each option
    *,
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be created, and create nothing.")
    ] = False,
    output: OutputOption = Output.TABLE,
    form: Annotated[
        Literal["json", "strimzi"] | None,
        typer.Option("--manifests", help="Print the topics for GitOps instead, without connecting to Kafka."),
    ] = None,
    strimzi_cluster: Annotated[
        str, typer.Option("--strimzi-cluster", help="Name of the Strimzi Kafka cluster, for --manifests strimzi.")
    ] = "kafka",
    wait: Annotated[
        str,
        typer.Option(
            "--wait", metavar="DURATION", help="While Kafka or the registry does not answer, retry for this long."
        ),
    ] = "0s",
) -> None:
    """Create missing topics and subjects; safe to run again.

    They cover all streams and batch runs, used or not; `check` looks only at what `run` needs. Compatibility levels of
    the subjects are set too. A topic that exists and differs from the settings is reported and left alone; what the
    brokers do not report of a topic is named and not compared. Exit codes: 0; 64 an option is wrong; 69 Kafka or the
    registry does not answer; 78 a topic differs, settings are wrong, a right is missing, or the brokers or the registry
    refuse a change.
    """
    from connector.kafka.cluster import Cluster
    from connector.kafka.registry import RegistryClient
    from connector.operations import manifests
    from connector.operations.provision import provision as make

    settings = configure(Settings, config)
    if form == "json":
        say(*manifests.as_json(settings.kafka).splitlines())
        return
    if form == "strimzi":
        say(*manifests.as_strimzi(settings.kafka, strimzi_cluster).splitlines())
        return

    def attempt() -> "Plan":
        with RegistryClient(settings.schema_registry) as registry:
            return make(settings.kafka, Cluster(settings.kafka), registry, dry_run=dry_run)

    show(patiently(attempt, duration_s(wait, "--wait")), settings, output, dry_run=dry_run)


def show(plan: "Plan", settings: Settings, output: Output, *, dry_run: bool) -> NoReturn:
    """Print what was created and what differs. Raises `typer.Exit` with the exit code."""
    from connector.kafka.topic_rules import rules_of_streams

    if output is Output.JSON:
        say(json.dumps(plan.as_json(is_done=not dry_run)))
    else:
        say(plan.summary(is_done=not dry_run), *(f"{'would ' if dry_run else ''}{change}" for change in plan.changes))
        needed = rules_of_streams(settings.kafka, settings.x.streams, settings.pipeline.duplicate_window_minutes)
        others = "the others are for streams that are off and for batch runs"
        say(f"run needs {len(needed)} of the topics for x.streams {', '.join(settings.x.streams)}; {others}", err=True)
        say(*map(str, (*plan.undescribed, *plan.differences)), err=True)
    raise typer.Exit(plan.exit_code)


def patiently(attempt: Callable[[], T], wait_s: float, pause: Callable[[float], object] = time.sleep) -> T:
    """Return what an attempt returns; while something does not answer, print which, and retry for `wait_s`.

    A proxy that answers in place of the registry is waited for, too: it may not know of the registry yet.
    """
    deadline, said = time.monotonic() + wait_s, ""
    while True:
        try:
            return attempt()
        except (DependencyUnavailableError, WrongServerError) as error:
            if time.monotonic() >= deadline:
                raise
            why = error.problems[0] if isinstance(error, WrongServerError) else error.lines[0]
            if why != said:
                said = why
                say(f"waiting: {why}", err=True)
        pause(_RETRY_S)
