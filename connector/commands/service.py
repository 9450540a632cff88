"""Commands for the service: run it, check what it needs, ask for its health."""

import gc
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from connector.commands.options import Output, OutputOption
from connector.console import ConfigFile, configure, say
from connector.errors import ConnectorError, DependencyUnavailableError
from connector.settings import HttpSettings, RunSettings, variable_name
from connector.signals import end_at_once_on_sigterm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.operations.checks import Check

_SWITCH_INTERVAL_S = 0.002
"""How long a busy thread may hold the interpreter: an HTTP answer needs it several times, behind a few others."""
_LOOPBACK = "127.0.0.1"


def _where_to_ask(host: str) -> str:
    """Return where a service answers that listens at `host`; one that listens everywhere does so here, too."""
    return _LOOPBACK if host in {"0.0.0.0", "::"} else host  # noqa: S104 - nothing is bound to it


def run(config: ConfigFile = None) -> None:
    """Run the service until SIGTERM or SIGINT.

    Exit codes: 0 stopped; 1 an unexpected error; 64 an option or argument is wrong; 69 Kafka or the registry
    did not answer before the start deadline, or the membership of the consumer group failed for good; 70 the ledger
    cannot be trusted, or a thread hangs; 78 settings are wrong, or topics, subjects or rights are missing; 130 and 143
    SIGINT or SIGTERM before it ran, or a second time while it stopped.
    """
    end_at_once_on_sigterm()
    from connector.app import Service
    from connector.stopping import stopping_on_signals

    settings = configure(RunSettings, config, is_service=True)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # A batch holds many thousands of records, none in a cycle: with Python's own thresholds (700, 10, 10) the
    # collector goes through them again and again and finds nothing.
    gc.set_threshold(10_000, 100, 100)
    with stopping_on_signals() as stop:
        Service(settings).run(stop)


def check(
    *,
    config: ConfigFile = None,
    online: Annotated[
        bool, typer.Option("--online", help="Also check Kafka, the registry and X; interrupts no running connector.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Check the settings; with --online, everything that `run` needs.

    That is Kafka, the registry, topics, subjects, and for each stream whether X accepts the token. Warns if a secret
    crosses the network unencrypted. Exit codes: 0 all is well; 69 something does not answer; 78 something must be
    corrected.
    """
    from connector.app import online_checks
    from connector.operations.checks import all_checks, failed

    try:
        settings = configure(RunSettings, config)
        checks = list(all_checks(settings, online_checks(settings) if online else ()))
    except ConnectorError as error:
        if output is Output.TABLE:
            raise
        checks = [failed(error)]
    show_checks(checks, output, is_summed_up=online)


def show_checks(checks: "Sequence[Check]", output: Output, *, is_summed_up: bool) -> None:
    """Print checks. Raises `typer.Exit` with the exit code of the first that failed."""
    from connector.operations.checks import summary

    if output is Output.JSON:
        say(json.dumps({"summary": summary(checks), "checks": [each.as_json() for each in checks]}))
    elif is_summed_up:
        say(summary(checks), *(line for each in checks for line in each.lines()))
    else:
        say(*(line for each in checks for line in each.lines()))
    if codes := [each.exit_code for each in checks if each.exit_code]:
        raise typer.Exit(codes[0])


def health(
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Also ask whether it is ready.")] = False,
    host: Annotated[
        str,
        typer.Option(
            envvar=variable_name(("http", "host")),
            parser=_where_to_ask,
            metavar="ADDRESS",
            help="Where the service runs.",
        ),
    ] = _LOOPBACK,
    port: Annotated[
        int, typer.Option(envvar=variable_name(("http", "port")), min=1, max=65535, help="Its HTTP port.")
    ] = HttpSettings.model_fields["port"].default,
    output: OutputOption = Output.TABLE,
) -> None:
    """Ask a running service whether it is alive.

    For a container's health check. Prints why if it is not, from its /status. Exit codes: 0 it is; 69 it is not, or
    does not answer.
    """
    from connector.operations.health import probe

    answers: list[dict[str, object]] = []
    for path in ("/livez", "/readyz") if ready else ("/livez",):
        try:
            answers.append({"path": path, "is_well": True, "answer": probe(host, port, path)})
        except DependencyUnavailableError as error:
            if output is Output.TABLE:
                raise
            say(json.dumps([*answers, {"path": path, "is_well": False, "answer": str(error)}]))
            raise typer.Exit(error.exit_code) from error
        if output is Output.TABLE:
            say(f"{path}: {answers[-1]['answer']}")
    if output is Output.JSON:
        say(json.dumps(answers))
