"""A command as a process, run to its end."""

from pathlib import Path

from tests.rig.service import Config, ConnectorProcess

PARTITIONS = 2
"""Of each event topic."""


def run_command(folder: Path, arguments: list[str], config: Config, exit_code: int = 0) -> ConnectorProcess:
    """Run a command to its end, which must be that exit code without a stack trace."""
    with ConnectorProcess(folder, arguments, config) as command:
        assert command.wait() == exit_code
        assert "Traceback" not in command.stderr
        return command
