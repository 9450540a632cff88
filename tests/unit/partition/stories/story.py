"""A story: what X, the clocks and the process do in turn, and what must be true after every transaction of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from connector.coverage.gap import Gap
from connector.coverage.recovery import MINUTE_US
from connector.events.times import US_PER_S
from connector.partition.batch import Transaction
from tests.unit.partition.stories.clocks import Clocks
from tests.unit.partition.stories.connector import WINDOW_MINUTES, Answer, Connector, Crash
from tests.unit.partition.stories.x import NEIGHBOURS_US, Emitted, Manner, Traits, X

HELD_AT_MOST_US = 11 * MINUTE_US
"""How far behind its own beginning, or behind now, coverage may be while a live connection delivers."""
STANDSTILL_US = 15 * MINUTE_US
STANDSTILL_ATTEMPTS = 60
"""Coverage stands still for longer than one of both, never than both: halvings, tries and refetches take attempts."""
CALM = Manner(live_s=400)
SOUND = Answer()


@dataclass(frozen=True, slots=True)
class Connect:
    """Attempts of which X treats each in the same way."""

    times: int = 1
    answer: Answer = SOUND
    manner: Manner = CALM
    commit_every: int = 1
    crash: Crash | None = None


@dataclass(frozen=True, slots=True)
class Away:
    """Time without any attempt."""

    minutes: float


@dataclass(frozen=True, slots=True)
class Restart:
    """A new process."""


@dataclass(frozen=True, slots=True)
class Rate:
    """X emits at another rate from now on."""

    every_s: int


@dataclass(frozen=True, slots=True)
class Wall:
    """The wall clock is set: by so much ahead of X's time."""

    ahead_s: int


@dataclass(frozen=True, slots=True)
class Suspend:
    """The machine is suspended."""

    seconds: int


Step = Connect | Away | Restart | Rate | Wall | Suspend


class Sight(StrEnum):
    """When a connector that is not told can know that X lies."""

    BY_ITSELF = "by-itself"
    BESIDE_OTHERS = "beside-others"
    LATER = "later"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Story:
    """What happens.

    Lies that show by what is known beside them, or only by what comes after them, come after a sound beginning.
    """

    traits: Traits
    steps: Sequence[Step]
    wall_ahead_s: int = 0
    sight: Sight = Sight.BY_ITSELF


@dataclass
class Told:
    """A story while it runs."""

    story: Story
    published: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.x = X(self.story.traits)
        self.clocks = Clocks(wall_ahead_us=self.story.wall_ahead_s * US_PER_S)
        self._wall_us = self.clocks.wall_us()
        self._checked = 0
        self._moved_us, self._moved_at = self.clocks.now_us, 0
        connects = [step for step in self.story.steps if isinstance(step, Connect)]
        self._has_odd_dates = any(step.answer.date_off_us for step in connects)
        self._slack_us = NEIGHBOURS_US + US_PER_S if any(step.manner.is_reordered for step in connects) else 0
        self.connector = Connector(self.x, self.clocks, self._committed)

    def tell(self) -> None:
        """Play all steps, and then an X that does what is asked of it until coverage is where it belongs."""
        if self.story.sight in {Sight.BESIDE_OTHERS, Sight.LATER}:
            self.settle()
        for step in self.story.steps:
            self._play(step)
        self.x.set_rate(self.story.traits.every_s, self.clocks.now_us)
        self._slack_us = 0
        self.settle()

    def settle(self) -> None:
        """Let X be sound from now on: in a bounded number of attempts, coverage is complete and recent."""
        attempts = 0
        while not (self.connector.has_been_live and self.age_us <= 2 * MINUTE_US + self._late_us and attempts):
            attempts += 1
            assert attempts < 250, f"not settled: {self.age_us / US_PER_S} s behind"
            self._attempt(Connect())
        self._check_nothing_missing(self.connector.state.covered_until_us - self._slack_us)
        self._check_memory()

    @property
    def age_us(self) -> int:
        """How far coverage is behind."""
        return self.clocks.now_us - self.connector.state.covered_until_us

    @property
    def _late_us(self) -> int:
        return max(self.story.traits.late_s) * US_PER_S

    def _play(self, step: Step) -> None:
        match step:
            case Connect():
                for _ in range(step.times):
                    self._attempt(step)
            case Away():
                self._pass(int(step.minutes * MINUTE_US))
            case Restart():
                self._restart()
            case Rate():
                self.x.set_rate(step.every_s, self.clocks.now_us)
            case Wall():
                self.clocks.wall_ahead_us = step.ahead_s * US_PER_S
            case Suspend():
                self.clocks.suspend(step.seconds * US_PER_S)

    def _pass(self, duration_us: int) -> None:
        self.clocks.advance(duration_us)
        self._moved_us += duration_us

    def _restart(self) -> None:
        before = self.connector.state.known_ids
        self.connector.restart()
        state, entry = self.connector.state, self.connector.entries[-1].entry
        assert state.known_ids == before
        assert state.progress.recovery == entry.recovery
        assert state.covered_until_us == entry.covered_until_us

    def _attempt(self, step: Connect) -> None:
        connector, began_us = self.connector, self.clocks.now_us
        granted, covered_us = connector.granted, connector.state.covered_until_us
        connector.attempt(step.answer, step.manner, commit_every=step.commit_every, crash=step.crash)
        if connector.state.covered_until_us != covered_us:
            self._moved_us, self._moved_at = self.clocks.now_us, connector.granted
        elif connector.granted == granted:
            self._moved_us += self.clocks.now_us - began_us
        still_us, attempts = self.clocks.now_us - self._moved_us, connector.granted - self._moved_at
        assert still_us < STANDSTILL_US or attempts < STANDSTILL_ATTEMPTS, f"still for {still_us}, {attempts} attempts"

    def _committed(self, transaction: Transaction, _offset: int) -> None:
        """Check everything that must hold after each transaction."""
        entry, now_us = transaction.entry, self.clocks.now_us
        assert self._has_odd_dates or entry.covered_until_us <= now_us + US_PER_S
        since_us = self.connector.is_live_us
        if since_us is not None:
            assert now_us - max(entry.covered_until_us, since_us) <= HELD_AT_MOST_US, "coverage is held"
        self._check_published(transaction)
        assert entry.sequence == sum(self.published.values())
        if self.story.sight is not Sight.LATER:
            self._check_nothing_missing(entry.covered_until_us - self._slack_us)

    def _check_published(self, transaction: Transaction) -> None:
        """Once within the window: again at most when coverage is further behind it than that."""
        forgotten_us = transaction.entry.covered_until_before_us - WINDOW_MINUTES * MINUTE_US
        for record in transaction.records:
            if not record.topic.startswith("p."):
                continue
            number = int(record.key)
            count = self.published.get(number, 0)
            event = self.x.emitted[number - 1]
            assert not count or event.at_us < forgotten_us, f"published again: {event}"
            self.published[number] = count + 1

    def _check_nothing_missing(self, covered_us: int) -> None:
        """Everything emitted before the end of coverage is published, or in a gap."""
        if self.story.sight is Sight.NONE:
            return
        emitted, begins_us = self.x.emitted, min(self._wall_us, self.connector.began_us or 0)
        while self._checked < len(emitted) and emitted[self._checked].at_us < covered_us:
            event = emitted[self._checked]
            selected_by_us = event.date_us if self.story.traits.is_by_date else event.at_us
            assert selected_by_us < begins_us or self._is_accounted_for(event), f"missing: {event}"
            self._checked += 1

    def _is_accounted_for(self, event: Emitted) -> bool:
        if event.number in self.published:
            return True
        return any(_holds(gap, event.at_us) or _holds(gap, event.date_us) for gap in self.connector.gaps)

    def _check_memory(self) -> None:
        """Ids are known for the window and the age of coverage; a range that may come again is half an hour at most."""
        entries = self.connector.entries
        limit_us = entries[-1].entry.covered_until_us - (WINDOW_MINUTES + 30) * MINUTE_US
        assert self.connector.state.known_ids <= sum(
            each.entry.id_count for each in entries if each.entry.covers_to_us >= limit_us
        )


def _holds(gap: Gap, at_us: int) -> bool:
    return gap.start_us <= at_us < gap.end_us
