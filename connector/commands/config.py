"""`connector config …`: the settings in force, and an example of them all."""

import json

import typer

from connector.commands.options import Output, OutputOption, help_or_subcommand
from connector.console import ConfigFile, in_columns, say
from connector.errors import SettingsError
from connector.settings import Settings

config = typer.Typer(
    help="Show the settings in force, or an example of all of them.",
    invoke_without_command=True,
    callback=help_or_subcommand,
)
_HEAD = ("SETTING", "VALUE", "FROM")


@config.command()
def show(*, config: ConfigFile = None, output: OutputOption = Output.TABLE) -> None:
    """Print each setting, its value in force, and where that comes from: the default, the file, a variable.

    Secrets are masked. Exit codes: 0; 78 settings are wrong: those that are right are printed, and every problem, as by
    `connector check`.
    """
    from connector.operations.settings_in_force import settings_in_force

    found, problems = settings_in_force(Settings, config)
    if output is Output.JSON:
        say(json.dumps([each.as_json() for each in found]))
    elif found:
        rows = [(".".join(each.path), _text(each.value), f"{each.origin} {each.place or ''}") for each in found]
        say(*in_columns([_HEAD, *rows], most=40))
    if problems:
        raise SettingsError(problems)


def _text(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)


@config.command()
def example() -> None:
    """Print a YAML file of all settings, with their meanings and defaults, as a starting point."""
    from connector.operations.settings_example import settings_example

    say(*settings_example())
