"""Known dates: what must come again where an overlap is delivered."""

import pytest

from connector.coverage.known_dates import BUCKET_US, KnownDates
from connector.events.times import US_PER_S
from tests.fakes.x import NOW_US


@pytest.mark.parametrize(
    ("start_s", "end_s", "has_any"), [(0, 10, True), (-20, 30, True), (1, 30, False), (-30, 9, False), (10, 60, False)]
)
def test_date_counts_where_its_whole_bucket_lies_within_the_range(start_s: int, end_s: int, *, has_any: bool) -> None:
    """An event at the edge of a range need not come again."""
    dates = KnownDates()
    dates.add([NOW_US + 3 * US_PER_S])
    assert dates.has_any(NOW_US + start_s * US_PER_S, NOW_US + end_s * US_PER_S) is has_any


def test_dates_between_the_first_and_the_last_of_a_read_count() -> None:
    """A backfill that left them out was believed, as only the ends of what came at once were known."""
    dates = KnownDates()
    dates.add([NOW_US, NOW_US + 10 * BUCKET_US, NOW_US + 20 * BUCKET_US])
    assert dates.has_any(NOW_US + 9 * BUCKET_US, NOW_US + 12 * BUCKET_US)


def test_dates_are_bounded_and_the_oldest_go_first() -> None:
    """Also when many come at once."""
    dates = KnownDates()
    for day in range(3):
        dates.add(range(NOW_US + day * 700 * BUCKET_US, NOW_US + (day + 1) * 700 * BUCKET_US, BUCKET_US))
    assert not dates.has_any(NOW_US, NOW_US + 1100 * BUCKET_US)
    assert dates.has_any(NOW_US + 2000 * BUCKET_US, NOW_US + 2100 * BUCKET_US)
