"""What looks at a consumer group come to: each state, told apart from its near misses."""

from dataclasses import replace

import pytest

from connector.kafka.consumer_groups import GroupLook, Unprocessed
from connector.telemetry.group_states import (
    DEADLINE_US,
    HOUR_US,
    IN_WORDS,
    REMEMBERED_US,
    STALL_US,
    STUCK_US,
    WARN_US,
    GroupState,
    History,
    Judgement,
    WatchedGroup,
    judge,
)

_NOW = 1_800_000_000_000_000
_SECOND = 10**6


def _left(records: int = 0, committed: int | None = 10, number: int = 0, begin: int = 0) -> Unprocessed:
    """Return what is left of a topic partition; its oldest event is an hour old."""
    offset = committed or 0
    oldest_us = _NOW - HOUR_US if records else None
    return Unprocessed("t", number, committed, begin, offset, records, is_exact=True, oldest_event_us=oldest_us)


def _look(*partitions: Unprocessed, members: int | None = 1, is_manual: bool = False) -> GroupLook:
    return GroupLook("g", members, is_manual, partitions, ("other",))


def _first(look: GroupLook) -> Judgement:
    return judge(look, History(), _NOW)


def _states(*looks: tuple[int, GroupLook]) -> list[GroupState]:
    """Return the states that looks come to, each with its microseconds after the first."""
    history, states = History(), []
    for later_us, look in looks:
        judgement = judge(look, history, _NOW + later_us)
        history = judgement.history
        states.append(judgement.group.state)
    return states


def test_group_with_nothing_unprocessed_is_ok_for_ever() -> None:
    """However long its offsets stay where they are."""
    assert _states(*((days * 24 * HOUR_US, _look(_left())) for days in range(20))) == [GroupState.OK] * 20


def test_group_that_advances_is_ok_whatever_is_unprocessed() -> None:
    """In any of its topic partitions: a consumer may leave others for later."""
    waits = _left(5, number=1)
    looks = [(n * STALL_US, _look(_left(500, committed=10 + n), waits)) for n in range(12)]
    assert _states(*looks) == [GroupState.OK] * 12


def test_group_that_does_not_advance_is_stalled_after_five_minutes() -> None:
    """Counted from when there was something to do, and no longer once it advances."""
    assert _states(
        (0, _look(_left())),
        (9 * STALL_US, _look(_left())),
        (9 * STALL_US + 1, _look(_left(1))),
        (10 * STALL_US, _look(_left(2))),
        (10 * STALL_US + 1, _look(_left(3))),
        (10 * STALL_US + 2, _look(_left(2, committed=12))),
    ) == [GroupState.OK] * 4 + [GroupState.STALLED, GroupState.OK]


def test_topic_partition_that_does_not_advance_for_an_hour_stalls_its_group() -> None:
    """The others of the group may well advance."""
    stuck = _left(5, number=1)
    looks = [(n * STALL_US, _look(_left(500, committed=10 + n), stuck)) for n in range(14)]
    assert STUCK_US == 12 * STALL_US
    assert _states(*looks) == [GroupState.OK] * 13 + [GroupState.STALLED]


@pytest.mark.parametrize(
    ("look", "state"),
    [
        (_look(members=None), GroupState.GONE),
        (_look(_left(), members=None), GroupState.GONE),
        (_look(members=2), GroupState.GONE),
        (_look(_left(), members=0), GroupState.PAUSED),
        (_look(_left(3), members=0), GroupState.PAUSED),
        (_look(_left(3), members=0, is_manual=True), GroupState.OK),
        (_look(_left(3, committed=None)), GroupState.OK),
        (_look(_left(committed=10, begin=10)), GroupState.OK),
        (_look(_left(committed=10, begin=11)), GroupState.OK),
        (_look(_left(committed=10, begin=12)), GroupState.OVERTAKEN),
        (_look(_left(committed=None, begin=12)), GroupState.OK),
        (_look(_left(committed=10, begin=12), members=0), GroupState.OVERTAKEN),
    ],
)
def test_one_look_tells_what_it_can(look: GroupLook, state: GroupState) -> None:
    """One offset that is missing is the marker behind the last record of a transaction."""
    assert _first(look).group.state is state


def test_group_that_went_backwards_says_so_for_an_hour_and_is_news_once() -> None:
    """Also one whose offset was removed; the topic partitions are named."""
    for backwards in (9, None):
        first = _first(_look(_left(), _left(number=1)))
        second = judge(_look(_left(1, backwards), _left(number=1)), first.history, _NOW + 1)
        assert (second.group.state, second.news) == (GroupState.RESET, {GroupState.RESET: (("t", 0),)})
        third = judge(_look(_left(1, 10), _left(number=1)), second.history, _NOW + REMEMBERED_US)
        assert (third.group.state, third.news) == (GroupState.RESET, {})
        last = judge(_look(_left(), _left(number=1)), third.history, _NOW + REMEMBERED_US + 1)
        assert last.group.state is GroupState.OK


def test_group_that_comes_back_with_older_offsets_was_reset() -> None:
    """It was deleted in between."""
    assert _states((0, _look(_left())), (1, _look(members=None)), (2, _look(_left(9, committed=1)))) == [
        GroupState.OK,
        GroupState.GONE,
        GroupState.RESET,
    ]


def test_loss_to_retention_is_news_once_and_shown_until_an_hour_after_its_end() -> None:
    """As long as the group has not committed anything that is kept."""
    overtaken = _look(_left(committed=10, begin=20))
    first = _first(overtaken)
    assert first.news == {GroupState.OVERTAKEN: (("t", 0),)}
    later_us = 9 * HOUR_US
    second = judge(overtaken, first.history, _NOW + later_us)
    assert (second.group.state, second.news) == (GroupState.OVERTAKEN, {})
    again = judge(_look(_left(committed=21, begin=20)), second.history, _NOW + later_us + 1)
    assert again.group.state is GroupState.OK


def test_nothing_is_lost_where_an_earlier_look_found_nothing() -> None:
    """What retention removes of it are markers, and records of transactions that were aborted."""
    clear = replace(_left(), clear_until=30)
    history = _first(_look(clear)).history
    assert judge(_look(_left(begin=30)), history, _NOW).group.state is GroupState.OK
    assert judge(_look(_left(begin=31)), history, _NOW).group.state is GroupState.OVERTAKEN
    moved = _look(_left(committed=11, begin=30))
    assert judge(moved, history, _NOW).group.state is GroupState.OVERTAKEN


def test_topics_are_summed_up_over_their_partitions() -> None:
    """A bound makes the sum a bound; the oldest event counts."""
    old = replace(_left(500, number=1), is_exact=False, oldest_event_us=_NOW - 13 * HOUR_US)
    group = _first(_look(_left(3), old, replace(_left(), topic="u"))).group
    assert [(each.topic, each.records, each.is_exact) for each in group.topics] == [("t", 503, False), ("u", 0, True)]
    assert [each.topic for each in group.behind] == ["t"]
    assert (group.records, group.is_exact, group.oldest_event_us) == (503, False, _NOW - 13 * HOUR_US)
    assert group.not_read == ("other",)


def _aged(age_us: int | None) -> WatchedGroup:
    oldest_us = None if age_us is None else _NOW - age_us
    return _first(_look(replace(_left(0 if age_us is None else 1), oldest_event_us=oldest_us))).group


def test_time_left_is_what_x_gives_less_the_age() -> None:
    """All of it where nothing is unprocessed; an event of the future has no age."""
    assert (_aged(None).age_us(_NOW), _aged(None).left_us(_NOW)) == (0, None)
    assert _aged(20 * HOUR_US).left_us(_NOW) == 4 * HOUR_US
    assert _aged(DEADLINE_US + 1).left_us(_NOW) == -1
    assert _aged(-_SECOND).age_us(_NOW) == 0


def test_group_is_well_while_its_oldest_event_is_younger_than_twelve_hours() -> None:
    """And only if it is ok."""
    assert _aged(None).is_well(_NOW)
    assert _aged(WARN_US - 1).is_well(_NOW)
    assert not _aged(WARN_US).is_well(_NOW)
    assert not _first(_look(_left(), members=0)).group.is_well(_NOW)


def test_every_state_has_words() -> None:
    """For people."""
    assert set(IN_WORDS) == set(GroupState)
