"""Judges a watched consumer group: its state, and how much of X's 24 hours is left. Pure.

A single look cannot tell a slow group from a stuck one, so the findings of earlier looks are passed in. Instants and
lengths are microseconds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connector.events.times import US_PER_S
from connector.kafka.consumer_groups import MARKER, GroupLook, Place, Unprocessed

HOUR_US = 3_600 * US_PER_S
DEADLINE_US = 24 * HOUR_US
"""X asks everyone who stores its content to act on an event within this time."""
WARN_US = 12 * HOUR_US
"""A group with an event unprocessed for this long needs attention, as in the first alert."""
STALL_US = 5 * 60 * US_PER_S
"""How long a group with unprocessed records may go without moving any offset."""
STUCK_US = HOUR_US
"""The same for one topic partition: a group that catches up may leave it for later."""
REMEMBERED_US = HOUR_US
"""How long a group that was reset, or that retention has overtaken, is shown as such."""


class GroupState(StrEnum):
    """What a group is doing, the gravest first: public, an open set."""

    GONE = "gone"
    OVERTAKEN = "overtaken"
    RESET = "reset"
    PAUSED = "paused"
    STALLED = "stalled"
    OK = "ok"


IN_WORDS = {
    GroupState.GONE: "there is no such group, or it has read no event topic",
    GroupState.OVERTAKEN: "retention removed what it had not processed",
    GroupState.RESET: "a committed offset went backwards",
    GroupState.PAUSED: "it has no members",
    GroupState.STALLED: "it does not advance",
    GroupState.OK: "nothing is unprocessed, or it advances",
}


@dataclass(frozen=True, slots=True)
class TopicLag:
    """What a group has not processed of a topic: the sum of `Unprocessed` over its partitions."""

    topic: str
    records: int
    is_exact: bool
    oldest_event_us: int | None


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """A judged group; `members` is None if there is no such group."""

    group: str
    state: GroupState
    members: int | None
    topics: tuple[TopicLag, ...]
    not_read: tuple[str, ...]

    @property
    def is_known(self) -> bool:
        """Whether it has read anything, so that its backlog is known."""
        return bool(self.topics)

    @property
    def behind(self) -> tuple[TopicLag, ...]:
        """The topics with something unprocessed."""
        return tuple(topic for topic in self.topics if topic.records)

    @property
    def records(self) -> int:
        """The number of unprocessed records, or an upper bound."""
        return sum(topic.records for topic in self.topics)

    @property
    def is_exact(self) -> bool:
        """Whether that number is exact."""
        return all(topic.is_exact for topic in self.topics)

    @property
    def oldest_event_us(self) -> int | None:
        """The date of the oldest known unprocessed event."""
        return _least(topic.oldest_event_us for topic in self.topics)

    def age_us(self, now_us: int) -> int:
        """Return the age of that event, 0 if nothing is unprocessed."""
        return age_us(self.oldest_event_us, now_us)

    def left_us(self, now_us: int) -> int | None:
        """Return how much of X's time is left for it, None if nothing is unprocessed; negative once it is over."""
        return None if self.oldest_event_us is None else DEADLINE_US - self.age_us(now_us)

    def is_well(self, now_us: int) -> bool:
        """Return whether it needs no attention."""
        return self.state is GroupState.OK and self.age_us(now_us) < WARN_US


@dataclass(frozen=True, slots=True)
class Seen:
    """What the latest look found in a topic partition; `since_us` is when it last advanced, or had nothing to do."""

    committed: int | None
    clear_until: int
    since_us: int


@dataclass(frozen=True, slots=True)
class History:
    """What earlier looks at a group found.

    `moved_us` is when it last moved an offset, or had nothing to do. `overtaken` are the topic partitions where
    retention was ahead of it. `incidents` holds when it last entered each state that is remembered.
    """

    moved_us: int = 0
    seen: Mapping[Place, Seen] = field(default_factory=dict)
    overtaken: frozenset[Place] = frozenset()
    incidents: Mapping[GroupState, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of a look; `history` is for the next one. `news` are the places of new incidents, by state."""

    group: WatchedGroup
    history: History
    news: Mapping[GroupState, tuple[Place, ...]]


def judge(look: GroupLook, before: History, now_us: int) -> Judgement:
    """Return the judgement of a look at a group at `now_us`, given the history of earlier looks."""
    overtaken = frozenset(each.place for each in look.partitions if _is_overtaken(each, before.seen.get(each.place)))
    news = {
        GroupState.OVERTAKEN: tuple(sorted(overtaken - before.overtaken)),
        GroupState.RESET: tuple(each.place for each in look.partitions if _is_reset(each, before.seen.get(each.place))),
    }
    new = {state: now_us for state, places in news.items() if places}
    recent = {state: at_us for state, at_us in before.incidents.items() if now_us - at_us < REMEMBERED_US}
    seen = {each.place: _seen(each, before.seen.get(each.place), now_us) for each in look.partitions}
    is_still = any(each.records for each in look.partitions) and not any(
        _has_moved(each, before.seen.get(each.place)) for each in look.partitions
    )
    moved_us = before.moved_us if is_still else now_us
    history = History(moved_us, {**before.seen, **seen}, overtaken, recent | new)
    group = WatchedGroup(
        look.group, _state(look, history, now_us), look.members, tuple(_by_topic(look.partitions)), look.not_read
    )
    return Judgement(group, history, {state: places for state, places in news.items() if places})


def age_us(event_us: int | None, now_us: int) -> int:
    """Return the age of the oldest unprocessed event, 0 if there is none or its date is in the future."""
    return 0 if event_us is None else max(0, now_us - event_us)


def _state(look: GroupLook, history: History, now_us: int) -> GroupState:
    """Return the gravest state that the group is in."""
    if look.members is None or not look.partitions:
        return GroupState.GONE
    if history.overtaken or GroupState.OVERTAKEN in history.incidents:
        return GroupState.OVERTAKEN
    if GroupState.RESET in history.incidents:
        return GroupState.RESET
    if look.members == 0 and not look.is_manual:
        return GroupState.PAUSED
    is_stuck = any(now_us - history.seen[each.place].since_us > STUCK_US for each in look.partitions)
    is_stalled = is_stuck or now_us - history.moved_us > STALL_US
    return GroupState.STALLED if is_stalled else GroupState.OK


def _seen(found: Unprocessed, before: Seen | None, now_us: int) -> Seen:
    since_us = now_us if before is None or _has_moved(found, before) or not found.records else before.since_us
    return Seen(found.committed, found.clear_until, since_us)


def _has_moved(found: Unprocessed, before: Seen | None) -> bool:
    return before is None or before.committed != found.committed


def _is_reset(found: Unprocessed, before: Seen | None) -> bool:
    """Return whether the committed offset went backwards, or was removed."""
    if before is None or before.committed is None:
        return False
    return found.committed is None or found.committed < before.committed


def _is_overtaken(found: Unprocessed, before: Seen | None) -> bool:
    """Return whether records may have been removed before the group processed them."""
    if found.committed is None or found.begin - found.committed <= MARKER:
        return False
    is_known_clear = before is not None and before.committed == found.committed and found.begin <= before.clear_until
    return not is_known_clear


def _by_topic(partitions: Iterable[Unprocessed]) -> Iterator[TopicLag]:
    topics: dict[str, list[Unprocessed]] = {}
    for each in partitions:
        topics.setdefault(each.topic, []).append(each)
    for topic, its in topics.items():
        yield TopicLag(
            topic,
            sum(each.records for each in its),
            all(each.is_exact for each in its),
            _least(each.oldest_event_us for each in its),
        )


def _least(instants: Iterable[int | None]) -> int | None:
    return min((instant for instant in instants if instant is not None), default=None)
