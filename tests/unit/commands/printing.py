"""What is printed of a result, by the part of a command that shows it."""

from collections.abc import Callable

import typer
from typer.testing import CliRunner, Result


def printed(show: Callable[[], object]) -> Result:
    """Run the end of a command as a command, on a terminal that takes colours, and return what it prints."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        show()

    return CliRunner().invoke(app, color=True)
