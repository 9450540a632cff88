"""Where a reset begins to read what must stay known: by the records' own dates, whoever's clock they have."""

import json
import os
from collections.abc import Sequence

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.reading import ReadRecord
from connector.operations.accounts import TRANSACTION_US
from connector.operations.reset import KNOWN_US, Found, LedgerState, SoundLedgerError, plan_of

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


def test_plan_says_why_from_when_to_when_and_what_stays_known() -> None:
    """A person decides by these lines."""
    found = Found(_PARTITION, covered_until_us=_T_US, sequence=41, ids=dict.fromkeys([b"a", b"b"]))
    plan = plan_of(found, LedgerState("entry 7 cannot be read"), _T_US + 90 * _MINUTE_US)
    assert list(plan.lines()) == [
        "tweet/2: the ledger is refused: entry 7 cannot be read",
        "tweet/2: coverage reached until 1971-11-26T10:40:00.000000Z",
        "tweet/2: a gap from 1971-11-26T10:40:00.000000Z to 1971-11-26T12:10:00.000000Z, 5,400 s",
        "tweet/2: ids that stay known: 2; next sequence: 42",
    ]


@pytest.mark.parametrize(
    ("covered_until_us", "coverage"),
    [(None, "was never recorded"), (_T_US, "reached until 1971-11-26T10:40:00.000000Z")],
    ids=["never covered", "covered beyond the clock here"],
)
def test_plan_has_no_gap_where_none_can_be_told(covered_until_us: int | None, coverage: str) -> None:
    """By force, of a new ledger, or with a clock that is behind."""
    plan = plan_of(Found(_PARTITION, covered_until_us=covered_until_us), LedgerState(None), _T_US)
    assert plan.gap is None
    assert list(plan.lines()) == [
        "tweet/2: the ledger is sound, and is reset because of --force",
        f"tweet/2: coverage {coverage}",
        "tweet/2: no gap",
        "tweet/2: ids that stay known: 0; next sequence: 1",
    ]


@pytest.mark.parametrize(
    ("covered_until_us", "state"), [(_T_US, "covers until 1971-11-26T10:40:00.000000Z"), (None, "is new")]
)
def test_sound_ledger_is_refused_with_what_it_is_worth(covered_until_us: int | None, state: str) -> None:
    """The exit code is that of an operator's mistake, not of corruption."""
    with pytest.raises(SoundLedgerError) as told:
        LedgerState(None, covered_until_us).check_is_refused(_PARTITION)
    assert told.value.lines[0] == f"the ledger of tweet/2 is sound and {state}: nothing was changed"
    assert told.value.exit_code == os.EX_CONFIG
    LedgerState("cannot be read").check_is_refused(_PARTITION)
