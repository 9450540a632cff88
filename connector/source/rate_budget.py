"""How many connects one endpoint of X still grants, and when the next one may go. Pure; instants are monotonic seconds.

X counts requests per endpoint in windows of 15 minutes; all partitions and replicas of an App share them (X API v2,
"Rate limits"). What is left is X's word, in the headers of each answer, so what others spent is in it. A line falls
from a share of the limit at the beginning of a window to a small one at its end, and no attempt may take the rest
below it: about half of the limit may go at once, the rest evenly, and the last few never, since others may just have
spent them. Catching up stays above live by a margin. Where X says nothing, each stream partition has its share of
what X once published, since nobody knows of other replicas.
"""

from collections import deque
from dataclasses import dataclass

from connector.x.errors import RateLimit

WINDOW_S = 15 * 60.0
ASSUMED_LIMIT = 100
"""What X once published (X API v1.1 and v2, "Compliance streams"); used where answers say nothing."""
ASSUMED_RESERVE = 0.2
"""The share of it that is not spent: a stream partition that has changed hands has spent what its owner cannot know."""
LINE = 0.5
"""The share of the limit that is held back at the beginning of a window, and less and less of it later."""
FLOOR = 0.05
"""The share that is held back to the end: each replica may think once that there is one more than there is."""
REPLAY_MARGIN = 0.15
"""The share of the limit that catching up leaves to live connections."""
ANSWER_S = 5.0
"""Where little is known, an attempt waits so long for the answer to the one before."""
FRESH_S = 60.0
"""What X said longer ago may be wrong by now, since others spend too: then one attempt at a time."""
_PRECISION_S = 1e-3


@dataclass(frozen=True, slots=True)
class _Said:
    """X's latest word: `remaining` of `limit` until `resets_at_s`."""

    limit: int
    remaining: int
    resets_at_s: float
    at_s: float


class Budget:
    """The connects of one endpoint with so many stream partitions, as this process knows of them."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._said: _Said | None = None
        self._asked_s: list[float] = []
        self._untold: deque[tuple[float, int]] = deque()

    def wait_s(self, now_s: float, partition: int, *, is_live: bool) -> float:
        """Return how long an attempt for a partition has to wait at least; 0 says that it may go now."""
        said = self._current(now_s)
        if self._asked_s and (said is None or now_s - said.at_s > FRESH_S):
            wait_s = max(self._asked_s) + ANSWER_S - now_s
            if wait_s > 0:
                return wait_s
        margin = 0.0 if is_live else REPLAY_MARGIN
        if said is None:
            return self._wait_untold_s(now_s, partition, margin)
        remaining = said.remaining - len(self._asked_s)
        if remaining <= 0:
            return said.resets_at_s - now_s
        # The line runs from LINE to FLOOR: the attempt may go once it is down to what would then be left.
        time_left_s = ((remaining - 1) / said.limit - margin - FLOOR) / (LINE - FLOOR) * WINDOW_S
        wait_s = said.resets_at_s - now_s - max(0.0, time_left_s)
        return wait_s if wait_s > _PRECISION_S else 0.0

    def remaining(self, now_s: float) -> int | None:
        """Return how many connects are left by X's latest word, or None where that says nothing of now."""
        said = self._current(now_s)
        return None if said is None else max(0, said.remaining - len(self._asked_s))

    def ask(self, now_s: float) -> None:
        """Take note that an attempt is made now."""
        self._asked_s.append(now_s)

    def over(self, asked_s: float, now_s: float, partition: int, limit: RateLimit | None, *, is_sent: bool) -> None:
        """Take note of how the attempt made at `asked_s` came out: with X's word, or without; perhaps never sent."""
        self._asked_s.remove(asked_s)
        if limit is not None:
            self._hear(now_s, limit)
        elif is_sent:
            self._untold.append((now_s, partition))

    def _hear(self, now_s: float, limit: RateLimit) -> None:
        resets_at_s = now_s + min(max(0.0, limit.reset_s - limit.said_at_s), WINDOW_S)
        remaining, before = limit.remaining, self._said
        if before is not None and abs(resets_at_s - before.resets_at_s) < FRESH_S:  # the same window
            remaining = min(remaining, before.remaining)  # answers may come in another order than X gave them
        self._said = _Said(limit.limit, remaining, resets_at_s, now_s)
        self._untold.clear()

    def _current(self, now_s: float) -> _Said | None:
        """Return X's word on the window that `now_s` is in, where there is one, less the attempts not in it."""
        if self._said is not None and now_s >= self._said.resets_at_s:
            self._said = None
            self._untold.clear()
        said = self._said
        if said is None or not self._untold:
            return said
        return _Said(said.limit, max(0, said.remaining - len(self._untold)), said.resets_at_s, said.at_s)

    def _wait_untold_s(self, now_s: float, partition: int, margin: float) -> float:
        """Return the wait where X says nothing: each partition, wherever it is read, has its share in any 15 minutes.

        Half of the share may go at once, the rest evenly.
        """
        while self._untold and now_s - self._untold[0][0] >= WINDOW_S:
            self._untold.popleft()
        asked_s = [at_s for at_s, whose in self._untold if whose == partition]
        at_once = ASSUMED_LIMIT * (1 - ASSUMED_RESERVE - margin) / self._partitions / 2
        if len(asked_s) < int(at_once):
            return 0.0
        return max(0.0, asked_s[-1] + WINDOW_S / at_once - now_s)
