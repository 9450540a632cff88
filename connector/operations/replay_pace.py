"""When a replay of dead letters may commit, so that the owner of the stream partition gets to work in between. Pure.

Each transaction misplaces the owner's next entry, so the owner restarts, after a delay that grows unless it ran for a
while. So transactions come in bursts no longer than the owner's first delay, and then it gets time to run.
Instants are seconds of a clock that never goes back.
"""

from dataclasses import dataclass

from connector.events.times import US_PER_S
from connector.operations.coverage_sum import OWNER_AGE_US
from connector.partition.worker import FENCED_WAIT, TROUBLE_WAIT

BURST_S = FENCED_WAIT.first_s / 3
REST_S = 2.5 * FENCED_WAIT.first_s + TROUBLE_WAIT.max_s + 5.0
"""Until the owner is back, even if a burst hit it twice, and has run long enough to reset its delays."""
_OWNER_AGE_S = OWNER_AGE_US / US_PER_S


@dataclass(slots=True)
class Pace:
    """When the first and the last transaction of a burst ended, and when an owner last wrote an entry."""

    burst_s: float | None = None
    committed_s: float = 0.0
    owner_s: float | None = None

    def begin(self, now_s: float) -> float:
        """Return for how many seconds to wait before the next transaction."""
        if self.burst_s is None or now_s < self.burst_s + BURST_S:
            return 0.0
        delay_s = max(0.0, self.committed_s + REST_S - now_s) if self._has_owner else 0.0
        self.burst_s = None
        return delay_s

    def committed(self, now_s: float) -> None:
        """Record that a transaction has ended; the first one begins a burst."""
        self.committed_s = now_s
        if self.burst_s is None:
            self.burst_s = now_s

    def saw_owner(self, wrote_s: float) -> None:
        """Record when an entry of an owner was written."""
        self.owner_s = wrote_s

    @property
    def _has_owner(self) -> bool:
        """Whether there was an owner when the burst began: a reading one writes an entry at least once a minute."""
        return self.owner_s is not None and self.burst_s is not None and self.burst_s - self.owner_s < _OWNER_AGE_S
