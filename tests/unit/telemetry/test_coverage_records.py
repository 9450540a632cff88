"""The newest coverage record of a stream partition, and what follows from its dates."""

from dataclasses import replace
from typing import Any

import pytest

from connector.events.catalog import StreamPartition
from connector.kafka.reading import ReadRecord
from connector.telemetry.coverage_records import AHEAD_US, LATE_US, SILENT_US, Covered, read_covered

_RECORD: dict[str, Any] = {
    "stream": "tweet",
    "stream_partition": 1,
    "covered_until": 1_000,
    "sequence": 3,
    "mode": "live",
    "written_at": 2_000,
}
_COVERED = Covered(StreamPartition("tweet", 1), 1_000_000, "live", 2_000_000, dated_us=2_000_000)


def _read(fields: dict[str, Any], key: str = "tweet/1") -> Covered | None:
    return read_covered(fields, ReadRecord("p-coverage", 0, 0, 2_000_000, key.encode(), b"value", {}))


def test_record_is_read_in_microseconds() -> None:
    """A mode of a later release is kept as a word, on one line."""
    assert _read(_RECORD) == _COVERED
    later = _read(_RECORD | {"mode": "paused\n\x1b[2J"})
    assert later is not None
    assert later.mode == "paused [2J"


@pytest.mark.parametrize("other", [{"stream": "bookmark"}, {"stream_partition": 5}, {"stream_partition": 0}], ids=str)
def test_stream_partition_that_is_not_known_is_left_out(other: dict[str, Any]) -> None:
    """A later release may have more."""
    fields = _RECORD | other
    assert _read(fields, f"{fields['stream']}/{fields['stream_partition']}") is None


@pytest.mark.parametrize("wrong", [{"stream": 1}, {"covered_until": None}, {"written_at": "now"}], ids=str)
def test_record_that_is_not_of_coverage_is_refused(wrong: dict[str, Any]) -> None:
    """Anyone with the right may write by another schema."""
    with pytest.raises(ValueError, match="Expected"):
        _read(_RECORD | wrong)


@pytest.mark.parametrize("other", [{"stream_partition": 2}, {"stream": "bookmark"}], ids=str)
def test_record_under_the_key_of_another_is_refused(other: dict[str, Any]) -> None:
    """It would take the other's place."""
    with pytest.raises(ValueError, match="the key is not the stream partition"):
        _read(_RECORD | other)


@pytest.mark.parametrize("name", ["covered_until", "written_at"])
def test_record_from_days_after_it_was_written_is_refused(name: str) -> None:
    """What is ahead by less is kept, and said."""
    latest_ms = 2_000 + 49 * 3_600_000
    covered = _read(_RECORD | {name: latest_ms})
    assert covered is not None
    assert covered.is_ahead(latest_ms * 1000)
    with pytest.raises(ValueError, match="which no clock shows"):
        _read(_RECORD | {name: latest_ms + 1})


def test_record_is_ahead_of_either_clock() -> None:
    """Of Kafka's date of it, or of the reader's clock."""
    assert not _COVERED.is_ahead(2_000_000 - AHEAD_US)
    assert _COVERED.is_ahead(1_999_999 - AHEAD_US)
    assert not replace(_COVERED, dated_us=2_000_000 - AHEAD_US).is_ahead(2_000_000)
    assert replace(_COVERED, dated_us=1_999_999 - AHEAD_US).is_ahead(2_000_000)
    assert (_COVERED.ahead_us(1_500_000), _COVERED.ahead_us(3_000_000)) == (500_000, 0)


def test_lateness_and_silence_begin_right_after_their_limits() -> None:
    """A date of the future is neither."""
    assert not _COVERED.is_late(1_000_000 + LATE_US)
    assert _COVERED.is_late(1_000_001 + LATE_US)
    assert replace(_COVERED, mode="disconnected").is_late(1_000_001 + LATE_US // 2)
    assert not replace(_COVERED, mode="disconnected").is_late(1_000_000 + LATE_US // 2)
    assert not _COVERED.is_silent(2_000_000 + SILENT_US)
    assert _COVERED.is_silent(2_000_001 + SILENT_US)
    assert (_COVERED.behind_us(0), _COVERED.is_late(0), _COVERED.is_silent(0)) == (0, False, False)
