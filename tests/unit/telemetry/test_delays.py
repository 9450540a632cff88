"""Delays: a whole transaction falls into the buckets at once, each event into the one it would alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.events.times import US_PER_S
from connector.telemetry.delays import BOUNDS_S, Arrival, DelayHistogram, Delays, Filled

_AT_US = 1_656_373_781 * US_PER_S
_MONOTONIC_US = 77 * US_PER_S
_DELAYS_US = st.integers(-10 * US_PER_S, 5000 * US_PER_S) | st.sampled_from(
    [int(bound_s * US_PER_S) + shift for bound_s in BOUNDS_S for shift in (-1, 0, 1)]
)


def _one_by_one(delays_us: list[int]) -> Filled:
    """Return what the buckets hold by their definition."""
    counts = [sum(delay_us <= bound_s * US_PER_S for delay_us in delays_us) for bound_s in BOUNDS_S]
    return Filled((*counts, len(delays_us)), sum(max(0, delay_us) for delay_us in delays_us) / US_PER_S)


@given(st.lists(_DELAYS_US, max_size=30))
def test_events_counted_together_fall_where_each_would_alone(delays_us: list[int]) -> None:
    """Also those on a bound, and those from the future, which count as no delay at all."""
    together, alone = DelayHistogram(), DelayHistogram()
    together.add_since(sorted(_AT_US - delay_us for delay_us in delays_us), _AT_US)
    for delay_us in delays_us:
        alone.add(delay_us, 1)
    assert together.read() == alone.read() == _one_by_one(delays_us)


def test_events_of_several_transactions_add_up() -> None:
    """Counts and sum."""
    histogram = DelayHistogram()
    histogram.add(US_PER_S, 3)
    histogram.add_since([_AT_US - 2 * US_PER_S], _AT_US)
    assert histogram.read() == _one_by_one([US_PER_S] * 3 + [2 * US_PER_S])


def test_buckets_hold_the_objectives() -> None:
    """5 s from receipt to commit, 4 minutes of coverage, and the usual delay."""
    assert {0.35, 5.0, 240.0} <= set(BOUNDS_S)
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))


@pytest.mark.parametrize("is_live", [True, False])
def test_delays_of_live_events_count_from_their_date_those_of_replayed_ones_only_from_receipt(*, is_live: bool) -> None:
    """A replay is late by nature; the commit is measured by the monotonic clock."""
    delays = Delays()
    dates_us = [_AT_US - 3 * US_PER_S, _AT_US - 4 * US_PER_S]
    delays.add([Arrival(_AT_US, _MONOTONIC_US, dates_us, is_live)], _MONOTONIC_US + US_PER_S)
    second = US_PER_S
    assert delays.received_to_committed.read() == _one_by_one([second] * 2)
    assert delays.event_to_received.read() == _one_by_one([3 * second, 4 * second] if is_live else [])
    assert delays.event_to_committed.read() == _one_by_one([4 * second, 5 * second] if is_live else [])


def test_delays_of_several_arrivals_count_each_from_its_own_receipt() -> None:
    """Though they fall into the buckets together."""
    delays = Delays()
    second, later_us = US_PER_S, _AT_US + 50 * US_PER_S
    arrivals = [
        Arrival(_AT_US, _MONOTONIC_US, [_AT_US - second], is_live=True),
        Arrival(later_us, _MONOTONIC_US + 50 * second, [later_us - 2 * second, later_us + 10 * second], is_live=True),
    ]
    delays.add(arrivals, _MONOTONIC_US + 100 * second)
    assert delays.event_to_received.read() == _one_by_one([second, 2 * second, 0])
    assert delays.received_to_committed.read() == _one_by_one([100 * second, 50 * second, 50 * second])
    assert delays.event_to_committed.read() == _one_by_one([101 * second, 52 * second, 40 * second])


def test_transaction_without_events_has_no_delays() -> None:
    """As an idle stream partition commits them."""
    delays = Delays()
    delays.add([], _MONOTONIC_US)
    assert delays.received_to_committed.read() == _one_by_one([])
