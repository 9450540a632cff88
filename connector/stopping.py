"""Owns how SIGTERM and SIGINT stop a command that has something to finish. What it finishes is its own matter."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_KILLED_BY = 128
"""What a shell adds to the number of the signal that ended a process."""


@contextmanager
def stopping_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and SIGINT set; a second one ends the process at once.

    A thread sets it: a signal handler could find the event locked by the code that it interrupts.
    """
    stop = threading.Event()
    reading_end, writing_end = socket.socketpair()
    writing_end.setblocking(False)  # noqa: FBT003 - the standard library's signature

    def watch() -> None:
        with reading_end:
            while number := reading_end.recv(1):
                if stop.is_set():
                    os._exit(_KILLED_BY + number[0])
                stop.set()

    thread = threading.Thread(target=watch, name="signals", daemon=True)
    thread.start()
    wakeup_before = signal.set_wakeup_fd(writing_end.fileno())
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        writing_end.close()
        thread.join()
