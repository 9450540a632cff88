"""Hours of one live connection in simulated time: coverage stays recent, and memory stays as large as it was."""

import pytest

from connector.events.times import US_PER_S
from connector.partition.batch import Transaction
from tests.unit.partition.stories.clocks import Clocks
from tests.unit.partition.stories.connector import Answer, Connector
from tests.unit.partition.stories.x import Manner, Traits, X

_HOUR_US = 3600 * US_PER_S
_BUSY = Traits(every_s=2)


class _Watch:
    """Notes how far coverage is behind, and how many ids are known, at each commit."""

    def __init__(self, traits: Traits, wall_ahead_s: int = 0) -> None:
        self.clocks = Clocks(wall_ahead_us=wall_ahead_s * US_PER_S)
        self.began_us = self.clocks.now_us
        self.steps: dict[int, int] = {}
        self.behind_s: list[tuple[float, float]] = []
        self.known: list[tuple[float, int]] = []
        self.connector = Connector(X(traits), self.clocks, self._committed)

    def live(self, seconds: int) -> None:
        """Stay connected."""
        self.connector.attempt(Answer(), Manner(live_s=seconds), commit_every=5)

    def _committed(self, transaction: Transaction, _offset: int) -> None:
        second = (self.clocks.now_us - self.began_us) / US_PER_S
        behind_us = self.clocks.now_us - transaction.entry.covered_until_us
        self.behind_s.append((second, behind_us / US_PER_S))
        self.known.append((second, self.connector.state.known_ids))
        for due_s in [due_s for due_s in self.steps if due_s <= second]:
            self.clocks.wall_ahead_us = self.steps.pop(due_s) * US_PER_S

    def worst_behind_s(self, from_s: float) -> float:
        """Return how far coverage was behind at most, from some second on."""
        return max(behind_s for second, behind_s in self.behind_s if second >= from_s)


def test_three_hours_with_a_straggler_a_minute_keep_coverage_recent_and_memory_flat() -> None:
    """Three hours left coverage 10,700 s behind, and memory and restore grew with it."""
    watch = _Watch(Traits(every_s=10, straggler_every=6))
    watch.live(3 * 3600)
    assert watch.worst_behind_s(120) < 60
    assert watch.connector.granted == 1
    first_hour = max(known for second, known in watch.known if second < 3600)
    assert max(known for _, known in watch.known) <= first_hour + 2
    assert first_hour < 1.3 * (10 + 10) * 6


@pytest.mark.parametrize("wall_ahead_s", [0, -30, -300, 600])
def test_wall_clock_that_is_off_costs_nothing_on_a_busy_partition(wall_ahead_s: int) -> None:
    """One 300 s slow froze coverage of a partition without keep-alives."""
    watch = _Watch(_BUSY, wall_ahead_s)
    watch.live(1)
    while not watch.connector.has_been_live:
        watch.live(1)
    watch.live(1200)
    assert watch.worst_behind_s(180) < 20


@pytest.mark.parametrize("wall_ahead_s", [-30, -300, 600])
def test_wall_clock_that_is_stepped_under_a_live_connection_costs_nothing(wall_ahead_s: int) -> None:
    """A step back froze coverage for as long as it was."""
    watch = _Watch(_BUSY)
    watch.steps = {300: wall_ahead_s}
    watch.live(1200)
    assert watch.steps == {}
    assert watch.worst_behind_s(120) < 20


@pytest.mark.slow
@pytest.mark.parametrize("late_s", [30, 200, 1200])
def test_x_whose_events_are_late_holds_coverage_for_no_longer_than_its_bound(late_s: int) -> None:
    """Coverage is behind by the lateness and the hold of one backfill at most, or a replay moves it."""
    watch = _Watch(Traits(every_s=5, late_s=(late_s,)))
    while watch.clocks.now_us < watch.began_us + 2 * _HOUR_US:
        watch.live(3600)
    assert watch.worst_behind_s(0) < 15 * 60 + late_s
