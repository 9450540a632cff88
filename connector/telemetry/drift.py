"""Which unknown names of X's were seen so far, by stream: the first few of them, so that labels stay few."""

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
        """Return `name`, or `OTHER` when there are too many already, and whether it is met for the first time."""
        with self._lock:
            seen = self._seen[stream]
            if name in seen:
                return name, False
            if len(seen) == MOST_NAMES:
                return OTHER, False
            seen.add(name)
            return name, True
