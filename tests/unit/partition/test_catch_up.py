"""Plan, overlap and timeline together against a modelled X: whatever X does, each event once, and an end to it."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

import pytest
from connector.source.deliveries import Ended, KeptAlive
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connector.coverage.plan import MINUTE_US, Allowed, Live, Plan, Replay, is_within_reach, make_plan, unreached
from connector.coverage.session import Doubt
from connector.events.times import US_PER_S
from connector.kafka.ledger import first_entry
from connector.kafka.restore import OffsetEntry
from connector.partition.state import Timeline
from tests.unit.partition.fakes import PARTITION, Ledger, line, opened, received, timeline
from tests.unit.x.fakes import NOW_US

_MOST_CONNECTIONS = 200


@dataclass(frozen=True)
class _Emitted:
    number: int
    dated_us: int
    at_us: int


def _emissions(every_s: int, until_us: int, lateness_s: tuple[int, ...] = (0,)) -> list[_Emitted]:
    """Return an event every `every_s`, dated so much before its emission, in turn."""
    times = range(NOW_US - 20 * MINUTE_US, until_us, every_s * US_PER_S)
    return [
        _Emitted(number, at_us - lateness_s[number % len(lateness_s)] * US_PER_S, at_us)
        for number, at_us in enumerate(times)
    ]


@dataclass
class _X:
    """What X emits, and how badly it brings it again.

    A replay that `ends_early` brings its first half only; what is asked for once more comes whole.
    """

    emitted: list[_Emitted]
    ignores_backfill: bool = False
    ends_early: list[bool] = field(default_factory=list)

    def between(self, start_us: int, end_us: int) -> list[_Emitted]:
        """Return what was emitted in a stretch of time."""
        first, end = (bisect_left(self.emitted, at_us, key=lambda each: each.at_us) for at_us in (start_us, end_us))
        return self.emitted[first:end]

    def replay(self, plan: Replay, *, is_again: bool) -> list[_Emitted]:
        """Return what a replay brings."""
        whole = self.between(plan.start_us, plan.end_us)
        is_early = self.ends_early.pop(0) if self.ends_early and not is_again else False
        return whole[: len(whole) // 2] if is_early else whole

    def backfill(self, plan: Live, at_us: int) -> list[_Emitted]:
        """Return what a live connection begins with."""
        return [] if self.ignores_backfill else self.between(at_us - plan.backfill_minutes * MINUTE_US, at_us)


class _Story:
    """One stream partition from connection to connection, its reader in short and its ledger."""

    def __init__(self, x: _X) -> None:
        self.x = x
        self.now_us = NOW_US
        self.connections = 0
        self.doubts: list[Doubt] = []
        self.delivered: set[int] = set()
        self.ledger = Ledger(timeline(NOW_US))
        self._is_catching_up = False

    def restart(self) -> None:
        """Begin again from the ledger, as another process would."""
        before = self.ledger
        self.ledger = Ledger(timeline(restored=before.restored()))
        self.ledger.placed, self.ledger.drafts = before.placed, before.drafts
        self._is_catching_up = False

    def follow(self, live_s: int, restarts: int = 0) -> None:
        """Make connections until one was live for `live_s` without a doubt, the first ones in a new process each."""
        while not self._connect(live_s):
            assert self.connections < _MOST_CONNECTIONS
            if restarts and self.ledger.at.doubt is None:
                self.restart()
                restarts -= 1

    def _connect(self, live_s: int) -> bool:
        self.connections += 1
        at, now_us = self.ledger.at, self.now_us
        again, plan = at.again, self._plan(at, now_us)
        at.take(opened(plan, now_us, unreached(plan, at.covered_until_us, now_us)))
        if isinstance(plan, Replay):
            self._take(self.x.replay(plan, is_again=plan == again), now_us)
            self.now_us += US_PER_S
        else:
            self._take(self.x.backfill(plan, now_us), now_us + US_PER_S)
            self._live(now_us, now_us + live_s * US_PER_S)
        at.take(Ended(is_whole=at.doubt is None))
        self.ledger.commit(self.now_us)
        self._is_catching_up = isinstance(plan, Replay)
        if at.doubt is not None:
            self.doubts.append(at.doubt)
        return isinstance(plan, Live) and at.doubt is None

    def _plan(self, at: Timeline, now_us: int) -> Plan:
        if at.again is not None and is_within_reach(at.again, now_us):
            return at.again
        return make_plan(at.covered_until_us, now_us, Allowed(), is_catching_up=self._is_catching_up)

    def _live(self, since_us: int, until_us: int) -> None:
        """Deliver each event as it is emitted, and a keep-alive after every 20 s."""
        events = {each.at_us: each for each in self.x.between(since_us, until_us)}
        ticks = range(since_us + 20 * US_PER_S, until_us, 20 * US_PER_S)
        for at_us in sorted({*events, *ticks}):
            if self.ledger.at.doubt is not None:
                return
            self.now_us = at_us
            if at_us in events:
                self._take([events[at_us]], at_us)
            elif not self.x.between(at_us - 20 * US_PER_S, at_us):
                self.ledger.at.take(KeptAlive(at_us, at_us - 20 * US_PER_S))
        self.now_us = until_us

    def _take(self, events: list[_Emitted], at_us: int) -> None:
        self.delivered.update(each.number for each in events)
        if events:
            self.ledger.at.take(received(*(line(each.number, each.dated_us) for each in events), at_us=at_us))

    def published(self) -> Counter[int]:
        """Return how often each event was published."""
        records = [record for draft in self.ledger.drafts for record in draft.records if record.topic.startswith("p.")]
        return Counter(int(record.key) for record in records)

    def missing(self) -> list[int]:
        """Return the numbers of what X emitted before the end of coverage, since the start, and is not published."""
        covered_us, there = self.ledger.at.covered_until_us, self.published()
        return [each.number for each in self.x.between(NOW_US, covered_us) if each.number not in there]


def _hours(number: float) -> int:
    return NOW_US + int(number * 60) * MINUTE_US


def test_first_connection_of_a_new_partition_is_not_doubted() -> None:
    """Nothing is known yet."""
    story = _Story(_X(_emissions(5, _hours(0.1))))
    story.follow(300)
    assert (story.doubts, story.connections, story.missing()) == ([], 1, [])


@pytest.mark.parametrize("early", range(4))
@pytest.mark.parametrize("restarts", [True, False])
def test_slice_that_ended_early_is_noticed_and_nothing_is_missing_or_repeated(early: int, *, restarts: bool) -> None:
    """Whichever of the slices it was, on a partition where much happens, also when the process is then replaced."""
    story = _Story(_X(_emissions(5, _hours(1.5)), ends_early=[False] * early + [True]))
    story.follow(120)
    if restarts:
        story.restart()
    story.now_us += 61 * MINUTE_US
    story.follow(180, _MOST_CONNECTIONS if restarts else 0)
    assert story.doubts == [Doubt.NEW_WHERE_ALL_IS_KNOWN]
    assert story.missing() == []
    assert set(story.published().values()) == {1}


def test_backfill_that_was_not_given_is_made_up_for_once() -> None:
    """Of what the first one left out nothing is missing, and X is not asked for ever."""
    story = _Story(_X(_emissions(5, _hours(0.5)), ignores_backfill=True))
    story.follow(120)
    story.now_us += MINUTE_US
    story.follow(120)
    assert story.doubts == [Doubt.NOTHING_REPEATED]
    assert story.missing() == []
    assert set(story.published().values()) == {1}


@pytest.mark.parametrize("lateness_s", [(0,), (90,), (0, 90)])
@pytest.mark.parametrize("every_s", [5, 45, 700, 10_000])
def test_sound_x_costs_little_more_however_quiet_and_late(every_s: int, lateness_s: tuple[int, ...]) -> None:
    """Events dated 90 s back look new where all is known: each slice and connection is doubted once at most."""
    story = _Story(_X(_emissions(every_s, _hours(4), lateness_s)))
    for _ in range(3):
        story.follow(200)
        story.now_us += 62 * MINUTE_US
    story.follow(300)
    slices = 2 * 3 * 5
    assert story.connections <= 4 + 3 * slices
    assert story.missing() == []
    assert set(story.published().values()) <= {1}
    if lateness_s == (0,):
        assert story.doubts == []


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 70), st.booleans()), min_size=1, max_size=5),
    every_s=st.integers(20, 300),
    lateness_s=st.lists(st.integers(0, 90), min_size=1, max_size=3),
    ends_early=st.lists(st.booleans(), max_size=30),
    ignores_backfill=st.booleans(),
)
@example(steps=[(5, 11, False), (15, 3, True)], every_s=20, lateness_s=[86], ends_early=[], ignores_backfill=True)
def test_whatever_x_does_nothing_is_repeated_and_a_sound_x_leaves_nothing_out(
    *,
    steps: list[tuple[int, int, bool]],
    every_s: int,
    lateness_s: list[int],
    ends_early: list[bool],
    ignores_backfill: bool,
) -> None:
    """Outages, restarts, early ends and backfills that are not given, in any order; and it comes to an end."""
    emitted = _emissions(every_s, _hours(8), tuple(lateness_s))
    story = _Story(_X(emitted, ignores_backfill=ignores_backfill, ends_early=list(ends_early)))
    for live_s, away_min, restarts in steps:
        story.follow(live_s, 4 if restarts else 0)
        if restarts:
            story.restart()
        story.now_us += away_min * MINUTE_US
    story.x.ends_early.clear()
    story.follow(200)
    published = story.published()
    assert set(published.values()) <= {1}
    assert published.keys() <= story.delivered
    if not ignores_backfill and not any(ends_early):
        assert published.keys() == story.delivered
        assert story.missing() == []


def test_story_s_restart_reads_back_what_the_ledger_needs() -> None:
    """The model's own footing: a restored timeline stands where the one before stood."""
    story = _Story(_X(_emissions(5, _hours(0.1))))
    story.follow(120)
    covered_us = story.ledger.at.covered_until_us
    story.restart()
    assert story.ledger.at.covered_until_us == covered_us
    assert story.ledger.placed[0] == OffsetEntry(0, first_entry(PARTITION, "w", NOW_US))
