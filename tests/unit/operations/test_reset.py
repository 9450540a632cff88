"""Where a reset begins to read what must stay known: by the records' own dates, whoever's clock they have."""

import json
from collections.abc import Sequence

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.reading import ReadRecord
from connector.operations.accounts import TRANSACTION_US
from connector.operations.reset import KNOWN_US, Found

_PARTITION = StreamPartition("tweet", 2)
_MINUTE_US = 60 * US_PER_S
_T_US = 1_000_000 * _MINUTE_US


def _coverage(minute: float, dated: float, partition: StreamPartition = _PARTITION, offset: int = 0) -> ReadRecord:
    """Return a coverage record: covered until `minute`, and dated by Kafka at another; `written_at` is far off."""
    covered_ms = int(_T_US + minute * _MINUTE_US) // 1000
    value = {"covered_until": covered_ms, "sequence": 7, "written_at": covered_ms + 10**9}
    dated_us = int(_T_US + dated * _MINUTE_US)
    return ReadRecord("c", 0, offset, dated_us, str(partition).encode(), json.dumps(value).encode(), {})


@pytest.mark.parametrize(
    ("records", "since_minute"),
    [
        pytest.param([(minute, minute) for minute in range(61)], 40, id="clocks agree"),
        pytest.param([(minute, minute - 600) for minute in range(61)], -560, id="brokers behind"),
        pytest.param([(m, m + (30 if m < 55 else 0)) for m in range(61)], 55, id="one replica ahead, then one right"),
        pytest.param([(m, m + (0 if m < 55 else 30)) for m in range(61)], 40, id="one replica right, then one ahead"),
        pytest.param([(m, m - (0 if m < 55 else 30)) for m in range(61)], 25, id="one replica right, then one behind"),
        pytest.param([(0, 0), (60, 60)], 0, id="idle or catching up: the record before the time counts"),
        pytest.param([(3, 5)], 5, id="first record of all"),
    ],
)
def test_reset_reads_from_the_earliest_date_of_the_last_covered_time(
    records: Sequence[tuple[float, float]], since_minute: float
) -> None:
    """Twenty minutes of it, as X tells time, and a transaction's length before."""
    assert KNOWN_US == 20 * _MINUTE_US
    found = Found(_PARTITION)
    others = [_coverage(minute, -10_000, StreamPartition("tweet", 3)) for minute, _ in records]
    found.take_coverage([*others, *(_coverage(*each) for each in records)], lambda record: json.loads(record.value))
    assert found.since_us == _T_US + since_minute * _MINUTE_US - TRANSACTION_US
    assert found.covered_until_us == _T_US + records[-1][0] * _MINUTE_US


def test_reset_refuses_coverage_from_long_after_every_clock() -> None:
    """Forged as the newest: the gap begins where coverage was last true."""
    found = Found(_PARTITION, _T_US)
    records = [_coverage(0, 0), _coverage(365 * 24 * 60, 1, offset=9)]
    found.take_coverage(records, lambda record: json.loads(record.value))
    assert (found.covered_until_us, found.since_us) == (_T_US, _T_US - TRANSACTION_US)
    [told] = found.foreign
    assert told.startswith("c partition 0 offset 9: ValueError: covered_until is 1972-11-")


def test_reset_of_what_was_never_covered_reads_all() -> None:
    """Nothing tells where to begin."""
    assert Found(_PARTITION).since_us == 0


def test_reset_takes_no_ids_of_a_batch_run() -> None:
    """Its dead letters are on the same topic, and no stranger's; those of other stream partitions stay out as well."""
    headers = {"stream": b"tweet", "stream-partition": b"2", "event-id": b"aa" * 16}
    others = [
        headers | {"stream": b"batch.tweet", "stream-partition": b"1", "event-id": b"bb" * 16},
        headers | {"stream-partition": b"3", "event-id": b"cc" * 16},
    ]
    found = Found(_PARTITION)
    letters = [ReadRecord("d", 0, at, _T_US, b"", b"", each) for at, each in enumerate([*others, headers])]
    found.take_accounts(letters, lambda _: {}, "d")
    assert (list(found.ids), found.foreign) == ([b"\xaa" * 16], [])
