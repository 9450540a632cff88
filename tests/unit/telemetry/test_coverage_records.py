"""The newest coverage record of a stream partition, and what follows from its dates."""

from dataclasses import replace
from typing import Any

import pytest

from connector.events.catalog import StreamPartition
from connector.telemetry.coverage_records import LATE_US, SILENT_US, Covered, read_covered

_RECORD: dict[str, Any] = {
    "stream": "tweet",
    "stream_partition": 1,
    "covered_until": 1_000,
    "sequence": 3,
    "mode": "live",
    "written_at": 2_000,
}
_COVERED = Covered(StreamPartition("tweet", 1), 1_000_000, "live", 2_000_000)


def test_record_is_read_in_microseconds() -> None:
    """A mode of a later release is kept as a word, on one line."""
    assert read_covered(_RECORD) == _COVERED
    later = read_covered(_RECORD | {"mode": "paused\n\x1b[2J"})
    assert later is not None
    assert later.mode == "paused [2J"


@pytest.mark.parametrize("other", [{"stream": "bookmark"}, {"stream_partition": 5}, {"stream_partition": 0}], ids=str)
def test_stream_partition_that_is_not_known_is_left_out(other: dict[str, Any]) -> None:
    """A later release may have more."""
    assert read_covered(_RECORD | other) is None


@pytest.mark.parametrize("wrong", [{"stream": 1}, {"covered_until": None}, {"written_at": "now"}], ids=str)
def test_record_that_is_not_of_coverage_is_refused(wrong: dict[str, Any]) -> None:
    """Anyone with the right may write by another schema."""
    with pytest.raises(ValueError, match="Expected"):
        read_covered(_RECORD | wrong)


def test_lateness_and_silence_begin_right_after_their_limits() -> None:
    """A date of the future is neither."""
    assert not _COVERED.is_late(1_000_000 + LATE_US)
    assert _COVERED.is_late(1_000_001 + LATE_US)
    assert replace(_COVERED, mode="disconnected").is_late(1_000_001 + LATE_US // 2)
    assert not replace(_COVERED, mode="disconnected").is_late(1_000_000 + LATE_US // 2)
    assert not _COVERED.is_silent(2_000_000 + SILENT_US)
    assert _COVERED.is_silent(2_000_001 + SILENT_US)
    assert (_COVERED.behind_us(0), _COVERED.is_late(0), _COVERED.is_silent(0)) == (0, False, False)
