"""Repeated log lines: shown at most once in an interval, with the count of those held back. Pure."""

import re
import time
from collections import Counter
from collections.abc import Callable, Hashable

_NUMBERS = re.compile(r"\d+")
_MOST_KEYS = 1000

_Key = tuple[Hashable, str]


class Repeats:
    """Lets a text through once in `interval_s` for each place; texts that differ only in numbers are the same."""

    def __init__(self, interval_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._shown: dict[_Key, float] = {}
        self._held_back: Counter[_Key] = Counter()

    def held_back_before(self, text: str, place: Hashable = None) -> int | None:
        """Return how many like `text` were held back since the last one shown; None to hold this one back too."""
        key, now = (place, _NUMBERS.sub("", text)), self._monotonic()
        if now - self._shown.get(key, -self._interval_s) < self._interval_s:
            self._held_back[key] += 1
            return None
        self._shown.pop(key, None)
        self._shown[key] = now
        if len(self._shown) > _MOST_KEYS:
            oldest = next(iter(self._shown))
            del self._shown[oldest], self._held_back[oldest]
        return self._held_back.pop(key, 0)
