"""The connects that one endpoint of X still grants, and when the next may start. Pure; instants are monotonic seconds.

X grants an endpoint a number of connects in each window of 15 minutes and returns with every answer how many are left,
whichever partition or replica used the others. A few may start at once; the rest are spread evenly, along a line that
falls from there to a small reserve at the end of the window. A stream partition that has had its fair share (one
connect in 36 s for four partitions and 100 connects) keeps a margin above that line, so that one that has not can start
at once. Without a limit from X, each stream partition has its share of the limit that X once published: half at once,
and the rest evenly.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connector.x.errors import RateLimit

WINDOW_S = 15 * 60.0
ASSUMED_LIMIT = 100
"""What X once published (X API v1.1 and v2, "Compliance streams"); used when answers have no limit."""
ASSUMED_RESERVE = 0.2
"""The share of it held back: connects that a previous owner of a stream partition spent are unknown here."""
ASSUMED_AT_ONCE = 0.5
"""The part of a stream partition's share of it that may be spent at once; no other partition spends it."""
AT_ONCE = 0.15
"""The share of the limit that may be spent at once: enough for each of four partitions to start, drop and move."""
RESERVE = 0.05
"""The share that is never spent: each replica may once believe that one more is left than there is."""
MARGIN = 0.05
"""The share that partitions beyond their fair share leave to the others."""
ANSWER_S = 5.0
"""How long an attempt waits for the answer to the previous one, while little is known."""
FRESH_S = 60.0
"""An older figure from X may be wrong by now, since other replicas spend too: then one attempt at a time."""
_PRECISION_S = 1e-3


@dataclass(frozen=True, slots=True)
class _Word:
    """X's latest figures: `remaining` of `limit` until `resets_at_s`."""

    limit: int
    remaining: int
    resets_at_s: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt of a stream partition."""

    partition: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Budget:
    """The connects of one endpoint with `partitions` stream partitions, as far as this process knows."""

    partitions: int
    word: _Word | None = None
    in_flight: tuple[Sent, ...] = ()
    unanswered: tuple[Sent, ...] = ()
    """Attempts that X may have counted and whose answers had no figures; `at_s` is when they ended."""
    latest_s: Mapping[int, float] = field(default_factory=dict)
    """When each stream partition last made an attempt."""

    def wait_s(self, now_s: float, partition: int) -> float:
        """Return the least time that an attempt of a stream partition has to wait; 0 if it may start now."""
        word = self._current(now_s)
        if self.in_flight and (word is None or now_s - word.at_s > FRESH_S):
            answer_due_s = max(sent.at_s for sent in self.in_flight) + ANSWER_S
            if answer_due_s > now_s:
                return answer_due_s - now_s
        wait_s = self._assumed_wait_s(now_s, partition) if word is None else self._line_wait_s(word, now_s, partition)
        return wait_s if wait_s > _PRECISION_S else 0.0

    def share_s(self, now_s: float) -> float:
        """Return the fair share of a stream partition: one connect in this time."""
        word = self._current(now_s)
        return self.partitions * WINDOW_S / (ASSUMED_LIMIT if word is None else word.limit)

    def remaining(self, now_s: float) -> int | None:
        """Return how many connects are left by X's latest figures, or None without any for this window."""
        word = self._current(now_s)
        return None if word is None else self._left(word, now_s)

    def send(self, sent: Sent) -> "Budget":
        """Return the budget with an attempt in flight."""
        latest_s = {**self.latest_s, sent.partition: sent.at_s}
        return replace(self, in_flight=(*self.in_flight, sent), latest_s=latest_s)

    def answer(self, sent: Sent, now_s: float, limit: RateLimit | None, *, is_sent: bool) -> "Budget":
        """Return the budget after the attempt `sent`: with X's figures or without; perhaps it never left."""
        at = self.in_flight.index(sent)
        landed = replace(self, in_flight=(*self.in_flight[:at], *self.in_flight[at + 1 :]))
        if not is_sent:
            others_s = {number: at_s for number, at_s in self.latest_s.items() if number != sent.partition}
            return replace(landed, latest_s=others_s)
        word = None if limit is None else self._hear(now_s, limit)
        if word is None:
            return replace(landed, unanswered=(*self._counted(now_s), Sent(sent.partition, now_s)))
        return replace(landed, word=word, unanswered=())

    def _hear(self, now_s: float, limit: RateLimit) -> _Word | None:
        """Return the figures of an answer; None if its reset is past or too far away to be true."""
        before, ahead_s = self._current(now_s), limit.reset_s - limit.said_at_s
        if not 0 < ahead_s <= WINDOW_S + FRESH_S:
            return None
        resets_at_s, remaining = now_s + min(ahead_s, WINDOW_S), limit.remaining
        if before is not None and abs(resets_at_s - before.resets_at_s) < FRESH_S:  # the same window
            remaining = min(remaining, before.remaining)  # answers may come in another order than X gave them
        return _Word(limit.limit, remaining, resets_at_s, now_s)

    def _current(self, now_s: float) -> _Word | None:
        """Return X's figures for the window of `now_s`, if there are any."""
        return self.word if self.word is not None and now_s < self.word.resets_at_s else None

    def _counted(self, now_s: float) -> tuple[Sent, ...]:
        """Return the unanswered attempts that X may still count: none older than a window, or than a known reset."""
        since_s = now_s - WINDOW_S
        if self.word is not None and now_s >= self.word.resets_at_s:
            since_s = max(since_s, self.word.resets_at_s)
        return tuple(sent for sent in self.unanswered if sent.at_s > since_s)

    def _left(self, word: _Word, now_s: float) -> int:
        return max(0, word.remaining - len(self.in_flight) - len(self._counted(now_s)))

    def _line_wait_s(self, word: _Word, now_s: float, partition: int) -> float:
        """Return the time until the line falls to what would be left, plus the margin if it applies."""
        within_share_s = self.latest_s.get(partition, -WINDOW_S) + self.share_s(now_s) - now_s
        wait_s = self._time_to_line_s(word, now_s, 0.0)
        if within_share_s <= 0:
            return wait_s
        return min(max(wait_s, within_share_s), self._time_to_line_s(word, now_s, MARGIN * word.limit))

    def _time_to_line_s(self, word: _Word, now_s: float, margin: float) -> float:
        left, window_left_s = self._left(word, now_s), word.resets_at_s - now_s
        spare = left - 1 - margin - RESERVE * word.limit
        if left == 0 or spare < 0:
            return window_left_s
        at_once = max(AT_ONCE * word.limit, self.partitions)
        slope = max(0.0, word.limit - at_once - RESERVE * word.limit) / WINDOW_S
        return max(0.0, window_left_s - spare / slope) if slope else 0.0

    def _assumed_wait_s(self, now_s: float, partition: int) -> float:
        """Return the wait without figures from X: no stream partition spends more than its share in any 15 minutes."""
        asked_s = [sent.at_s for sent in self._counted(now_s) if sent.partition == partition]
        share = ASSUMED_LIMIT * (1 - ASSUMED_RESERVE) / self.partitions
        at_once = int(ASSUMED_AT_ONCE * share)
        if len(asked_s) < at_once:
            return 0.0
        return max(0.0, asked_s[-1] + WINDOW_S / (share - at_once) - now_s)
