"""Delays before the next attempt, as X asks (X API v2, "Consuming streaming data": back-off).

Policies are values, delays are seconds; the caller waits.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

JITTER = 0.1
"""Delays are stretched by up to this share, so that partitions and replicas do not synchronise."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Grows by `step_s` each attempt."""

    step_s: float
    max_s: float

    def delay_s(self, attempt: int) -> float:
        """Return the delay after the `attempt`-th failure in a row, counting from 1."""
        return min(self.max_s, self.step_s * attempt)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Doubles each attempt."""

    first_s: float
    max_s: float

    def delay_s(self, attempt: int) -> float:
        """Return the delay after the `attempt`-th failure in a row, counting from 1."""
        return min(self.max_s, self.first_s * 2.0 ** min(attempt - 1, 64))


class Curve(Enum):
    """The delays for a kind of failure."""

    NETWORK = Linear(0.25, 16)
    HTTP = Exponential(5, 320)
    RATE_LIMIT = Exponential(60, 960)
    TOO_MANY_CONNECTIONS = Exponential(4, 60)
    CONFIGURATION = Exponential(60, 900)


class Backoff:
    """Counts failures in a row, by curve, until a connection delivers."""

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._failures: Counter[Curve] = Counter()

    def failed(self, curve: Curve, at_least_s: float = 0.0) -> float:
        """Count a failure and return the delay before the next attempt."""
        self._failures[curve] += 1
        policy: Linear | Exponential = curve.value
        delay_s = max(at_least_s, policy.delay_s(self._failures[curve]))
        return delay_s * (1 + JITTER * self._jitter())

    def delivered(self) -> None:
        """Reset the delays: a connection has proved itself. A granted request alone proves nothing."""
        self._failures.clear()
