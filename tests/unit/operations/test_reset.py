"""Where a reset begins to read what must stay known: by the records' own dates, whichever clock they have."""

import json
import os
from collections.abc import Sequence

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.reading import ReadRecord
from connector.operations.accounts import TRANSACTION_US
from connector.operations.last_known import LastKnown
from connector.operations.reset import (
    KNOWN_US,
    CoverageUnknownError,
    Found,
    LedgerState,
    SoundLedgerError,
    plan_of,
)

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


def test_plan_has_no_gap_where_coverage_is_ahead_of_the_clock() -> None:
    """By force, with a clock that is behind."""
    plan = plan_of(Found(_PARTITION, covered_until_us=_T_US), LedgerState(None), _T_US)
    assert plan.gap is None
    assert list(plan.lines()) == [
        "tweet/2: the ledger is sound, and is reset because of --force",
        "tweet/2: coverage reached until 1971-11-26T10:40:00.000000Z",
        "tweet/2: no gap",
        "tweet/2: ids that stay known: 0; next sequence: 1",
    ]


@pytest.mark.parametrize(
    ("by_topic", "by_ledger", "by_operator", "start"),
    [
        pytest.param(3, None, None, 3, id="nothing is left of the ledger"),
        pytest.param(None, 4, None, 4, id="the coverage topic was emptied"),
        pytest.param(3, 4, None, 3, id="coverage is recorded now and then"),
        pytest.param(9, 4, None, 4, id="coverage is claimed that the ledger does not bear out"),
        pytest.param(None, None, 2, 2, id="an operator knows"),
        pytest.param(3, 4, 1, 1, id="an operator knows better"),
        pytest.param(3, 4, 8, 3, id="an operator hides nothing"),
    ],
)
def test_gap_begins_where_the_least_is_claimed(
    by_topic: int | None, by_ledger: int | None, by_operator: int | None, start: int
) -> None:
    """Of the coverage topic, the ledger and the operator."""
    ledger = None if by_ledger is None else LastKnown(by_ledger, 41, 5 * _MINUTE_US, (b"a",))
    found = Found(_PARTITION, covered_until_us=by_topic, gap_from_us=by_operator)
    found.take_ledger(ledger)
    plan = plan_of(found, LedgerState("is gone"), _T_US)
    assert plan.gap is not None
    assert (plan.gap.start_us, plan.covered_until_us) == (start, start)
    known = (1, 42, 5 * _MINUTE_US - TRANSACTION_US) if ledger else (0, 1, 0)
    assert (plan.ids, plan.next_sequence, found.since_us) == known


def test_reset_is_refused_where_nothing_says_how_far_coverage_reached() -> None:
    """Without a gap, what is missing would count as complete; the operator is asked, and may repeat the command."""
    with pytest.raises(CoverageUnknownError) as told:
        plan_of(Found(_PARTITION), LedgerState("is gone"), _T_US)
    assert "--gap-from" in told.value.lines[1]
    assert told.value.exit_code == os.EX_CONFIG


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
