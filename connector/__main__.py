"""Owns the first moments of the process: SIGTERM ends it while the command line is imported, which takes a while.

The kernel drops a SIGTERM that a container's first process has no handler for (signal(7)).
"""

from connector.signals import end_at_once_on_sigterm


def main() -> None:
    """Run the command line."""
    end_at_once_on_sigterm()
    from connector import cli  # noqa: PLC0415 - after the handler

    cli.main()


if __name__ == "__main__":
    main()
