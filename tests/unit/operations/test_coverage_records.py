"""Gaps, dead letters and claims from records: the newest of a gap, the marks of a replay, and what is not ours."""

import json
from dataclasses import replace
from typing import Any

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S, format_us
from connector.kafka.digests import gap_number
from connector.kafka.reading import ReadRecord
from connector.operations.coverage_records import DeadLetters, read_claims, read_gaps
from tests.unit.operations.coverage_values import BEGAN_US, GAP, LETTER, PARTITION

_FIELDS = {
    "gap_id": GAP.gap_id,
    "stream": "tweet",
    "stream_partition": 1,
    "gap_start": GAP.start_us // 1000,
    "gap_end": GAP.end_us // 1000,
    "state": "lost",
    "cause": GAP.cause,
    "detail": GAP.detail,
    "recorded_at": GAP.recorded_us // 1000,
    "reconciled_by": None,
    "remaining": None,
}
_IDENTITY = (GAP.gap_id, GAP.start_us // 1000, GAP.end_us // 1000, GAP.cause, GAP.recorded_us // 1000)
_ID = bytes.fromhex(LETTER.event_id)


def _decode(record: ReadRecord) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(record.value)
    return fields


def _record(key: str, value: object, offset: int = 0) -> ReadRecord:
    return ReadRecord("t", 0, offset, BEGAN_US, key.encode(), json.dumps(value).encode(), {})


def _gap(**changes: object) -> ReadRecord:
    return _record(GAP.gap_id, _FIELDS | changes)


def test_of_a_gap_the_newest_record_counts() -> None:
    """With what batch runs made up for, which does not change its digest in the ledger; gaps come by start."""
    made_up = {"state": "partly-reconciled", "reconciled_by": ["run"], "remaining": ["tweet.drop"]}
    earlier = _record("other", _FIELDS | {"gap_id": "other", "gap_start": 0})
    found, foreign = read_gaps([_gap(), _gap(**made_up), earlier], _decode)
    assert foreign == []
    assert [each.gap for each in found] == [
        replace(GAP, gap_id="other", start_us=0),
        replace(GAP, state="partly-reconciled", reconciled_by=("run",), remaining=("tweet.drop",)),
    ]
    [first] = read_gaps([_gap()], _decode)[0]
    assert first.digest != found[1].digest
    assert first.number == found[1].number == gap_number(*_IDENTITY)


@pytest.mark.parametrize(
    "record",
    [
        ReadRecord("t", 0, 3, 0, GAP.gap_id.encode(), b"", {}, is_tombstone=True),
        _gap(stream="nothing"),
        _gap(stream_partition=5),
        _gap(gap_id="another"),
        _gap(gap_end="soon"),
        _gap(state=None),
    ],
    ids=["no value", "stream", "partition", "key", "date", "state"],
)
def test_record_that_is_no_gap_erases_none(record: ReadRecord) -> None:
    """It is foreign, and the gap stays what it was."""
    found, foreign = read_gaps([_gap(), record], _decode)
    assert [each.gap for each in found] == [GAP]
    assert len(foreign) == 1


def test_newest_claim_of_each_stream_partition_counts() -> None:
    """A claim under a key that is not its own is foreign."""

    def claim(key: str, number: int, covered_until: int) -> ReadRecord:
        return _record(key, {"stream": "user", "stream_partition": number, "covered_until": covered_until})

    claims, foreign = read_claims(
        [claim("user/1", 1, 5), claim("user/2", 2, 7), claim("user/1", 1, 6), claim("user/3", 4, 9)], _decode
    )
    assert claims == {StreamPartition("user", 1): 6000, StreamPartition("user", 2): 7000}
    assert len(foreign) == 1


def _letter(offset: int = LETTER.offset, dated_us: int = BEGAN_US, **headers: str) -> ReadRecord:
    given = {
        "reason": LETTER.reason,
        "detail": LETTER.detail,
        "event-id": LETTER.event_id,
        "stream": "tweet",
        "stream-partition": "1",
        "received-at": format_us(LETTER.received_us),
    }
    kept = {name.replace("_", "-"): value for name, value in headers.items()}
    encoded = {name: value.encode() for name, value in (given | kept).items()}
    return ReadRecord("d", 0, offset, dated_us, LETTER.event_id.encode(), b"a line", encoded)


def _read(*records: ReadRecord) -> DeadLetters:
    letters = DeadLetters()
    letters.read(records)
    return letters


def test_dead_letter_is_found_by_the_ids_of_its_entry_once() -> None:
    """Of its own stream partition alone; ids of events find nothing."""
    letters = _read(_letter())
    assert letters.foreign == []
    assert letters.of_entry(StreamPartition("tweet", 2), [_ID], BEGAN_US) == []
    [found] = letters.of_entry(PARTITION, [b"\0" * 16, _ID], BEGAN_US)
    assert found.letter == LETTER
    assert letters.of_entry(PARTITION, [_ID], BEGAN_US) == []


def test_dead_letter_that_came_again_is_that_of_the_entry_of_its_time() -> None:
    """One from long before an entry belongs to an earlier one, which may not be in the range."""
    letters = _read(_letter(7, BEGAN_US), _letter(8, BEGAN_US + 3600 * US_PER_S))
    [found] = letters.of_entry(PARTITION, [_ID], BEGAN_US + 3601 * US_PER_S)
    assert found.letter.offset == 8


def test_mark_says_that_the_dead_letters_before_it_were_published() -> None:
    """It is no dead letter itself, and concerns none that comes later or from elsewhere; it is part of the evidence."""
    other = _letter(7, stream_partition="2")
    mark = _letter(9, reason="replayed")
    letters = _read(other, _letter(8), mark, _letter(10))
    both = letters.of_entry(PARTITION, [_ID], BEGAN_US) + letters.of_entry(PARTITION, [_ID], BEGAN_US)
    assert [(each.letter.offset, each.letter.is_replayed) for each in both] == [(8, True), (10, False)]
    assert letters.of_entry(PARTITION, [_ID], BEGAN_US) == []
    assert not letters.of_entry(StreamPartition("tweet", 2), [_ID], BEGAN_US)[0].letter.is_replayed
    assert _read(_letter(8)).of_entry(PARTITION, [_ID], BEGAN_US)[0].digest != both[0].digest


@pytest.mark.parametrize("stream", ["batch.tweet", "batch.user"])
def test_dead_letters_of_batch_runs_belong_to_no_stream(stream: str) -> None:
    """Nor are they foreign."""
    letters = _read(_letter(stream=stream))
    assert letters.foreign == []
    assert letters.of_entry(PARTITION, [_ID], BEGAN_US) == []


@pytest.mark.parametrize(
    "headers",
    [{"stream": b"nothing"}, {"stream-partition": b"x"}, {"received-at": b"now"}, {"event-id": b"no hex"}],
    ids=lambda headers: next(iter(headers)),
)
def test_record_that_is_no_dead_letter_is_foreign(headers: dict[str, bytes]) -> None:
    """Where it stands is said."""
    [foreign] = _read(_letter()._replace(headers=dict(_letter().headers) | headers)).foreign
    assert foreign.startswith(f"d partition 0 offset {LETTER.offset}: ")


def test_record_without_headers_is_foreign() -> None:
    """Anyone can write bytes."""
    assert len(_read(_letter()._replace(headers={})).foreign) == 1
