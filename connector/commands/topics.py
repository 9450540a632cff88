"""The command that creates topics and subjects."""

from typing import Annotated, Literal

import typer

from connector.console import ConfigFile, configure, say
from connector.settings import Settings


def provision(
    *,
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be created, and create nothing.")
    ] = False,
    output: Annotated[
        Literal["json", "strimzi"] | None,
        typer.Option("--output", help="Print the topics for GitOps instead, without connecting to Kafka."),
    ] = None,
    strimzi_cluster: Annotated[
        str, typer.Option("--strimzi-cluster", help="Name of the Strimzi Kafka cluster, for --output strimzi.")
    ] = "kafka",
) -> None:
    """Create missing topics and subjects; safe to run again.

    Compatibility levels of the subjects are set too. A topic that exists and differs from the settings is reported and
    left alone; the exit code is then 78.
    """
    from connector.kafka.cluster import Cluster
    from connector.kafka.registry import RegistryClient
    from connector.operations import manifests
    from connector.operations.provision import provision as make

    settings = configure(Settings, config)
    if output == "json":
        say(*manifests.as_json(settings.kafka).splitlines())
    elif output == "strimzi":
        say(*manifests.as_strimzi(settings.kafka, strimzi_cluster).splitlines())
    else:
        with RegistryClient(settings.schema_registry) as registry:
            plan = make(settings.kafka, Cluster(settings.kafka), registry, dry_run=dry_run)
        for change in plan.changes:
            say(f"{'would ' if dry_run else ''}{change}")
        for difference in plan.differences:
            say(str(difference), err=True)
        if not plan.changes and not plan.differences:
            say("nothing to do")
        raise typer.Exit(plan.exit_code)
