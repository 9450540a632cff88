"""A replay of dead letters leaves the owner time to work, and wastes none where there is no owner."""

from collections.abc import Callable
from itertools import pairwise

from connector.operations.replay_pace import BURST_S, REST_S, Pace
from connector.partition.worker import FENCED_WAIT, TROUBLE_WAIT


def _replay(transactions: int, owner_wrote_s: Callable[[float], float | None]) -> list[float]:
    """Return when each transaction begins, of one second each, where an owner wrote when it is said to have."""
    pace, now_s, begun = Pace(), 100.0, list[float]()
    for _ in range(transactions):
        now_s += pace.begin(now_s)
        begun.append(now_s)
        if (wrote_s := owner_wrote_s(now_s)) is not None:
            pace.saw_owner(wrote_s)
        now_s += 1.0
        pace.committed(now_s)
    return begun


def test_owner_lives_between_bursts_for_so_long_that_its_delays_start_over() -> None:
    """Each burst is over before an owner that waits for the shortest time is back."""
    begun = _replay(12, lambda now_s: now_s)
    breaks_s = [after - before for before, after in pairwise(begun)]
    assert set(breaks_s) == {1.0, 1.0 + REST_S}
    assert breaks_s.count(1.0 + REST_S) == 3
    assert 0.75 * FENCED_WAIT.delay_s(1) > BURST_S + 1.0
    assert 1.25 * FENCED_WAIT.delay_s(2) + TROUBLE_WAIT.max_s < REST_S


def test_nothing_is_waited_for_if_no_replica_runs() -> None:
    """No entry of an owner, or one that was written long ago."""
    at_once = [100.0 + number for number in range(12)]
    assert _replay(12, lambda _: None) == at_once
    assert _replay(12, lambda _: 20.0) == at_once


def test_owner_that_stops_meanwhile_is_waited_for_twice_at_most() -> None:
    """After a minute without an entry there is none."""
    begun = _replay(30, lambda _: 99.0)
    breaks_s = [after - before for before, after in pairwise(begun)]
    assert 1 <= breaks_s.count(1.0 + REST_S) <= 2
