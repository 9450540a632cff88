"""The unknown names from X seen so far, by stream: only the first few, to bound the labels."""

import threading
from collections import defaultdict

MOST_NAMES = 20
OTHER = "other"


class Names:
    """The names seen by one process, up to `MOST_NAMES` a stream; safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: defaultdict[str, set[str]] = defaultdict(set)

    def meet(self, stream: str, name: str) -> tuple[str, bool]:
        """Return `name`, or `OTHER` once there are too many, and whether it is new."""
        with self._lock:
            seen = self._seen[stream]
            if name in seen:
                return name, False
            if len(seen) == MOST_NAMES:
                return OTHER, False
            seen.add(name)
            return name, True
