"""Taking turns: of all committers of a process, one at a time works on what it was delivered.

Python runs one thread at a time anyway. Threads that all want to run take it from each other again and again, which
costs more than some of the work; one that waits here sleeps until it is handed the turn. First come, first served, so
that what comes live is not kept waiting by a replay. Must not know what is done in a turn.
"""

import threading
from collections import deque
from types import TracebackType


class Turn:
    """A lock that is handed to whoever has waited longest; a context manager, not to be entered twice by one thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            called = threading.Lock()
            called.acquire()
            self._waiting.append(called)
        called.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
