"""What is printed of a result, by the part of a command that shows it."""

from collections.abc import Callable

import typer
from typer.testing import CliRunner, Result

SETTINGS = {
    "CONNECTOR_X__BEARER_TOKEN": "hush",
    "CONNECTOR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
    "CONNECTOR_SCHEMA_REGISTRY__URL": "http://127.0.0.1:9",
}
"""What a command needs to start, in its environment; nothing answers there."""


def printed(show: Callable[[], object]) -> Result:
    """Run the end of a command as a command, on a terminal that takes colours, and return what it prints."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        show()

    return CliRunner().invoke(app, color=True)
