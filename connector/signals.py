"""Owns what SIGTERM does to a process that has nothing to finish yet, or that has.

Imports as little as possible: the process begins with it. How the service stops is in `stopping`.
"""

import os
import signal

TERMINATED = 128 + signal.SIGTERM


def end_at_once_on_sigterm() -> None:
    """End the process on SIGTERM, also on one that was sent while it was blocked.

    By no exception: one that is raised during an import can come to a place where Python drops it.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def exit_on_sigterm() -> None:
    """Raise `SystemExit` on SIGTERM, so that a command cleans up."""

    def leave(*_: object) -> None:
        raise SystemExit(TERMINATED)

    signal.signal(signal.SIGTERM, leave)
