"""The command line: arguments in, exit code out. Data goes to stdout, logs and errors to stderr."""

import os
import resource
import sys
from typing import Annotated, NoReturn

import typer

from connector import __version__
from connector.commands import consumers, coverage, reading, rehearsal, service, status, topics
from connector.commands.batch import batch
from connector.commands.config import config
from connector.commands.dead_letters import dead_letters
from connector.commands.gaps import gaps
from connector.commands.ledger import ledger
from connector.commands.options import help_or_subcommand
from connector.console import report, say
from connector.errors import UNEXPECTED, ConnectorError
from connector.signals import exit_on_sigterm
from connector.terminal import traceback_lines

_CLICK_USAGE_ERROR = 2
_INTERRUPTED = 130

app = typer.Typer(
    name="connector",
    help=(
        "X compliance: publish X's compliance streams to Kafka, exactly once, and ask X which stored ids to act on.\n\n"
        "`run` is the service. Other commands set it up (config, check, provision), show what it published and how far "
        "that is complete (tail, gaps, ledger), run batch compliance jobs (batch), and try all of it without X "
        "(simulate, demo)."
    ),
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """Run the command line and end the process, as it is, with its exit code.

    A request that Kafka does not answer keeps its thread in librdkafka; Python would take the interpreter apart around
    it, which ends in SIGABRT or SIGSEGV now and then.
    """
    _keep_secrets_in_memory()
    exit_on_sigterm()
    code = _run()
    for output in (sys.stdout, sys.stderr):
        try:
            if output is not None:  # as it is if the descriptor was closed when Python started
                output.flush()
        except (OSError, ValueError):
            code = code or UNEXPECTED
    os._exit(code)


def _run() -> int:
    """Run the command line and return its exit code; what went wrong is printed."""
    try:
        app()
    except SystemExit as leaving:
        if not isinstance(leaving.code, int | None):
            say(str(leaving.code), err=True)
            return UNEXPECTED
        return os.EX_USAGE if leaving.code == _CLICK_USAGE_ERROR else leaving.code or os.EX_OK
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ConnectorError as error:
        return report(error)
    except Exception as error:  # noqa: BLE001 - Python would show it with its words as they are, which may be anyone's
        say(*traceback_lines(error), err=True)
        return UNEXPECTED
    return os.EX_OK


def _keep_secrets_in_memory() -> None:
    """Dump no memory on a crash, and write no TLS keys: Python and libcurl write them where `SSLKEYLOGFILE` says."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.pop("SSLKEYLOGFILE", None)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        say(__version__)
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    help_or_subcommand(context)


for command in (
    service.run,
    service.check,
    service.health,
    status.status,
    topics.provision,
    reading.tail,
    coverage.coverage,
    consumers.consumers,
    reading.find,
    rehearsal.simulate,
    rehearsal.demo,
):
    app.command()(command)
app.add_typer(config, name="config")
app.add_typer(batch, name="batch")
app.add_typer(gaps, name="gaps")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(ledger, name="ledger")
