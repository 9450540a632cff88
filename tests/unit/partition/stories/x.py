"""A model of X: what it emits, and how well or badly it delivers that on one connection.

Owns the truth. Must not know what the connector makes of it. Instants are microseconds since 1970 in X's true time.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from connector.coverage.plan import Live, Replay
from connector.coverage.recovery import MINUTE_US
from connector.events.times import US_PER_S
from tests.fakes.partition import line
from tests.fakes.x import NOW_US

KEEP_ALIVE_US = 20 * US_PER_S
TRANSIT_US = 50_000
NEIGHBOURS_US = 6 * US_PER_S
FOREIGN = (b'{"status":"ok"}', b"<html>", b'{"data":{"delete":', b"\xff\xfe")
SYSTEM = b'{"errors":[{"title":"t","disconnect_type":"ForceDisconnect","detail":"d"}]}'
cached_line = lru_cache(maxsize=100_000)(line)


class Lie(StrEnum):
    """How X delivers a connection otherwise than asked."""

    EARLY_END = "early-end"
    EMPTY = "empty"
    OPEN = "open"
    IGNORED = "ignored"
    OVERSHOOT = "overshoot"
    CUT = "cut"
    NO_BACKFILL = "no-backfill"


@dataclass(frozen=True, slots=True)
class Traits:
    """What X is like throughout a story: how often it emits, how late by turns, and by what it selects."""

    every_s: int = 10
    late_s: tuple[int, ...] = (0,)
    straggler_every: int = 0
    is_by_date: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How X behaves on one connection. Numbers are of lines or seconds, 0 means never.

    `lie_size` is how many lines come before a cut, and for how many seconds a replay overshoots. A line that came
    `repeat_age` lines before is repeated, one of the same connection unless it `repeats_of_before`.
    """

    lie: Lie | None = None
    lie_size: int = 0
    live_s: int = 60
    is_proper: bool = True
    pace_s: int = 0
    repeat_every: int = 0
    repeat_age: int = 1
    repeats_of_before: bool = False
    is_reordered: bool = False
    foreign_at: int = 0
    system_at: int = 0


@dataclass(frozen=True, slots=True)
class Emitted:
    """An event of X's."""

    number: int
    at_us: int
    date_us: int

    @property
    def line(self) -> bytes:
        """Its line on the stream."""
        return cached_line(self.number, self.date_us)


Delivery = tuple[int, tuple[bytes, ...]]
"""When lines arrive together; none are a keep-alive."""


@dataclass
class X:
    """One stream partition of X."""

    traits: Traits
    every_s: int = 0
    emitted: list[Emitted] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    _next_us: int = NOW_US - 10 * MINUTE_US

    def __post_init__(self) -> None:
        self.every_s = self.traits.every_s

    def emit_until(self, until_us: int) -> None:
        """Emit what happens before `until_us`, at the present rate."""
        while self._next_us < until_us:
            number = len(self.emitted) + 1
            self.emitted.append(Emitted(number, self._next_us, self._next_us - self._late_us(number)))
            self._next_us += self.every_s * US_PER_S + number * 7919 % 900_000

    def _late_us(self, number: int) -> int:
        traits = self.traits
        if traits.straggler_every and number % traits.straggler_every == 0:
            return (60 + number * 37 % 240) * MINUTE_US
        return traits.late_s[number % len(traits.late_s)] * US_PER_S

    def set_rate(self, every_s: int, now_us: int) -> None:
        """Emit at another rate from now on."""
        self.emit_until(now_us)
        self.every_s = every_s
        latest_us = max(now_us, self.emitted[-1].at_us)
        self._next_us = min(self._next_us, latest_us + every_s * US_PER_S)

    def between(self, start_us: int, end_us: int) -> list[Emitted]:
        """Return what was emitted in a time range."""
        self.emit_until(end_us)
        first, end = (bisect_left(self.emitted, at_us, key=_emitted_at) for at_us in (start_us, end_us))
        return self.emitted[first:end]

    def _selected(self, start_us: int, end_us: int, now_us: int) -> list[Emitted]:
        """Return what X knows of a range at `now_us`, in the order of emission."""
        if not self.traits.is_by_date:
            return self.between(start_us, min(end_us, now_us))
        latest_us = min(now_us, end_us + 6 * 60 * MINUTE_US)
        return [each for each in self.between(start_us, latest_us) if start_us <= each.date_us < end_us]

    def deliver(self, plan: Live | Replay, manner: Manner, now_us: int) -> Iterator[Delivery]:
        """Yield what one connection brings, which was granted at `now_us`, until X ends it."""
        if isinstance(plan, Live) or manner.lie is Lie.IGNORED:
            minutes = plan.backfill_minutes if isinstance(plan, Live) else 0
            deliveries = self._live(minutes, manner, now_us)
        else:
            deliveries = self._replay(plan, manner, now_us)
        return self._spoilt(deliveries, manner)

    def _replay(self, plan: Replay, manner: Manner, now_us: int) -> Iterator[Delivery]:
        over_us = manner.lie_size * US_PER_S if manner.lie is Lie.OVERSHOOT else 0
        events = self._selected(plan.start_us, plan.end_us + over_us, now_us)
        if manner.lie is Lie.EARLY_END:
            events = events[: len(events) // 2]
        elif manner.lie is Lie.EMPTY:
            events = []
        if manner.is_reordered:
            events = [each for _, each in _reordered([(0, each) for each in events])]
        at_us = now_us
        for first in range(0, len(events), 7):
            at_us += 200_000
            yield at_us, tuple(each.line for each in events[first : first + 7])
        if manner.lie is Lie.OPEN:
            for each_us in range(at_us + KEEP_ALIVE_US, at_us + 10 * MINUTE_US, KEEP_ALIVE_US):
                yield each_us, ()

    def _live(self, minutes: int, manner: Manner, now_us: int) -> Iterator[Delivery]:
        """Yield the backfill, at once or paced between what is live, and then what is live."""
        end_us = now_us + manner.live_s * US_PER_S
        backfill = self._selected(now_us - minutes * MINUTE_US, now_us, now_us) if minutes else []
        if manner.lie is Lie.NO_BACKFILL:
            backfill = []
        pace_us = manner.pace_s * US_PER_S
        waiting = [(now_us + 100_000 + place * pace_us, each) for place, each in enumerate(backfill)]
        waiting += [(each.at_us + TRANSIT_US, each) for each in self.between(now_us, end_us)]
        waiting.sort(key=_arrives_at)
        if manner.is_reordered:
            waiting = _reordered(waiting)
        last_us = now_us
        for at_us, events in _grouped(waiting):
            yield from ((each_us, ()) for each_us in range(last_us + KEEP_ALIVE_US, min(at_us, end_us), KEEP_ALIVE_US))
            last_us = at_us
            if at_us >= end_us:
                return
            yield at_us, tuple(each.line for each in events)
        yield from ((each_us, ()) for each_us in range(last_us + KEEP_ALIVE_US, end_us, KEEP_ALIVE_US))

    def _spoilt(self, deliveries: Iterator[Delivery], manner: Manner) -> Iterator[Delivery]:
        """Repeat, cut, and speak of other things."""
        count, first = 0, 0 if manner.repeats_of_before else len(self.sent)
        for at_us, lines in deliveries:
            given = list[bytes]()
            for each in lines:
                if manner.lie is Lie.CUT and count >= manner.lie_size:
                    if given:
                        yield at_us, tuple(given)
                    return
                count += 1
                self.sent.append(each)
                given.append(each)
                if manner.repeat_every and count % manner.repeat_every == 0:
                    given.append(self.sent[max(first, len(self.sent) - manner.repeat_age)])
                if count == manner.foreign_at:
                    given.append(FOREIGN[count % len(FOREIGN)])
                if count == manner.system_at:
                    given.append(SYSTEM)
            yield at_us, tuple(given)


def _emitted_at(each: Emitted) -> int:
    return each.at_us


def _arrives_at(each: tuple[int, Emitted]) -> int:
    return each[0]


def _grouped(waiting: Sequence[tuple[int, Emitted]]) -> Iterator[tuple[int, list[Emitted]]]:
    """Yield what arrives at once together, seven at most."""
    group = list[Emitted]()
    for place, (at_us, each) in enumerate(waiting):
        group.append(each)
        if place + 1 == len(waiting) or waiting[place + 1][0] != at_us or len(group) == 7:
            yield at_us, group
            group = []


def _reordered(waiting: list[tuple[int, Emitted]]) -> list[tuple[int, Emitted]]:
    """Swap neighbours that were emitted within some seconds: the older one comes right behind the newer one."""
    swapped = list(waiting)
    for place in range(0, len(waiting) - 1, 2):
        (_, older), (at_us, newer) = waiting[place : place + 2]
        if abs(newer.at_us - older.at_us) < NEIGHBOURS_US:
            swapped[place : place + 2] = [(at_us, newer), (at_us, older)]
    return swapped
