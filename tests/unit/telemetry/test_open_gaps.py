"""Which gaps a batch run can still make up for, from their records as they are decoded."""

from typing import Any

import pytest

from connector.events.batch import BATCH_TYPES
from connector.events.catalog import EVENT_TYPES, StreamPartition
from connector.kafka.reading import ReadRecord
from connector.telemetry.open_gaps import RECONCILABLE, RecordedGap, oldest_gaps, read_gap

_RECORD: dict[str, Any] = {
    "gap_id": "tweet/1/a/b",
    "stream": "tweet",
    "stream_partition": 1,
    "gap_start": 0,
    "gap_end": 500,
    "state": "lost",
    "cause": "outage-too-long",
    "detail": "d",
    "recorded_at": 1000,
    "reconciled_by": None,
    "remaining": None,
}


def _read(fields: dict[str, Any], key: bytes = b"tweet/1/a/b") -> RecordedGap:
    return read_gap(fields, ReadRecord("p-gap", 0, 0, 0, key, b"value", {}))


def _gap(recorded_ms: int, *, is_reconcilable: bool = True) -> RecordedGap:
    """Return the gap of the record, recorded at another time."""
    partition = StreamPartition("tweet", 1)
    return RecordedGap(
        "tweet/1/a/b", partition, 0, 500_000, "lost", "outage-too-long", "d", recorded_ms * 1000, (), is_reconcilable
    )


def test_gap_is_kept_whatever_its_state() -> None:
    """In microseconds, its words on one line and without what a terminal or a browser might obey."""
    gap = _read(_RECORD | {"state": "withdrawn", "detail": "a\n\u202eb", "remaining": ["tweet.drop"]})
    assert (gap.start_us, gap.end_us, gap.recorded_us) == (0, 500_000, 1_000_000)
    assert (gap.state, gap.detail, gap.remaining) == ("withdrawn", "a b", ("tweet.drop",))


def test_streams_with_a_gap_to_make_up_for_are_those_of_tweets_and_users() -> None:
    """No job is about likes or labels."""
    assert RECONCILABLE == ("tweet", "user")


@pytest.mark.parametrize(
    ("stream", "state", "remaining", "is_open"),
    [
        ("tweet", "lost", None, True),
        ("tweet", "suspected", None, True),
        ("user", "lost", None, True),
        ("like", "lost", None, False),
        ("label", "suspected", None, False),
        ("tweet", "partly-reconciled", ["tweet.withheld", "tweet.drop", "tweet.undrop"], False),
        ("user", "partly-reconciled", ["user.withheld", "user.scrub-geo"], True),
        ("user", "partly-reconciled", ["user.withheld", "user.profile-modification"], False),
        ("user", "partly-reconciled", [], False),
        ("tweet", "partly-reconciled", None, True),
        ("tweet", "reconciled", None, False),
        ("tweet", "reconciled", [], False),
        ("tweet", "lost", ["tweet.withheld"], False),
        ("tweet", "partly-reconciled", ["user.delete"], False),
        ("tweet", "closed", None, False),
        ("tweet", "closed", ["tweet.delete"], False),
        ("bookmark", "lost", None, False),
        ("bookmark", "lost", ["tweet.delete"], False),
    ],
)
def test_gap_is_open_while_a_run_can_make_up_for_part_of_it(
    stream: str, state: str, remaining: list[str] | None, *, is_open: bool
) -> None:
    """What remains counts where the record says so, else all of the stream; a gap of an unknown state is not open."""
    gap = _read(_RECORD | {"stream": stream, "state": state, "remaining": remaining})
    assert gap.is_reconcilable == is_open


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=lambda event_type: event_type.name)
def test_gap_that_lacks_one_event_type_is_open_if_some_run_answers_for_it(event_type: Any) -> None:  # noqa: ANN401 - one of the catalog
    """As the table of batch types has it."""
    record = _RECORD | {"stream": event_type.stream, "state": "partly-reconciled", "remaining": [event_type.name]}
    is_answered = any(event_type.name in batch_type.answers for batch_type in BATCH_TYPES)
    assert _read(record).is_reconcilable == is_answered


def test_gap_of_a_release_before_runs_made_up_for_gaps_is_open() -> None:
    """Its record has neither of the later fields."""
    old = {name: value for name, value in _RECORD.items() if name not in {"remaining", "reconciled_by"}}
    assert _read(old) == _gap(1000)


@pytest.mark.parametrize("wrong", [{"stream": 1}, {"recorded_at": None}, {"remaining": "tweet.delete"}], ids=str)
def test_record_that_is_not_of_a_gap_is_refused(wrong: dict[str, Any]) -> None:
    """Anyone with the right may register another schema and write by it."""
    with pytest.raises(ValueError, match="Expected"):
        _read(_RECORD | wrong)


def test_oldest_gap_of_each_stream_counts() -> None:
    """By when it was recorded; a stream without one is there, and has none."""
    gaps = [_gap(30), _gap(10), _gap(5, is_reconcilable=False), _gap(20)]
    assert oldest_gaps(gaps) == {"tweet": 10, "user": None}
    assert oldest_gaps([]) == {"tweet": None, "user": None}


def test_gap_under_the_key_of_another_is_refused() -> None:
    """It would take the other's place."""
    with pytest.raises(ValueError, match="the key is not the gap_id"):
        _read(_RECORD, b"tweet/1/a/c")
