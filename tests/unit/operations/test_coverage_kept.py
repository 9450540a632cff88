"""Since when events are kept, by what is oldest in the partitions of their topic."""

import pytest

from connector.kafka.cluster import Oldest
from connector.operations.accounts import TRANSACTION_US
from connector.operations.coverage_kept import kept_since_us
from tests.unit.operations.coverage_values import HOUR_US

_NOW_US = 1000 * HOUR_US
_KEPT_US = 72 * HOUR_US
_EXPIRED_US = _NOW_US - _KEPT_US
_NEVER_USED = Oldest(0, None)
_EMPTIED = Oldest(9, None)
_LONG_AGO_US = _EXPIRED_US - 10 * HOUR_US
_FULL = Oldest(0, _LONG_AGO_US)


@pytest.mark.parametrize(
    ("oldest", "since_us"),
    [
        ([_NEVER_USED, _NEVER_USED], _NOW_US - TRANSACTION_US),
        ([_FULL, _NEVER_USED], _LONG_AGO_US - TRANSACTION_US),
        ([_EMPTIED, _EMPTIED], _NOW_US),
        ([_EMPTIED, _NEVER_USED], _NOW_US),
        ([Oldest(9, _NOW_US - HOUR_US), _EMPTIED], _NOW_US - HOUR_US),
        ([Oldest(9, _NOW_US - HOUR_US), Oldest(9, _NOW_US - 2 * HOUR_US)], _NOW_US - 2 * HOUR_US),
        ([_FULL, _EMPTIED], _EXPIRED_US),
        ([_FULL, Oldest(9, _NOW_US - HOUR_US)], _EXPIRED_US),
        ([_FULL, Oldest(9, _EXPIRED_US - HOUR_US)], _EXPIRED_US - HOUR_US),
    ],
    ids=[
        "never used, or made again",
        "nothing was removed",
        "emptied",
        "emptied, one never used",
        "shortened behind retention",
        "shortened everywhere",
        "a rare type",
        "rare in one partition",
        "kept longer than it must be",
    ],
)
def test_events_may_be_gone_before_what_is_oldest(oldest: list[Oldest], since_us: int) -> None:
    """But no partition that a rare type has left empty makes younger events of the others doubtful."""
    assert kept_since_us(oldest, _NOW_US, _KEPT_US) == since_us
