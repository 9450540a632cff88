"""The dead-letter topic read back: which records are one dead letter, and which are foreign."""

import pytest

from connector.events.catalog import StreamPartition
from connector.events.times import US_PER_S
from connector.kafka.reading import ReadRecord
from connector.operations.dead_letters import LetterKey, Letters, Wanted, in_order

_ID = bytes(range(16))
_KEY = LetterKey(StreamPartition("user", 2), _ID)
_HEADERS = {
    "reason": "unknown-type",
    "detail": "type moon",
    "length": "4",
    "event-id": _ID.hex(),
    "stream": "user",
    "stream-partition": "2",
    "received-at": "1970-01-01T00:00:07Z",
}
_MARK = {
    **{name: _HEADERS[name] for name in ("event-id", "stream", "stream-partition", "received-at")},
    "reason": "replayed",
    "replayed-at": "1970-01-01T00:00:09Z",
    "sequence": "42",
}
_BATCH = _HEADERS | {"stream": "batch.user", "stream-partition": "1", "run-id": "r", "job-id": "j"}


def _record(offset: int, headers: dict[str, str], value: bytes = b"line", key: str = _ID.hex()) -> ReadRecord:
    encoded = {name: text.encode() for name, text in headers.items()}
    return ReadRecord("t", 0, offset, 0, key.encode(), value, encoded)


def _letters(*records: ReadRecord) -> Letters:
    letters = Letters()
    for record in records:
        letters.take(record)
    return letters


def test_records_with_one_origin_and_id_are_one_dead_letter() -> None:
    """It has its first and its last place; what another stream partition brought is another."""
    other = _HEADERS | {"stream-partition": "3"}
    letters = _letters(_record(3, _HEADERS), _record(4, other), _record(9, _HEADERS))
    assert letters.foreign == []
    assert len(letters.letters) == 2
    letter = letters.letters[_KEY]
    assert (letter.first_offset, letter.last_offset, letter.records) == (3, 9, 2)
    assert (letter.received_us, letter.is_whole) == (7 * US_PER_S, True)


def test_a_line_that_is_longer_than_its_record_is_cut() -> None:
    """Its length says so."""
    assert not _letters(_record(1, _HEADERS | {"length": "5"})).letters[_KEY].is_whole


def test_a_mark_is_no_dead_letter() -> None:
    """It says that one is replayed, and as which event."""
    letters = _letters(_record(1, _HEADERS), _record(2, _MARK, b""))
    assert list(letters.letters) == list(letters.marks) == [_KEY]
    assert (letters.marks[_KEY].sequence, letters.marks[_KEY].replayed_us) == (42, 9 * US_PER_S)


def test_a_dead_letter_of_a_batch_run_has_its_run() -> None:
    """It is of no stream partition."""
    [letter] = _letters(_record(1, _BATCH)).letters.values()
    assert letter.key.is_of_batch
    assert (letter.run_id, letter.job_id) == ("r", "j")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        *(({name: text for name, text in _HEADERS.items() if name != left}, _ID.hex()) for left in _HEADERS),
        *(({name: text for name, text in _MARK.items() if name != left}, _ID.hex()) for left in ("sequence", "stream")),
        (_HEADERS | {"stream": "moon"}, _ID.hex()),
        (_HEADERS | {"stream-partition": "5"}, _ID.hex()),
        (_HEADERS | {"event-id": "no hex"}, "no hex"),
        (_HEADERS | {"event-id": "00"}, "00"),
        (_HEADERS | {"received-at": "yesterday"}, _ID.hex()),
        (_HEADERS, "another"),
        (_MARK | {"stream": "batch.user", "stream-partition": "1"}, _ID.hex()),
    ],
)
def test_a_record_that_cannot_be_ours_is_foreign(headers: dict[str, str], key: str) -> None:
    """It is reported, and not counted."""
    letters = _letters(_record(1, headers, key=key))
    assert not letters.letters
    assert not letters.marks
    [foreign] = letters.foreign
    assert foreign.startswith("t partition 0 offset 1: ")


def test_those_asked_for_are_by_time_reason_and_id() -> None:
    """Each narrows them down; what was received at the end of the range is not in it."""
    later = bytes(16)
    letters = _letters(
        _record(1, _HEADERS | {"event-id": later.hex(), "received-at": "1970-01-01T00:00:08Z"}, key=later.hex()),
        _record(2, _HEADERS),
    )
    for wanted, expected in (
        (Wanted(), [_ID, later]),
        (Wanted(start_us=8 * US_PER_S), [later]),
        (Wanted(end_us=8 * US_PER_S), [_ID]),
        (Wanted(ids=frozenset({later})), [later]),
        (Wanted(reason="unknown-type"), [_ID, later]),
        (Wanted(reason="not-json"), []),
    ):
        assert [letter.key.id for letter in in_order(letters.chosen(wanted))] == expected
