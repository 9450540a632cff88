"""What goes wrong in the demo can be told apart, and what is lost is out of reach."""

from connector.coverage.plan import BACKFILL_MAX_MINUTES
from connector.demo.stage import LOSS, TROUBLES
from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES


def test_troubles_come_in_the_order_of_their_time_and_each_kind_once() -> None:
    """How often a kind fired tells whether the trouble happened."""
    moments = [*(trouble.at for trouble in TROUBLES), LOSS.at, 1]
    assert moments == sorted(moments)
    faults = [*(trouble.fault for trouble in TROUBLES), *LOSS.holding_back(), *LOSS.giving_up()]
    kinds = [trouble.fault.kind for trouble in TROUBLES]
    assert len({*kinds, "stall", "close", "ignore-replay"}) == len(kinds) + 3
    assert {fault.kind for fault in faults} == {*kinds, "stall", "close", "ignore-replay"}


def test_troubles_leave_the_stream_partitions_alone_of_which_a_stretch_is_lost() -> None:
    """A line that is no event must land, and would have nothing that accounts for it."""
    assert not {target for trouble in TROUBLES for target in trouble.fault.targets} & set(LOSS.partitions)


def test_stretch_is_longer_than_a_backfill() -> None:
    """By a minute, in which the service connects again."""
    assert LOSS.away_s >= (BACKFILL_MAX_MINUTES + 1) * 60


def test_stretch_is_of_streams_whose_events_are_made_up_for_in_part() -> None:
    """Both runs have something to make up for, and something remains."""
    answered = frozenset().union(*(batch_type.answers for batch_type in BATCH_TYPES))
    for partition in LOSS.partitions:
        names = {event_type.name for event_type in EVENT_TYPES if event_type.stream == partition.stream}
        assert names & answered
        assert names - answered
    assert all(
        any(name.startswith(f"{partition.stream}.") for partition in LOSS.partitions for name in batch_type.answers)
        for batch_type in BATCH_TYPES
    )
